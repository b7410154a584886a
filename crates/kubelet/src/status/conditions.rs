//! A pod's conditions: their order, reasons and messages (L-4, L-5).

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodSpec};

use super::containers::Statuses;
use super::phase::Phase;
use super::time;
use crate::spec::{self, Role};

/// What conditions follow from.
pub(crate) struct Conditions<'a> {
    pub(crate) spec: &'a PodSpec,
    pub(crate) generation: Option<i64>,
    /// As the API has them; those of others are kept.
    pub(crate) old: &'a [PodCondition],
    pub(crate) statuses: &'a Statuses,
    pub(crate) phase: Phase,
    /// The sandbox is up and has its address.
    pub(crate) network_ready: bool,
    pub(crate) now: Timestamp,
}

/// A condition's verdict: true, or false with reason and message.
struct Verdict {
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Verdict {
    fn yes() -> Self {
        Self {
            holds: true,
            reason: None,
            message: None,
        }
    }

    fn no(reason: &'static str, message: Option<String>) -> Self {
        Self {
            holds: false,
            reason: Some(reason),
            message,
        }
    }
}

const READY_TO_START: &str = "PodReadyToStartContainers";
const OWN: [&str; 5] = [
    READY_TO_START,
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
];

/// The conditions in upstream's order: others' first, then the node's own.
pub(crate) fn conditions(of: &Conditions<'_>) -> Vec<PodCondition> {
    let foreign = of
        .old
        .iter()
        .filter(|c| !OWN.contains(&c.type_.as_str()))
        .cloned();
    let containers = of.containers_ready();
    let ready = of.ready(&containers);
    let network = Verdict {
        holds: of.network_ready,
        reason: None,
        message: None,
    };
    let own = [
        (READY_TO_START, network),
        ("Initialized", of.initialized()),
        ("Ready", ready),
        ("ContainersReady", containers),
        ("PodScheduled", Verdict::yes()),
    ];
    foreign
        .chain(
            own.into_iter()
                .map(|(type_, verdict)| of.condition(type_, verdict)),
        )
        .collect()
}

impl Conditions<'_> {
    fn condition(&self, type_: &str, verdict: Verdict) -> PodCondition {
        let status = if verdict.holds { "True" } else { "False" };
        let old = self
            .old
            .iter()
            .find(|c| c.type_ == type_ && c.status == status);
        PodCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: verdict.reason.map(str::to_owned),
            message: verdict.message,
            last_transition_time: old
                .and_then(|c| c.last_transition_time.clone())
                .or_else(|| Some(time(self.now))),
            observed_generation: self.generation,
            last_probe_time: None,
        }
    }

    fn initialized(&self) -> Verdict {
        if self.phase == Phase::Succeeded {
            return Verdict {
                holds: true,
                reason: Some("PodCompleted"),
                message: None,
            };
        }
        // A restarted sandbox runs its init containers again, but a pod whose containers have run is initialized.
        if self.statuses.main.iter().any(|s| s.started == Some(true)) {
            return Verdict::yes();
        }
        let roles = spec::containers(self.spec)
            .map(|(role, _)| role)
            .filter(|role| *role != Role::Main);
        let incomplete: Vec<&str> = roles
            .zip(&self.statuses.init)
            .filter(|(role, s)| {
                !if *role == Role::Sidecar {
                    s.started == Some(true)
                } else {
                    s.ready
                }
            })
            .map(|(_, s)| s.name.as_str())
            .collect();
        if incomplete.is_empty() {
            return Verdict::yes();
        }
        let message = format!(
            "containers with incomplete status: [{}]",
            incomplete.join(" ")
        );
        Verdict::no("ContainersNotInitialized", Some(message))
    }

    fn containers_ready(&self) -> Verdict {
        match self.phase {
            Phase::Succeeded => return Verdict::no("PodCompleted", None),
            Phase::Failed => return Verdict::no("PodFailed", None),
            Phase::Pending | Phase::Running => {}
        }
        let roles = spec::containers(self.spec)
            .map(|(role, _)| role)
            .filter(|role| *role != Role::Main);
        let sidecars = roles
            .zip(&self.statuses.init)
            .filter(|(role, _)| *role == Role::Sidecar)
            .map(|(_, s)| s);
        let counted: Vec<&ContainerStatus> = sidecars.chain(&self.statuses.main).collect();
        let unready: Vec<&str> = counted
            .iter()
            .filter(|s| !s.ready)
            .map(|s| s.name.as_str())
            .collect();
        if unready.is_empty() {
            return Verdict::yes();
        }
        let message = format!("containers with unready status: [{}]", unready.join(" "));
        Verdict::no("ContainersNotReady", Some(message))
    }

    fn ready(&self, containers: &Verdict) -> Verdict {
        if !containers.holds {
            return Verdict {
                holds: false,
                reason: containers.reason,
                message: containers.message.clone(),
            };
        }
        let mut faults = Vec::new();
        for gate in self.spec.readiness_gates.iter().flatten() {
            let name = &gate.condition_type;
            match self.old.iter().find(|c| c.type_ == *name) {
                None => faults.push(format!(
                    "corresponding condition of pod readiness gate \"{name}\" does not exist."
                )),
                Some(c) if c.status != "True" => {
                    faults.push(format!(
                        "the status of pod readiness gate \"{name}\" is not \"True\", but {}",
                        c.status
                    ));
                }
                Some(_) => {}
            }
        }
        if faults.is_empty() {
            Verdict::yes()
        } else {
            Verdict::no("ReadinessGatesNotReady", Some(faults.join(", ")))
        }
    }
}
