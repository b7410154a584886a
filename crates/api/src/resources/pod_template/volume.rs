//! Validation of a pod's volumes.

use std::collections::HashSet;

use serde_json::Value;

use super::defaults::SOURCES;
use super::env::downward_items;
use crate::field::{FieldError, Path};
use crate::resources::checks::{amount, label, one_of};
use crate::resources::object::{given, list, text};

const PROJECTIONS: [&str; 6] = [
    "secret",
    "downwardAPI",
    "configMap",
    "serviceAccountToken",
    "clusterTrustBundle",
    "podCertificate",
];
const HOST_PATH_TYPES: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];

/// The volumes of a spec.
pub(super) fn validate_volumes(spec: &Value, path: &Path) -> Vec<FieldError> {
    let path = path.child("volumes");
    let (mut errors, mut seen) = (Vec::new(), HashSet::new());
    for (index, volume) in list(spec, "volumes").iter().enumerate() {
        let at = path.index(index);
        errors.extend(source(volume, &at));
        errors.extend(label(volume, "name", &at));
        let name = text(volume, "name");
        if !name.is_empty() && !seen.insert(name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
    }
    errors
}

fn source(volume: &Value, path: &Path) -> Vec<FieldError> {
    let (mut errors, mut sources) = (Vec::new(), 0);
    for kind in SOURCES.iter().filter(|kind| given(volume, kind)) {
        let at = path.child(kind);
        sources += 1;
        if sources > 1 {
            errors.push(FieldError::forbidden(
                &at,
                "may not specify more than 1 volume type",
            ));
            continue;
        }
        let source = &volume[*kind];
        match *kind {
            "emptyDir" => {
                let fault = amount(&source["sizeLimit"], &at.child("sizeLimit"), false);
                let detail = "SizeLimit field must be a valid resource quantity";
                errors.extend(fault.map(|_| FieldError::forbidden(&at.child("sizeLimit"), detail)));
            }
            "hostPath" => errors.extend(host_path(source, &at)),
            "secret" => {
                errors.extend(required(source, "secretName", &at));
                errors.extend(modes_and_items(source, &at));
            }
            "configMap" => {
                errors.extend(required(source, "name", &at));
                errors.extend(modes_and_items(source, &at));
            }
            "persistentVolumeClaim" => errors.extend(required(source, "claimName", &at)),
            "nfs" => {
                errors.extend(required(source, "server", &at));
                errors.extend(required(source, "path", &at));
            }
            "downwardAPI" => {
                errors.extend(mode(source, "defaultMode", &at));
                errors.extend(downward_items(source, &at));
            }
            "projected" => errors.extend(projected(source, &at)),
            "csi" => errors.extend(required(source, "driver", &at)),
            "ephemeral" => {
                let at = at.child("volumeClaimTemplate");
                if given(source, "volumeClaimTemplate") {
                    let spec = &source["volumeClaimTemplate"]["spec"];
                    let claim = super::super::core::persistentvolumeclaim::validate_spec(
                        spec,
                        &at.child("spec"),
                    );
                    errors.extend(claim);
                } else {
                    errors.push(FieldError::required(&at, ""));
                }
            }
            _ => {}
        }
    }
    if sources == 0 {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    errors
}

fn required(source: &Value, field: &str, path: &Path) -> Option<FieldError> {
    text(source, field)
        .is_empty()
        .then(|| FieldError::required(&path.child(field), ""))
}

/// A directory or file of the node.
pub(crate) fn host_path(source: &Value, path: &Path) -> Vec<FieldError> {
    let (target, at) = (text(source, "path"), path.child("path"));
    if target.is_empty() {
        return vec![FieldError::required(&at, "")];
    }
    let mut errors: Vec<_> = no_steps_back(target, &at).into_iter().collect();
    errors.extend(one_of(source, "type", path, &HOST_PATH_TYPES, true));
    errors
}

fn no_steps_back(target: &str, path: &Path) -> Option<FieldError> {
    target
        .split('/')
        .any(|part| part == "..")
        .then(|| FieldError::invalid(path, target, "must not contain '..'"))
}

/// A path inside a volume, when given.
pub(super) fn relative_path(target: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if target.starts_with('/') {
        errors.push(FieldError::invalid(path, target, "must be a relative path"));
    }
    errors.extend(no_steps_back(target, path));
    errors
}

/// The path of a file that a volume projects.
pub(super) fn file_path(target: &str, path: &Path) -> Vec<FieldError> {
    if target.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let mut errors = relative_path(target, path);
    if errors.is_empty() && target.starts_with("..") {
        errors.push(FieldError::invalid(
            path,
            target,
            "must not start with '..'",
        ));
    }
    errors
}

fn mode(source: &Value, field: &str, path: &Path) -> Option<FieldError> {
    let mode = source[field].as_i64()?;
    let detail = "must be a number between 0 and 0777 (octal), both inclusive";
    (!(0..=0o777).contains(&mode)).then(|| FieldError::invalid(&path.child(field), mode, detail))
}

fn modes_and_items(source: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<_> = mode(source, "defaultMode", path).into_iter().collect();
    for (index, item) in list(source, "items").iter().enumerate() {
        let at = path.child("items").index(index);
        errors.extend(required(item, "key", &at));
        errors.extend(file_path(text(item, "path"), &at.child("path")));
        errors.extend(mode(item, "mode", &at));
    }
    errors
}

fn projected(projected: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<_> = mode(projected, "defaultMode", path).into_iter().collect();
    for (index, source) in list(projected, "sources").iter().enumerate() {
        let at = path.child("sources").index(index);
        let mut kinds = 0;
        for kind in PROJECTIONS.iter().filter(|kind| given(source, kind)) {
            let (at, source) = (at.child(kind), &source[*kind]);
            kinds += 1;
            if kinds > 1 {
                errors.push(FieldError::forbidden(
                    &at,
                    "may not specify more than 1 volume type",
                ));
                continue;
            }
            match *kind {
                "secret" | "configMap" => {
                    errors.extend(required(source, "name", &at));
                    errors.extend(modes_and_items(source, &at));
                }
                "downwardAPI" => errors.extend(downward_items(source, &at)),
                "serviceAccountToken" => errors.extend(token(source, &at)),
                _ => {}
            }
        }
        if kinds == 0 {
            let detail = "must specify a volume type";
            errors.push(FieldError::required(&at, detail));
        }
    }
    errors
}

fn token(source: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (seconds, at) = (
        source["expirationSeconds"].as_i64().unwrap_or(3600),
        path.child("expirationSeconds"),
    );
    if seconds < 600 {
        errors.push(FieldError::invalid(
            &at,
            seconds,
            "may not specify a duration less than 10 minutes",
        ));
    }
    if seconds > i64::from(u32::MAX) {
        errors.push(FieldError::invalid(
            &at,
            seconds,
            "may not specify a duration larger than 2^32 seconds",
        ));
    }
    errors.extend(file_path(text(source, "path"), &path.child("path")));
    errors
}

/// The names a mount may use: the volumes of a spec.
pub(super) fn names_of(spec: &Value) -> HashSet<&str> {
    list(spec, "volumes")
        .iter()
        .map(|volume| text(volume, "name"))
        .collect()
}
