use rstest::rstest;
use serde_json::json;

use super::value::Val;
use super::*;

struct Fixed<'a>(&'a serde_json::Value);

impl<'a> Names<'a> for Fixed<'a> {
    fn get(&self, name: &str) -> Option<Evaluated<'a>> {
        (name == "self").then(|| Ok(Val::of(self.0, None)))
    }
}

fn run(text: &str, value: &serde_json::Value) -> Result<serde_json::Value, String> {
    let program = compile(text, &[("self".to_owned(), Ty::Dyn)].into())?;
    let result = program.run(&Fixed(value), &Budget::new(100_000));
    result
        .map(|value| value.to_json())
        .map_err(|error| error.to_string())
}

#[rstest]
#[case("1 + 2 * 3 == 7 && !false", json!(true))]
#[case("self.a.b[1] + 'c'", json!("yc"))]
#[case("has(self.a) && !has(self.z)", json!(true))]
#[case("self.a.b.all(t, t.size() == 1)", json!(true))]
#[case("self.a.b.exists_one(t, t == 'x')", json!(true))]
#[case("self.a.b.map(t, t + t)", json!(["xx", "yy"]))]
#[case("self.n.filter(i, i > 1).sum()", json!(5))]
#[case("self.n.map(i, i > 1, i * 2)", json!([4, 6]))]
#[case("self.z == 1 || true", json!(true))]
#[case("self.?z.orValue('none')", json!("none"))]
#[case("self.?a.b[?0].orValue('none')", json!("x"))]
#[case("optional.of(3).optMap(v, v + 1).value()", json!(4))]
#[case("cel.bind(x, self.n.size(), x * x)", json!(9))]
#[case("'%s has %d (%.2f)'.format(['a', 3, 1.5])", json!("a has 3 (1.50)"))]
#[case("'a-b-c'.split('-').join('+')", json!("a+b+c"))]
#[case("'Hello'.lowerAscii().substring(1, 3)", json!("el"))]
#[case("'abc'.matches('^[a-c]+$') && 'x1y22'.findAll('[0-9]+') == ['1', '22']", json!(true))]
#[case("quantity('1Gi').isGreaterThan(quantity('1000Mi')) && quantity('1').add(2) == quantity('3')", json!(true))]
#[case("ip('10.1.2.3').family() == 4 && cidr('10.0.0.0/8').containsIP('10.1.2.3')", json!(true))]
#[case("url('https://example.com:80/p?a=b').getHostname()", json!("example.com"))]
#[case("format.dns1123Label().validate('Bad').hasValue()", json!(true))]
#[case("sets.contains([1, 2], [2]) && !sets.intersects([1], [2])", json!(true))]
#[case("duration('1h').getMinutes() == 60 && timestamp('2024-01-02T03:04:05Z').getHours() == 3", json!(true))]
#[case("semver('1.2.3').isLessThan(semver('1.10.0'))", json!(true))]
#[case("type(1) == int && int('7') == 7 && string(1.5) == '1.5'", json!(true))]
#[case("{'a': 1, 'b': 2}.all(k, v, v > 0)", json!(true))]
#[case("'a' in {'a': 1} && 1 in [1, 2] && !(3 in [1])", json!(true))]
#[case("b'ab'.size() == 2 && r'\\d' == '\\\\d' && '\\u00e9'.size() == 1", json!(true))]
#[case("[JSONPatch{op: 'add', path: '/a', value: {'b': 1}}]", json!([{"op": "add", "path": "/a", "value": {"b": 1}}]))]
#[case("-self.n[0] - -1", json!(0))]
#[case("(self.n.size() > 9 ? [] : [1]).all(i, i + 1 == 2)", json!(true))]
fn expressions_have_values(#[case] text: &str, #[case] expected: serde_json::Value) {
    let object = json!({"a": {"b": ["x", "y"]}, "n": [1, 2, 3]});
    assert_eq!(run(text, &object), Ok(expected), "{text}");
}

#[rstest]
#[case("self.z", "no such key: z")]
#[case("self.n[9]", "index out of bounds: 9")]
#[case("1 / (self.n[0] - 1)", "division by zero")]
#[case("9223372036854775807 + self.n[0]", "integer overflow")]
#[case(
    "self.n.map(a, self.n.map(b, self.n.map(c, self.n.map(d, self.n.map(e, self.n.map(f, self.n.map(g, self.n.map(h, self.n.map(i, self.n.map(j, 'x'))))))))))",
    "operation cancelled: actual cost limit exceeded"
)]
fn failures_are_told_in_cel_gos_words(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(
        run(text, &json!({"n": [1, 2, 3]})),
        Err(expected.to_owned()),
        "{text}"
    );
}

#[rstest]
#[case(
    "self.a >",
    "ERROR: <input>:1:9: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | self.a >\n | ........^"
)]
#[case(
    "self.missing > 1",
    "ERROR: <input>:1:5: undefined field 'missing'\n | self.missing > 1\n | ....^"
)]
#[case(
    "self.a > 'x'",
    "ERROR: <input>:1:8: found no matching overload for '_>_' applied to '(int, string)'\n | self.a > 'x'\n | .......^"
)]
#[case(
    "nobody == 1",
    "ERROR: <input>:1:1: undeclared reference to 'nobody' (in container '')\n | nobody == 1\n | ^"
)]
#[case(
    "self.a.startsWith('x')",
    "ERROR: <input>:1:18: found no matching overload for 'startsWith' applied to 'int.(string)'\n | self.a.startsWith('x')\n | .................^"
)]
fn faults_are_explained(#[case] text: &str, #[case] expected: &str) {
    let schema = crate::structural::Structural::compile(
        &json!({"type": "object", "properties": {"a": {"type": "integer"}}}),
    );
    let scope = [("self".to_owned(), Ty::of(&schema, "s", false))].into();
    assert_eq!(compile(text, &scope).map(drop), Err(expected.to_owned()));
}

#[test]
fn deep_expressions_are_refused_not_followed() {
    let deep = format!("{}1{}", "(".repeat(100_000 / 4), ")".repeat(100_000 / 4));
    let error = compile(&deep, &Scope::new()).map(drop).unwrap_err();
    assert!(error.contains("recursion limit"), "{}", &error[..200]);
    for long in [
        "1+".repeat(40_000) + "1",
        "a".to_owned() + &".b".repeat(40_000),
        "!".repeat(40_000) + "true",
    ] {
        let error = compile(&long, &Scope::new()).map(drop).unwrap_err();
        assert!(error.contains("recursion limit"), "{}", &error[..200]);
    }
}
