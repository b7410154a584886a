//! Says what is wrong with a JSON text in the words of Go's parser, which clients of the API are used to.
//! It refuses to build values.

/// The first syntax error, or `None` when the text is well-formed JSON as far as Go is concerned.
pub(super) fn error(text: &[u8]) -> Option<String> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.document().err()
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

type Step = Result<(), String>;

impl Scanner<'_> {
    fn document(&mut self) -> Step {
        self.value(0)?;
        match self.skip_space() {
            None => Ok(()),
            Some(byte) => Err(invalid(byte, "after top-level value")),
        }
    }

    fn value(&mut self, depth: usize) -> Step {
        // Go allows 10,000, which would need a deep stack here; no API object comes near this.
        const MAX_DEPTH: usize = 256;
        let byte = self.skip_space().ok_or_else(end)?;
        self.at += 1;
        match byte {
            b'{' if depth < MAX_DEPTH => self.object(depth + 1),
            b'[' if depth < MAX_DEPTH => self.list(depth + 1),
            b'{' | b'[' => Err("exceeded max depth".to_owned()),
            b'"' => self.string(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.number(byte),
            _ => Err(invalid(byte, "looking for beginning of value")),
        }
    }

    fn object(&mut self, depth: usize) -> Step {
        if self.skip_space().ok_or_else(end)? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            match self.skip_space().ok_or_else(end)? {
                b'"' => self.at += 1,
                byte => return Err(invalid(byte, "looking for beginning of object key string")),
            }
            self.string()?;
            match self.skip_space().ok_or_else(end)? {
                b':' => self.at += 1,
                byte => return Err(invalid(byte, "after object key")),
            }
            self.value(depth)?;
            match self.skip_space().ok_or_else(end)? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(());
                }
                byte => return Err(invalid(byte, "after object key:value pair")),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Step {
        if self.skip_space().ok_or_else(end)? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth)?;
            match self.skip_space().ok_or_else(end)? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(());
                }
                byte => return Err(invalid(byte, "after array element")),
            }
        }
    }

    fn string(&mut self) -> Step {
        loop {
            match self.next().ok_or_else(end)? {
                b'"' => return Ok(()),
                b'\\' => match self.next().ok_or_else(end)? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let byte = self.next().ok_or_else(end)?;
                            if !byte.is_ascii_hexdigit() {
                                return Err(invalid(byte, "in \\u hexadecimal character escape"));
                            }
                        }
                    }
                    byte => return Err(invalid(byte, "in string escape code")),
                },
                byte if byte < 0x20 => return Err(invalid(byte, "in string literal")),
                _ => {}
            }
        }
    }

    fn literal(&mut self, word: &str) -> Step {
        for expected in word.bytes().skip(1) {
            let byte = self.next().ok_or_else(end)?;
            if byte != expected {
                return Err(invalid(
                    byte,
                    &format!("in literal {word} (expecting {})", quoted(expected)),
                ));
            }
        }
        Ok(())
    }

    fn number(&mut self, first: u8) -> Step {
        let mut first = first;
        if first == b'-' {
            first = self.next().ok_or_else(end)?;
            if !first.is_ascii_digit() {
                return Err(invalid(first, "in numeric literal"));
            }
        }
        if first != b'0' {
            self.digits();
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digit_required("after decimal point in numeric literal")?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digit_required("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn digit_required(&mut self, place: &str) -> Step {
        let byte = self.next().ok_or_else(end)?;
        if !byte.is_ascii_digit() {
            return Err(invalid(byte, place));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn skip_space(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

fn end() -> String {
    "unexpected end of JSON input".to_owned()
}

fn invalid(byte: u8, place: &str) -> String {
    format!("invalid character {} {place}", quoted(byte))
}

/// A byte as Go quotes it: taken for the character of that code.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0..0x20 | 0x7f => format!(r"'\x{byte:02x}'"),
        0x80..0xa0 | 0xad => format!(r"'\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", "unexpected end of JSON input")]
    #[case("[{", "unexpected end of JSON input")]
    #[case("nonsense", "invalid character 'o' in literal null (expecting 'u')")]
    #[case("{\"a\":1}{", "invalid character '{' after top-level value")]
    #[case("\u{feff}{}", "invalid character 'ï' looking for beginning of value")]
    #[case(
        "{a:1}",
        "invalid character 'a' looking for beginning of object key string"
    )]
    #[case("{\"a\" 1}", "invalid character '1' after object key")]
    #[case(
        "{\"a\":1 \"b\"}",
        "invalid character '\"' after object key:value pair"
    )]
    #[case("[1 2]", "invalid character '2' after array element")]
    #[case("[01]", "invalid character '1' after array element")]
    #[case("[1.]", "invalid character ']' after decimal point in numeric literal")]
    #[case("[-]", "invalid character ']' in numeric literal")]
    #[case("\"a\nb\"", "invalid character '\\n' in string literal")]
    #[case("\"\\q\"", "invalid character 'q' in string escape code")]
    #[case(
        "{'a':1}",
        "invalid character '\\'' looking for beginning of object key string"
    )]
    fn speaks_as_go(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(error(text.as_bytes()).as_deref(), Some(expected));
    }

    #[test]
    fn well_formed_text_has_no_error() {
        assert_eq!(
            error(br#" {"a":[1,-2.5e+3,true,null,"\u00e9\n"],"b":{}} "#),
            None
        );
    }
}
