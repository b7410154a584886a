//! Images come in from every kind of archive and go out again unchanged.

use std::fs;

use plinth_runtime::{ImageConfig, ImageError, ImageStore};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::{
    Fixture, Tar, archive, blob_path, config, descriptor, digest, gzip, manifest,
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const HOST: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};
const FOREIGN: &str = if cfg!(target_arch = "aarch64") {
    "amd64"
} else {
    "arm64"
};

fn layer() -> Vec<u8> {
    Tar::new().dir("w").file("w/hello", "hello").finish()
}

fn index(entries: &[Value]) -> Vec<u8> {
    serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": entries})).unwrap()
}

fn docker_save(tag: &str) -> Vec<u8> {
    let (layer, config) = (layer(), config(HOST, &[&layer()]));
    let name = format!("{}.json", hex(&config));
    let manifest =
        json!([{"Config": name, "RepoTags": [tag], "Layers": ["x/layer.tar"]}]).to_string();
    archive(&[
        ("x/layer.tar", &layer),
        (&name, &config),
        ("manifest.json", manifest.as_bytes()),
    ])
}

fn hex(bytes: &[u8]) -> String {
    digest(bytes)["sha256:".len()..].to_owned()
}

#[test]
fn docker_save_archives_are_imported_plain_and_compressed() {
    let plain = docker_save("kubia:v1");
    for archive in [
        gzip(&plain),
        zstd::encode_all(plain.as_slice(), 1).unwrap(),
        plain,
    ] {
        let fixture = Fixture::new();
        let images = fixture.store.import(archive.as_slice()).unwrap();
        assert_eq!(images.len(), 1);
        let image = fixture.store.resolve("kubia:v1").unwrap().unwrap();
        assert_eq!(image, images[0]);
        assert_eq!(image.id, digest(&config(HOST, &[&layer()])));
        assert_eq!(image.names, ["docker.io/library/kubia:v1"]);
        assert_eq!(image.size, 5);
        let config = &image.config;
        assert_eq!(
            config.env,
            [("PATH".into(), "/bin".into()), ("A".into(), "1".into())]
        );
        assert_eq!(
            (
                config.cmd.as_slice(),
                config.working_dir.as_deref(),
                config.user.as_deref()
            ),
            (["/run".to_owned()].as_slice(), Some("/w"), Some("7"))
        );
        assert!(config.exposed_ports.contains("80/tcp"));
        let root = fixture.store.lower_dirs(&image).unwrap().remove(0);
        assert_eq!(fs::read_to_string(root.join("w/hello")).unwrap(), "hello");
    }
}

#[test]
fn a_layer_that_older_docker_links_to_is_found() {
    let (layer, config) = (layer(), config(HOST, &[&layer(), &layer()]));
    let manifest = br#"[{"Config":"c","RepoTags":null,"Layers":["a/layer.tar","b/layer.tar"]}]"#;
    let tar = Tar::new()
        .raw("a/layer.tar", tar::EntryType::Regular, "", &layer, |_| {})
        .symlink("b/layer.tar", "../a/layer.tar")
        .raw("c", tar::EntryType::Regular, "", &config, |_| {})
        .raw(
            "manifest.json",
            tar::EntryType::Regular,
            "",
            manifest,
            |_| {},
        )
        .finish();
    let image = Fixture::new()
        .store
        .import(tar.as_slice())
        .unwrap()
        .remove(0);
    assert_eq!((image.names.len(), image.layers.len()), (0, 2));
}

