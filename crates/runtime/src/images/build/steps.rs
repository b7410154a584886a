//! The steps that change files: COPY, ADD, RUN and WORKDIR.

use std::fs;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use crate::oneshot::RunOnce;
use crate::spec::inroot::Root;
use crate::spec::user;
use crate::types::{Mount, MountPropagation};

use super::super::image::Layer;
use super::super::layers::{decoder, make_upper, unpack};
use super::builder::Builder;
use super::copy::{Rules, copy, make_directory};
use super::dockerfile::{Command, Copy, Run, Step};
use super::merged::{readable, writable};
use super::pattern::Ignore;
use super::sources::{Item, Sources, find};
use super::state::State;
use super::tree::{Tree, plain};
use super::{BuildError, Progress};

/// Files of this host that a RUN sees, so that names resolve as they do here.
const RESOLVER_FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

impl Builder<'_, '_> {
    pub(super) fn copy_step(
        &mut self,
        state: &mut State,
        step: &Step,
        what: &Copy,
        is_add: bool,
        stage: usize,
    ) -> Result<(), BuildError> {
        let foreign = match &what.from {
            Some(from) => {
                let layers = self.layers_from(from, stage, step)?;
                let scratch = self.ingest.path();
                Some(readable(&self.lowers(&layers), &scratch)?)
            }
            None => None,
        };
        let keep_owners = foreign.is_some();
        let (tree, ignore) = match foreign {
            Some(tree) => (tree, &Ignore::default()),
            None => (Tree::open(&self.options.context)?, &self.ignore),
        };
        let mut sources =
            find(&tree, ignore, &what.sources).map_err(|reason| self.wrong(step, reason))?;
        let mode = what
            .chmod
            .as_deref()
            .map(parse_mode)
            .transpose()
            .map_err(|reason| self.wrong(step, reason))?;
        let content = sources
            .hash(keep_owners)
            .map_err(|error| self.wrong(step, format!("cannot read the sources: {error}")))?;
        let destination = state.absolute(&what.destination);
        let options = format!("{:?} {:?} {mode:?} {destination}", is_add, what.chown);
        self.keyed(
            state,
            step,
            &[b"COPY", options.as_bytes(), &content],
            step.text.clone(),
            |builder, state| {
                builder.layer(state, |builder, tree| {
                    let owner = what
                        .chown
                        .as_deref()
                        .map(|chown| owner(tree, chown))
                        .transpose();
                    let owner = owner.map_err(|reason| builder.wrong(step, reason))?;
                    let archives = if is_add {
                        take_archives(&mut sources)
                    } else {
                        Ok(Vec::new())
                    };
                    for archive in archives.map_err(|error| builder.wrong(step, error))? {
                        builder
                            .unpack(&archive, tree, &destination, owner, mode)
                            .map_err(|reason| builder.wrong(step, reason))?;
                    }
                    if sources.items.is_empty() {
                        return Ok(());
                    }
                    let rules = Rules {
                        owner,
                        mode,
                        keep_owners,
                    };
                    copy(tree, &sources, &destination, &rules)
                        .map_err(|reason| builder.wrong(step, reason))
                })
            },
        )
    }

    /// Unpacks what ADD found to be an archive. Its owners are kept, as docker keeps them.
    fn unpack(
        &mut self,
        archive: &fs::File,
        tree: &Tree,
        destination: &str,
        owner: Option<(u32, u32)>,
        mode: Option<u32>,
    ) -> Result<(), String> {
        let unpacked = self.ingest.path();
        fs::create_dir(&unpacked).map_err(|error| error.to_string())?;
        let (_, archive) = decoder(BufReader::new(archive)).map_err(|error| error.to_string())?;
        unpack(archive, &unpacked).map_err(|error| error.to_string())?;
        let content = Tree::open(&unpacked).map_err(|error| error.to_string())?;
        let sources = find(&content, &Ignore::default(), &[".".to_owned()])?;
        copy(
            tree,
            &sources,
            destination,
            &Rules {
                owner,
                mode,
                keep_owners: true,
            },
        )
    }

    pub(super) fn workdir_step(
        &mut self,
        state: &mut State,
        step: &Step,
        path: &str,
    ) -> Result<(), BuildError> {
        self.keyed(
            state,
            step,
            &[b"WORKDIR", path.as_bytes()],
            step.text.clone(),
            |builder, state| {
                builder.layer(state, |builder, tree| {
                    let path = plain(Path::new(path))
                        .ok_or_else(|| builder.wrong(step, "the path leaves the root directory"))?;
                    make_directory(tree, &path)
                        .map(drop)
                        .map_err(|reason| builder.wrong(step, reason))
                })
            },
        )
    }

