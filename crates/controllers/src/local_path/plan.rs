//! Decides which local-path volume to make or delete. Pure: no clock, no I/O. (V-13, V-24, V-30..V-35)

use std::path::Path;

use k8s_openapi::{
    api::{
        core::v1::{
            HostPathVolumeSource, LocalVolumeSource, Node, NodeSelector, NodeSelectorRequirement,
            NodeSelectorTerm, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec,
            VolumeNodeAffinity,
        },
        storage::v1::StorageClass,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;

use super::{CLASS, FINALIZER, PROVISIONER, VOLUME_NODE};
use crate::{
    volume_binder::{
        names::{DEFAULT_CLASS, PROVISIONED_BY, SELECTED_NODE, STORAGE_PROVISIONER},
        reference, volume_phase,
    },
    writes::{annotation, has_finalizer, is_terminating},
};

/// The default class of a new cluster.
pub(crate) fn storage_class() -> StorageClass {
    StorageClass {
        metadata: ObjectMeta {
            name: Some(CLASS.to_owned()),
            annotations: Some([(DEFAULT_CLASS.to_owned(), "true".to_owned())].into()),
            ..ObjectMeta::default()
        },
        provisioner: PROVISIONER.to_owned(),
        reclaim_policy: Some("Delete".to_owned()),
        volume_binding_mode: Some("WaitForFirstConsumer".to_owned()),
        ..StorageClass::default()
    }
}

/// What is known of one claim.
pub(crate) struct ClaimWorld<'a> {
    /// The claim.
    pub(crate) claim: &'a PersistentVolumeClaim,
    /// The class it names, if it exists.
    pub(crate) class: Option<&'a StorageClass>,
    /// The node the scheduler chose, if it exists.
    pub(crate) node: Option<&'a Node>,
    /// Whether the volume of [`volume_name`] exists.
    pub(crate) volume_exists: bool,
    /// Where this process makes directories.
    pub(crate) base: &'a Path,
    /// The node this process runs on.
    pub(crate) our_node: &'a str,
}

/// What to do for a claim.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Provisioning {
    /// Not ours, not yet, or done.
    Nothing,
    /// The claim asks for what directories cannot give; the text tells what.
    Refuse(String),
    /// The chosen node does not exist: the scheduler must choose again (V-13).
    ChooseAgain(Box<PersistentVolumeClaim>),
    /// Make the directory of that name, then the volume.
    Make {
        /// Name of the directory below the base.
        directory: String,
        /// The volume to create.
        volume: Box<PersistentVolume>,
    },
}

/// The name of the volume made for a claim: the same however often it is tried (V-13).
pub(crate) fn volume_name(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", claim.uid().unwrap_or_default())
}

/// What a claim needs of this provisioner, on this node.
pub(crate) fn plan_claim(world: &ClaimWorld<'_>) -> Provisioning {
    let claim = world.claim;
    let bound = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_name.as_deref())
        .unwrap_or_default();
    let asked = annotation(claim, STORAGE_PROVISIONER) == Some(PROVISIONER);
    let Some(class) = world.class.filter(|class| class.provisioner == PROVISIONER) else {
        return Provisioning::Nothing;
    };
    if !asked || !bound.is_empty() || is_terminating(claim) || world.volume_exists {
        return Provisioning::Nothing;
    }
    let Some(selected) = annotation(claim, SELECTED_NODE) else {
        if class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer") {
            return Provisioning::Nothing;
        }
        return Provisioning::Refuse("configuration error, no node was specified".to_owned());
    };
    let Some(node) = world.node else {
        let mut claim = claim.clone();
        claim.annotations_mut().remove(SELECTED_NODE);
        return Provisioning::ChooseAgain(Box::new(claim));
    };
    if selected != world.our_node {
        return Provisioning::Nothing;
    }
    if let Some(why) = refusal(claim, class) {
        return Provisioning::Refuse(why);
    }
    let directory = format!(
        "{}_{}_{}",
        volume_name(claim),
        claim.namespace().unwrap_or_default(),
        claim.name_any()
    );
    let volume = Box::new(volume(world, class, node, &directory));
    Provisioning::Make { directory, volume }
}

/// V-32.
fn refusal(claim: &PersistentVolumeClaim, class: &StorageClass) -> Option<String> {
    let spec = claim.spec.as_ref()?;
    if spec.selector.is_some() {
        return Some("claim.Spec.Selector is not supported".to_owned());
    }
    let modes = spec.access_modes.iter().flatten();
    if modes
        .into_iter()
        .any(|mode| mode != "ReadWriteOnce" && mode != "ReadWriteOncePod")
    {
        return Some(
            "NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes"
                .to_owned(),
        );
    }
    if spec.volume_mode.as_deref() == Some("Block") {
        return Some("block volumes are not supported".to_owned());
    }
    let unknown = class.parameters.iter().flatten().next();
    unknown.map(|(name, _)| format!("storage class parameter \"{name}\" is not supported"))
}

