//! JSON values as YAML, laid out and quoted as upstream's writer does: plain where that reads back as the same text,
//! lines folded behind column 80. It refuses to know what it writes.

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// Texts are folded at the first space behind this column.
const WIDTH: usize = 80;
/// Longer keys are marked with `?`.
const KEY_MAX: usize = 128;
const STEP: usize = 2;

/// The text of a value.
pub(crate) fn to_string(value: &Value) -> String {
    let mut writer = Writer {
        out: String::new(),
        column: 0,
        indent: None,
        after_space: true,
        at_indent: true,
    };
    writer.node(value, false, false);
    writer.out.push('\n');
    if writer.out.ends_with("\n\n") && writer.column == 0 {
        writer.out.pop();
    }
    writer.out
}

struct Writer {
    out: String,
    column: usize,
    /// Where lines of the innermost block begin; `None` outside of all.
    indent: Option<usize>,
    /// The last thing written separates words.
    after_space: bool,
    /// Nothing but indentation and markers of items stands on this line.
    at_indent: bool,
}

impl Writer {
    fn put(&mut self, letter: char) {
        self.out.push(letter);
        self.column = if letter == '\n' { 0 } else { self.column + 1 };
    }

    fn line(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.at_indent || self.column > indent || (self.column == indent && !self.after_space) {
            self.put('\n');
        }
        while self.column < indent {
            self.put(' ');
        }
        self.after_space = true;
        self.at_indent = true;
    }

    fn mark(&mut self, text: &str, apart: bool, separates: bool, indents: bool) {
        if apart && !self.after_space {
            self.put(' ');
        }
        text.chars().for_each(|letter| self.put(letter));
        self.after_space = separates;
        self.at_indent &= indents;
    }

    /// Writes in a block that is further in, unless `level` keeps it where it is.
    fn within(&mut self, level: bool, write: impl FnOnce(&mut Self)) {
        let outer = self.indent;
        self.indent = match outer {
            None => Some(0),
            Some(indent) if level => Some(indent),
            Some(indent) => Some(indent + STEP),
        };
        write(self);
        self.indent = outer;
    }

    fn node(&mut self, value: &Value, in_map: bool, key: bool) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                self.within(false, |writer| writer.map(fields));
            }
            Value::Array(items) if !items.is_empty() => {
                let level = in_map && !self.at_indent;
                self.within(level, |writer| {
                    for item in items {
                        writer.line();
                        writer.mark("-", true, false, true);
                        writer.node(item, false, false);
                    }
                });
            }
            Value::Object(_) => self.mark("{}", true, false, false),
            Value::Array(_) => self.mark("[]", true, false, false),
            Value::String(text) => self.text(text, key),
            other => self.mark(&other.to_string(), true, false, false),
        }
    }

    fn map(&mut self, fields: &Map<String, Value>) {
        let mut keys: Vec<&String> = fields.keys().collect();
        keys.sort_by(|a, b| natural(a, b));
        for key in keys {
            self.line();
            if key.len() <= KEY_MAX && !key.contains(is_break) {
                self.text(key, true);
                self.mark(":", false, false, false);
            } else {
                self.mark("?", true, false, true);
                self.text(key, false);
                self.line();
                self.mark(":", true, false, true);
            }
            self.node(&fields[key], true, false);
        }
    }

    fn text(&mut self, text: &str, key: bool) {
        let form = Form::of(text);
        let outer = self.indent;
        self.indent = Some(outer.map_or(STEP, |indent| indent + STEP));
        if text.contains('\n') {
            if form.block && !key {
                self.literal(text);
            } else {
                self.double(text, !key);
            }
        } else if !reads_as_text(text) {
            self.double(text, !key);
        } else if form.plain {
            self.plain(text, !key);
        } else if form.single {
            self.single(text, !key);
        } else {
            self.double(text, !key);
        }
        self.indent = outer;
    }

    fn plain(&mut self, text: &str, folds: bool) {
        if !self.after_space {
            self.put(' ');
        }
        self.folded(text, folds, false);
        self.after_space = false;
        self.at_indent = false;
    }

    fn single(&mut self, text: &str, folds: bool) {
        self.mark("'", true, false, false);
        self.folded(text, folds, true);
        self.mark("'", false, false, false);
    }

    /// Letters as they are, or with quotes doubled; lines end at single spaces behind the width.
    fn folded(&mut self, text: &str, folds: bool, quoted: bool) {
        let letters: Vec<char> = text.chars().collect();
        let mut after = false;
        for (at, letter) in letters.iter().copied().enumerate() {
            let inside = !quoted || (at > 0 && at + 1 < letters.len());
            let single = !after && letters.get(at + 1) != Some(&' ');
            if letter == ' ' && folds && inside && single && self.column > WIDTH {
                self.at_indent = false;
                self.line();
            } else {
                if quoted && letter == '\'' {
                    self.put('\'');
                }
                self.put(letter);
                self.at_indent = false;
            }
            after = letter == ' ';
        }
    }

    fn double(&mut self, text: &str, folds: bool) {
        self.mark("\"", true, false, false);
        let letters: Vec<char> = text.chars().collect();
        let mut after = false;
        for (at, letter) in letters.iter().copied().enumerate() {
            if !is_printable(letter) || is_break(letter) || matches!(letter, '"' | '\\') {
                escape(letter).chars().for_each(|letter| self.put(letter));
                after = false;
            } else if letter == ' ' {
                let inside = at > 0 && at + 1 < letters.len();
                if folds && !after && inside && self.column > WIDTH {
                    self.at_indent = false;
                    self.line();
                    if letters.get(at + 1) == Some(&' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(letter);
                }
                after = true;
            } else {
                self.put(letter);
                after = false;
            }
        }
        self.mark("\"", false, false, false);
    }

    fn literal(&mut self, text: &str) {
        self.mark("|", true, false, false);
        if text.starts_with([' ', '\n']) {
            self.put('2');
        }
        let mut ends = text.chars().rev();
        match (ends.next(), ends.next()) {
            (Some('\n'), None | Some('\n')) => self.put('+'),
            (Some('\n'), _) => {}
            _ => self.put('-'),
        }
        self.put('\n');
        self.at_indent = true;
        self.after_space = true;
        let mut begins = true;
        for letter in text.chars() {
            if letter == '\n' {
                self.put('\n');
                self.at_indent = true;
                begins = true;
                continue;
            }
            if begins {
                self.line();
            }
            self.put(letter);
            self.at_indent = false;
            begins = false;
        }
    }
}

