//! Names, ids, removal, and several stores on one directory.

use std::fs;
use std::io::{self, Read};
use std::thread;

use plinth_runtime::{ImageConfig, ImageError, ImageStore, Removed};

use crate::fixture::{Fixture, Tar};

fn tar(content: &str) -> Vec<u8> {
    Tar::new().file("file", content).finish()
}

#[test]
fn an_image_is_found_by_every_name_it_has() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let image = store
        .import_rootfs("kubia-stored", tar("1").as_slice(), &ImageConfig::default())
        .unwrap();
    for name in [
        "kubia-stored",
        "kubia-stored:latest",
        "library/kubia-stored",
        "docker.io/kubia-stored",
        "docker.io/library/kubia-stored:latest",
        &image.id,
        &image.id[7..],
        &image.id[7..15],
    ] {
        assert_eq!(
            store.resolve(name).unwrap().as_ref(),
            Some(&image),
            "{name}"
        );
    }
    assert_eq!(store.resolve("kubia-stored:v2").unwrap(), None);
    assert_eq!(store.resolve("quay.io/kubia-stored").unwrap(), None);
    assert!(matches!(
        store.resolve("Not A Name"),
        Err(ImageError::InvalidName { .. })
    ));
    assert!(matches!(
        store.inspect("absent"),
        Err(ImageError::NotFound(_))
    ));
    assert!(matches!(
        store.tag("kubia-stored", &format!("x@{}", image.id)),
        Err(ImageError::InvalidName { .. })
    ));
}

#[test]
fn a_name_moves_to_the_image_that_took_it_last() {
    let fixture = Fixture::new();
    let first = fixture.rootfs(&tar("1")).unwrap();
    let second = fixture.rootfs(&tar("2")).unwrap();
    assert_eq!(
        fixture.store.resolve("test").unwrap().unwrap().id,
        second.id
    );
    let listed = fixture.store.list().unwrap();
    assert_eq!(
        listed
            .iter()
            .map(|image| image.names.len())
            .collect::<Vec<_>>(),
        [1, 0]
    );
    assert_eq!(listed[1].id, first.id);
}

#[test]
fn the_last_name_takes_the_image_and_its_own_layers_with_it() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let image = fixture.rootfs(&tar("1")).unwrap();
    fixture.rootfs(&tar("2")).unwrap();
    store.tag(&image.id, "one").unwrap();
    store.tag(&image.id, "uno").unwrap();
    let removed = store.remove("one", false).unwrap();
    assert_eq!(
        removed,
        Removed {
            untagged: vec!["docker.io/library/one:latest".into()],
            deleted: None
        }
    );
    assert_eq!(fixture.entries("layers").len(), 2);
    store.tag(&image.id, "eins").unwrap();
    assert!(
        matches!(
            store.remove(&image.id[7..20], false),
            Err(ImageError::InUse { .. })
        ),
        "an id does not take several names"
    );
    store.remove("uno", false).unwrap();
    assert_eq!(
        store.remove("eins", false).unwrap().deleted,
        Some(image.id.clone())
    );
    assert_eq!(fixture.entries("layers").len(), 1);
    assert_eq!(
        fixture.entries("images/blobs/sha256").len(),
        2,
        "archive and configuration of the other image"
    );
    assert!(matches!(
        store.remove("eins", false),
        Err(ImageError::NotFound(_))
    ));
}

#[test]
fn layers_that_a_container_stands_on_stay() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let image = fixture.rootfs(&tar("1")).unwrap();
    let lower = store.hold("c0ffee", &image).unwrap();
    let error = store.remove("test", false).unwrap_err();
    assert!(
        matches!(&error, ImageError::InUse { reason, .. } if reason.contains("c0ffee")),
        "{error}"
    );
    store.remove("test", true).unwrap();
    assert_eq!(store.resolve("test").unwrap(), None);
    assert_eq!(fs::read_to_string(lower[0].join("file")).unwrap(), "1");
    store.release("c0ffee").unwrap();
    store.release("c0ffee").unwrap();
    store.sweep().unwrap();
    assert!(!lower[0].exists());
    assert!(store.hold("../x", &image).is_err());
}

#[test]
fn interrupted_work_leaves_nothing_when_the_store_is_opened_again() {
    let fixture = Fixture::new();
    let left = fixture
        .directory
        .path()
        .join("images/staging/4711-0/3/deep");
    fs::create_dir_all(&left).unwrap();
    ImageStore::open(fixture.directory.path()).unwrap();
    assert_eq!(fixture.entries("images/staging"), Vec::<String>::new());
}

/// Ends in an error, as a connection does that is cut.
struct Cut<'a>(&'a [u8]);

impl Read for Cut<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::ConnectionReset.into()),
            n => Ok(n),
        }
    }
}

#[test]
fn an_import_that_fails_leaves_nothing_visible() {
    let fixture = Fixture::new();
    let tar = tar(&"x".repeat(100_000));
    fixture
        .store
        .import_rootfs("cut", Cut(&tar[..60_000]), &ImageConfig::default())
        .unwrap_err();
    for directory in ["layers", "images/staging", "images/blobs/sha256"] {
        assert_eq!(
            fixture.entries(directory),
            Vec::<String>::new(),
            "{directory}"
        );
    }
    assert!(fixture.store.list().unwrap().is_empty());
}

#[test]
fn a_full_disk_is_an_error_and_harms_no_image() {
    use nix::mount::{MsFlags, mount};
    let directory = tempfile::TempDir::new().unwrap();
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
        Some("size=1m"),
    )
    .unwrap();
    let store = ImageStore::open(directory.path()).unwrap();
    let small = store
        .import_rootfs("small", tar("small").as_slice(), &ImageConfig::default())
        .unwrap();
    let large = Tar::new()
        .raw(
            "large",
            tar::EntryType::Regular,
            "",
            &vec![7; 800_000],
            |_| {},
        )
        .finish();
    let error = store
        .import_rootfs("large", large.as_slice(), &ImageConfig::default())
        .unwrap_err();
    assert!(
        error.to_string().contains("No space left on device"),
        "{error}"
    );
    assert_eq!(store.list().unwrap(), [small]);
    store
        .import_rootfs("next", tar("next").as_slice(), &ImageConfig::default())
        .expect("the space is free again");
}

#[test]
fn many_writers_at_once_lose_nothing() {
    let fixture = Fixture::new();
    thread::scope(|scope| {
        for worker in 0..4 {
            let directory = fixture.directory.path();
            scope.spawn(move || {
                let store = ImageStore::open(directory).unwrap();
                for round in 0..6 {
                    let shared = tar("shared");
                    let own = tar(&format!("{worker} {round}"));
                    store
                        .import_rootfs(
                            &format!("w{worker}-{round}"),
                            own.as_slice(),
                            &ImageConfig::default(),
                        )
                        .unwrap();
                    store
                        .import_rootfs(
                            &format!("shared{worker}"),
                            shared.as_slice(),
                            &ImageConfig::default(),
                        )
                        .unwrap();
                    if round % 2 == 1 {
                        store
                            .remove(&format!("w{worker}-{}", round - 1), false)
                            .unwrap();
                    }
                }
            });
        }
    });
    let images = fixture.store.list().unwrap();
    assert_eq!(
        images.iter().map(|image| image.names.len()).sum::<usize>(),
        4 * 3 + 4
    );
    for image in &images {
        fixture.store.lower_dirs(image).unwrap();
    }
    fixture.store.sweep().unwrap();
    assert_eq!(fixture.entries("layers").len(), 4 * 3 + 1);
}
