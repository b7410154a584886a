//! `plinth image`: the command line of the image store. The work is the runtime's.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use plinth_runtime::{
    BuildOptions, Image, ImageConfig, ImageStore, Progress, PullOptions, PullProgress, run_once,
};

/// Where the images are.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// The data directory of the server
    #[arg(
        long,
        value_name = "DIR",
        env = "PLINTH_DATA_DIR",
        default_value = "/var/lib/plinth",
        global = true
    )]
    data_dir: PathBuf,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Build an image from a Dockerfile
    Build {
        /// Name of the image, e.g. `kubia-stored` or `registry.example/app:v2`; may be given several times
        #[arg(short, long = "tag", value_name = "NAME", required = true)]
        tags: Vec<String>,
        /// The Dockerfile [default: DIR/Dockerfile]
        #[arg(short, long, value_name = "PATH")]
        file: Option<PathBuf>,
        /// A value for an ARG of the Dockerfile
        #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
        build_arg: Vec<(String, String)>,
        /// Build this stage instead of the last
        #[arg(long, value_name = "STAGE")]
        target: Option<String>,
        /// Do every step, also those done before
        #[arg(long)]
        no_cache: bool,
        /// The directory whose files COPY and ADD see
        #[arg(value_name = "DIR")]
        context: PathBuf,
    },
    /// Import a `docker save` archive, an OCI archive or an OCI layout
    Import {
        /// The archive holds a root file system and nothing else: make an image of this name from it
        #[arg(long, value_name = "NAME")]
        rootfs: Option<String>,
        /// File or directory; `-` is standard input
        #[arg(default_value = "-")]
        path: PathBuf,
    },
    /// List the images
    Ls,
    /// Show all that is known of an image, as JSON
    Inspect { name: String },
    /// Give an image another name
    Tag { name: String, new_name: String },
    /// Remove a name, or an image with all of its names
    Rm {
        /// Names or ids
        #[arg(required = true)]
        names: Vec<String>,
        /// Remove an image by id even though it has names
        #[arg(short, long)]
        force: bool,
    },
    /// Write images as one archive that `docker load` and `plinth image import` read
    Export {
        /// Names or ids
        #[arg(required = true)]
        names: Vec<String>,
        /// File to write [default: standard output]
        #[arg(short, long, value_name = "PATH")]
        output: Option<PathBuf>,
    },
    /// Fetch an image from its registry
    Pull { name: String },
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        // As docker does: the value comes from the environment.
        None => std::env::var(text)
            .map(|value| (text.to_owned(), value))
            .map_err(|_| format!("write NAME=VALUE, or set {text} in the environment")),
    }
}

impl Command {
    pub(crate) fn run(self, place: &Place) -> Result<()> {
        let store = ImageStore::open(&place.data_dir.join("runtime"))?;
        match self {
            Self::Build {
                tags,
                file,
                build_arg,
                target,
                no_cache,
                context,
            } => {
                let options = BuildOptions {
                    tags,
                    context,
                    dockerfile: file,
                    build_args: build_arg,
                    target,
                    no_cache,
                };
                build(&store, &options)
            }
            Self::Import { rootfs, path } => import(&store, rootfs.as_deref(), &path),
            Self::Ls => list(&store),
            Self::Inspect { name } => inspect(&store, &name),
            Self::Tag { name, new_name } => {
                store.tag(&name, &new_name).map(|_| ()).map_err(Into::into)
            }
            Self::Rm { names, force } => remove(&store, &names, force),
            Self::Export { names, output } => export(&store, &names, output.as_deref()),
            Self::Pull { name } => pull(&store, &name),
        }
    }
}

fn build(store: &ImageStore, options: &BuildOptions) -> Result<()> {
    let shim = std::env::current_exe().context("finding this program's own file")?;
    let image = plinth_runtime::build(
        store,
        options,
        &mut |command, sink| run_once(&shim, command, sink),
        &mut |progress| match progress {
            Progress::Output(_) => eprint!("{progress}"),
            _ => eprintln!("{progress}"),
        },
    )?;
    for tag in &options.tags {
        println!("{tag} {}", short(&image.id));
    }
    Ok(())
}

