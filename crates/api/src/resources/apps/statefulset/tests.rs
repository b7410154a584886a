use rstest::rstest;

use super::*;
use crate::resources::testing::texts;

#[expect(
    clippy::needless_pass_by_value,
    reason = "json!(..) reads better without a reference"
)]
fn set(spec: Value) -> Value {
    let mut set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"}, "spec": {
        "serviceName": "web", "selector": {"matchLabels": {"app": "a"}},
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "img:1"}]}}}});
    json_patch::merge(&mut set["spec"], &spec);
    Rules.default(&mut set);
    set
}

#[test]
fn a_minimal_set_is_completed() {
    // §1.2, A-1
    let mut web = set(
        json!({"volumeClaimTemplates": [{"metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}}]}),
    );
    Rules.prepare_create(&mut web);
    let spec = &web["spec"];
    assert_eq!(spec["replicas"], 1);
    assert_eq!(spec["revisionHistoryLimit"], 10);
    assert_eq!(spec["podManagementPolicy"], "OrderedReady");
    assert_eq!(
        spec["updateStrategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    );
    assert_eq!(
        spec["persistentVolumeClaimRetentionPolicy"],
        json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
    );
    assert_eq!(
        spec["volumeClaimTemplates"],
        json!([{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
                "volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}])
    );
    assert_eq!(web["metadata"]["generation"], 1);
    assert_eq!(
        web["status"],
        json!({"replicas": 0, "availableReplicas": 0})
    );
    assert!(Rules.validate(&web).is_empty());
    let once = web.clone();
    Rules.default(&mut web);
    assert_eq!(web, once, "defaulting is idempotent");
}

#[test]
fn an_explicit_type_gets_no_block() {
    //
    assert_eq!(
        set(json!({"updateStrategy": {"type": "RollingUpdate"}}))["spec"]["updateStrategy"],
        json!({"type": "RollingUpdate"})
    );
    assert_eq!(
        set(json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {}}}))["spec"]["updateStrategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    );
}

#[rstest]
#[case::a12(json!({"podManagementPolicy": "Maybe"}), "spec.podManagementPolicy: Invalid value: \"Maybe\": must be 'OrderedReady' or 'Parallel'")]
#[case::a13(json!({"updateStrategy": {"type": "Recreate"}}), "spec.updateStrategy: Invalid value: {\"Type\":\"Recreate\",\"RollingUpdate\":null}: must be 'RollingUpdate' or 'OnDelete'")]
#[case::a14(json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}}), "spec.updateStrategy.rollingUpdate: Invalid value: {\"Partition\":1,\"MaxUnavailable\":null}: only allowed for updateStrategy 'RollingUpdate'")]
#[case::a15(json!({"updateStrategy": {"rollingUpdate": {"partition": -1}}}), "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0")]
#[case::a16_zero(json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": "0%"}}}), "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": cannot be 0")]
#[case::a16_most(json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": "101%"}}}), "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%")]
#[case::a17(json!({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Keep"}}), "spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: \"Keep\": supported values: \"Retain\", \"Delete\"")]
#[case::a18_replicas(json!({"replicas": -1}), "spec.replicas: Invalid value: -1: must be greater than or equal to 0")]
#[case::a18_ordinals(json!({"ordinals": {"start": -3}}), "spec.ordinals.start: Invalid value: -3: must be greater than or equal to 0")]
#[case::a20_empty(json!({"selector": {"matchLabels": null}}), "spec.selector: Invalid value: {}: empty selector is invalid for statefulset")]
#[case::a21(json!({"selector": {"matchLabels": {"app": "b"}}}), "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`")]
#[case::a22(json!({"template": {"spec": {"restartPolicy": "Never"}}}), "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"")]
#[case::a23(json!({"template": {"spec": {"activeDeadlineSeconds": 4}}}), "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in StatefulSet is not Supported")]
#[case::template(json!({"template": {"spec": {"containers": [{"name": "c"}]}}}), "spec.template.spec.containers[0].image: Required value")]
fn faults_read_like_upstreams(#[case] spec: Value, #[case] want: &str) {
    assert_eq!(texts(&Rules.validate(&set(spec))), [want]);
}

#[test]
fn a_missing_selector_matches_nothing() {
    //
    assert_eq!(
        texts(&Rules.validate(&set(json!({"selector": null})))),
        [
            "spec.selector: Required value",
            "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`"
        ]
    );
}

#[test]
fn claim_templates_are_checked_and_mountable() {
    //
    let bad = set(json!({"volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {}}]}));
    assert_eq!(
        texts(&Rules.validate(&bad)),
        [
            "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required",
            "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value"
        ]
    );
    let mounted = |volume: &str| {
        set(json!({
            "template": {"spec": {"containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": volume, "mountPath": "/d"}]}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}}]}))
    };
    assert!(Rules.validate(&mounted("d")).is_empty());
    assert_eq!(Rules.validate(&mounted("e")).len(), 1);
}

#[test]
fn only_some_fields_may_change() {
    //
    let old = set(
        json!({"volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}),
    );
    let forbidden = "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                     'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
    let changed = |change: Value| {
        let mut new = old.clone();
        json_patch::merge(&mut new["spec"], &change);
        Rules.default(&mut new);
        texts(&Rules.validate_update(&new, &old))
    };
    for allowed in [
        json!({"replicas": 5}),
        json!({"ordinals": {"start": 2}}),
        json!({"minReadySeconds": 3}),
        json!({"revisionHistoryLimit": 1}),
        json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}),
        json!({"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}}),
        json!({"template": {"spec": {"terminationGracePeriodSeconds": 1}}}),
    ] {
        assert_eq!(changed(allowed.clone()), Vec::<String>::new(), "{allowed}");
    }
    assert_eq!(changed(json!({"serviceName": "other"})), [forbidden]);
    assert_eq!(
        changed(json!({"podManagementPolicy": "Parallel"})),
        [forbidden]
    );
    assert_eq!(changed(json!({"volumeClaimTemplates": null})), [forbidden]);
    let mut rewritten = old.clone();
    rewritten["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] =
        "1024Mi".into();
    Rules.default(&mut rewritten);
    assert!(
        Rules.validate_update(&rewritten, &old).is_empty(),
        "the same amount is no change"
    );
}

#[test]
fn an_unsound_stored_template_does_not_block_scaling() {
    //
    let mut old = set(json!({}));
    old["spec"]["template"]["spec"]["dnsPolicy"] = "Odd".into();
    let mut new = old.clone();
    new["spec"]["replicas"] = 4.into();
    assert!(Rules.validate_update(&new, &old).is_empty());
    assert_eq!(Rules.validate(&new).len(), 1);
}

#[test]
fn the_generation_counts_spec_changes() {
    //
    let mut old = set(json!({}));
    Rules.prepare_create(&mut old);
    old["status"]["replicas"] = 1.into();
    let mut relabelled = old.clone();
    relabelled["metadata"]["labels"] = json!({"x": "y"});
    relabelled["status"]["replicas"] = 7.into();
    Rules.prepare_update(&mut relabelled, &old);
    assert_eq!(
        (
            &relabelled["metadata"]["generation"],
            &relabelled["status"]["replicas"]
        ),
        (&json!(1), &json!(1))
    );
    let mut scaled = old.clone();
    scaled["spec"]["replicas"] = 3.into();
    Rules.prepare_update(&mut scaled, &old);
    assert_eq!(scaled["metadata"]["generation"], 2);
    let mut status = scaled.clone();
    status["status"]["replicas"] = 2.into();
    Rules.prepare_status_update(&mut status, &old);
    assert_eq!(
        (&status["spec"]["replicas"], &status["status"]["replicas"]),
        (&json!(1), &json!(2))
    );
}

#[test]
fn status_counts_fit_each_other() {
    //
    let old = json!({"status": {"replicas": 1, "collisionCount": 2}});
    let new = json!({"status": {"replicas": 1, "readyReplicas": 2, "availableReplicas": 1, "collisionCount": 1}});
    assert_eq!(
        texts(&Rules.validate_status_update(&new, &old)),
        [
            "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
            "status.collisionCount: Invalid value: 1: cannot be decremented"
        ]
    );
}

#[test]
fn warnings_name_template_and_history() {
    //
    let odd = set(
        json!({"revisionHistoryLimit": -1, "template": {"spec": {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}}}),
    );
    assert_eq!(
        Rules.warnings(&odd, None),
        [
            "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
        ]
    );
}

#[test]
fn the_feature_gated_field_is_dropped() {
    let mut new = set(json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}}));
    let stored = new.clone();
    Rules.prepare_create(&mut new);
    assert_eq!(
        new["spec"]["updateStrategy"]["rollingUpdate"],
        json!({"partition": 0})
    );
    let mut kept = stored.clone();
    Rules.prepare_update(&mut kept, &stored);
    assert_eq!(
        kept["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"],
        0
    );
}

#[test]
fn the_row_counts_ready_pods() {
    let mut web = set(json!({"replicas": 3}));
    web["status"]["readyReplicas"] = 2.into();
    assert_eq!(
        Value::from(Rules.row(&web, Timestamp::UNIX_EPOCH)),
        json!(["web", "2/3", "<unknown>", "c", "img:1"])
    );
}
