use proptest::prelude::*;

use super::*;

fn steps(text: &str) -> Vec<Instruction> {
    let mut file = Dockerfile::parse(&format!("FROM x\n{text}")).unwrap();
    file.stages
        .remove(0)
        .steps
        .into_iter()
        .map(|step| step.instruction)
        .collect()
}

fn problem(text: &str) -> Problem {
    Dockerfile::parse(text).unwrap_err()
}

fn shell(text: &str) -> Command {
    Command::Shell(text.to_owned())
}

fn exec(words: &[&str]) -> Command {
    Command::Exec(words.iter().map(|word| (*word).to_owned()).collect())
}

#[test]
fn stages_have_bases_names_and_steps() {
    let file = Dockerfile::parse(
        "# syntax=docker/dockerfile:1\nARG V=1\n\nFROM --platform=linux/amd64 node:$V as Build\nRUN x\nFROM scratch\nCOPY --from=build /a /b\n",
    )
    .unwrap();
    assert_eq!(file.arguments.len(), 1);
    assert_eq!(file.stages.len(), 2);
    assert_eq!(
        (
            file.stages[0].base.as_str(),
            file.stages[0].alias.as_deref()
        ),
        ("node:$V", Some("build"))
    );
    assert_eq!(
        (file.stages[0].from.line, file.stages[0].from.text.as_str()),
        (4, "FROM --platform=linux/amd64 node:$V as Build")
    );
    assert_eq!(
        (
            file.stage("BUILD", 1),
            file.stage("0", 1),
            file.stage("build", 0),
            file.stage("1", 1)
        ),
        (Some(0), Some(0), None, None)
    );
}

#[test]
fn continuations_skip_comments_and_blank_lines() {
    let text = "RUN a \\\n  # a comment\n\n  && b \\  \n  && c\nUSER u";
    assert_eq!(
        steps(text)[0],
        Instruction::Run(Run {
            command: shell("a   && b   && c"),
            private_network: false
        })
    );
    assert_eq!(steps(text)[1], Instruction::User("u".into()));
    assert_eq!(steps("ENV A=1 \\\n    B=2").len(), 1);
    assert_eq!(
        steps("CMD a \\").len(),
        1,
        "the end of the file ends a continuation"
    );
}

#[test]
fn the_escape_directive_changes_continuations() {
    let file = Dockerfile::parse("# escape=`\r\nFROM x\r\nRUN dir C:\\ `\r\n && b\r\n").unwrap();
    assert_eq!(file.escape, '`');
    assert_eq!(file.stages[0].steps[0].text, "RUN dir C:\\ && b");
    assert!(problem("# escape=x\nFROM y").reason.contains("escape"));
    let after_comment = Dockerfile::parse("# hello\n# escape=`\nFROM x").unwrap();
    assert_eq!(
        after_comment.escape, '\\',
        "a directive after a comment is a comment"
    );
}

