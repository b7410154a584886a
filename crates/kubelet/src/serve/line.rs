//! One line of a CRI log file: `<time> <stream> <F|P> <text>`. Pure.

use jiff::Timestamp;

/// A parsed line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogLine<'a> {
    /// As written.
    pub(super) time: &'a str,
    pub(super) text: &'a [u8],
    /// The program's line goes on in the next one of the file.
    pub(super) partial: bool,
}

/// Parses a line without its newline; `None` if it is not in the format.
pub(super) fn parse(line: &[u8]) -> Option<LogLine<'_>> {
    let mut parts = line.splitn(4, |b| *b == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let _stream = parts.next()?;
    let tag = parts.next()?;
    let text = parts.next().unwrap_or_default();
    Some(LogLine {
        time,
        text,
        partial: tag.split(|b| *b == b':').next() == Some(b"P"),
    })
}

/// What the program wrote in this line of the log file.
pub(crate) fn log_line_text(line: &str) -> Option<&str> {
    let parsed = parse(line.as_bytes())?;
    std::str::from_utf8(parsed.text).ok()
}

impl LogLine<'_> {
    pub(super) fn is_since(&self, since: Option<Timestamp>) -> bool {
        // A line whose time cannot be read is shown rather than lost.
        since.is_none_or(|since| {
            self.time
                .parse::<Timestamp>()
                .map_or(true, |at| at >= since)
        })
    }

    /// The bytes a reader of the log gets. `fresh`: the line begins here, so that its time goes before it.
    pub(super) fn write(&self, timestamps: bool, fresh: bool, out: &mut Vec<u8>) {
        if timestamps && fresh {
            out.extend_from_slice(self.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(self.text);
        if !self.partial {
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_lines_are_joined_and_times_are_added_once() {
        let lines: [&[u8]; 3] = [
            b"2026-01-01T00:00:00.1Z stdout P ab",
            b"2026-01-01T00:00:00.2Z stdout F cd e",
            b"2026-01-01T00:00:01Z stderr F ",
        ];
        let mut out = Vec::new();
        let mut fresh = true;
        for line in lines {
            let parsed = parse(line).expect("line");
            parsed.write(true, fresh, &mut out);
            fresh = !parsed.partial;
        }
        assert_eq!(
            out,
            b"2026-01-01T00:00:00.1Z abcd e\n2026-01-01T00:00:01Z \n"
        );
        assert_eq!(parse(b"nonsense"), None);
    }

    #[test]
    fn since_compares_times_not_texts() {
        let line = parse(b"2026-01-01T00:00:10.5Z stdout F x").expect("line");
        let at = |text: &str| Some(text.parse().expect("time"));
        assert!(line.is_since(at("2026-01-01T00:00:10Z")));
        assert!(line.is_since(at("2026-01-01T01:00:10.5+01:00")));
        assert!(!line.is_since(at("2026-01-01T00:00:11Z")));
    }
}
