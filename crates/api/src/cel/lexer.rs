//! Cuts an expression into words.

/// A word and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) kind: TokenKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Ident(String),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// Operators, brackets and the words `in`, `true`, `false`, `null`.
    Sign(&'static str),
    End,
}

/// Longer ones before those they begin with.
const SIGNS: [&str; 26] = [
    "==", "!=", "<=", ">=", "&&", "||", "[?", ".?", "[", "]", "{", "}", "(", ")", ".", ",", "-",
    "!", "?", ":", "+", "*", "/", "%", "<", ">",
];

/// All words, the end last; or the place and text of the first thing that is none.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, (usize, String)> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let first = bytes[at];
        if first.is_ascii_whitespace() {
            at += 1;
        } else if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if let Some((kind, length)) = quoted(rest).map_err(|why| (at, why))? {
            tokens.push(Token { at, kind });
            at += length;
        } else if first.is_ascii_digit()
            || (first == b'.' && bytes.get(at + 1).is_some_and(u8::is_ascii_digit))
        {
            let (kind, length) = number(rest).map_err(|why| (at, why))?;
            tokens.push(Token { at, kind });
            at += length;
        } else if first == b'_' || first.is_ascii_alphabetic() {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let word = &rest[..end];
            let kind = match word {
                "in" => TokenKind::Sign("in"),
                "true" => TokenKind::Sign("true"),
                "false" => TokenKind::Sign("false"),
                "null" => TokenKind::Sign("null"),
                word => TokenKind::Ident(word.to_owned()),
            };
            tokens.push(Token { at, kind });
            at += end;
        } else if let Some(end) = rest.strip_prefix('`').and_then(|rest| rest.find('`')) {
            let kind = TokenKind::Ident(rest[1..=end].to_owned());
            tokens.push(Token { at, kind });
            at += end + 2;
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let Some(sign) = sign else {
                let shown: String = rest.chars().take(1).collect();
                return Err((
                    at,
                    format!("Syntax error: token recognition error at: '{shown}'"),
                ));
            };
            tokens.push(Token {
                at,
                kind: TokenKind::Sign(sign),
            });
            at += sign.len();
        }
    }
    tokens.push(Token {
        at: text.len(),
        kind: TokenKind::End,
    });
    Ok(tokens)
}

fn number(text: &str) -> Result<(TokenKind, usize), String> {
    let bad = || "Syntax error: invalid number".to_owned();
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let end = hex
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(hex.len());
        let value = u64::from_str_radix(&hex[..end], 16).map_err(|_| bad())?;
        return Ok(if hex[end..].starts_with(['u', 'U']) {
            (TokenKind::Uint(value), end + 3)
        } else {
            (
                TokenKind::Int(i64::try_from(value).map_err(|_| bad())?),
                end + 2,
            )
        });
    }
    let bytes = text.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let mut end = digits(0);
    let mut double = false;
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        double = true;
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
            double = true;
            end = digits(end + 1 + sign);
        }
    }
    let digits = &text[..end];
    if double {
        return Ok((TokenKind::Double(digits.parse().map_err(|_| bad())?), end));
    }
    if text[end..].starts_with(['u', 'U']) {
        return Ok((TokenKind::Uint(digits.parse().map_err(|_| bad())?), end + 1));
    }
    Ok((
        TokenKind::Int(
            digits
                .parse()
                .map_err(|_| "Syntax error: invalid int literal".to_owned())?,
        ),
        end,
    ))
}

/// A text or bytes with their prefix, and how long they are; `None` when none stands here.
fn quoted(text: &str) -> Result<Option<(TokenKind, usize)>, String> {
    let (mut raw, mut bytes, mut rest) = (false, false, text);
    loop {
        match rest.as_bytes().first() {
            Some(b'r' | b'R') if !raw => raw = true,
            Some(b'b' | b'B') if !bytes => bytes = true,
            Some(b'\'' | b'"') => break,
            _ => return Ok(None),
        }
        rest = &rest[1..];
    }
    let quote = &rest[..1];
    let triple = quote.repeat(3);
    let quote = if rest.starts_with(&triple) {
        triple.as_str()
    } else {
        quote
    };
    let start = text.len() - rest.len() + quote.len();
    let mut out = Vec::new();
    let mut at = start;
    loop {
        let here = &text[at..];
        if here.starts_with(quote) {
            let length = at + quote.len();
            let kind = if bytes {
                TokenKind::Bytes(out)
            } else {
                let text =
                    String::from_utf8(out).map_err(|_| "Syntax error: invalid UTF-8".to_owned())?;
                TokenKind::Text(text)
            };
            return Ok(Some((kind, length)));
        }
        let Some(c) = here
            .chars()
            .next()
            .filter(|c| quote.len() == 3 || *c != '\n')
        else {
            let shown = text.lines().next().unwrap_or_default();
            return Err(format!(
                "Syntax error: token recognition error at: '{shown}'"
            ));
        };
        if c == '\\' && !raw {
            at += escape(here, bytes, &mut out)?;
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            at += c.len_utf8();
        }
    }
}

fn escape(text: &str, bytes: bool, out: &mut Vec<u8>) -> Result<usize, String> {
    let bad = || "Syntax error: token recognition error: invalid escape".to_owned();
    let code = text[1..].chars().next().ok_or_else(bad)?;
    let simple = match code {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' | '\'' | '"' | '`' | '?' => u8::try_from(code).map_err(|_| bad())?,
        _ => 0,
    };
    if simple != 0 {
        out.push(simple);
        return Ok(2);
    }
    let (digits, radix, skip) = match code {
        'x' | 'X' => (2, 16, 2),
        'u' => (4, 16, 2),
        'U' => (8, 16, 2),
        '0'..='3' => (3, 8, 1),
        _ => return Err(bad()),
    };
    let number = text.get(skip..skip + digits).ok_or_else(bad)?;
    let number = u32::from_str_radix(number, radix).map_err(|_| bad())?;
    if bytes && digits < 4 {
        out.push(u8::try_from(number).map_err(|_| bad())?);
    } else {
        let c = char::from_u32(number).ok_or_else(bad)?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(skip + digits)
}
