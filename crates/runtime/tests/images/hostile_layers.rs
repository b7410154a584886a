//! A layer's author cannot reach anything outside the layer, nor fool overlayfs, nor fill the memory.

use std::fs;

use plinth_runtime::{Image, ImageConfig, ImageError};
use proptest::prelude::*;
use tar::EntryType;

use crate::fixture::{Fixture, Tar};

fn refused(fixture: &Fixture, tar: Tar) -> String {
    let result: Result<Image, ImageError> = fixture.rootfs(&tar.finish());
    let error = result.expect_err("must be refused");
    assert_eq!(
        fixture.entries("layers"),
        Vec::<String>::new(),
        "nothing of a refused layer is visible"
    );
    assert_eq!(fixture.entries("images/staging"), Vec::<String>::new());
    assert!(fixture.store.list().unwrap().is_empty());
    error.to_string()
}

#[test]
fn dot_dot_in_a_name_is_refused() {
    for name in ["../evil", "a/../../evil", "/../evil", ".."] {
        let fixture = Fixture::new();
        let error = refused(&fixture, Tar::new().dir("a").file(name, "x"));
        assert!(error.contains("refused"), "{name}: {error}");
    }
}

#[test]
fn a_symlink_leads_no_further_than_the_layer() {
    let fixture = Fixture::new();
    let outside = tempfile::TempDir::new().unwrap();
    let target = outside.path().to_str().unwrap();
    let up = format!("../../../../../../..{target}");
    let tar = Tar::new()
        .dir(target.trim_start_matches('/'))
        .symlink("absolute", target)
        .symlink("relative", &up)
        .file("absolute/one", "1")
        .file("relative/two", "2")
        .file("absolute/.wh.three", "")
        .file("absolute/.wh..wh..opq", "")
        .finish();
    fs::write(outside.path().join("three"), "stays").unwrap();
    let layer = fixture.unpacked(&tar);
    let inside = layer.join(target.trim_start_matches('/'));
    assert_eq!(fs::read_to_string(inside.join("one")).unwrap(), "1");
    assert_eq!(fs::read_to_string(inside.join("two")).unwrap(), "2");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(
        fs::read_to_string(outside.path().join("three")).unwrap(),
        "stays"
    );
}

#[test]
fn hard_links_reach_only_files_of_the_layer() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    let target = secret.path().to_str().unwrap().to_owned();
    for tar in [
        Tar::new().hard_link("link", &target),
        Tar::new()
            .symlink("tmp", "/")
            .hard_link("link", &format!("tmp{target}")),
        Tar::new().hard_link("link", &format!("../../..{target}")),
    ] {
        let error = refused(&Fixture::new(), tar);
        assert!(error.contains("refused"), "{error}");
    }
}

#[test]
fn a_file_is_never_written_through_a_symlink_of_its_own_name() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    let fixture = Fixture::new();
    let tar = Tar::new()
        .symlink("f", outside.path().to_str().unwrap())
        .file("f", "inside")
        .finish();
    let layer = fixture.unpacked(&tar);
    assert_eq!(fs::read_to_string(layer.join("f")).unwrap(), "inside");
    assert_eq!(fs::read_to_string(outside.path()).unwrap(), "");
}

#[test]
fn the_last_of_several_entries_of_one_name_wins() {
    let fixture = Fixture::new();
    let tar = Tar::new()
        .dir("a")
        .file("a/deep", "gone")
        .file("a", "file")
        .file("b", "gone")
        .dir("b")
        .file("b/c", "kept")
        .symlink("d", "b")
        .dir("d")
        .file("d/e", "own")
        .finish();
    let layer = fixture.unpacked(&tar);
    assert_eq!(fs::read_to_string(layer.join("a")).unwrap(), "file");
    assert_eq!(fs::read_to_string(layer.join("b/c")).unwrap(), "kept");
    assert!(!layer.join("b/e").exists());
    assert_eq!(fs::read_to_string(layer.join("d/e")).unwrap(), "own");
}

#[test]
fn overlay_marks_cannot_be_forged() {
    let fixture = Fixture::new();
    let device = |header: &mut tar::Header| {
        header.set_device_major(0).unwrap();
        header.set_device_minor(0).unwrap();
    };
    let error = refused(
        &fixture,
        Tar::new().raw("etc", EntryType::Char, "", b"", device),
    );
    assert!(error.contains("0:0"), "{error}");
    let tar = Tar::new().pax(&[
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.user.mine", b"v"),
    ]);
    let layer = fixture.unpacked(&tar.dir("d").finish());
    let mut names = Vec::with_capacity(256);
    rustix::fs::llistxattr(layer.join("d"), rustix::buffer::spare_capacity(&mut names)).unwrap();
    assert_eq!(String::from_utf8(names).unwrap(), "user.mine\0");
}