#[test]
fn commands_have_two_forms() {
    for (text, command) in [
        ("echo \"a b\" $X", shell("echo \"a b\" $X")),
        (r#"["/bin/x", "a b", "$X"]"#, exec(&["/bin/x", "a b", "$X"])),
        (r#"[ "x" ]"#, exec(&["x"])),
        ("['x']", shell("['x']")),
        (r"[ -f x ] && y", shell("[ -f x ] && y")),
    ] {
        assert_eq!(
            steps(&format!("CMD {text}")),
            [Instruction::Cmd(command.clone())]
        );
        assert_eq!(
            steps(&format!("ENTRYPOINT {text}")),
            [Instruction::Entrypoint(command.clone())]
        );
        assert_eq!(
            steps(&format!("run {text}")),
            [Instruction::Run(Run {
                command,
                private_network: false
            })]
        );
    }
    assert_eq!(steps("CMD []"), [Instruction::Cmd(exec(&[]))]);
    assert_eq!(
        steps(r#"SHELL ["/bin/bash", "-c"]"#),
        [Instruction::Shell(vec!["/bin/bash".into(), "-c".into()])]
    );
}

#[test]
fn heredocs_of_run_are_scripts() {
    let run = |text: &str| match steps(text).remove(0) {
        Instruction::Run(run) => run.command,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        run("RUN <<EOF\necho 1\n# not a comment\nEOF\nUSER x"),
        shell("echo 1\n# not a comment\n")
    );
    assert_eq!(run("RUN <<-'E'\n\techo 1\n\tE"), shell("echo 1\n"));
    assert_eq!(run("RUN cat <<A > /f\nx\nA"), shell("cat <<A > /f\nx\nA\n"));
    assert_eq!(run("RUN echo $((1<<2)) <<<x"), shell("echo $((1<<2)) <<<x"));
    assert!(
        problem("FROM x\nRUN <<EOF\nnever ends")
            .reason
            .contains("unterminated heredoc")
    );
    assert!(
        problem("FROM x\nCOPY <<EOF /f\nx\nEOF")
            .reason
            .contains("heredocs are not supported in COPY")
    );
}

#[test]
fn copies_have_flags_sources_and_a_destination() {
    let expected = Copy {
        from: Some("build".into()),
        chown: Some("node:node".into()),
        chmod: Some("0644".into()),
        sources: vec!["a".into(), "b*".into()],
        destination: "/c/".into(),
    };
    assert_eq!(
        steps("COPY --from=build --chown=node:node --chmod=0644 --link a b* /c/"),
        [Instruction::Copy(expected)]
    );
    let spaces = Copy {
        sources: vec!["a b".into()],
        destination: "/c d".into(),
        ..Copy::default()
    };
    assert_eq!(steps(r#"ADD ["a b", "/c d"]"#), [Instruction::Add(spaces)]);
}

#[test]
fn pairs_come_in_the_new_and_the_old_form() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        steps(r#"ENV A=1 B="x y" C=a\ b D="#),
        [Instruction::Env(vec![
            pair("A", "1"),
            pair("B", "\"x y\""),
            pair("C", "a\\ b"),
            pair("D", "")
        ])]
    );
    assert_eq!(
        steps("ENV A  b c=d"),
        [Instruction::Env(vec![pair("A", "b c=d")])]
    );
    assert_eq!(
        steps("LABEL a.b=c"),
        [Instruction::Label(vec![pair("a.b", "c")])]
    );
    assert_eq!(
        steps("ARG A B=2"),
        [Instruction::Arg(vec![
            ("A".into(), None),
            ("B".into(), Some("2".into()))
        ])]
    );
}

#[test]
fn health_checks_are_recorded() {
    let expected = serde_json::json!({"Interval": 90_000_000_000_i64, "Retries": 3, "Test": ["CMD-SHELL", "curl x || exit 1"]});
    assert_eq!(
        steps("HEALTHCHECK --interval=1m30s --retries=3 CMD curl x || exit 1"),
        [Instruction::Healthcheck(expected)]
    );
    assert_eq!(
        steps("HEALTHCHECK NONE"),
        [Instruction::Healthcheck(
            serde_json::json!({"Test": ["NONE"]})
        )]
    );
}

#[test]
fn mistakes_are_named_with_their_line() {
    for (text, line, reason) in [
        (
            "FROM x\n\nFOO bar",
            3,
            "unknown instruction: FOO (known: ADD, ARG",
        ),
        ("", 1, "no FROM"),
        ("RUN x", 1, "the first instruction must be FROM"),
        ("FROM x y", 1, "FROM requires either one argument, or three"),
        ("FROM x AS 1", 1, "invalid name for build stage"),
        ("FROM x\nCOPY a", 2, "at least two arguments"),
        ("FROM x\nCOPY --what=1 a b", 2, "unknown flag: COPY --what"),
        ("FROM x\nADD --from=y a b", 2, "unknown flag: ADD --from"),
        (
            "FROM x\nADD https://example.com/x /x",
            2,
            "from a URL is not supported",
        ),
        (
            "FROM x\nRUN --mount=type=cache,target=/x y",
            2,
            "RUN --mount is not supported",
        ),
        ("FROM x\nONBUILD RUN x", 2, "ONBUILD is not supported"),
        ("FROM x\nENV A", 2, "must have two arguments"),
        ("FROM x\nENV A=1 B", 2, "can't find ="),
        ("FROM x\nSHELL /bin/sh", 2, "JSON form"),
        ("FROM x\nRUN", 2, "requires at least one argument"),
        ("FROM x\nHEALTHCHECK maybe", 2, "HEALTHCHECK takes"),
    ] {
        let found = problem(text);
        assert_eq!(found.line, line, "{text:?}: {found:?}");
        assert!(found.reason.contains(reason), "{text:?}: {found:?}");
    }
}

#[test]
fn variables_expand_as_in_docker() {
    let lookup = |name: &str| match name {
        "x" => Some("X".to_owned()),
        "empty" => Some(String::new()),
        "path" => Some("/a b".to_owned()),
        _ => None,
    };
    for (word, expected) in [
        ("$x", "X"),
        ("${x}", "X"),
        ("a$x-b", "aX-b"),
        ("$none", ""),
        ("$xy", ""),
        ("${x}y", "Xy"),
        ("$", "$"),
        ("a$/b", "a$/b"),
        ("${none:-d}", "d"),
        ("${empty:-d}", "d"),
        ("${empty-d}", ""),
        ("${none-d}", "d"),
        ("${x:-d}", "X"),
        ("${x:+y}", "y"),
        ("${none:+y}", ""),
        ("${empty:+y}", ""),
        ("${empty+y}", "y"),
        ("${none:-${x}}", "X"),
        ("${none:-a${none:-$x}b}", "aXb"),
        ("${x:?no}", "X"),
        (r"\$x", "$x"),
        ("'$x'", "$x"),
        (r#""$x 'y'""#, "X 'y'"),
        (r#""\$x \" \n""#, r#"$x " \n"#),
        ("a\"b c\"d", "ab cd"),
        ("$path/c", "/a b/c"),
        ("", ""),
    ] {
        assert_eq!(
            expand(word, '\\', &lookup).as_deref(),
            Ok(expected),
            "{word}"
        );
    }
    for (word, reason) in [
        ("'x", "single-quote"),
        ("\"x", "double-quote"),
        ("${x", "matching"),
        ("${x:-y", "matching"),
        ("${}", "bad substitution"),
        ("${x#y}", "unsupported modifier"),
        ("${none:?must be given}", "none: must be given"),
        ("${x:}", "unsupported modifier"),
    ] {
        let error = expand(word, '\\', &lookup).unwrap_err();
        assert!(error.contains(reason), "{word}: {error}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(FROM|RUN|COPY|ENV|ARG|HEALTHCHECK|#|escape=|<<|EOF|--|=|\\$|\\{|\\}|:-|'|\"|\\\\|`|\\[|\\]|,|[a-z0-9 \\t\\n\u{e9}]){0,60}") {
        let _ = Dockerfile::parse(&text);
        let _ = expand(&text, '\\', &|_| Some("v".to_owned()));
    }

    #[test]
    fn words_without_special_characters_stay(word in "[a-zA-Z0-9/._:=@ ,-]*") {
        prop_assert_eq!(expand(&word, '\\', &|_| None), Ok(word));
    }
}
