//! Where pods go, and in which words they do not: worlds in YAML, decisions as text.

use std::sync::Arc;

use k8s_openapi::api::{
    core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod},
    storage::v1::StorageClass,
};
use kube::ResourceExt;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    claims::Storage,
    cluster::Cluster,
    plan::{Decision, plan},
    volumes::Binding,
};

/// Lists of objects in short form: see [`complete`].
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct World {
    nodes: Vec<Value>,
    pods: Vec<Value>,
    claims: Vec<Value>,
    volumes: Vec<Value>,
    classes: Vec<Value>,
}

struct Shelf {
    claims: Vec<Arc<PersistentVolumeClaim>>,
    volumes: Vec<Arc<PersistentVolume>>,
    classes: Vec<Arc<StorageClass>>,
}

impl Storage for Shelf {
    fn claim(&self, _: &str, name: &str) -> Option<Arc<PersistentVolumeClaim>> {
        self.claims.iter().find(|c| c.name_any() == name).cloned()
    }
    fn volume(&self, name: &str) -> Option<Arc<PersistentVolume>> {
        self.volumes.iter().find(|v| v.name_any() == name).cloned()
    }
    fn class(&self, name: &str) -> Option<Arc<StorageClass>> {
        self.classes.iter().find(|c| c.name_any() == name).cloned()
    }
    fn free_volumes(&self) -> Vec<Arc<PersistentVolume>> {
        self.volumes.clone()
    }
}

/// `name` and `labels` stand for the metadata's; the rest is laid over a plain object.
fn complete<K: DeserializeOwned>(short: &Value, plain: Value) -> Arc<K> {
    let mut object = plain;
    let name = &short["name"];
    object["metadata"] = json!({"name": name, "namespace": "ns", "uid": name});
    for (key, value) in short.as_object().expect("an object") {
        match key.as_str() {
            "name" => {}
            "labels" | "annotations" | "deletionTimestamp" => {
                object["metadata"][key] = value.clone();
            }
            _ => overlay(&mut object[key], value),
        }
    }
    let text = object.to_string();
    Arc::new(serde_json::from_value(object).unwrap_or_else(|error| panic!("{error}: {text}")))
}

