//! What is counted of calls to admission webhooks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Metrics;
use super::series::{Family, Histogram, Page, labels};

/// Upstream's bounds, in seconds.
const SECONDS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0];

/// A call's webhook, whether it was asked to `admit` or `validating`, and about which operation.
type Call = (String, &'static str, &'static str);

/// Counts by call.
#[derive(Default)]
pub(super) struct Webhooks {
    seconds: Family<(Call, bool), Histogram>,
    requests: Family<(Call, bool, u16), AtomicU64>,
    rejections: Family<(Call, &'static str, u16), AtomicU64>,
    failed_open: Family<(String, &'static str), AtomicU64>,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// Yes.
    Admitted,
    /// No, with this code.
    Refused(u16),
    /// Nothing that can be understood, and that stops the request.
    Failed,
    /// The same, and it does not.
    FailedOpen,
}

impl Metrics {
    /// A webhook was called and took this long.
    pub(crate) fn called(
        &self,
        (name, kind, operation): (&str, &'static str, &'static str),
        outcome: Called,
        took: Duration,
    ) {
        let call = (name.to_owned(), kind, operation);
        let count = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
        let (rejected, code) = match outcome {
            Called::Admitted => (false, 200),
            Called::Refused(code) => (true, code),
            Called::Failed => (true, 503),
            Called::FailedOpen => (false, 503),
        };
        let webhooks = &self.webhooks;
        webhooks
            .seconds
            .with((call.clone(), rejected), |all| all.observe(SECONDS, took));
        webhooks
            .requests
            .with((call.clone(), rejected, code), count);
        match outcome {
            Called::Refused(_) => webhooks.rejections.with((call, "no_error", code), count),
            Called::Failed => {
                let why = "calling_webhook_error";
                webhooks.rejections.with((call, why, code), count)
            }
            Called::FailedOpen => webhooks.failed_open.with((call.0, kind), count),
            Called::Admitted => 0,
        };
    }
}

impl Webhooks {
    pub(super) fn on(&self, page: &mut Page) {
        let of = |(name, kind, operation): &Call| -> Vec<(&'static str, String)> {
            vec![
                ("name", name.clone()),
                ("operation", (*operation).to_owned()),
                ("type", (*kind).to_owned()),
            ]
        };
        let value = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let name = "apiserver_admission_webhook_admission_duration_seconds";
        page.head(name, "histogram", "How long admission webhooks took.");
        self.seconds.each(|(call, rejected), histogram| {
            let mut all = of(call);
            all.push(("rejected", rejected.to_string()));
            histogram.on(page, name, &shown(&all), SECONDS);
        });
        let name = "apiserver_admission_webhook_request_total";
        page.head(name, "counter", "Calls to admission webhooks.");
        self.requests.each(|(call, rejected, code), count| {
            let mut all = of(call);
            all.push(("rejected", rejected.to_string()));
            all.push(("code", code.to_string()));
            page.line(name, &labels(&shown(&all)), &value(count));
        });
        let name = "apiserver_admission_webhook_rejection_count";
        page.head(name, "counter", "Requests that admission webhooks stopped.");
        self.rejections.each(|(call, why, code), count| {
            let mut all = of(call);
            all.push(("error_type", (*why).to_owned()));
            all.push(("rejection_code", code.to_string()));
            page.line(name, &labels(&shown(&all)), &value(count));
        });
        let name = "apiserver_admission_webhook_fail_open_count";
        page.head(
            name,
            "counter",
            "Failures of admission webhooks that did not count.",
        );
        self.failed_open.each(|(webhook, kind), count| {
            let all = [("name", webhook.as_str()), ("type", *kind)];
            page.line(name, &labels(&all), &value(count));
        });
    }
}

fn shown<'a>(all: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    all.iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect()
}
