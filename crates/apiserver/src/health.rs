//! `/livez`, `/readyz` and `/healthz`: what is checked for each, and how it is told. Checks look at what is there and
//! never wait.

use http::{Response, StatusCode};

use crate::http::answer;
use crate::http::body::ResponseBody;
use crate::query::Query;
use crate::server::Core;

/// A check by its name; `false` is a failure.
type Check = (&'static str, fn(&Core) -> bool);

/// Checks of every endpoint.
const ALWAYS: &[Check] = &[
    // Whoever gets an answer has been answered.
    ("ping", |_| true),
    ("log", |_| true),
    ("etcd", |core| core.store.is_open()),
];
/// What must also be true for clients to be sent here.
const READY: &[Check] = &[
    ("etcd-readiness", |core| core.store.is_open()),
    // The caches are filled before the server exists, and the time moves with them.
    ("informer-sync", |core| core.clock.now() > 0),
    (
        "poststarthook/scheduling/bootstrap-system-priority-classes",
        |core| {
            has(
                core,
                "scheduling.k8s.io",
                "priorityclasses",
                "system-node-critical",
            )
        },
    ),
    (
        "poststarthook/priority-and-fairness-config-producer",
        |core| {
            has(
                core,
                "flowcontrol.apiserver.k8s.io",
                "flowschemas",
                "catch-all",
            )
        },
    ),
    ("poststarthook/apiservice-registration-controller", |core| {
        has(core, "apiregistration.k8s.io", "apiservices", "v1.")
    }),
    (
        "poststarthook/start-service-ip-repair-controllers",
        |core| has(core, "networking.k8s.io", "servicecidrs", "kubernetes"),
    ),
    ("shutdown", |core| !core.shutdown.is_cancelled()),
];

fn has(core: &Core, group: &str, plural: &str, name: &str) -> bool {
    let kind = core.kinds.find(group, "v1", plural);
    kind.is_some_and(|kind| kind.cache.get("", name).is_some())
}

impl Core {
    /// Answers a health endpoint, or one check of it.
    pub(crate) fn health(
        &self,
        path: &str,
        check: Option<&str>,
        query: &Query,
    ) -> Response<ResponseBody> {
        let endpoint = path.trim_matches('/').split('/').next().unwrap_or_default();
        let mut checks: Vec<Check> = ALWAYS.to_vec();
        if endpoint == "readyz" {
            checks.extend(READY);
        }
        match check {
            None => self.tell(endpoint, &checks, query),
            Some(named) => match checks.iter().find(|(name, _)| *name == named) {
                Some((_, passes)) if passes(self) => answer::text(StatusCode::OK, "ok"),
                Some(_) => answer::text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!("internal server error: {named} failed: reason withheld\n"),
                ),
                None => answer::text(StatusCode::NOT_FOUND, "404 page not found\n"),
            },
        }
    }

    fn tell(&self, endpoint: &str, checks: &[Check], query: &Query) -> Response<ResponseBody> {
        let excluded = query.all("exclude");
        let (mut report, mut healthy) = (String::new(), true);
        for (name, passes) in checks {
            let (sign, verdict) = if excluded.contains(name) {
                ("[+]", " excluded: ok\n")
            } else if passes(self) {
                ("[+]", " ok\n")
            } else {
                healthy = false;
                tracing::warn!(endpoint, check = name, "a health check fails");
                ("[-]", " failed: reason withheld\n")
            };
            for part in [sign, name, verdict] {
                report += part;
            }
        }
        let strangers: Vec<String> = excluded
            .iter()
            .filter(|name| !name.is_empty() && !checks.iter().any(|(known, _)| known == *name))
            .map(|name| format!("{name:?}"))
            .collect();
        if !strangers.is_empty() {
            report += "warn: some health checks cannot be excluded: no matches for ";
            report += &strangers.join(",");
            report.push('\n');
        }
        if !healthy {
            report += endpoint;
            report += " check failed\n";
            return answer::text(StatusCode::INTERNAL_SERVER_ERROR, report);
        }
        if query.get("verbose").is_none() {
            return answer::text(StatusCode::OK, "ok");
        }
        report += endpoint;
        report += " check passed\n";
        answer::text(StatusCode::OK, report)
    }
}
