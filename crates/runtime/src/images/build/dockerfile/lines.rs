//! Physical lines to logical ones: directives, comments, continuations, heredocs.

use super::Problem;

/// One instruction's text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    /// As written.
    pub(super) keyword: String,
    /// What follows the keyword, trimmed; continuation lines joined.
    pub(super) rest: String,
    pub(super) heredocs: Vec<Heredoc>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heredoc {
    pub(super) terminator: String,
    /// Lines with their newlines.
    pub(super) body: String,
}

impl Line {
    /// The instruction on one line, for people.
    pub(super) fn summary(&self) -> String {
        let words: Vec<&str> = self.rest.split_whitespace().collect();
        format!("{} {}", self.keyword.to_uppercase(), words.join(" "))
            .trim_end()
            .to_owned()
    }
}

/// The escape character and the instructions.
pub(super) fn logical_lines(text: &str) -> Result<(char, Vec<Line>), Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let escape = escape_directive(text)?;
    let mut lines = Vec::new();
    let mut physical = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    while let Some((number, line)) = physical.next() {
        if is_blank_or_comment(line) {
            continue;
        }
        let mut whole = String::new();
        let mut piece = line;
        while let Some(continued) = continues(piece, escape) {
            whole.push_str(continued);
            // The end of the file ends the instruction too.
            piece = physical
                .find(|(_, line)| !is_blank_or_comment(line))
                .map_or("", |(_, next)| next);
        }
        whole.push_str(piece);
        let whole = whole.trim();
        let (keyword, rest) = whole.split_once(char::is_whitespace).unwrap_or((whole, ""));
        let rest = rest.trim();
        let mut heredocs = Vec::new();
        if matches!(keyword.to_uppercase().as_str(), "RUN" | "COPY" | "ADD") {
            for (terminator, strip_tabs) in heredoc_markers(rest) {
                let body =
                    heredoc_body(&mut physical, &terminator, strip_tabs).ok_or_else(|| {
                        Problem {
                            line: number,
                            reason: format!("unterminated heredoc: no line {terminator:?} follows"),
                        }
                    })?;
                heredocs.push(Heredoc { terminator, body });
            }
        }
        lines.push(Line {
            number,
            keyword: keyword.to_owned(),
            rest: rest.to_owned(),
            heredocs,
        });
    }
    Ok((escape, lines))
}

/// `# escape=` in the comments at the very top. Other directives (`syntax`, `check`) change nothing here.
fn escape_directive(text: &str) -> Result<char, Problem> {
    let mut escape = None;
    for (index, line) in text.lines().enumerate() {
        let directive = line
            .trim_start()
            .strip_prefix('#')
            .and_then(|comment| comment.split_once('='));
        let Some((name, value)) = directive else {
            break;
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "escape" => {
                let reason = match (escape, value.trim()) {
                    (Some(_), _) => "only one escape parser directive can be used".to_owned(),
                    (None, "\\") => {
                        escape = Some('\\');
                        continue;
                    }
                    (None, "`") => {
                        escape = Some('`');
                        continue;
                    }
                    (None, other) => format!("invalid escape directive {other:?}: must be ` or \\"),
                };
                return Err(Problem {
                    line: index + 1,
                    reason,
                });
            }
            "syntax" | "check" => {}
            _ => break,
        }
    }
    Ok(escape.unwrap_or('\\'))
}

fn is_blank_or_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

/// The line without its continuation mark, if it ends in one.
fn continues(line: &str, escape: char) -> Option<&str> {
    line.trim_end().strip_suffix(escape)
}

/// `<<EOF`, `<<-EOF`, `<<"EOF"`, `0<<'EOF'` as words of their own. A shell's `<<<` and `1<<2` are none.
fn heredoc_markers(rest: &str) -> Vec<(String, bool)> {
    rest.split_whitespace()
        .filter_map(|word| {
            let word = word
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .strip_prefix("<<")?;
            let (word, strip_tabs) = word
                .strip_prefix('-')
                .map_or((word, false), |word| (word, true));
            let quoted = ['"', '\'']
                .iter()
                .find_map(|quote| word.strip_prefix(*quote)?.strip_suffix(*quote));
            let name = quoted.unwrap_or(word);
            let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
            plain.then(|| (name.to_owned(), strip_tabs))
        })
        .collect()
}

fn heredoc_body<'t>(
    physical: &mut impl Iterator<Item = (usize, &'t str)>,
    terminator: &str,
    strip_tabs: bool,
) -> Option<String> {
    let mut body = String::new();
    for (_, line) in physical {
        let line = if strip_tabs {
            line.trim_start_matches('\t')
        } else {
            line
        };
        if line == terminator {
            return Some(body);
        }
        body.push_str(line);
        body.push('\n');
    }
    None
}