#[test]
fn an_oci_index_gives_the_image_of_this_machine() {
    let (mine, other) = (config(HOST, &[&layer()]), config(FOREIGN, &[&layer()]));
    let packed = gzip(&layer());
    let (mine_manifest, other_manifest) =
        (manifest(&mine, &[&packed]), manifest(&other, &[&packed]));
    let with_platform = |bytes: &[u8], architecture: &str, os: &str| {
        let mut entry = descriptor(MANIFEST, bytes);
        entry["platform"] = json!({"architecture": architecture, "os": os});
        entry
    };
    let platforms = index(&[
        with_platform(b"attestation", "unknown", "unknown"),
        with_platform(&other_manifest, FOREIGN, "linux"),
        with_platform(&mine_manifest, HOST, "linux"),
    ]);
    let mut entry = descriptor("application/vnd.oci.image.index.v1+json", &platforms);
    entry["annotations"] = json!({"io.containerd.image.name": "docker.io/library/multi:2", "org.opencontainers.image.ref.name": "2"});
    let top = index(&[entry]);
    let members: Vec<(String, &[u8])> = vec![
        ("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json".into(), &top),
        (blob_path(&platforms), &platforms),
        (blob_path(&mine_manifest), &mine_manifest),
        (blob_path(&other_manifest), &other_manifest),
        (blob_path(&mine), &mine),
        (blob_path(&other), &other),
        (blob_path(&packed), &packed),
    ];
    let by_ref: Vec<(&str, &[u8])> = members
        .iter()
        .map(|(name, bytes)| (name.as_str(), *bytes))
        .collect();
    let fixture = Fixture::new();
    fixture.store.import(archive(&by_ref).as_slice()).unwrap();
    let image = fixture.store.resolve("multi:2").unwrap().unwrap();
    assert_eq!(image.id, digest(&mine));
    assert_eq!(
        fixture
            .store
            .resolve(&image.digests[0])
            .unwrap()
            .unwrap()
            .id,
        image.id
    );

    // The same as a directory.
    let layout = TempDir::new().unwrap();
    fs::create_dir_all(layout.path().join("blobs/sha256")).unwrap();
    for (name, bytes) in &members {
        fs::write(layout.path().join(name), bytes).unwrap();
    }
    let fixture = Fixture::new();
    assert_eq!(
        fixture.store.import_path(layout.path()).unwrap()[0].id,
        digest(&mine)
    );
    assert!(
        layout.path().join(blob_path(&packed)).exists(),
        "the layout is the user's"
    );
}

#[test]
fn an_index_without_an_image_for_this_machine_says_what_it_has() {
    let other = config(FOREIGN, &[]);
    let other_manifest = manifest(&other, &[]);
    let mut entry = descriptor(MANIFEST, &other_manifest);
    entry["platform"] = json!({"architecture": "s390x", "os": "linux"});
    let top = index(&[entry]);
    let error = Fixture::new()
        .store
        .import(archive(&[("index.json", &top)]).as_slice())
        .unwrap_err();
    assert!(
        matches!(&error, ImageError::NoPlatform { offered, .. } if offered == &["linux/s390x"]),
        "{error}"
    );
}

#[test]
fn content_that_is_not_what_its_digest_says_is_refused() {
    let (good, bad) = (layer(), Tar::new().file("w", "changed").finish());
    let config = config(HOST, &[&good]);
    let manifest_bytes = manifest(&config, &[&good]);
    let top = index(&[descriptor(MANIFEST, &manifest_bytes)]);
    let parts = |layer: &[u8], layer_name: &str, config_name: &str| {
        let fixture = Fixture::new();
        let members = [
            ("index.json", top.as_slice()),
            (&blob_path(&manifest_bytes), manifest_bytes.as_slice()),
            (config_name, config.as_slice()),
            (layer_name, layer),
        ];
        let error = fixture.store.import(archive(&members).as_slice()).err();
        assert_eq!(error.is_some(), fixture.store.list().unwrap().is_empty());
        assert_eq!(error.is_some(), fixture.entries("layers").is_empty());
        error
    };
    assert!(parts(&good, &blob_path(&good), &blob_path(&config)).is_none());
    let error = parts(&bad, &blob_path(&good), &blob_path(&config)).unwrap();
    assert!(
        matches!(error, ImageError::DigestMismatch { .. }),
        "{error}"
    );
    let error = parts(&good, &blob_path(&good), "blobs/sha256/elsewhere").unwrap();
    assert!(error.to_string().contains("is missing"), "{error}");

    // A docker archive carries no blob digests for plain layers; the diff id of the configuration decides.
    let manifest = br#"[{"Config":"c","RepoTags":["x"],"Layers":["l.tar"]}]"#;
    let docker = archive(&[("l.tar", &bad), ("c", &config), ("manifest.json", manifest)]);
    let error = Fixture::new().store.import(docker.as_slice()).unwrap_err();
    assert!(
        matches!(error, ImageError::DigestMismatch { .. }),
        "{error}"
    );
}

