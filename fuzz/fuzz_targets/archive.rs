//! An archive of images, as `plinth image import` is given one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plinth_runtime::ImageStore;

fuzz_target!(|input: &[u8]| {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let store = ImageStore::open(&directory.path().join("store")).expect("a store can be made");
    let _ = store.import(input);
    let outside: Vec<_> = std::fs::read_dir(directory.path())
        .expect("the directory is there")
        .collect();
    assert_eq!(outside.len(), 1, "something was written outside the store");
});
