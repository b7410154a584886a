//! Writes `crates/api/src/schema/generated.rs`: the facts of the published Kubernetes schema (names, types, required
//! fields, list and map kinds, keys, patch strategies) as one static table. No description is taken over.
//!
//! The source is the PyPI package `kubernetes-validate`, which carries the definitions of every minor version.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

const PACKAGE: &str = "kubernetes-validate==1.37.0";
const DEFINITIONS: &str =
    "kubernetes_validate/kubernetes-json-schema/v1.36.0-local/_definitions.json";
const OUTPUT: &str = "crates/api/src/schema/generated.rs";

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "$defs")]
    definitions: BTreeMap<String, Definition>,
}

#[derive(Deserialize)]
struct Definition {
    #[serde(default)]
    properties: BTreeMap<String, Shape>,
    #[serde(default)]
    required: BTreeSet<String>,
    #[serde(default, rename = "x-kubernetes-group-version-kind")]
    gvks: Vec<GroupVersionKind>,
    #[serde(default, rename = "x-kubernetes-map-type")]
    map_type: Option<String>,
}

#[derive(Deserialize)]
struct GroupVersionKind {
    group: String,
    version: String,
    kind: String,
}

#[derive(Deserialize)]
struct Shape {
    #[serde(default, rename = "$ref")]
    reference: Option<String>,
    #[serde(default, rename = "type")]
    ty: Option<Names>,
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    items: Option<Box<Shape>>,
    #[serde(default, rename = "additionalProperties")]
    values: Option<Box<Shape>>,
    #[serde(default, rename = "x-kubernetes-list-type")]
    list_type: Option<String>,
    #[serde(default, rename = "x-kubernetes-list-map-keys")]
    list_map_keys: Vec<String>,
    #[serde(default, rename = "x-kubernetes-map-type")]
    map_type: Option<String>,
    #[serde(default, rename = "x-kubernetes-patch-strategy")]
    patch_strategy: Option<String>,
    #[serde(default, rename = "x-kubernetes-patch-merge-key")]
    patch_merge_key: Option<String>,
}

/// JSON Schema allows one type name or a list of them; the package writes `["string", "null"]` for optional fields.
#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Several(Vec<String>),
}

/// Reads the definitions (downloading the package when no file is given) and writes the table.
pub(crate) fn run(file: Option<&str>) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the xtask folder has no parent")?;
    let path = match file {
        Some(file) => PathBuf::from(file),
        None => download(&root.join("target/xtask-schema"))?,
    };
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let document: Document =
        serde_json::from_str(&text).with_context(|| format!("parsing {}", path.display()))?;
    let output = root.join(OUTPUT);
    std::fs::write(&output, print(&document.definitions)?)
        .with_context(|| format!("writing {}", output.display()))?;
    println!("wrote {}", output.display());
    Ok(())
}

fn download(folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    execute(
        Command::new("pip")
            .args(["download", "--no-deps", "--dest"])
            .arg(folder)
            .arg(PACKAGE),
    )?;
    let wheel = std::fs::read_dir(folder)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip downloaded no wheel")?;
    execute(
        Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .arg(wheel)
            .arg(folder),
    )?;
    Ok(folder.join(DEFINITIONS))
}