/// In which forms a text may be written.
struct Form {
    plain: bool,
    single: bool,
    block: bool,
}

impl Form {
    fn of(text: &str) -> Self {
        let letters: Vec<char> = text.chars().collect();
        let blank = |at: usize| {
            letters
                .get(at)
                .is_none_or(|letter| matches!(letter, ' ' | '\t') || is_break(*letter))
        };
        let mut form = Self {
            plain: !text.starts_with("---") && !text.starts_with("..."),
            single: true,
            block: !text.is_empty(),
        };
        for (at, letter) in letters.iter().copied().enumerate() {
            let marks = if at == 0 {
                match letter {
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\''
                    | '"' | '%' | '@' | '`' => true,
                    '?' | ':' | '-' => blank(1),
                    _ => false,
                }
            } else {
                match letter {
                    ':' => blank(at + 1),
                    '#' => blank(at - 1),
                    _ => false,
                }
            };
            let ends = at == 0 || at + 1 == letters.len();
            if marks || is_break(letter) || (letter == ' ' && ends) {
                form.plain = false;
            }
            let (before, after) = (at.checked_sub(1).map(|at| letters[at]), letters.get(at + 1));
            if !is_printable(letter) || (letter == ' ' && after.copied().is_some_and(is_break)) {
                form.plain = false;
                form.single = false;
                form.block = false;
            }
            if letter == ' ' && before.is_some_and(is_break) {
                form.plain = false;
                form.single = false;
            }
            if letter == ' ' && after.is_none() {
                form.block = false;
            }
        }
        form
    }
}

fn is_break(letter: char) -> bool {
    matches!(letter, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_printable(letter: char) -> bool {
    matches!(letter, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && letter != '\u{feff}'
}

fn escape(letter: char) -> String {
    let short = match letter {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' | '\\' => letter,
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => {
            let code = u32::from(letter);
            return match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}

/// Whether a plain text is read as text, and not as a number, a truth, nothing or a time.
fn reads_as_text(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "", "~", "null", "y", "yes", "true", "on", "n", "no", "false", "off", ".nan", ".inf",
        "+.inf", "-.inf", "<<", "=",
    ];
    let lower = text.to_ascii_lowercase();
    let cased = text == lower
        || text == text.to_ascii_uppercase()
        || text
            .chars()
            .next()
            .is_some_and(|first| first.is_ascii_uppercase() && text[1..] == lower[1..]);
    if cased && WORDS.contains(&lower.as_str()) {
        return false;
    }
    let number = || {
        let plain: String = text.chars().filter(|letter| *letter != '_').collect();
        let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
        let based = [("0x", 16), ("0X", 16), ("0b", 2), ("0o", 8)]
            .into_iter()
            .any(|(prefix, base)| {
                unsigned.strip_prefix(prefix).is_some_and(|digits| {
                    !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base))
                })
            });
        based || is_decimal(unsigned)
    };
    let starts = text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
    !(starts && (number() || is_sexagesimal(text) || is_time(text)))
}

/// Digits with at most one point and an exponent.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = match mantissa.split_once('.') {
        Some((left, right)) => {
            digits(left) && digits(right) && !(left.is_empty() && right.is_empty())
        }
        None => digits(mantissa) && !mantissa.is_empty(),
    };
    whole
        && exponent.is_none_or(|exponent| {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent)
        })
}

