//! RUN with real commands, in real containers: busybox over the layers of the image under construction.

use std::fs;
use std::path::{Path, PathBuf};

use plinth_runtime::{
    BuildError, BuildOptions, Image, ImageConfig, Output, Progress, build, run_once,
};
use tempfile::TempDir;

use crate::fixture::{Fixture, mounted};

/// busybox-static and what it needs.
fn rootfs() -> TempDir {
    let root = TempDir::new().unwrap();
    for directory in ["bin", "etc", "tmp", "old", "home/node"] {
        fs::create_dir_all(root.path().join(directory)).unwrap();
    }
    fs::copy("/bin/busybox", root.path().join("bin/busybox")).expect("busybox-static is installed");
    for applet in [
        "sh", "cat", "echo", "rm", "mkdir", "id", "ln", "chmod", "chown", "touch", "pwd", "mv",
        "kill",
    ] {
        std::os::unix::fs::symlink("busybox", root.path().join("bin").join(applet)).unwrap();
    }
    fs::write(
        root.path().join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nnode:x:1000:1001::/home/node:/bin/sh\n",
    )
    .unwrap();
    fs::write(root.path().join("old/file"), "old").unwrap();
    fs::write(root.path().join("old/other"), "other").unwrap();
    root
}

fn built(fixture: &Fixture, dockerfile: &str, output: &mut String) -> Result<Image, BuildError> {
    let context = TempDir::new().unwrap();
    fs::write(context.path().join("Dockerfile"), dockerfile).unwrap();
    fs::write(context.path().join("app.sh"), "#!/bin/sh\necho from app\n").unwrap();
    if fixture.store.resolve("base").unwrap().is_none() {
        let config = ImageConfig {
            env: vec![("PATH".into(), "/bin".into())],
            ..ImageConfig::default()
        };
        fixture
            .store
            .import_rootfs_directory("base", rootfs().path(), &config)
            .unwrap();
    }
    let options = BuildOptions {
        tags: vec!["out".into()],
        context: context.path().to_owned(),
        ..BuildOptions::default()
    };
    let shim = PathBuf::from(env!("CARGO_BIN_EXE_plinth-runtime-test"));
    build(
        &fixture.store,
        &options,
        &mut |command, sink| run_once(&shim, command, sink),
        &mut |progress| {
            if let Progress::Output(Output::Stdout(bytes) | Output::Stderr(bytes)) = progress {
                output.push_str(std::str::from_utf8(bytes).unwrap());
            }
        },
    )
}

#[test]
fn commands_change_the_image_and_only_the_image() {
    let fixture = Fixture::new();
    let mut output = String::new();
    let image = built(
        &fixture,
        "FROM base\n\
         ARG WHO=arg\n\
         ENV GREETING=hello\n\
         WORKDIR /srv/app\n\
         COPY --chmod=0755 app.sh run\n\
         RUN echo $GREETING $WHO $(pwd) > said && ./run\n\
         RUN rm -r /old/file && rm -r /tmp && mkdir /old/new && ln /srv/app/said /old/new/linked\n\
         RUN mv /old/other /old/moved && rm -rf /home && mkdir -p /home/fresh\n\
         USER node\n\
         RUN id && touch /home/fresh/x || echo denied >&2\n\
         USER 0\n\
         RUN <<END\n\
         touch /a\n\
         chown 5:6 /a && chmod 4755 /a\n\
         END\n",
        &mut output,
    )
    .unwrap();
    assert!(output.contains("from app\n"), "{output}");
    assert!(output.contains("uid=1000(node) gid=1001"), "{output}");
    assert!(output.contains("denied\n"), "{output}");
    let check = |image: &Image, fixture: &Fixture| {
        mounted(&fixture.store.lower_dirs(image).unwrap(), |root: &Path| {
            use std::os::unix::fs::MetadataExt;
            assert_eq!(
                fs::read_to_string(root.join("srv/app/said")).unwrap(),
                "hello arg /srv/app\n"
            );
            assert_eq!(
                fs::read_to_string(root.join("old/new/linked")).unwrap(),
                "hello arg /srv/app\n"
            );
            assert_eq!(fs::read_to_string(root.join("old/moved")).unwrap(), "other");
            for gone in [
                "old/file",
                "old/other",
                "tmp",
                "home/node",
                "etc/resolv.conf",
                "etc/hosts",
            ] {
                assert!(!root.join(gone).exists(), "{gone}");
            }
            assert!(root.join("home/fresh").is_dir());
            let a = fs::metadata(root.join("a")).unwrap();
            assert_eq!((a.uid(), a.gid(), a.mode() & 0o7777), (5, 6, 0o4755));
            let mut names: Vec<_> = fs::read_dir(root)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            assert_eq!(
                names,
                ["a", "bin", "etc", "home", "old", "srv"],
                "no directory is left that was only mounted on"
            );
        });
    };
    check(&image, &fixture);
    let mut out = Vec::new();
    fixture.store.export(&["out"], &mut out).unwrap();
    let other = Fixture::new();
    let again = other.store.import(out.as_slice()).unwrap().remove(0);
    assert_eq!(again.id, image.id);
    check(&again, &other);
    assert_eq!(fixture.entries("images/staging"), Vec::<String>::new());
}

#[test]
fn a_command_that_fails_fails_the_build() {
    let fixture = Fixture::new();
    let mut output = String::new();
    let error = built(
        &fixture,
        "FROM base\nRUN echo before; cat /missing; echo after; false\n",
        &mut output,
    )
    .unwrap_err();
    assert!(
        matches!(
            error,
            BuildError::Command {
                line: 2,
                code: 1,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        output.contains("before\n") && output.contains("/missing") && output.contains("after\n"),
        "{output}"
    );
    let error = built(&fixture, "FROM base\nRUN [\"/no/such\"]", &mut output)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("Dockerfile:2") && error.contains("/no/such"),
        "{error}"
    );
    assert!(fixture.store.resolve("out").unwrap().is_none());
    assert_eq!(fixture.entries("images/staging"), Vec::<String>::new());
}
