//! The program behind the runtime's tests: a shim, or a process that starts something and waits to be killed.

use std::path::PathBuf;
use std::process::ExitCode;

use plinth_runtime::{
    ContainerConfig, PodSandboxConfig, RunOnce, Runtime, RuntimeConfig, run_once, shim_main,
};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("shim") => shim_main(),
        Some("daemon") => daemon(),
        Some("once") => once(),
        _ => ExitCode::from(2),
    }
}

/// `daemon ROOT STATE CGROUP SCRIPT`: starts pod `default/web-0` running a shell script, prints its container's id,
/// and never ends.
fn daemon() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let runtime = tokio::runtime::Runtime::new().expect("tokio");
    runtime.block_on(async {
        let config = RuntimeConfig {
            root: PathBuf::from(&arguments[0]),
            state: PathBuf::from(&arguments[1]),
            cgroup_root: arguments[2].clone(),
            shim_exe: std::env::current_exe().expect("own path"),
        };
        let node = Runtime::open(config).await.expect("open");
        let sandbox = node
            .run_pod_sandbox(PodSandboxConfig {
                namespace: "default".into(),
                name: "web-0".into(),
                uid: "uid-of-web-0".into(),
                hostname: "web-0".into(),
                log_directory: PathBuf::from(&arguments[0]).join("logs/web-0"),
                ..PodSandboxConfig::default()
            })
            .await
            .expect("sandbox");
        let container = node
            .create_container(
                &sandbox.id,
                ContainerConfig {
                    name: "main".into(),
                    image: "busybox".into(),
                    command: vec!["/bin/sh".into(), "-c".into(), arguments[3].clone()],
                    log_path: "main/0.log".into(),
                    ..ContainerConfig::default()
                },
            )
            .await
            .expect("create");
        node.start_container(&container).await.expect("start");
        println!("{container}");
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}

/// `once ROOTFS SCRATCH SCRIPT`: runs a shell script in a container of its own and passes on what it prints.
fn once() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args().skip(2).map(PathBuf::from).collect();
    let command = RunOnce {
        lower_dirs: vec![arguments[0].clone()],
        upper_dir: arguments[1].join("upper"),
        work_dir: arguments[1].join("work"),
        args: vec![
            "/bin/sh".into(),
            "-c".into(),
            arguments[2].to_str().expect("UTF-8").into(),
        ],
        ..RunOnce::default()
    };
    let exe = std::env::current_exe().expect("own path");
    let code = run_once(&exe, &command, &mut |output| println!("{output:?}")).expect("run");
    ExitCode::from(u8::try_from(code).expect("an exit code"))
}