fn execute(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("starting {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// Kinds of generally available versions are roots; so is everything of meta/v1, which has no version in its group.
fn is_root(name: &str, definition: &Definition) -> bool {
    let general = |version: &str| {
        version
            .strip_prefix('v')
            .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
    };
    let package_version = name.rsplit('.').nth(1).unwrap_or_default();
    name.starts_with("io.k8s.apimachinery.pkg.apis.meta.v1.")
        || name == "io.k8s.apimachinery.pkg.version.Info"
        || (!definition.gvks.is_empty() && general(package_version))
}

fn target(shape: &Shape) -> Option<&str> {
    shape
        .reference
        .as_deref()
        .map(|reference| reference.trim_start_matches("#/$defs/"))
}

fn reach<'a>(
    definitions: &'a BTreeMap<String, Definition>,
    shape: &'a Shape,
    todo: &mut Vec<&'a str>,
) {
    if let Some((name, _)) = target(shape).and_then(|name| definitions.get_key_value(name)) {
        todo.push(name);
    }
    for inner in [&shape.items, &shape.values].into_iter().flatten() {
        reach(definitions, inner, todo);
    }
}

fn print(definitions: &BTreeMap<String, Definition>) -> Result<String> {
    let mut todo: Vec<&str> = definitions
        .iter()
        .filter(|(name, d)| is_root(name, d))
        .map(|(name, _)| name.as_str())
        .collect();
    let mut reached = BTreeSet::new();
    while let Some(name) = todo.pop() {
        if special(name).is_none() && reached.insert(name) {
            for shape in definitions[name].properties.values() {
                reach(definitions, shape, &mut todo);
            }
        }
    }
    let idents = idents(&reached)?;

    let mut out = String::from(
        "//! The schema table. Written by `cargo run -p xtask -- gen-schema`; not edited by hand.\n\n\
         #![allow(clippy::all, clippy::pedantic)]\n\n\
         use super::Type::*;\nuse super::{Gvk, TypeSchema, f, t};\n\n\
         pub(super) static KINDS: &[(Gvk, &TypeSchema)] = &[\n",
    );
    let mut kinds = BTreeMap::new();
    for name in &reached {
        // Types that all groups share, such as DeleteOptions, are found under the core group.
        let gvks = definitions[*name].gvks.as_slice();
        if let Some(gvk) = gvks
            .iter()
            .find(|gvk| gvks.len() == 1 || (gvk.group.is_empty() && gvk.version == "v1"))
        {
            kinds.insert((&gvk.group, &gvk.version, &gvk.kind), &idents[name]);
        }
    }
    for ((group, version, kind), ident) in kinds {
        writeln!(out, "(Gvk::of({group:?},{version:?},{kind:?}),&{ident}),")?;
    }
    out.push_str("];\n\npub(super) static TYPES: &[&TypeSchema] = &[\n");
    for name in &reached {
        writeln!(out, "&{},", idents[name])?;
    }
    out.push_str("];\n");
    for name in &reached {
        let definition = &definitions[*name];
        let ident = &idents[name];
        write!(out, "\nstatic {ident}: TypeSchema = t({name:?}, &[")?;
        for (field, shape) in &definition.properties {
            let ty = ty(shape, &idents).with_context(|| format!("field {field} of {name}"))?;
            write!(out, "\nf({field:?},{ty})")?;
            if definition.required.contains(field) {
                out.push_str(".required()");
            }
            attributes(&mut out, shape).with_context(|| format!("field {field} of {name}"))?;
            out.push(',');
        }
        out.push_str("])");
        if let [gvk] = definition.gvks.as_slice() {
            write!(
                out,
                ".kind({:?},{:?},{:?})",
                gvk.group, gvk.version, gvk.kind
            )?;
        }
        if definition.map_type.as_deref() == Some("atomic") {
            out.push_str(".atomic()");
        }
        out.push_str(";\n");
    }
    Ok(out)
}

fn attributes(out: &mut String, shape: &Shape) -> Result<()> {
    match (shape.list_type.as_deref(), shape.map_type.as_deref()) {
        (None, None) => {}
        (None, Some("granular")) => out.push_str(".granular()"),
        (Some("atomic"), None) | (None, Some("atomic")) => out.push_str(".atomic()"),
        (Some("set"), None) => out.push_str(".set()"),
        (Some("map"), None) => write!(out, ".keyed(&{:?})", shape.list_map_keys)?,
        other => bail!("unknown list or map type {other:?}"),
    }
    match shape.patch_strategy.as_deref() {
        None => {}
        Some("replace") => out.push_str(".replace()"),
        Some("merge") => out.push_str(".merge()"),
        Some("retainKeys") => out.push_str(".retain_keys()"),
        Some("merge,retainKeys") => out.push_str(".merge().retain_keys()"),
        Some(other) => bail!("unknown patch strategy {other:?}"),
    }
    if let Some(key) = &shape.patch_merge_key {
        write!(out, ".merge_key({key:?})")?;
    }
    Ok(())
}

/// Definitions whose JSON is not an object of their fields.
fn special(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "Quantity" => "Quantity",
        "IntOrString" => "IntOrString",
        "Time" => "Time",
        "MicroTime" => "MicroTime",
        "RawExtension" => "RawObject",
        "FieldsV1" => "Fields",
        "JSON"
        | "JSONSchemaPropsOrArray"
        | "JSONSchemaPropsOrBool"
        | "JSONSchemaPropsOrStringArray" => "Any",
        _ => return None,
    })
}

fn ty(shape: &Shape, idents: &BTreeMap<&str, String>) -> Result<String> {
    if let Some(name) = target(shape) {
        return match special(name) {
            Some(special) => Ok(special.to_owned()),
            None => Ok(format!(
                "Object(&{})",
                idents
                    .get(name)
                    .with_context(|| format!("{name} is not defined"))?
            )),
        };
    }
    let name = match &shape.ty {
        Some(Names::One(name)) => name,
        Some(Names::Several(names)) => names
            .iter()
            .find(|name| *name != "null")
            .context("only null is allowed")?,
        None => bail!("neither a type nor a reference"),
    };
    Ok(match (name.as_str(), shape.format.as_deref()) {
        ("string", None) => "Str".to_owned(),
        ("string", Some("byte")) => "Bytes".to_owned(),
        ("integer", Some("int32")) => "Int32".to_owned(),
        ("integer", Some("int64")) => "Int64".to_owned(),
        ("number", Some("double")) => "Float".to_owned(),
        ("boolean", None) => "Bool".to_owned(),
        ("array", None) => format!(
            "List(&{})",
            ty(
                shape.items.as_deref().context("a list without items")?,
                idents
            )?
        ),
        ("object", None) => match shape.values.as_deref() {
            Some(values) => format!("Map(&{})", ty(values, idents)?),
            None => "Any".to_owned(),
        },
        other => bail!("unknown type {other:?}"),
    })
}

/// `io.k8s.api.apps.v1.StatefulSet` becomes `APPS_V1_STATEFULSET`: the last three parts are unique.
fn idents<'a>(names: &BTreeSet<&'a str>) -> Result<BTreeMap<&'a str, String>> {
    let mut seen = BTreeSet::new();
    let mut idents = BTreeMap::new();
    for name in names {
        let mut parts: Vec<&str> = name.rsplit('.').take(3).collect();
        parts.reverse();
        let ident = parts.join("_").to_uppercase().replace('-', "_");
        ensure!(
            seen.insert(ident.clone()),
            "two definitions are called {ident}"
        );
        idents.insert(*name, ident);
    }
    Ok(idents)
}