fn import(store: &ImageStore, rootfs: Option<&str>, path: &Path) -> Result<()> {
    if rootfs.is_none() && path.is_dir() {
        store.import_path(path)?.iter().for_each(say);
        return Ok(());
    }
    let archive: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(
            File::open(path).with_context(|| format!("opening {}", path.display()))?,
        ))
    };
    match rootfs {
        Some(name) => say(&store.import_rootfs(name, archive, &ImageConfig::default())?),
        None => store.import(archive)?.iter().for_each(say),
    }
    Ok(())
}

fn say(image: &Image) {
    println!(
        "{} {}",
        image.names.first().map_or("<none>", String::as_str),
        short(&image.id)
    );
}

/// The first twelve digits of an id, as docker shows it.
fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

fn list(store: &ImageStore) -> Result<()> {
    let now = Timestamp::now();
    println!("{:<58} {:<13} {:<9} SIZE", "NAME", "ID", "AGE");
    for image in store.list()? {
        let age = image.created.map_or_else(
            || "<unknown>".to_owned(),
            |created| plinth_api::table::human_duration(now.as_second() - created.as_second()),
        );
        let names = if image.names.is_empty() {
            vec!["<none>".to_owned()]
        } else {
            image.names.clone()
        };
        for name in names {
            println!(
                "{name:<58} {:<13} {age:<9} {}",
                short(&image.id),
                size(image.size)
            );
        }
    }
    Ok(())
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{}kB", bytes.div_ceil(1000)),
        _ => format!("{}.{}MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

fn inspect(store: &ImageStore, name: &str) -> Result<()> {
    let image = store.inspect(name)?;
    let config: serde_json::Value = serde_json::from_slice(&store.config_json(&image)?)?;
    let shown = serde_json::json!({
        "Id": image.id,
        "RepoTags": image.names,
        "RepoDigests": image.digests,
        "Size": image.size,
        "Config": config,
    });
    println!("{}", serde_json::to_string_pretty(&shown)?);
    Ok(())
}

fn remove(store: &ImageStore, names: &[String], force: bool) -> Result<()> {
    for name in names {
        let removed = store.remove(name, force)?;
        for name in removed.untagged {
            println!("Untagged: {name}");
        }
        if let Some(id) = removed.deleted {
            println!("Deleted: {id}");
        }
    }
    Ok(())
}

fn export(store: &ImageStore, names: &[String], output: Option<&Path>) -> Result<()> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if let Some(path) = output {
        let mut file =
            File::create(path).with_context(|| format!("creating {}", path.display()))?;
        store.export(&names, &mut file)?;
        file.sync_all()
            .with_context(|| format!("writing {}", path.display()))?;
    } else {
        let mut stdout = io::stdout().lock();
        if io::IsTerminal::is_terminal(&stdout) {
            bail!("an archive is no sight for a terminal: redirect it, or use --output");
        }
        store.export(&names, &mut stdout)?;
        stdout.flush()?;
    }
    Ok(())
}

fn pull(store: &ImageStore, name: &str) -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider was installed already"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut told = String::new();
    let image = runtime.block_on(store.pull(name, &PullOptions::default(), &mut |progress| {
        let line = pull_line(&progress);
        if line != told {
            eprintln!("{line}");
            told = line;
        }
    }))?;
    say(&image);
    Ok(())
}

/// A line for a terminal; tenths of a layer, so that it changes seldom.
fn pull_line(progress: &PullProgress) -> String {
    match progress {
        PullProgress::Resolved { digest, layers } => format!("{digest}: {layers} layers"),
        PullProgress::Present { layer } => format!("{layer}: here already"),
        PullProgress::Layer {
            digest,
            received,
            size,
        } => {
            format!(
                "{digest}: {}% of {}",
                received * 10 / (*size).max(1) * 10,
                self::size(*size)
            )
        }
    }
}
