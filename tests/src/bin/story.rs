//! `make demo`: plays the kubia story in a lab of its own and shows every command.
//!
//! Usage: `story [KUBECTL]`, or `story --commands [KUBECTL]` for what people type every day, or `story --client
//! helm|python|javascript|kube-rs` for what is done with other clients, or `story --kills SEED ROUNDS` for the fault test: the
//! server is killed at any moment. The `plinth` binary is the one beside this program.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use plinth_lab::Lab;
use plinth_tests::story::{Cast, play};
use plinth_tests::{clients, commands, faults};

/// What there is to play.
enum Piece {
    Story,
    Commands,
    Client(clients::Client),
    Kills { seed: u64, rounds: usize },
}

fn main() -> ExitCode {
    let told = match env::var_os("LAB_DIR") {
        None => in_a_lab(),
        Some(directory) => tell(Path::new(&directory)).map(|()| 0),
    };
    match told {
        Ok(0) => ExitCode::SUCCESS,
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("story: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Starts this program once more, inside a lab, and checks that the lab can be cleared away.
fn in_a_lab() -> Result<i32> {
    let lab = Lab::new()?;
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let code = lab.run(&env::current_exe()?, &arguments)?;
    lab.close()?;
    Ok(code)
}

fn tell(directory: &Path) -> Result<()> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the project has a directory")?;
    let plinth = env::current_exe()?.with_file_name("plinth");
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let own = project.join("target/tools/kubectl");
    let (kubectl, piece) = match arguments.as_slice() {
        [] => (own, Piece::Story),
        ["--commands"] => (own, Piece::Commands),
        ["--commands", kubectl] => (PathBuf::from(kubectl), Piece::Commands),
        ["--client", client] => {
            let client = clients::Client::named(client).context("which client?")?;
            (own, Piece::Client(client))
        }
        ["--kills", seed, rounds] => {
            let (seed, rounds) = (seed.parse()?, rounds.parse()?);
            (own, Piece::Kills { seed, rounds })
        }
        [kubectl] => (PathBuf::from(kubectl), Piece::Story),
        _ => {
            bail!(
                "usage: story [KUBECTL] | story --commands [KUBECTL] | story --client NAME | story --kills SEED ROUNDS"
            )
        }
    };
    let kubectl = kubectl
        .canonicalize()
        .with_context(|| format!("{}: run scripts/setup.sh first", kubectl.display()))?;
    ensure!(
        plinth.exists(),
        "{} is missing: build it first (cargo build -p plinth)",
        plinth.display()
    );
    let cast = Cast {
        plinth,
        kubectl,
        project: project.to_owned(),
        directory: directory.to_owned(),
        cgroup_root: env::var("LAB_CGROUP").context("LAB_CGROUP is not set: this is not a lab")?,
    };
    match piece {
        Piece::Story => play(cast),
        Piece::Commands => commands::typed_every_day(cast),
        Piece::Client(client) => clients::used(cast, client),
        Piece::Kills { seed, rounds } => faults::killed_at_any_moment(cast, seed, rounds),
    }
}
