//! Dockerfiles become images: configuration, stages, errors and the cache. What RUN runs is a stand-in here; see
//! `run_in_build.rs` for real commands.

use std::fs;
use std::path::Path;

use plinth_runtime::{BuildError, BuildOptions, ImageStore, build};

use crate::bench::Bench;

#[test]
fn stages_build_on_and_copy_from_each_other() {
    let mut bench = Bench::new();
    bench.write("src", "source");
    let dockerfile = "ARG BASE=none\n\
        FROM ${BASE} AS build\n\
        ARG MODE=debug\n\
        COPY --chown=5 src /out/bin-$MODE\n\
        FROM build AS unused\n\
        RUN never\n\
        FROM scratch AS final\n\
        ENV A=1\n\
        COPY --from=build /out /opt\n\
        COPY --from=0 /out/bin* /zero/\n\
        COPY --from=base /etc/group /group\n\
        FROM final AS extra\n\
        LABEL x=y\n";
    let image = bench
        .build_with(dockerfile, |options| {
            options.build_args = vec![
                ("BASE".into(), "base".into()),
                ("MODE".into(), "release".into()),
                ("WHAT".into(), "x".into()),
            ];
            options.target = Some("Final".into());
        })
        .unwrap();
    let tree = bench.tree(&image);
    for line in [
        "opt/bin-release = source 644 5:5",
        "zero/bin-release = source 644 5:5",
    ] {
        assert!(
            tree.iter().any(|found| found == line),
            "{line} in {tree:#?}"
        );
    }
    assert!(
        tree.iter()
            .any(|line| line.starts_with("group = root:x:0:")),
        "{tree:#?}"
    );
    assert_eq!(image.config.env, [("A".to_owned(), "1".to_owned())]);
    assert!(
        bench.ran.is_empty(),
        "stages that nothing needs are not built"
    );
    assert_eq!(bench.lines[0], "[1/8] FROM ${BASE} AS build");
    assert_eq!(bench.lines[2], "[3/8] COPY --chown=5 src /out/bin-$MODE");
    assert_eq!(
        bench.lines.last().unwrap(),
        "warning: build arguments were not used: WHAT"
    );
    let extra = bench
        .build_with(dockerfile, |options| {
            options.build_args = vec![("BASE".into(), "base".into())];
        })
        .unwrap();
    assert_eq!(extra.config.labels["x"], "y");
}

#[test]
fn run_gets_the_environment_the_user_and_the_layers_below() {
    let mut bench = Bench::new();
    bench.write("x", "X");
    let image = bench.build(
        "FROM base\nARG TOKEN=t\nENV B=2\nUSER node\nWORKDIR /srv\nRUN echo \"$B\" && \\\n    more\nSHELL [\"/bin/ash\", \"-e\"]\nRUN script\nRUN [\"/exec\", \"form\"]\nRUN --network=none x",
    );
    let first = &bench.ran[0];
    assert_eq!(first.args, ["/bin/sh", "-c", "echo \"$B\" &&     more"]);
    assert_eq!(
        (first.user.as_str(), first.cwd.to_str()),
        ("node", Some("/srv"))
    );
    let env: Vec<String> = first
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(env, ["PATH=/bin", "B=2", "TOKEN=t"]);
    assert_eq!(first.lower_dirs.len(), 2);
    assert!(first.lower_dirs[1].join("etc/passwd").exists(), "top first");
    assert_eq!(bench.ran[1].args, ["/bin/ash", "-e", "script"]);
    assert_eq!(bench.ran[2].args, ["/exec", "form"]);
    assert!(bench.ran[3].private_network && !first.private_network);
    assert!(bench.lines.contains(&"output\n".to_owned()));
    assert!(
        bench
            .tree(&image)
            .iter()
            .any(|line| line.starts_with("ran = /bin/ash -e x")),
        "the last RUN's file"
    );
    assert!(
        image.config.env.iter().all(|(name, _)| name != "TOKEN"),
        "ARGs are not in the image"
    );
}

