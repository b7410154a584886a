//! What the controller writes in each scenario, compared as text: `scenarios/NAME.yaml` in,
//! `snapshots/` out.

use super::scenario::play;

macro_rules! scenarios {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let timeline = play(include_str!(concat!("scenarios/", stringify!($name), ".yaml")));
            insta::assert_snapshot!(stringify!($name), timeline);
        }
    )*};
}

scenarios! {
    broken_rollout_ordered
    broken_rollout_parallel
    claim_deleted_under_pending
    claim_terminating
    conflicting_owner
    create_ordered
    create_parallel
    delete_by_hand
    deleting
    foreign_owner
    foreign_storage
    former_claim
    identity_labels
    max_unavailable
    member_failed
    min_ready_seconds
    no_rolling_block
    on_delete
    orphaned
    partition
    release_and_adopt
    retention_deleted
    retention_scaled
    rollback_and_history
    rolling_update
    scale_down
    start_ordinal
    stranger
    terminating_blocks
    unhealthy_condemned_goes
    unhealthy_condemned_waits
    unhealthy_kept_blocks_scale_down
    update_and_scale_down
    update_and_scale_up
    with_rolling_block
}