#[test]
fn an_export_is_imported_again_as_the_same_image() {
    let first = Fixture::new();
    let packed = gzip(&layer());
    let config = config(HOST, &[&layer()]);
    let manifest_bytes = manifest(&config, &[&packed]);
    let top = index(&[descriptor(MANIFEST, &manifest_bytes)]);
    let oci = archive(&[
        ("index.json", &top),
        (&blob_path(&manifest_bytes), &manifest_bytes),
        (&blob_path(&config), &config),
        (&blob_path(&packed), &packed),
    ]);
    let id = first.store.import(oci.as_slice()).unwrap().remove(0).id;
    first.store.tag(&id, "out:1").unwrap();
    first.store.tag(&id, "out:2").unwrap();
    let export = |store: &ImageStore| {
        let mut out = Vec::new();
        store.export(&["out:1", "out:2"], &mut out).unwrap();
        out
    };
    let out = export(&first.store);
    assert_eq!(out, export(&first.store), "the same bytes every time");
    let members = read_members(&out);
    assert!(
        members.contains_key(&blob_path(&packed)),
        "the layer's archive is what came in"
    );
    let manifest: Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
    assert_eq!(manifest[0]["RepoTags"], json!(["out:1", "out:2"]));

    for drop_docker in [false, true] {
        let second = Fixture::new();
        let out = if drop_docker {
            let kept: Vec<(&str, &[u8])> = members
                .iter()
                .filter(|(name, _)| *name != "manifest.json")
                .map(|(n, b)| (n.as_str(), b.as_slice()))
                .collect();
            archive(&kept)
        } else {
            out.clone()
        };
        second.store.import(out.as_slice()).unwrap();
        assert_eq!(second.store.inspect("out:2").unwrap().id, id);
        assert_eq!(
            second.store.inspect("out:1").unwrap().layers,
            first.store.inspect("out:1").unwrap().layers
        );
    }
}

fn read_members(tar: &[u8]) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        })
        .collect()
}

#[test]
fn a_root_file_system_becomes_an_image_with_its_configuration() {
    let fixture = Fixture::new();
    let config = ImageConfig {
        env: vec![("PATH".into(), "/bin".into())],
        cmd: vec!["/bin/sh".into()],
        ..ImageConfig::default()
    };
    let image = fixture
        .store
        .import_rootfs("base", gzip(&layer()).as_slice(), &config)
        .unwrap();
    assert_eq!(image.config, config);
    assert_eq!(image.names, ["docker.io/library/base:latest"]);
    let again = fixture
        .store
        .import_rootfs("base", gzip(&layer()).as_slice(), &config)
        .unwrap();
    assert_eq!(again.id, image.id);

    let tree = TempDir::new().unwrap();
    fs::create_dir(tree.path().join("w")).unwrap();
    fs::write(tree.path().join("w/hello"), "tree").unwrap();
    let image = fixture
        .store
        .import_rootfs_directory("tree", tree.path(), &config)
        .unwrap();
    let root = fixture.store.lower_dirs(&image).unwrap().remove(0);
    assert_eq!(fs::read_to_string(root.join("w/hello")).unwrap(), "tree");
}

#[test]
fn what_is_no_image_archive_is_said_so() {
    let error = Fixture::new()
        .store
        .import(layer().as_slice())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("neither manifest.json (docker save) nor index.json (OCI)"),
        "{error}"
    );
}
