//! Layers unpack to what overlayfs expects, with everything a tar can say about a file.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use tar::EntryType;

use crate::fixture::{Fixture, Tar, archive, config, mounted};

#[test]
fn upper_layers_delete_replace_and_hide() {
    let fixture = Fixture::new();
    let base = Tar::new()
        .dir("etc")
        .file("etc/passwd", "root")
        .file("etc/gone", "x")
        .dir("full")
        .file("full/old", "x")
        .dir("dir")
        .file("dir/old", "x")
        .dir("dead")
        .file("dead/old", "x")
        .finish();
    let top = Tar::new()
        .dir("etc")
        .file("etc/.wh.gone", "")
        .dir("full")
        .file("full/.wh..wh..opq", "")
        .file("full/new", "y")
        .file(".wh.dir", "")
        .dir("dir")
        .file("dir/new", "y")
        .file(".wh.dead", "")
        .finish();
    let config = config("amd64", &[&base, &top]);
    let manifest =
        br#"[{"Config":"c.json","RepoTags":["two:1"],"Layers":["1/layer.tar","2/layer.tar"]}]"#;
    let archive = archive(&[
        ("1/layer.tar", &base),
        ("2/layer.tar", &top),
        ("c.json", &config),
        ("manifest.json", manifest),
    ]);
    let image = fixture.store.import(archive.as_slice()).unwrap().remove(0);
    let lower = fixture.store.lower_dirs(&image).unwrap();
    let names = |path: &Path| {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    mounted(&lower, |root| {
        assert_eq!(names(root), ["dir", "etc", "full"]);
        assert_eq!(names(&root.join("etc")), ["passwd"]);
        assert_eq!(names(&root.join("full")), ["new"]);
        assert_eq!(names(&root.join("dir")), ["new"]);
    });
}

#[test]
fn owners_modes_times_links_and_devices_are_kept() {
    let fixture = Fixture::new();
    let long = format!("d/{}", "n".repeat(150));
    let tar = Tar::new()
        .raw("d", EntryType::Directory, "", b"", |header| {
            header.set_mode(0o1777);
            header.set_uid(5);
        })
        .raw("d/setuid", EntryType::Regular, "", b"abc", |header| {
            header.set_mode(0o4711);
            header.set_uid(100_000);
            header.set_gid(7);
        })
        .hard_link("d/same", "d/setuid")
        .symlink("d/link", "/nowhere")
        .raw("d/null", EntryType::Char, "", b"", |header| {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        })
        .raw("d/fifo", EntryType::Fifo, "", b"", |_| {})
        .pax(&[
            ("path", long.as_bytes()),
            ("mtime", b"1234567890.5"),
            ("SCHILY.xattr.user.k", b"v\0w"),
        ])
        .file("short", "x")
        .file("implied/parent/file", "x")
        .finish();
    let layer = fixture.unpacked(&tar);
    let look = |path: &str| fs::symlink_metadata(layer.join(path)).unwrap();
    let d = look("d");
    assert_eq!(
        (d.mode() & 0o7777, d.uid(), d.mtime()),
        (0o1777, 5, 1_000_000_000)
    );
    let setuid = look("d/setuid");
    assert_eq!(
        (
            setuid.mode() & 0o7777,
            setuid.uid(),
            setuid.gid(),
            setuid.len()
        ),
        (0o4711, 100_000, 7, 3)
    );
    assert_eq!(setuid.mtime(), 1_000_000_000);
    assert_eq!(look("d/same").ino(), setuid.ino());
    assert_eq!(
        fs::read_link(layer.join("d/link")).unwrap(),
        Path::new("/nowhere")
    );
    assert_eq!(look("d/null").rdev(), rustix::fs::makedev(1, 3));
    assert!(look("d/fifo").file_type().is_fifo());
    assert_eq!(
        (look(&long).mtime(), look(&long).mtime_nsec()),
        (1_234_567_890, 500_000_000)
    );
    let mut value = Vec::with_capacity(16);
    rustix::fs::lgetxattr(
        layer.join(&long),
        "user.k",
        rustix::buffer::spare_capacity(&mut value),
    )
    .unwrap();
    assert_eq!(value, b"v\0w");
    assert_eq!(
        (
            look("implied/parent").mode() & 0o7777,
            look("implied").uid()
        ),
        (0o755, 0)
    );
}

#[test]
fn a_sparse_file_takes_no_space() {
    let fixture = Fixture::new();
    let zeros = vec![0; 8 << 20];
    let layer = fixture.unpacked(
        &Tar::new()
            .raw("sparse", EntryType::Regular, "", &zeros, |_| {})
            .finish(),
    );
    let metadata = fs::metadata(layer.join("sparse")).unwrap();
    assert_eq!(metadata.len(), 8 << 20);
    assert!(metadata.blocks() < 1000, "{} blocks", metadata.blocks());
}
