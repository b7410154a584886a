//! What holds whatever happens, in whatever order, on however old a view.

use std::collections::BTreeMap;

use kube::ResourceExt;
use proptest::prelude::*;

use super::{Cluster, claim_yaml, volume_yaml};
use crate::volume_binder::{
    action::volume_phase,
    matching::{check_shape, claim_ref, is_promised_to},
};

#[derive(Debug, Clone)]
enum Step {
    Volume {
        name: usize,
        size: u8,
        modes: u8,
        promised: Option<usize>,
    },
    Claim {
        name: usize,
        size: u8,
        many: bool,
        wants: Option<usize>,
    },
    Delete {
        claim: usize,
    },
    /// A plan made on the world as it was `age` steps ago, applied now.
    Plan {
        claim: bool,
        name: usize,
        age: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..4_usize;
    let plan = (any::<bool>(), name.clone(), 0..4_usize)
        .prop_map(|(claim, name, age)| Step::Plan { claim, name, age });
    prop_oneof![
        2 => (name.clone(), 1..4_u8, 1..3_u8, proptest::option::weighted(0.3, name.clone()))
            .prop_map(|(name, size, modes, promised)| Step::Volume { name, size, modes, promised }),
        2 => (name.clone(), 1..4_u8, any::<bool>(), proptest::option::weighted(0.3, name.clone()))
            .prop_map(|(name, size, many, wants)| Step::Claim { name, size, many, wants }),
        1 => name.prop_map(|claim| Step::Delete { claim }),
        8 => plan,
    ]
}

fn perform(cluster: &mut Cluster, past: &[Cluster], step: &Step) {
    match step {
        Step::Volume {
            name,
            size,
            modes,
            promised,
        } => {
            if cluster.volumes.contains_key(&format!("v{name}")) {
                return;
            }
            let promise = promised.map_or(String::new(), |c| {
                format!("claimRef: {{namespace: default, name: c{c}}},")
            });
            let modes =
                ["[ReadWriteOnce]", "[ReadWriteOnce, ReadWriteMany]"][usize::from(*modes) - 1];
            let yaml = volume_yaml(&format!("v{name}"), &format!("{size}Gi"), &promise);
            cluster.volume(&yaml.replace("[ReadWriteOnce]", modes));
        }
        Step::Claim {
            name,
            size,
            many,
            wants,
        } => {
            if cluster.claims.contains_key(&format!("c{name}")) {
                return;
            }
            let wants = wants.map_or(String::new(), |v| format!("volumeName: v{v},"));
            let mode = if *many {
                "[ReadWriteMany]"
            } else {
                "[ReadWriteOnce]"
            };
            let yaml = claim_yaml(
                &format!("c{name}"),
                &format!("{size}Gi"),
                &format!("storageClassName: '', {wants}"),
            );
            cluster.claim(&yaml.replace("[ReadWriteOnce]", mode));
        }
        Step::Delete { claim } => {
            cluster.claims.remove(&format!("c{claim}"));
        }
        Step::Plan { claim, name, age } => {
            let seen = past
                .len()
                .checked_sub(age + 1)
                .map_or(&*cluster, |at| &past[at]);
            let actions = if *claim {
                seen.plan_claim(&format!("c{name}"))
            } else {
                seen.plan_volume(&format!("v{name}"))
            };
            for action in actions {
                cluster.apply(action);
            }
        }
    }
}

fn assert_sound(cluster: &Cluster) {
    let mut holders: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, claim) in &cluster.claims {
        let status = claim
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        if status != Some("Bound") {
            continue;
        }
        let volume = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.as_deref())
            .expect("named");
        assert_eq!(
            holders.insert(volume, name),
            None,
            "two claims hold {volume}"
        );
        let volume = &cluster.volumes[volume];
        assert!(
            is_promised_to(volume, claim),
            "{name} is bound to a volume of another"
        );
        assert_eq!(
            check_shape(volume, claim),
            Ok(()),
            "{name} got a volume that does not fit"
        );
    }
}

proptest! {
    /// V-1, V-5: whatever order things happen in, and however old the view of a plan is, no volume
    /// serves two claims, every bound volume fits, and the binder comes to rest (invariant 6).
    #[test]
    fn no_volume_is_bound_twice(steps in proptest::collection::vec(step(), 1..60)) {
        let mut cluster = Cluster::default();
        let mut past = Vec::new();
        for step in &steps {
            perform(&mut cluster, &past, step);
            assert_sound(&cluster);
            past.push(cluster.clone());
        }
        cluster.settle();
        assert_sound(&cluster);
        let at_rest = cluster.revision;
        cluster.settle();
        prop_assert_eq!(cluster.revision, at_rest);
    }

    /// V-5: a crash after any write resumes to the state the uninterrupted run reaches.
    #[test]
    fn a_crash_after_any_step_resumes(steps in proptest::collection::vec(step(), 1..30), crashes in proptest::collection::vec(0..5_usize, 1..6)) {
        let mut cluster = Cluster::default();
        // Which volumes are free when a claim is looked at decides its choice, so all are free first.
        for step in steps.iter().filter(|step| matches!(step, Step::Volume { .. })) {
            perform(&mut cluster, &[], step);
        }
        cluster.settle();
        for step in steps.iter().filter(|step| matches!(step, Step::Claim { .. } | Step::Delete { .. })) {
            perform(&mut cluster, &[], step);
        }
        let mut interrupted = cluster.clone();
        cluster.settle();
        for budget in crashes {
            interrupted.settle_within(budget);
        }
        interrupted.settle();
        prop_assert_eq!(bindings(&cluster), bindings(&interrupted));
    }
}

/// The parts of the end state that must not depend on the way.
fn bindings(cluster: &Cluster) -> Vec<String> {
    let volumes = cluster.volumes.values().map(|volume| {
        let promise = claim_ref(volume).map(|promise| (promise.name.clone(), promise.uid.clone()));
        format!("{} {} {promise:?}", volume.name_any(), volume_phase(volume))
    });
    let claims = cluster.claims.values().map(|claim| {
        let phase = claim
            .status
            .as_ref()
            .and_then(|status| status.phase.clone());
        format!(
            "{} {phase:?} {:?}",
            claim.name_any(),
            claim
                .spec
                .as_ref()
                .and_then(|spec| spec.volume_name.clone())
        )
    });
    volumes.chain(claims).collect()
}