#[test]
fn whiteouts_of_nothing_are_refused() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh...", ".wh.a/b"] {
        let error = refused(&Fixture::new(), Tar::new().file(name, ""));
        assert!(error.contains("whiteout"), "{name}: {error}");
    }
}

#[test]
fn headers_without_end_are_refused_before_they_fill_the_memory() {
    let name = vec![b'a'; 3 << 20];
    let error = refused(
        &Fixture::new(),
        Tar::new()
            .raw("././@LongLink", EntryType::GNULongName, "", &name, |_| {})
            .file("x", ""),
    );
    assert!(error.contains("megabyte"), "{error}");
}

#[test]
fn an_archive_cut_short_is_refused() {
    let tar = Tar::new().file("a", &"x".repeat(5000)).finish();
    let error = Fixture::new().rootfs(&tar[..2000]).unwrap_err().to_string();
    assert!(error.contains("cut short"), "{error}");
}

#[test]
fn garbage_and_unknown_compression_are_named() {
    let fixture = Fixture::new();
    assert!(
        fixture
            .rootfs(
                b"this is not a tar archive, whatever its author says. "
                    .repeat(20)
                    .as_slice()
            )
            .is_err()
    );
    let error = fixture.rootfs(b"\xfd7zXZ\0rest").unwrap_err().to_string();
    assert!(error.contains("xz compression is not supported"), "{error}");
}

/// One entry of a random archive; few names, so that they collide.
fn entry() -> impl Strategy<Value = (u8, String, String)> {
    let part = prop_oneof![
        "[ab]",
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just(".wh.a".to_owned()),
        Just(".wh..wh..opq".to_owned())
    ];
    let path = proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"));
    let target = prop_oneof![
        path.clone(),
        Just("/".to_owned()),
        Just("..".to_owned()),
        Just("OUTSIDE".to_owned()),
        path.clone().prop_map(|p| format!("OUTSIDE/{p}"))
    ];
    (0..6_u8, path, target)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_entries_reaches_outside(entries in proptest::collection::vec(entry(), 0..12)) {
        let fixture = Fixture::new();
        let outside = tempfile::TempDir::new().unwrap();
        fs::write(outside.path().join("a"), "untouched").unwrap();
        let outside_name = outside.path().to_str().unwrap().to_owned();
        let tar = entries.iter().fold(Tar::new(), |tar, (kind, path, target)| {
            let target = target.replace("OUTSIDE", &outside_name);
            match kind {
                0 => tar.dir(path),
                1 => tar.symlink(path, &target),
                2 => tar.hard_link(path, &target),
                3 => tar.raw(path, EntryType::Fifo, "", b"", |_| {}),
                _ => tar.file(path, "content"),
            }
        });
        let result = fixture.rootfs(&tar.finish());
        prop_assert_eq!(fs::read_to_string(outside.path().join("a")).unwrap(), "untouched");
        prop_assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
        let Ok(image) = result else {
            prop_assert!(fixture.entries("layers").is_empty() && fixture.entries("images/staging").is_empty());
            return Ok(());
        };
        // A directory of the store goes through the canonical archive unchanged.
        let Ok(layer) = fixture.store.lower_dirs(&image) else { panic!("the image has its layer") };
        let copied = |name: &str, root: &std::path::Path| fixture.store.import_rootfs_directory(name, root, &ImageConfig::default()).unwrap();
        let once = copied("once", &layer[0]);
        let twice = copied("twice", &fixture.store.lower_dirs(&once).unwrap()[0]);
        prop_assert_eq!(once.id, twice.id);
    }

    #[test]
    fn no_bytes_make_the_import_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..2048), prefix in 0..4_usize) {
        let start: &[u8] = [&b""[..], b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"a\0"][prefix];
        bytes.splice(0..0, start.iter().copied());
        let fixture = Fixture::new();
        let _ = fixture.store.import(bytes.as_slice());
        let _ = fixture.rootfs(&bytes);
        prop_assert!(fixture.entries("images/staging").is_empty());
    }
}
