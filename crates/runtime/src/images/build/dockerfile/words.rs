//! Words of an instruction: splitting, quotes, and `$variables`.

use std::iter::Peekable;
use std::str::Chars;

/// `${a:-${b:-…}}` deeper than this is refused.
const MAX_NESTING: u32 = 32;

/// Splits at white space outside quotes; quotes and escapes stay in the words.
pub(super) fn split_quoted(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c.is_whitespace() && quote.is_none() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        word.push(c);
        if c == escape && quote != Some('\'') {
            word.extend(chars.next());
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && matches!(c, '"' | '\'') {
            quote = Some(c);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Puts values in place of variables and takes quotes and escapes away, as docker does for one word: `$x`, `${x}`,
/// `${x:-w}`, `${x-w}`, `${x:+w}`, `${x+w}`, `${x:?w}`, `${x?w}`. Unset variables are empty.
pub(in super::super) fn expand(
    word: &str,
    escape: char,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut expander = Expander {
        chars: word.chars().peekable(),
        escape,
        lookup,
        word,
    };
    expander.until(None, 0)
}

struct Expander<'a> {
    chars: Peekable<Chars<'a>>,
    escape: char,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    /// For messages.
    word: &'a str,
}

impl Expander<'_> {
    /// Up to `end`, which is taken, or to the end of the word.
    fn until(&mut self, end: Option<char>, depth: u32) -> Result<String, String> {
        let mut out = String::new();
        while let Some(c) = self.chars.next() {
            if Some(c) == end {
                return Ok(out);
            }
            match c {
                '\'' => self.single_quoted(&mut out)?,
                '"' => self.double_quoted(&mut out, depth)?,
                '$' => self.variable(&mut out, depth)?,
                c if c == self.escape => out.extend(self.chars.next()),
                c => out.push(c),
            }
        }
        match end {
            Some(end) => Err(format!(
                "unexpected end of {:?} while looking for matching {end:?}",
                self.word
            )),
            None => Ok(out),
        }
    }

    fn single_quoted(&mut self, out: &mut String) -> Result<(), String> {
        for c in self.chars.by_ref() {
            if c == '\'' {
                return Ok(());
            }
            out.push(c);
        }
        Err(format!(
            "unexpected end of {:?} while looking for matching single-quote",
            self.word
        ))
    }

    fn double_quoted(&mut self, out: &mut String, depth: u32) -> Result<(), String> {
        while let Some(c) = self.chars.next() {
            match c {
                '"' => return Ok(()),
                '$' => self.variable(out, depth)?,
                c if c == self.escape => {
                    // Inside double quotes the escape is only one before these.
                    match self.chars.peek() {
                        Some(next) if matches!(next, '"' | '$') || *next == self.escape => {
                            out.extend(self.chars.next());
                        }
                        _ => out.push(c),
                    }
                }
                c => out.push(c),
            }
        }
        Err(format!(
            "unexpected end of {:?} while looking for matching double-quote",
            self.word
        ))
    }

    /// After `$`.
    fn variable(&mut self, out: &mut String, depth: u32) -> Result<(), String> {
        if depth > MAX_NESTING {
            return Err(format!("variables nested too deep in {:?}", self.word));
        }
        if self.chars.peek() != Some(&'{') {
            let name = self.name();
            if name.is_empty() {
                out.push('$');
            }
            out.extend((self.lookup)(&name));
            return Ok(());
        }
        self.chars.next();
        let name = self.name();
        let bad = |modifier: &str| {
            format!("unsupported modifier {modifier:?} in substitution of ${{{name}}}")
        };
        if name.is_empty() {
            return Err(format!("bad substitution in {:?}", self.word));
        }
        let value = (self.lookup)(&name);
        let mut modifier = self.chars.next().ok_or_else(|| {
            format!(
                "unexpected end of {:?} while looking for matching '}}'",
                self.word
            )
        })?;
        // With a colon, an empty variable counts as unset.
        let value = if modifier == ':' {
            modifier = self.chars.next().ok_or_else(|| bad(":"))?;
            if modifier == '}' {
                return Err(bad(":"));
            }
            value.filter(|value| !value.is_empty())
        } else {
            value
        };
        if modifier == '}' {
            out.extend(value);
            return Ok(());
        }
        let alternative = match modifier {
            '-' | '+' | '?' => self.until(Some('}'), depth + 1)?,
            other => return Err(bad(&other.to_string())),
        };
        match (modifier, value) {
            ('-', value) => out.push_str(&value.unwrap_or(alternative)),
            ('+', Some(_)) => out.push_str(&alternative),
            ('?', None) => {
                let reason = if alternative.is_empty() {
                    "not set"
                } else {
                    &alternative
                };
                return Err(format!("{name}: {reason}"));
            }
            ('?', Some(value)) => out.push_str(&value),
            _ => {}
        }
        Ok(())
    }

    /// Letters, digits and underscores; a digit at the start stands alone.
    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self
            .chars
            .next_if(|c| c.is_ascii_alphanumeric() || *c == '_')
        {
            name.push(c);
            if name.len() == 1 && c.is_ascii_digit() {
                break;
            }
        }
        name
    }
}