#[test]
fn what_run_deletes_is_gone_and_stays_gone_after_an_export() {
    let mut bench = Bench::new();
    bench.run = |command| {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        fs::create_dir(command.upper_dir.join("old")).unwrap();
        mknodat(
            CWD,
            command.upper_dir.join("old/file"),
            FileType::CharacterDevice,
            Mode::empty(),
            0,
        )
        .unwrap();
        fs::create_dir(command.upper_dir.join("etc")).unwrap();
        let opaque = command.upper_dir.join("etc");
        rustix::fs::lsetxattr(
            &opaque,
            "trusted.overlay.opaque",
            b"y",
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap();
        rustix::fs::lsetxattr(
            &opaque,
            "trusted.overlay.origin",
            b"host",
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap();
        fs::create_dir(command.upper_dir.join("new")).unwrap();
        let new = command.upper_dir.join("new");
        rustix::fs::lsetxattr(
            &new,
            "trusted.overlay.opaque",
            b"y",
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap();
        fs::write(new.join("a"), "linked").unwrap();
        fs::hard_link(new.join("a"), new.join("b")).unwrap();
        0
    };
    let image = bench.build("FROM base\nRUN x");
    let tree = bench.tree(&image);
    assert_eq!(
        tree,
        [
            "etc/ 755 0:0",
            "lib -> usr/lib 777 0:0",
            "new/ 755 0:0",
            "new/a = linked 644 0:0",
            "new/b = linked 644 0:0",
            "old/ 755 0:0",
            "usr/ 755 0:0",
            "usr/lib/ 755 0:0"
        ]
    );
    let mut out = Vec::new();
    bench.fixture.store.export(&["out"], &mut out).unwrap();
    let other = Bench::new();
    let again = other
        .fixture
        .store
        .import(out.as_slice())
        .unwrap()
        .remove(0);
    assert_eq!(again.id, image.id);
    assert_eq!(other.tree(&again), tree);
    let names: Vec<String> = layer_entries(&bench.fixture.store, &out);
    assert_eq!(
        names,
        [
            "etc/",
            "etc/.wh..wh..opq",
            "new/",
            "new/a",
            "new/b",
            "old/",
            "old/.wh.file"
        ]
    );
}

/// Names in the archive of the second layer of the only image.
fn layer_entries(store: &ImageStore, export: &[u8]) -> Vec<String> {
    let layer = store.inspect("out").unwrap().layers[1].clone();
    let wanted = format!("blobs/sha256/{}", layer.diff_id.hex());
    let mut archive = tar::Archive::new(export);
    let entry = archive
        .entries()
        .unwrap()
        .map(Result::unwrap)
        .find(|e| e.path().unwrap() == Path::new(&wanted))
        .unwrap();
    tar::Archive::new(entry)
        .entries()
        .unwrap()
        .map(|e| e.unwrap().path().unwrap().display().to_string())
        .collect::<Vec<_>>()
}

#[test]
fn unchanged_steps_are_cached_and_give_the_same_image() {
    let mut bench = Bench::new();
    bench.write("app.js", "1").write("other", "o");
    let dockerfile = "FROM base\nRUN install\nCOPY app.js /app.js\nENV A=b\nCMD [\"x\"]";
    let first = bench.build(dockerfile);
    assert_eq!(
        bench.lines,
        [
            "[1/5] FROM base",
            "[2/5] RUN install",
            "output\n",
            "[3/5] COPY app.js /app.js",
            "[4/5] ENV A=b",
            "[5/5] CMD [\"x\"]"
        ]
    );
    // Neither times nor files that are not copied matter.
    bench.write("app.js", "1").write("other", "changed");
    let second = bench.build(dockerfile);
    assert_eq!(second.id, first.id);
    assert_eq!(
        bench.lines,
        [
            "[1/5] FROM base",
            "[2/5] RUN install CACHED",
            "[3/5] COPY app.js /app.js CACHED",
            "[4/5] ENV A=b CACHED",
            "[5/5] CMD [\"x\"] CACHED"
        ]
    );
    assert_eq!(bench.ran.len(), 1);
    bench.write("app.js", "2");
    let third = bench.build(dockerfile);
    assert_ne!(third.id, first.id);
    assert_eq!(
        bench.lines[1..4],
        [
            "[2/5] RUN install CACHED",
            "[3/5] COPY app.js /app.js",
            "[4/5] ENV A=b"
        ]
    );
    bench
        .build_with(dockerfile, |options| options.no_cache = true)
        .unwrap();
    assert_eq!(bench.ran.len(), 2);
    assert!(!bench.lines.iter().any(|line| line.ends_with("CACHED")));
}

#[test]
fn the_cache_forgets_what_a_sweep_took() {
    let mut bench = Bench::new();
    bench.build("FROM base\nRUN install");
    bench.fixture.store.remove("out", false).unwrap();
    assert_eq!(bench.fixture.entries("layers").len(), 1);
    assert_eq!(bench.fixture.entries("images/cache").len(), 0);
    bench.build("FROM base\nRUN install");
    assert_eq!(bench.ran.len(), 2);
}

#[test]
fn the_same_files_give_the_same_layer_on_every_host() {
    let build = || {
        let mut bench = Bench::new();
        bench
            .write("tree/b/c", "x")
            .write("tree/a", "y")
            .write("f", "z");
        for path in ["tree/b/c", "tree/b", "tree/a", "tree", "f"] {
            let path = bench.context.path().join(path);
            let time = rustix::fs::Timespec {
                tv_sec: 1_600_000_000,
                tv_nsec: 0,
            };
            let times = rustix::fs::Timestamps {
                last_access: time,
                last_modification: time,
            };
            rustix::fs::utimensat(rustix::fs::CWD, &path, &times, rustix::fs::AtFlags::empty())
                .unwrap();
        }
        let image = bench.build("FROM base\nCOPY tree /t/u\nCOPY f /old/f\nWORKDIR /w/x");
        image
            .layers
            .iter()
            .map(|layer| layer.diff_id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(build(), build());
}

#[test]
fn mistakes_are_told_with_file_and_line() {
    let mut bench = Bench::new();
    bench.write("a", "").write("b", "");
    for (dockerfile, expected) in [
        (
            "FROM scratch\nFETCH x",
            "/Dockerfile:2: unknown instruction: FETCH (known: ADD, ARG",
        ),
        (
            "FROM scratch\n\nCOPY missing /",
            "/Dockerfile:3: \"missing\" not found",
        ),
        (
            "FROM scratch\nCOPY a b /file",
            "/Dockerfile:2: with more than one source file",
        ),
        (
            "FROM scratch\nCOPY --chown=nobody a /",
            "/Dockerfile:2: unable to find user nobody",
        ),
        (
            "FROM scratch\nCOPY --chmod=u+x a /",
            "/Dockerfile:2: invalid chmod parameter",
        ),
        (
            "FROM scratch\nRUN x",
            "/Dockerfile:2: there is nothing to run in an empty image",
        ),
        (
            "FROM Bad:::",
            "/Dockerfile:1: \"Bad:::\" is not an image name",
        ),
        (
            "FROM $NOTHING",
            "/Dockerfile:1: base name ($NOTHING) should not be blank",
        ),
        (
            "FROM scratch AS x\nCOPY --from=x a /",
            "circular dependency",
        ),
        ("FROM scratch\nCOPY [ /", "/Dockerfile:2: bad pattern"),
    ] {
        let error = bench.error(dockerfile);
        assert!(error.contains(expected), "{dockerfile:?}: {error}");
    }
    bench.run = |_| 3;
    assert_eq!(
        bench.error("FROM base\nRUN exit 3"),
        "/Dockerfile:2: RUN exit 3: the command returned exit code 3"
    );
    let error = bench
        .build_with("FROM base", |options| options.target = Some("t".into()))
        .unwrap_err();
    assert!(matches!(error, BuildError::NoTarget(_)), "{error}");
    assert!(
        bench.fixture.store.resolve("out").unwrap().is_none(),
        "a failed build names nothing"
    );
    fs::remove_file(bench.context.path().join("Dockerfile")).unwrap();
    let options = BuildOptions {
        context: bench.context.path().to_owned(),
        ..BuildOptions::default()
    };
    let error = build(
        &bench.fixture.store,
        &options,
        &mut |_, _| Ok(0),
        &mut |_| {},
    )
    .unwrap_err()
    .to_string();
    assert!(error.ends_with("Dockerfile: no such file"), "{error}");
}