/// Numbers such as `1:30`, which older readers take for one number.
fn is_sexagesimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let mut rest = 0;
    first.starts_with(|digit: char| digit.is_ascii_digit())
        && first
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'_')
        && parts.all(|part| {
            rest += 1;
            matches!(part.as_bytes(), [b'0'..=b'5', b'0'..=b'9'] | [b'0'..=b'9'])
        })
        && rest > 0
        && fraction
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'_')
}

/// A date, or a date and a time of day.
fn is_time(text: &str) -> bool {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let number = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let [year, month, day] = parts.as_slice() else {
        return false;
    };
    let dated = year.len() == 4 && number(year, 4) && number(month, 2) && number(day, 2);
    dated
        && time.is_none_or(|time| {
            let time = time.split(['Z', '+', '-']).next().unwrap_or_default();
            let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
            let parts: Vec<&str> = clock.split(':').collect();
            parts.len() == 3 && parts.iter().all(|part| number(part, 2)) && number(fraction, 9)
        })
}

/// The order of keys: letters behind all else, numbers by their worth.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = (0..a.len().min(b.len())).find(|at| a[*at] != b[*at]) else {
        return a.len().cmp(&b.len());
    };
    match (a[at].is_alphabetic(), b[at].is_alphabetic()) {
        (true, true) => return a[at].cmp(&b[at]),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // Zeros count only behind another digit.
    let inside = (a[at] == '0' || b[at] == '0')
        && a[..at]
            .iter()
            .rev()
            .take_while(|digit| digit.is_numeric())
            .any(|digit| *digit != '0');
    let worth = |text: &[char]| {
        let digits = text[at..].iter().map_while(|letter| letter.to_digit(10));
        digits.fold((u64::from(inside), 0), |(worth, length), digit| {
            (
                worth.wrapping_mul(10).wrapping_add(digit.into()),
                length + 1,
            )
        })
    };
    worth(&a).cmp(&worth(&b)).then(a[at].cmp(&b[at]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_laid_out_as_upstream_does() {
        let value = json!({
            "list": [{"b": 1, "a": [1, [2]]}, "x", []], "f:metadata": {".": {}, "f:a": null},
            "text": "a: b", "many": "one\ntwo\n", "one": "a\nb", "number": "12", "yes": "Yes", "time": "2024-01-01T00:00:00Z",
            "port": "80:30", "tab": "a\tb", "quote": "'", "empty": "", "a10": 1, "a9": 2, "float": 1.5,
        });
        assert_eq!(
            to_string(&value),
            "a9: 2\na10: 1\nempty: \"\"\nf:metadata:\n  .: {}\n  f:a: null\nfloat: 1.5\nlist:\n- a:\n  - 1\n  - - 2\n  b: 1\n\
             - x\n- []\nmany: |\n  one\n  two\nnumber: \"12\"\none: |-\n  a\n  b\nport: \"80:30\"\nquote: ''''\ntab: \"a\\tb\"\n\
             text: 'a: b'\ntime: \"2024-01-01T00:00:00Z\"\n\"yes\": \"Yes\"\n"
        );
    }

    #[test]
    fn long_lines_are_folded() {
        let long = format!("{}: {} end", "word ".repeat(12), "x".repeat(9));
        assert_eq!(
            to_string(&json!({"message": long})),
            format!("message: '{}: xxxxxxxxx\n  end'\n", "word ".repeat(12))
        );
        let key = "k".repeat(129);
        assert_eq!(
            to_string(&json!({(key.as_str()): 1})),
            format!("? {key}\n: 1\n")
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "a", " a", "a ", "- a", "-", "#", "a #b", "a:", "null", "1e3", "0x1f", "...",
            "a\n b\n", "\n", "a \nb", "é", "\u{7}", "@x", "a\n\n", "*", "1_000", "0o7", "x: y\nz",
            "=", "<<",
        ] {
            let value = json!({"k": text, "l": [text]});
            let written = to_string(&value);
            let read: Value = serde_saphyr::from_str(&written).unwrap();
            assert_eq!(read, value, "{written}");
        }
    }
}