    pub(super) fn run_step(
        &mut self,
        state: &mut State,
        step: &Step,
        run: &Run,
    ) -> Result<(), BuildError> {
        let args = state.words(&run.command);
        let arguments = format!("{:?} {args:?} {}", state.arguments, run.private_network);
        let created_by = match &run.command {
            Command::Exec(words) => format!("RUN {}", words.join(" ")),
            Command::Shell(_) => format!("RUN {}", args.join(" ")),
        };
        self.keyed(
            state,
            step,
            &[b"RUN", arguments.as_bytes()],
            created_by,
            |builder, state| {
                if state.layers.is_empty() {
                    return Err(builder.wrong(
                        step,
                        "there is nothing to run in an empty image: COPY a program first",
                    ));
                }
                let lower_dirs = builder.lowers(&state.layers);
                let upper_dir = builder.ingest.path();
                make_upper(&upper_dir, &lower_dirs)?;
                let present = RESOLVER_FILES
                    .iter()
                    .filter(|path| Path::new(path).is_file());
                let command = RunOnce {
                    lower_dirs: lower_dirs.clone(),
                    upper_dir: upper_dir.clone(),
                    work_dir: builder.ingest.path(),
                    args,
                    env: state.environment(),
                    cwd: PathBuf::from(state.working_directory()),
                    user: state.document.config.user.clone(),
                    mounts: present
                        .map(|path| Mount {
                            host_path: PathBuf::from(path),
                            container_path: PathBuf::from(path),
                            read_only: true,
                            propagation: MountPropagation::default(),
                        })
                        .collect(),
                    private_network: run.private_network,
                    ..RunOnce::default()
                };
                let progress = &mut *builder.progress;
                let code =
                    (builder.runner)(&command, &mut |output| progress(Progress::Output(output)))
                        .map_err(|error| builder.wrong(step, error))?;
                if code != 0 {
                    return Err(builder.failed(step, code));
                }
                Ok(Some(builder.ingest.seal(upper_dir, &lower_dirs)?))
            },
        )
    }

    /// A layer made by changing the merged tree of the state's layers; `None` if nothing was changed.
    fn layer(
        &mut self,
        state: &State,
        change: impl FnOnce(&mut Self, &Tree) -> Result<(), BuildError>,
    ) -> Result<Option<Layer>, BuildError> {
        let lowers = self.lowers(&state.layers);
        let upper = self.ingest.path();
        make_upper(&upper, &lowers)?;
        let tree = writable(&lowers, &upper, &self.ingest.path())?;
        change(self, &tree)?;
        drop(tree);
        let unchanged = fs::read_dir(&upper)
            .map_err(super::super::error::ImageError::io("list", &upper))?
            .next()
            .is_none();
        Ok(if unchanged {
            None
        } else {
            Some(self.ingest.seal(upper, &lowers)?)
        })
    }
}

/// `user[:group]` by name or number, looked up in the tree.
fn owner(tree: &Tree, text: &str) -> Result<(u32, u32), String> {
    let root = Root::open(&tree.path()).map_err(|error| error.to_string())?;
    let read = |path: &str| {
        root.read(path)
            .map(Option::unwrap_or_default)
            .map_err(|error| format!("{path}: {error}"))
    };
    // A number alone is user and group.
    let text = if text.parse::<u32>().is_ok() {
        format!("{text}:{text}")
    } else {
        text.to_owned()
    };
    let identity = user::resolve(&text, None, &read("/etc/passwd")?, &read("/etc/group")?)?;
    Ok((identity.uid, identity.gid))
}

fn parse_mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| format!("invalid chmod parameter: {text:?} (an octal number, as 0755)"))
}

/// Takes the sources that ADD unpacks out of the others.
fn take_archives(sources: &mut Sources<'_>) -> io::Result<Vec<fs::File>> {
    let mut archives = Vec::new();
    for item in std::mem::take(&mut sources.items) {
        if let Item::File { path, .. } = &item {
            let file = sources.file(path)?;
            if is_archive(&file) {
                archives.push(file);
                continue;
            }
        }
        sources.items.push(item);
    }
    Ok(archives)
}

/// Whether ADD unpacks this file: a tar, compressed or not, by its content. Leaves the file at its start.
fn is_archive(mut file: &fs::File) -> bool {
    let mut header = [0; 512];
    let read =
        decoder(BufReader::new(file)).and_then(|(_, mut plain)| plain.read_exact(&mut header));
    let rewound = file.rewind();
    let header = tar::Header::from_byte_slice(&header);
    let bytes = header.as_bytes();
    let sum: u32 = bytes[..148]
        .iter()
        .chain(&bytes[156..])
        .map(|byte| u32::from(*byte))
        .sum::<u32>()
        + 8 * 32;
    let magic = header.as_ustar().is_some() || header.as_gnu().is_some();
    read.is_ok() && rewound.is_ok() && magic && header.cksum().is_ok_and(|checksum| checksum == sum)
}
