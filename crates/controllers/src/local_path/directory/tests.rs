use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn base() -> (tempfile::TempDir, Base) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let base = Base::new(directory.path().join("deep/base"));
    (directory, base)
}

/// V-33: mode 0777 whatever the umask, and idempotent.
#[test]
fn a_volume_is_open_to_every_user() {
    let (_keep, base) = base();
    base.create("a").expect("created");
    fs::write(base.path().join("a/file"), "kept").expect("written");
    base.create("a").expect("created again");
    let mode = fs::metadata(base.path().join("a"))
        .expect("exists")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o777);
    assert_eq!(
        fs::read_to_string(base.path().join("a/file")).expect("read"),
        "kept"
    );
}

#[test]
fn removal_is_complete_and_idempotent() {
    let (_keep, base) = base();
    base.remove("never").expect("no base, nothing to do");
    base.create("a").expect("created");
    base.create("b").expect("created");
    fs::create_dir_all(base.path().join("a/x/y")).expect("made");
    fs::write(base.path().join("a/x/y/file"), "").expect("written");
    base.remove("a").expect("removed");
    base.remove("a").expect("removed again");
    assert!(!base.path().join("a").exists());
    assert!(base.path().join("b").exists());
}

#[test]
fn links_are_removed_and_never_followed() {
    let (keep, base) = base();
    let outside = keep.path().join("outside");
    fs::create_dir_all(outside.join("inner")).expect("made");
    base.create("a").expect("created");
    symlink(&outside, base.path().join("a/link")).expect("linked");
    base.remove("a").expect("removed");
    symlink(&outside, base.path().join("b")).expect("linked");
    assert!(base.create("b").is_err(), "a link is no volume");
    base.remove("b").expect("the link is removed");
    assert!(outside.join("inner").exists());
    assert!(!base.path().join("b").is_symlink());
}

#[test]
fn a_very_deep_tree_is_removed() {
    let (_keep, base) = base();
    base.create("a").expect("created");
    let mut at = beneath(base.open().expect("base").as_fd(), "a").expect("opened");
    for depth in 0..1000 {
        let name = if depth % 2 == 0 { ".removing-0" } else { "d" };
        mkdirat(&at, name, VOLUME_MODE).expect("made");
        at = beneath(at.as_fd(), name).expect("opened");
    }
    drop(at);
    base.remove("a").expect("removed");
    assert!(!base.path().join("a").exists());
}

#[test]
fn only_names_directly_below_the_base_are_taken() {
    let base = Base::new("/base".into());
    assert_eq!(
        base.name_of(Path::new("/base/pvc-1_a_b")).expect("inside"),
        "pvc-1_a_b"
    );
    for path in [
        "/base",
        "/base/..",
        "/base/a/b",
        "/base/../etc",
        "/etc",
        "a",
        "/basement",
    ] {
        assert!(base.name_of(Path::new(path)).is_err(), "{path}");
    }
    assert!(base.remove("../etc").is_err());
    assert!(base.create("a/b").is_err());
}
