//! D-4 as a property: whatever the order in which controllers and kubelet get their turn, and however
//! often the template changes in the middle, a rollout keeps to its bounds and ends.

use proptest::prelude::*;

use super::{cluster::Cluster, now};

/// Who gets the next turn.
#[derive(Debug, Clone)]
enum Turn {
    Deployment,
    /// One of the sets.
    Set(usize),
    /// That many pods become ready.
    Kubelet(usize),
    /// Another template.
    Edit(u8),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        4 => Just(Turn::Deployment),
        6 => (0..8_usize).prop_map(Turn::Set),
        3 => (1..4_usize).prop_map(Turn::Kubelet),
        1 => (2..6_u8).prop_map(Turn::Edit),
    ];
    prop::collection::vec(turn, 1..80)
}

proptest! {
    #[test]
    fn a_rollout_keeps_to_its_bounds_and_ends(
        replicas in 1..8_i32,
        surge in 0..4_i32,
        unavailable in 0..4_i32,
        turns in turns(),
    ) {
        prop_assume!(surge + unavailable > 0);
        let mut cluster = Cluster::new(&format!(
            "replicas: {replicas}, strategy: {{type: RollingUpdate, rollingUpdate: {{maxSurge: {surge}, maxUnavailable: {unavailable}}}}}"
        ));
        cluster.settle(now());
        let mut image = "v1".to_owned();
        for turn in turns {
            match turn {
                Turn::Deployment => {
                    cluster.reconcile(now());
                }
                Turn::Set(index) => {
                    let name = cluster.sets.keys().nth(index % cluster.sets.len()).cloned();
                    cluster.reconcile_set(&name.expect("there is a set"), now());
                }
                Turn::Kubelet(count) => cluster.make_ready(count, now()),
                Turn::Edit(version) => {
                    image = format!("v{version}");
                    cluster.set_image(&image);
                }
            }
            let told: i32 = cluster.sizes().iter().sum();
            prop_assert!(told <= replicas + surge, "{told} pods are wanted");
            let available = i32::try_from(cluster.available()).expect("few pods");
            prop_assert!(available >= replicas - unavailable, "{available} are available");
        }
        cluster.settle(now());
        prop_assert!(cluster.is_quiet(now()));
        let wanted = usize::try_from(replicas).expect("not negative");
        prop_assert_eq!(cluster.images(), vec![image.as_str(); wanted]);
    }
}