fn volume(
    world: &ClaimWorld<'_>,
    class: &StorageClass,
    node: &Node,
    directory: &str,
) -> PersistentVolume {
    let claim = world.claim;
    let spec = claim.spec.clone().unwrap_or_default();
    let path = world.base.join(directory).to_string_lossy().into_owned();
    let wants_local = annotation(claim, "volumeType")
        .or_else(|| annotation(class, "defaultVolumeType"))
        == Some("local");
    let policy = class
        .reclaim_policy
        .clone()
        .unwrap_or_else(|| "Delete".to_owned());
    let requests = spec
        .resources
        .and_then(|resources| resources.requests)
        .unwrap_or_default();
    PersistentVolume {
        metadata: ObjectMeta {
            name: Some(volume_name(claim)),
            annotations: Some(
                [(PROVISIONED_BY, PROVISIONER), (VOLUME_NODE, world.our_node)]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            finalizers: (policy == "Delete").then(|| vec![FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes,
            capacity: Some(
                requests
                    .into_iter()
                    .filter(|(name, _)| name == "storage")
                    .collect(),
            ),
            claim_ref: Some(reference(claim)),
            host_path: (!wants_local).then(|| HostPathVolumeSource {
                path: path.clone(),
                type_: Some("DirectoryOrCreate".to_owned()),
            }),
            local: wants_local.then(|| LocalVolumeSource {
                path: path.clone(),
                fs_type: None,
            }),
            mount_options: class.mount_options.clone(),
            node_affinity: Some(on_node(node)),
            persistent_volume_reclaim_policy: Some(policy),
            storage_class_name: Some(class.name_any()),
            volume_mode: Some("Filesystem".to_owned()),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    }
}

/// The data is on that node and nowhere else (V-36).
fn on_node(node: &Node) -> VolumeNodeAffinity {
    const HOSTNAME: &str = "kubernetes.io/hostname";
    let value = node
        .labels()
        .get(HOSTNAME)
        .cloned()
        .unwrap_or_else(|| node.name_any());
    let term = NodeSelectorTerm {
        match_expressions: Some(vec![NodeSelectorRequirement {
            key: HOSTNAME.to_owned(),
            operator: "In".to_owned(),
            values: Some(vec![value]),
        }]),
        match_fields: None,
    };
    VolumeNodeAffinity {
        required: Some(NodeSelector {
            node_selector_terms: vec![term],
        }),
    }
}

/// What to do for a volume.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Deletion {
    /// Not ours, or still wanted.
    Nothing,
    /// The finalizer follows the reclaim policy, which may be edited at any time (V-21, V-24).
    Update(Box<PersistentVolume>),
    /// Remove the data, if it is on this node, then the volume (V-35).
    Delete {
        /// The directory to remove; `None` when its node is gone and the data with it.
        path: Option<String>,
    },
}

/// What a volume needs of this provisioner, on this node. `node_exists` is about the volume's node.
pub(crate) fn plan_volume(
    volume: &PersistentVolume,
    node_exists: bool,
    our_node: &str,
) -> Deletion {
    if annotation(volume, PROVISIONED_BY) != Some(PROVISIONER) {
        return Deletion::Nothing;
    }
    let Some(spec) = &volume.spec else {
        return Deletion::Nothing;
    };
    let deletes = spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete");
    let marked = has_finalizer(volume, FINALIZER);
    if deletes && volume_phase(volume) == "Released" {
        let here = annotation(volume, VOLUME_NODE) == Some(our_node);
        return match (here, node_exists) {
            (true, _) => Deletion::Delete {
                path: path(spec).map(str::to_owned),
            },
            (false, true) => Deletion::Nothing,
            (false, false) => Deletion::Delete { path: None },
        };
    }
    if deletes == marked || (deletes && is_terminating(volume)) {
        return Deletion::Nothing;
    }
    let mut volume = volume.clone();
    if deletes {
        volume.finalizers_mut().push(FINALIZER.to_owned());
    } else {
        volume
            .finalizers_mut()
            .retain(|finalizer| finalizer != FINALIZER);
    }
    Deletion::Update(Box::new(volume))
}

fn path(spec: &PersistentVolumeSpec) -> Option<&str> {
    let host = spec.host_path.as_ref().map(|source| source.path.as_str());
    host.or_else(|| spec.local.as_ref().map(|source| source.path.as_str()))
}