fn overlay(target: &mut Value, value: &Value) {
    match (target, value) {
        (Value::Object(fields), Value::Object(more)) => {
            for (key, value) in more {
                overlay(fields.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, value) => *target = value.clone(),
    }
}

/// Decides on the pod called `p`; the other pods are placed.
fn decide(yaml: &str) -> String {
    let world: World = serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}"));
    let mut cluster = Cluster::default();
    for short in &world.nodes {
        let mut node =
            json!({"status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "10"}}});
        node["spec"] = json!({});
        let mut node: Arc<Node> = complete(short, node);
        let name = node.name_any();
        let labels = Arc::get_mut(&mut node).expect("ours").labels_mut();
        labels.insert("kubernetes.io/hostname".into(), name);
        cluster.put_node(node);
    }
    let mut wanted = None;
    for short in &world.pods {
        let pod: Arc<Pod> = complete(short, json!({"spec": {"containers": []}}));
        if pod.name_any() == "p" {
            wanted = Some(pod);
        } else {
            cluster.put_pod(&pod);
        }
    }
    let class =
        json!({"provisioner": "example.com/p", "volumeBindingMode": "WaitForFirstConsumer"});
    let claim = json!({"spec": {"storageClassName": "late", "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    let volume = json!({"spec": {"storageClassName": "late", "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"}}, "status": {"phase": "Available"}});
    let shelf = Shelf {
        claims: world
            .claims
            .iter()
            .map(|c| complete(c, claim.clone()))
            .collect(),
        volumes: world
            .volumes
            .iter()
            .map(|v| complete(v, volume.clone()))
            .collect(),
        classes: world
            .classes
            .iter()
            .map(|c| complete(c, class.clone()))
            .collect(),
    };
    match plan(&wanted.expect("a pod p"), &cluster.nodes(), &shelf) {
        Decision::Nowhere(why) => why,
        Decision::Place { node, bindings } => {
            let bindings = bindings.iter().map(|binding| match binding {
                Binding::Promise { volume, claim } => {
                    format!(", promise {} to {}", volume.name_any(), claim.name_any())
                }
                Binding::Provision { claim } => format!(", provision {}", claim.name_any()),
                Binding::Await { claim } => format!(", await {}", claim.name_any()),
            });
            format!("{node}{}", bindings.collect::<String>())
        }
    }
}

/// The part of a refusal before what is said of preemption.
fn refusal(yaml: &str) -> String {
    let text = decide(yaml);
    let (reasons, preemption) = text.split_once(". ").expect("two sentences");
    assert!(
        preemption.starts_with("no new claims to deallocate, preemption: 0/"),
        "{text}"
    );
    reasons.to_owned()
}

#[test]
fn a_pod_without_wishes_goes_to_the_emptiest_node() {
    let world = "
nodes: [{name: a}, {name: b}]
pods:
- {name: other, spec: {nodeName: a, containers: [{name: c, resources: {requests: {cpu: 500m}}}]}}
- {name: p}";
    assert_eq!(decide(world), "b");
}

#[test]
fn finished_pods_take_nothing() {
    let world = "
nodes: [{name: a}]
pods:
- {name: other, status: {phase: Succeeded}, spec: {nodeName: a, containers: [{name: c, resources: {requests: {cpu: 2}}}]}}
- {name: p, spec: {containers: [{name: c, resources: {requests: {cpu: 2}}}]}}";
    assert_eq!(decide(world), "a");
}

/// §4.5: one reason from each node, counted, in text order; then what came of preemption.
#[test]
fn each_node_tells_why_not() {
    let world = "
nodes:
- {name: a, spec: {unschedulable: true}}
- {name: b, spec: {taints: [{key: k, effect: NoSchedule}]}}
- {name: c, labels: {zone: one}}
- {name: d, labels: {zone: two}}
- {name: e, labels: {zone: two}, status: {allocatable: {memory: 1Gi}}}
pods:
- {name: other, spec: {nodeName: d, containers: [{name: c, resources: {requests: {cpu: 1500m}}}]}}
- {name: p, spec: {nodeSelector: {zone: two}, containers: [{name: c, resources: {requests: {cpu: 1, memory: 2Gi}}}]}}";
    assert_eq!(
        decide(world),
        "0/5 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 node(s) didn't match \
         Pod's node affinity/selector, 1 node(s) had untolerated taint(s), 1 node(s) were \
         unschedulable. no new claims to deallocate, preemption: 0/5 nodes are available: 1 No \
         preemption victims found for incoming pod, 4 Preemption is not helpful for scheduling."
    );
    assert_eq!(
        decide("pods: [{name: p}]"),
        "no nodes available to schedule pods"
    );
}

#[test]
fn tolerations_open_tainted_and_cordoned_nodes() {
    for toleration in [
        "{operator: Exists}",
        "{key: k, value: v}",
        "{key: k, operator: Exists, effect: NoSchedule}",
    ] {
        let world = format!(
            "
nodes: [{{name: a, spec: {{taints: [{{key: k, value: v, effect: NoSchedule}}]}}}}]
pods: [{{name: p, spec: {{tolerations: [{toleration}]}}}}]"
        );
        assert_eq!(decide(&world), "a", "{toleration}");
    }
    let world = "
nodes: [{name: a, spec: {unschedulable: true}}]
pods: [{name: p, spec: {tolerations: [{key: node.kubernetes.io/unschedulable, operator: Exists}]}}]";
    assert_eq!(decide(world), "a");
}

#[test]
fn a_node_that_is_not_ready_takes_nothing() {
    let world = "
nodes: [{name: a, status: {conditions: [{type: Ready, status: 'Unknown'}]}}]
pods: [{name: p}]";
    assert_eq!(
        refusal(world),
        "0/1 nodes are available: 1 node(s) had untolerated taint(s)"
    );
}

#[test]
fn affinity_is_required_then_preferred() {
    let world = "
nodes: [{name: a, labels: {disk: hdd}}, {name: b, labels: {disk: ssd}}, {name: c, labels: {disk: ssd, cpus: '8'}}, {name: d}]
pods:
- name: p
  spec:
    affinity:
      nodeAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: In, values: [ssd, nvme]}]}]
        preferredDuringSchedulingIgnoredDuringExecution:
        - {weight: 5, preference: {matchExpressions: [{key: cpus, operator: Gt, values: ['4']}]}}";
    assert_eq!(decide(world), "c");
}

/// Init containers run one after the other, before the others; those that stay count with them.
#[test]
fn init_containers_count_by_their_peak() {
    let pod = |init: &str| {
        format!("
nodes: [{{name: a}}]
pods: [{{name: p, spec: {{initContainers: [{init}], containers: [{{name: c, resources: {{requests: {{cpu: 1}}}}}}]}}}}]")
    };
    let once = "{name: i, resources: {requests: {cpu: 2}}}";
    assert_eq!(decide(&pod(once)), "a");
    let stays = "{name: s, restartPolicy: Always, resources: {requests: {cpu: 1500m}}}";
    assert_eq!(
        refusal(&pod(stays)),
        "0/1 nodes are available: 1 Insufficient cpu"
    );
}

#[test]
fn host_ports_and_pod_slots_run_out() {
    let world = "
nodes: [{name: a}, {name: b, status: {allocatable: {pods: '1'}}}]
pods:
- {name: x, spec: {nodeName: a, containers: [{name: c, ports: [{containerPort: 80, hostPort: 80}]}]}}
- {name: x2, spec: {nodeName: b}}
- {name: p, spec: {containers: [{name: c, ports: [{containerPort: 1, hostPort: 80, hostIP: 10.0.0.1}]}]}}";
    assert_eq!(
        refusal(world),
        "0/2 nodes are available: 1 Too many pods, 1 node(s) didn't have free ports for the requested pod ports"
    );
}

#[test]
fn anti_affinity_keeps_members_apart_both_ways() {
    let rule = "{podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: db}}}]}}";
    let one_free = format!(
        "
nodes: [{{name: a}}, {{name: b}}]
pods:
- {{name: x, labels: {{app: db}}, spec: {{nodeName: b}}}}
- {{name: p, labels: {{app: db}}, spec: {{affinity: {rule}}}}}"
    );
    assert_eq!(decide(&one_free), "a");
    let unwanted = format!(
        "
nodes: [{{name: a}}]
pods:
- {{name: x, spec: {{nodeName: a, affinity: {rule}}}}}
- {{name: p, labels: {{app: db}}}}"
    );
    assert_eq!(
        refusal(&unwanted),
        "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules"
    );
}

#[test]
fn affinity_to_pods_lets_the_first_of_a_kind_go_anywhere() {
    let rule = "{podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: web}}}]}}";
    let pod = |labels: &str, others: &str| {
        format!(
            "
nodes: [{{name: a}}, {{name: b}}]
pods:
{others}
- {{name: p, labels: {labels}, spec: {{affinity: {rule}}}}}"
        )
    };
    assert_eq!(decide(&pod("{app: web}", "")), "a");
    assert_eq!(
        decide(&pod(
            "{}",
            "- {name: x, labels: {app: web}, spec: {nodeName: b}}"
        )),
        "b"
    );
    assert_eq!(
        refusal(&pod("{}", "")),
        "0/2 nodes are available: 2 node(s) didn't match pod affinity rules"
    );
}

const WITH_CLAIM: &str =
    "{name: p, spec: {volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]}}";

#[test]
fn claims_that_are_not_there_yet_are_named() {
    let claim = |claims: &str| {
        refusal(&format!(
            "
nodes: [{{name: a}}]
pods: [{WITH_CLAIM}]
classes: [{{name: now, volumeBindingMode: Immediate}}]
claims: [{claims}]"
        ))
    };
    assert_eq!(
        claim(""),
        "0/1 nodes are available: persistentvolumeclaim \"c\" not found"
    );
    assert_eq!(
        claim("{name: c, deletionTimestamp: '2026-01-01T00:00:00Z'}"),
        "0/1 nodes are available: persistentvolumeclaim \"c\" is being deleted"
    );
    assert_eq!(
        claim("{name: c, spec: {storageClassName: now}}"),
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims"
    );
}

const ON_B: &str = "nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [b]}]}]}}";

#[test]
fn a_pod_follows_its_volume() {
    let world = |nodes: &str, volume: &str| {
        format!("
nodes: [{nodes}]
pods: [{WITH_CLAIM}]
claims: [{{name: c, annotations: {{pv.kubernetes.io/bind-completed: 'yes'}}, spec: {{volumeName: v}}}}]
volumes: [{{name: {volume}, spec: {{{ON_B}}}}}]")
    };
    assert_eq!(decide(&world("{name: a}, {name: b}", "v")), "b");
    assert_eq!(
        refusal(&world("{name: a}", "v")),
        "0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity"
    );
    assert_eq!(
        refusal(&world("{name: a}", "other")),
        "0/1 nodes are available: 1 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
    );
}

/// V-2, V-11: the smallest volume that suffices, on a node that reaches it; else a new one.
#[test]
fn a_delayed_claim_is_promised_a_volume_or_one_is_made() {
    let world = |class: &str, volumes: &str| {
        format!(
            "
nodes: [{{name: a}}, {{name: b}}]
pods: [{WITH_CLAIM}]
classes: [{class}]
claims: [{{name: c}}]
volumes: [{volumes}]"
        )
    };
    let volumes = "
  {name: large, spec: {capacity: {storage: 9Gi}}}, {name: small, spec: {capacity: {storage: 1Mi}}},
  {name: fits, spec: {capacity: {storage: 2Gi}}}, {name: other-class, spec: {storageClassName: x}},
  {name: taken, spec: {claimRef: {namespace: ns, name: else}}}, {name: bound, status: {phase: Bound}}";
    assert_eq!(
        decide(&world("{name: late}", volumes)),
        "a, promise fits to c"
    );
    let on_b = format!("{{name: v, spec: {{{ON_B}}}}}");
    assert_eq!(decide(&world("{name: late}", &on_b)), "b, promise v to c");
    assert_eq!(decide(&world("{name: late}", "")), "a, provision c");
    let by_name = "{name: v, spec: {claimRef: {namespace: ns, name: c}}}";
    assert_eq!(decide(&world("{name: late}", by_name)), "a, await c");
    assert_eq!(
        refusal(&world(
            "{name: late, provisioner: kubernetes.io/no-provisioner}",
            ""
        )),
        "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind"
    );
}

#[test]
fn a_selected_node_is_kept_while_the_volume_is_made() {
    let world = "
nodes: [{name: a}, {name: b}]
pods: [{name: p, spec: {volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]}}]
classes: [{name: late}]
claims: [{name: c, annotations: {volume.kubernetes.io/selected-node: b}}]";
    assert_eq!(decide(world), "b, await c");
}

#[test]
fn two_claims_of_a_pod_take_two_volumes() {
    let world = "
nodes: [{name: a}]
pods: [{name: p, spec: {volumes: [{name: v, persistentVolumeClaim: {claimName: c}}, {name: w, persistentVolumeClaim: {claimName: d}}]}}]
classes: [{name: late, provisioner: kubernetes.io/no-provisioner}]
claims: [{name: c}, {name: d, spec: {resources: {requests: {storage: 1Mi}}}}]
volumes: [{name: v1}, {name: v2, spec: {capacity: {storage: 5Gi}}}]";
    assert_eq!(decide(world), "a, promise v1 to d, promise v2 to c");
}
