//! The row of a pod in a Table: what `kubectl get pods` shows (§8.3).

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::meta;
use crate::resources::object::{given, int, list, text};
use crate::table::{age, since};

/// Containers of one kind counted up.
#[derive(Default)]
struct Count {
    total: usize,
    ready: usize,
    restarts: i64,
    /// When a container last ended.
    last: Option<Timestamp>,
}

impl Count {
    fn restarted(&mut self, status: &Value) {
        self.restarts += int(status, "restartCount").unwrap_or(0);
        let ended = text(&status["lastState"]["terminated"], "finishedAt")
            .parse::<Timestamp>()
            .ok();
        self.last = self.last.max(ended);
    }
}

/// The cells, in the order of the columns.
pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let (reason, count) = summary(pod);
    let restarts = match count.last {
        Some(last) if count.restarts != 0 => {
            format!(
                "{} ({} ago)",
                count.restarts,
                since(&last.to_string().into(), now)
            )
        }
        _ => count.restarts.to_string(),
    };
    let or_none = |value: &str| {
        if value.is_empty() {
            "<none>".to_owned()
        } else {
            value.to_owned()
        }
    };
    let ip = list(status, "podIPs")
        .first()
        .map_or_else(|| text(status, "podIP"), |first| text(first, "ip"));
    vec![
        meta::name(pod).into(),
        format!("{}/{}", count.ready, count.total).into(),
        reason.into(),
        restarts.into(),
        age(pod, now),
        or_none(ip).into(),
        or_none(text(spec, "nodeName")).into(),
        or_none(text(status, "nominatedNodeName")).into(),
        gates(pod).into(),
    ]
}

/// Pods that ended are marked, for clients that hide them (K-9).
pub(super) fn conditions(pod: &Value) -> Vec<Value> {
    let phase = text(&pod["status"], "phase");
    let message = match phase {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return Vec::new(),
    };
    vec![json!({"type": "Completed", "status": "True", "reason": phase, "message": message})]
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    list(&pod["status"], "conditions")
        .iter()
        .find(|condition| condition["type"] == kind)
}

fn is_true(pod: &Value, kind: &str) -> bool {
    condition(pod, kind).is_some_and(|condition| condition["status"] == "True")
}

/// Why a container ended: its reason, or how.
fn ending(terminated: &Value) -> String {
    let reason = text(terminated, "reason");
    match (reason, int(terminated, "signal").unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", int(terminated, "exitCode").unwrap_or(0)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn summary(pod: &Value) -> (String, Count) {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let mut reason = match text(status, "reason") {
        "" => text(status, "phase").to_owned(),
        reason => reason.to_owned(),
    };
    if condition(pod, "PodScheduled").is_some_and(|c| c["reason"] == "SchedulingGated") {
        "SchedulingGated".clone_into(&mut reason);
    }
    let sidecar = |name: &str| {
        let of_name = list(spec, "initContainers")
            .iter()
            .find(|container| text(container, "name") == name);
        of_name.is_some_and(|container| container["restartPolicy"] == "Always")
    };
    let sidecars = list(spec, "initContainers")
        .iter()
        .filter(|c| c["restartPolicy"] == "Always")
        .count();
    let mut count = Count {
        total: list(spec, "containers").len() + sidecars,
        ..Count::default()
    };
    let mut of_sidecars = Count::default();

    let starting = initializing(pod, &sidecar, &mut count, &mut of_sidecars);
    let initializing = starting.is_some();
    if let Some(starting) = starting {
        reason = starting;
    }
    if !initializing || is_true(pod, "Initialized") {
        // Restarts of finished init containers no longer count.
        count.restarts = of_sidecars.restarts;
        count.last = of_sidecars.last;
        let (mut running, mut failed) = (false, None);
        for container in list(status, "containerStatuses").iter().rev() {
            count.restarted(container);
            let state = &container["state"];
            let waiting = text(&state["waiting"], "reason");
            if !waiting.is_empty() {
                waiting.clone_into(&mut reason);
            } else if given(state, "terminated") {
                reason = ending(&state["terminated"]);
                if int(&state["terminated"], "exitCode").unwrap_or(0) != 0 {
                    failed = Some(reason.clone());
                }
            } else if container["ready"] == true && given(state, "running") {
                running = true;
                count.ready += 1;
            }
        }
        if reason == "Completed" {
            match (running, failed) {
                (true, _) if is_true(pod, "Ready") => "Running".clone_into(&mut reason),
                (_, Some(failed)) => reason = failed,
                (true, None) => "NotReady".clone_into(&mut reason),
                (false, None) => {}
            }
        }
    }
    if given(&pod["metadata"], "deletionTimestamp") {
        let phase = text(status, "phase");
        if text(status, "reason") == "NodeLost" {
            "Unknown".clone_into(&mut reason);
        } else if !matches!(phase, "Failed" | "Succeeded") {
            "Terminating".clone_into(&mut reason);
        }
    }
    (reason, count)
}

/// The status while init containers have not all finished.
fn initializing(
    pod: &Value,
    sidecar: &impl Fn(&str) -> bool,
    count: &mut Count,
    of_sidecars: &mut Count,
) -> Option<String> {
    let total = list(&pod["spec"], "initContainers").len();
    for (index, container) in list(&pod["status"], "initContainerStatuses")
        .iter()
        .enumerate()
    {
        count.restarted(container);
        let is_sidecar = sidecar(text(container, "name"));
        if is_sidecar {
            of_sidecars.restarted(container);
        }
        let state = &container["state"];
        if given(state, "terminated") && int(&state["terminated"], "exitCode").unwrap_or(0) == 0 {
            continue;
        }
        if is_sidecar && container["started"] == true {
            if container["ready"] == true {
                count.ready += 1;
            }
            continue;
        }
        let waiting = text(&state["waiting"], "reason");
        return Some(if given(state, "terminated") {
            format!("Init:{}", ending(&state["terminated"]))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{total}")
        });
    }
    None
}

fn gates(pod: &Value) -> String {
    let gates = list(&pod["spec"], "readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let passed = gates
        .iter()
        .filter(|gate| is_true(pod, text(gate, "conditionType")))
        .count();
    format!("{passed}/{}", gates.len())
}
