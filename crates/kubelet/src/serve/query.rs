//! What a reader of logs asks for. Pure.

use std::time::Duration;

use jiff::Timestamp;

/// The parameters of a log request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LogQuery {
    pub(super) follow: bool,
    pub(super) previous: bool,
    pub(super) timestamps: bool,
    pub(super) tail_lines: Option<u64>,
    pub(super) since: Option<Timestamp>,
    pub(super) limit_bytes: Option<u64>,
}

impl LogQuery {
    /// Parses a query string; the error names the parameter.
    pub(super) fn parse(query: &str, now: Timestamp) -> Result<Self, String> {
        let mut parsed = Self::default();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value);
            let bad = || format!("invalid value {value:?} for parameter {name}");
            let flag = || {
                matches!(
                    value.as_str(),
                    "" | "1" | "t" | "T" | "true" | "True" | "TRUE"
                )
            };
            match name {
                "follow" => parsed.follow = flag(),
                "previous" => parsed.previous = flag(),
                "timestamps" => parsed.timestamps = flag(),
                "tailLines" => parsed.tail_lines = Some(value.parse().map_err(|_| bad())?),
                "limitBytes" => parsed.limit_bytes = Some(value.parse().map_err(|_| bad())?),
                "sinceSeconds" => {
                    let seconds: u64 = value.parse().map_err(|_| bad())?;
                    parsed.since = Some(
                        now.saturating_sub(Duration::from_secs(seconds))
                            .map_err(|_| bad())?,
                    );
                }
                "sinceTime" => parsed.since = Some(value.parse().map_err(|_| bad())?),
                // Others belong to the API server, e.g. `container` and `pretty`.
                _ => {}
            }
        }
        Ok(parsed)
    }
}

/// Names and values of a query, in order.
pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

/// Undoes percent-encoding; a malformed escape stays as it is.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let hex = tail
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|h| std::str::from_utf8(h).ok());
        match (first, hex.and_then(|h| u8::from_str_radix(h, 16).ok())) {
            (_, Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', None) => bytes.push(b' '),
            (byte, None) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_of_kubectl_logs_is_understood() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().expect("time");
        let query = LogQuery::parse(
            "follow=true&tailLines=5&sinceSeconds=10&timestamps=true&limitBytes=9&container=c",
            now,
        );
        let want = LogQuery {
            follow: true,
            timestamps: true,
            tail_lines: Some(5),
            since: Some("2026-01-01T00:00:50Z".parse().expect("time")),
            limit_bytes: Some(9),
            previous: false,
        };
        assert_eq!(query, Ok(want));
        let time = LogQuery::parse("sinceTime=2026-01-01T00%3A00%3A00%2B00%3A00&previous", now)
            .expect("parsed");
        assert_eq!(
            time.since,
            Some("2026-01-01T00:00:00Z".parse().expect("time"))
        );
        assert!(time.previous);
        assert!(LogQuery::parse("tailLines=-1", now).is_err());
    }
}
