//! Tars of all kinds, and a store in a temporary directory.

use std::io::Write;
use std::path::{Path, PathBuf};

use plinth_runtime::{Image, ImageConfig, ImageError, ImageStore};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

pub(crate) struct Fixture {
    pub(crate) directory: TempDir,
    pub(crate) store: ImageStore,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let store = ImageStore::open(directory.path()).unwrap();
        Self { directory, store }
    }

    pub(crate) fn rootfs(&self, tar: &[u8]) -> Result<Image, ImageError> {
        self.store
            .import_rootfs("test", tar, &ImageConfig::default())
    }

    /// The only layer of an image of this tar.
    pub(crate) fn unpacked(&self, tar: &[u8]) -> PathBuf {
        let image = self.rootfs(tar).unwrap();
        self.store.lower_dirs(&image).unwrap().remove(0)
    }

    /// Names of everything in a directory of the store.
    pub(crate) fn entries(&self, below: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.directory.path().join(below))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// A tar under construction. Names are written as they are, however wrong.
#[derive(Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn raw(
        mut self,
        name: &str,
        kind: EntryType,
        link: &str,
        content: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Self {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        change(&mut header);
        header.set_cksum();
        self.0.write_all(header.as_bytes()).unwrap();
        self.0.write_all(content).unwrap();
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        self.raw(name, EntryType::Regular, "", content.as_bytes(), |_| {})
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.raw(name, EntryType::Directory, "", b"", |_| {})
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(name, EntryType::Symlink, target, b"", |_| {})
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.raw(name, EntryType::Link, target, b"", |_| {})
    }

    /// PAX records for the entry that follows.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut builder = Builder::new(self.0);
        builder
            .append_pax_extensions(records.iter().copied())
            .unwrap();
        Self(std::mem::take(builder.get_mut()))
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

pub(crate) fn blob_path(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", hex::encode(Sha256::digest(bytes)))
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An image configuration over plain layer tars.
pub(crate) fn config(architecture: &str, layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    serde_json::to_vec(&json!({
        "architecture": architecture, "os": "linux", "created": "2026-01-02T03:04:05Z",
        "config": {"Env": ["PATH=/bin", "A=1"], "Cmd": ["/run"], "WorkingDir": "/w", "User": "7", "ExposedPorts": {"80/tcp": {}}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }))
    .unwrap()
}

/// A descriptor of these bytes.
pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

/// An OCI manifest of a configuration and its layers as stored.
pub(crate) fn manifest(config: &[u8], layers: &[&[u8]]) -> Vec<u8> {
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar", layer))
        .collect();
    serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": layers,
    }))
    .unwrap()
}

/// A tar of these members.
pub(crate) fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    members
        .iter()
        .fold(Tar::new(), |tar, (name, content)| {
            tar.raw(name, EntryType::Regular, "", content, |_| {})
        })
        .finish()
}

/// What a container would see: the image's layers under an overlay mount, listed and read by `look` in a mount namespace
/// of this thread.
pub(crate) fn mounted<T>(lower: &[PathBuf], look: impl FnOnce(&Path) -> T) -> T {
    use nix::mount::{MsFlags, mount};
    let directory = TempDir::new().unwrap();
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    let nothing: Option<&str> = None;
    mount(
        nothing,
        "/",
        nothing,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        nothing,
    )
    .unwrap();
    mount(
        Some("tmpfs"),
        directory.path(),
        Some("tmpfs"),
        MsFlags::empty(),
        nothing,
    )
    .unwrap();
    for name in ["u", "w", "m"] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
    }
    let lower: Vec<String> = lower
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let at = directory.path().display();
    let options = format!(
        "lowerdir={},upperdir={at}/u,workdir={at}/w",
        lower.join(":")
    );
    let merged = directory.path().join("m");
    mount(
        Some("overlay"),
        &merged,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .unwrap();
    let seen = look(&merged);
    nix::mount::umount(&merged).unwrap();
    nix::mount::umount(directory.path()).unwrap();
    seen
}
