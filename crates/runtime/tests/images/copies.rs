//! COPY and ADD put files where docker puts them, and take none that they should not.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use plinth_runtime::ImageConfig;
use tempfile::TempDir;

use crate::bench::Bench;
use crate::fixture::{Tar, gzip};

#[test]
fn copies_land_where_docker_puts_them() {
    let mut bench = Bench::new();
    bench
        .write("a.js", "A")
        .write("b.js", "B")
        .write("dir/sub/c", "C")
        .write("dir/d", "D")
        .write("run.sh", "S");
    fs::set_permissions(
        bench.context.path().join("run.sh"),
        fs::Permissions::from_mode(0o750),
    )
    .unwrap();
    symlink("d", bench.context.path().join("dir/link")).unwrap();
    symlink("dir/d", bench.context.path().join("to-d")).unwrap();
    let image = bench.build(
        "FROM scratch\n\
         COPY a.js /app.js\n\
         COPY *.js /js/\n\
         COPY a.js b.js two/\n\
         WORKDIR /work/here\n\
         COPY a.js .\n\
         COPY dir ./dir\n\
         COPY dir/sub /merged/\n\
         COPY dir/d /merged\n\
         COPY to-d /followed\n\
         COPY --chown=7:8 --chmod=0700 run.sh /own/run.sh\n\
         ADD [\"run.sh\", \"/with space\"]\n",
    );
    assert_eq!(
        bench.tree(&image),
        [
            "app.js = A 644 0:0",
            "followed = D 644 0:0",
            "js/ 755 0:0",
            "js/a.js = A 644 0:0",
            "js/b.js = B 644 0:0",
            "merged/ 755 0:0",
            "merged/c = C 644 0:0",
            "merged/d = D 644 0:0",
            "own/ 755 7:8",
            "own/run.sh = S 700 7:8",
            "two/ 755 0:0",
            "two/a.js = A 644 0:0",
            "two/b.js = B 644 0:0",
            "with space = S 750 0:0",
            "work/ 755 0:0",
            "work/here/ 755 0:0",
            "work/here/a.js = A 644 0:0",
            "work/here/dir/ 755 0:0",
            "work/here/dir/d = D 644 0:0",
            "work/here/dir/link -> d 777 0:0",
            "work/here/dir/sub/ 755 0:0",
            "work/here/dir/sub/c = C 644 0:0",
        ]
    );
    assert_eq!(image.names, ["docker.io/library/out:latest"]);
}

#[test]
fn copies_respect_what_the_base_image_has() {
    let mut bench = Bench::new();
    bench.write("x", "X").write("lib/y", "Y");
    let image = bench.build("FROM base\nCOPY x /lib/x\nCOPY lib /lib\nCOPY --chown=node:staff x /old/\nCOPY --chown=node x /n\nCOPY x /old/file");
    let tree = bench.tree(&image);
    for line in [
        "lib -> usr/lib 777 0:0",
        "usr/lib/x = X 644 0:0",
        "usr/lib/y = Y 644 0:0",
        "old/x = X 644 1000:50",
        "n = X 644 1000:1001",
        "old/file = X 644 0:0",
    ] {
        assert!(
            tree.iter().any(|found| found == line),
            "{line} in {tree:#?}"
        );
    }
    assert_eq!(image.config.cmd, ["/bin/sh"]);
    assert_eq!(
        image.layers[0],
        bench.fixture.store.inspect("base").unwrap().layers[0]
    );
}

#[test]
fn a_symlink_of_an_image_or_context_leads_no_further_than_itself() {
    let mut bench = Bench::new();
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let evil = Tar::new()
        .symlink("evil", outside.path().to_str().unwrap())
        .finish();
    bench
        .fixture
        .store
        .import_rootfs("evil", evil.as_slice(), &ImageConfig::default())
        .unwrap();
    bench.write("x", "X");
    symlink(
        outside.path().join("secret"),
        bench.context.path().join("leak"),
    )
    .unwrap();
    assert!(
        bench
            .error("FROM scratch\nCOPY leak /leak")
            .contains("\"leak\" not found")
    );
    assert!(
        bench
            .error("FROM scratch\nCOPY ../x /x")
            .contains("outside of the build context")
    );
    let result = bench.build_with("FROM evil\nCOPY x /evil/x\nWORKDIR /evil/w", |_| {});
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    // The link points nowhere inside the image.
    assert!(result.is_err());
}

#[test]
fn dockerignore_hides_files_and_brings_some_back() {
    let mut bench = Bench::new();
    bench.write(".dockerignore", "# comment\nnode_modules\n*.log\n!keep.log\ndocs/*\n!docs/index\nDockerfile\n.dockerignore\n");
    for path in [
        "node_modules/x",
        "a.log",
        "keep.log",
        "docs/index",
        "docs/other",
        "src/a.log",
        "src/main",
    ] {
        bench.write(path, "");
    }
    let image = bench.build("FROM scratch\nCOPY . /");
    let tree: Vec<String> = bench
        .tree(&image)
        .iter()
        .map(|line| line.split([' ', '=']).next().unwrap().to_owned())
        .collect();
    assert_eq!(
        tree,
        [
            "docs/",
            "docs/index",
            "keep.log",
            "src/",
            "src/a.log",
            "src/main"
        ]
    );
    assert!(
        bench
            .error("FROM scratch\nCOPY a.log /")
            .contains("\"a.log\" not found (excluded by .dockerignore)")
    );
}

#[test]
fn add_unpacks_local_archives_and_only_add() {
    let mut bench = Bench::new();
    let archive = Tar::new()
        .raw("p", tar::EntryType::Directory, "", b"", |header| {
            header.set_uid(9);
        })
        .raw("p/q", tar::EntryType::Regular, "", b"Q", |header| {
            header.set_uid(9);
        })
        .finish();
    bench.write("a.tgz", gzip(&archive)).write("plain", "P");
    let image = bench.build("FROM scratch\nADD a.tgz plain /in/\nCOPY plain /copied\n");
    assert_eq!(
        bench.tree(&image),
        [
            "copied = P 644 0:0",
            "in/ 755 0:0",
            "in/p/ 755 9:0",
            "in/p/q = Q 644 9:0",
            "in/plain = P 644 0:0"
        ]
    );
    bench.write("plain.tar", archive);
    let image = bench.build("FROM scratch\nCOPY plain.tar /\nADD --chown=3:4 plain.tar /x");
    let tree = bench.tree(&image);
    assert!(tree[0].starts_with("plain.tar = p"), "{tree:?}");
    assert_eq!(
        tree[1..],
        ["x/ 755 3:4", "x/p/ 755 3:4", "x/p/q = Q 644 3:4"]
    );
}
