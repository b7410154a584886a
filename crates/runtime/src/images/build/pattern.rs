//! Patterns over paths: Go's `filepath.Match`, as COPY uses it, and `.dockerignore`, which adds `**` and `!`. Pure.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use regex::bytes::Regex;

/// Whether COPY looks for matches of this word instead of taking it as a path.
pub(super) fn has_wildcard(word: &str) -> bool {
    word.contains(['*', '?', '[', '\\'])
}

/// One path component with `*`, `?`, `[a-z]` and `\x`.
pub(super) fn component(pattern: &str) -> Result<Regex, String> {
    compile(&translate(pattern, false)?, pattern)
}

/// What of a build context the build does not see.
#[derive(Debug, Default)]
pub(super) struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    regex: Regex,
    /// `!`: brings back what an earlier rule ignored.
    exception: bool,
}

impl Ignore {
    /// Reads a `.dockerignore`; a pattern that cannot be read is an error with its line number.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Vec::new();
        for (index, line) in text
            .strip_prefix('\u{feff}')
            .unwrap_or(text)
            .lines()
            .enumerate()
        {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (line, exception) = line
                .strip_prefix('!')
                .map_or((line, false), |rest| (rest.trim(), true));
            let pattern = clean(line);
            if pattern.is_empty() {
                if exception && line.is_empty() {
                    return Err(format!(
                        "line {}: illegal exclusion pattern: \"!\"",
                        index + 1
                    ));
                }
                continue;
            }
            let regex = translate(&pattern, true).and_then(|regex| compile(&regex, &pattern));
            rules.push(Rule {
                regex: regex.map_err(|reason| format!("line {}: {reason}", index + 1))?,
                exception,
            });
        }
        Ok(Self { rules })
    }

    /// Whether this path (relative to the context) is ignored: the last rule that fits it or a directory above it decides.
    pub(super) fn ignores(&self, path: &Path) -> bool {
        let fits = |rule: &Rule| {
            path.ancestors()
                .filter(|p| !p.as_os_str().is_empty())
                .any(|p| rule.regex.is_match(p.as_os_str().as_bytes()))
        };
        self.rules
            .iter()
            .rev()
            .find(|rule| fits(rule))
            .is_some_and(|rule| !rule.exception)
    }

    /// Whether something below an ignored directory may be brought back, so that one has to look.
    pub(super) fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.exception)
    }
}

/// By letters, as Go's `filepath.Clean` does it, and without a leading slash.
fn clean(pattern: &str) -> String {
    let mut path = PathBuf::new();
    for part in Path::new(pattern).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir if path.file_name().is_some_and(|name| name != "..") => {
                path.pop();
            }
            Component::ParentDir => path.push(".."),
            _ => {}
        }
    }
    path.to_string_lossy().into_owned()
}

fn compile(regex: &str, pattern: &str) -> Result<Regex, String> {
    Regex::new(regex).map_err(|_| format!("bad pattern {pattern:?}"))
}

fn translate(pattern: &str, double_star: bool) -> Result<String, String> {
    let bad = || format!("bad pattern {pattern:?}");
    let mut regex = String::from("(?s)^");
    let mut chars = pattern.chars().peekable();
    let literal =
        |regex: &mut String, c: char| regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    while let Some(c) = chars.next() {
        match c {
            '*' if double_star && chars.next_if_eq(&'*').is_some() => {
                // `**/` is any number of directories, none included; `**` at the end is everything.
                if chars.next_if_eq(&'/').is_some() {
                    regex.push_str("(.*/)?");
                } else {
                    regex.push_str(".*");
                }
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '\\' => literal(&mut regex, chars.next().ok_or_else(bad)?),
            '[' => {
                regex.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    regex.push('^');
                }
                let mut empty = true;
                loop {
                    match chars.next().ok_or_else(bad)? {
                        ']' | '-' if empty => return Err(bad()),
                        ']' => break,
                        '-' => regex.push('-'),
                        '\\' => literal(&mut regex, chars.next().ok_or_else(bad)?),
                        // In a class the regex crate gives `&`, `~` and `[` meanings of their own.
                        c @ ('&' | '~' | '[' | '^') => regex.extend(['\\', c]),
                        c => literal(&mut regex, c),
                    }
                    empty = false;
                }
                regex.push(']');
            }
            c => literal(&mut regex, c),
        }
    }
    regex.push('$');
    Ok(regex)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn components_match_as_in_go() {
        for (pattern, name, fits) in [
            ("*.js", "app.js", true),
            ("*.js", ".js", true),
            ("*.js", "app.jsx", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            ("*", ".hidden", true),
            ("a.b", "axb", false),
            ("[&&]", "&", true),
            ("(x)+", "(x)+", true),
        ] {
            assert_eq!(
                component(pattern).unwrap().is_match(name.as_bytes()),
                fits,
                "{pattern} {name}"
            );
        }
        for pattern in ["[", "[]", "[a", "a\\", "[-a]"] {
            assert!(component(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn ignore_files_match_as_in_docker() {
        for (rules, path, ignored) in [
            ("node_modules", "node_modules/x/y.js", true),
            ("node_modules", "a/node_modules", false),
            ("**/node_modules", "a/b/node_modules/c", true),
            ("**/node_modules", "node_modules", true),
            ("*.md", "README.md", true),
            ("*.md", "docs/README.md", false),
            ("**/*.md", "docs/a/README.md", true),
            ("*.md\n!README.md", "README.md", false),
            ("*.md\n!README.md\nREADME*", "README.md", true),
            ("/dist/", "dist/x", true),
            ("./dist", "dist", true),
            ("a/../b", "b", true),
            ("# x\n\n  y  ", "y", true),
            ("*\n!src", "src/main.rs", false),
            ("*\n!src", "other", true),
            ("docs\n!docs/keep", "docs/keep/x", false),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("", "x", false),
        ] {
            assert_eq!(
                Ignore::parse(rules).unwrap().ignores(Path::new(path)),
                ignored,
                "{rules:?} {path}"
            );
        }
        assert!(Ignore::parse("ok\n[").unwrap_err().starts_with("line 2"));
        assert!(Ignore::parse("!").is_err());
    }

    proptest! {
        #[test]
        fn no_ignore_file_makes_it_panic(rules in "([a-z*?!/.\\[\\]\\\\#^&~\\- \n-]|\\PC){0,30}", path in "[a-z/.*]{0,12}") {
            if let Ok(ignore) = Ignore::parse(&rules) {
                let _ = ignore.ignores(Path::new(&path));
            }
        }

        #[test]
        fn a_plain_name_ignores_itself_and_what_is_below(name in "[a-z]{1,8}", below in "[a-z]{1,8}") {
            let ignore = Ignore::parse(&name).unwrap();
            prop_assert!(ignore.ignores(Path::new(&name)));
            prop_assert!(ignore.ignores(&Path::new(&name).join(&below)));
            let with_exception = format!("{name}\n!{name}/{below}");
            prop_assert!(!Ignore::parse(&with_exception).unwrap().ignores(&Path::new(&name).join(below)));
        }
    }
}
