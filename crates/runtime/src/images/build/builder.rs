//! Carries a Dockerfile out, stage by stage.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::super::digest::Digest;
use super::super::image::{Image, Layer};
use super::super::ingest::{Ingest, NewImage};
use super::super::name::ImageName;
use super::super::store::ImageStore;
use super::cache::Entry;
use super::dockerfile::{Dockerfile, Instruction, Step, expand};
use super::ground::scratch;
use super::pattern::Ignore;
use super::state::State;
use super::text::{read_ignore, read_text, unreadable};
use super::{BuildError, BuildOptions, Progress, Runner};

/// Variables that may be given without an ARG that declares them, as docker allows.
const PROXY: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Builds the image that a Dockerfile describes and gives it its tags. Blocks; needs root.
///
/// Base images come from the store, or from their registry if the store does not have them. The image is published in one
/// step at the end.
pub fn build(
    store: &ImageStore,
    options: &BuildOptions,
    runner: &mut Runner<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Image, BuildError> {
    let tags = options
        .tags
        .iter()
        .map(|tag| Ok(ImageName::parse(tag)?.key()))
        .collect::<Result<_, BuildError>>()?;
    let path = options
        .dockerfile
        .clone()
        .unwrap_or_else(|| options.context.join("Dockerfile"));
    let text = read_text(&path)?.ok_or_else(|| unreadable(&path, "no such file"))?;
    let file = Dockerfile::parse(&text).map_err(|problem| BuildError::Dockerfile {
        file: path.clone(),
        line: problem.line,
        reason: problem.reason,
    })?;
    if !options.context.is_dir() {
        return Err(unreadable(&options.context, "not a directory"));
    }
    let ignore = read_ignore(options, &path)?;
    let target = match &options.target {
        None => file.stages.len() - 1,
        Some(name) => file
            .stage(name, file.stages.len())
            .ok_or_else(|| BuildError::NoTarget(name.clone()))?,
    };
    let mut builder = Builder {
        store,
        options,
        path: &path,
        file: &file,
        ignore,
        ingest: Ingest::begin(store)?,
        runner,
        progress,
        globals: BTreeMap::new(),
        stages: BTreeMap::new(),
        used_arguments: BTreeSet::new(),
        number: 0,
        total: 0,
    };
    builder.declare_globals()?;
    let needed = builder.needed(target)?;
    builder.total = needed
        .iter()
        .map(|stage| 1 + file.stages[*stage].steps.len())
        .sum();
    for stage in needed {
        let state = builder.stage(stage)?;
        builder.stages.insert(stage, state);
    }
    builder.finish(target, tags)
}

pub(super) struct Builder<'a, 'r> {
    pub(super) store: &'a ImageStore,
    pub(super) options: &'a BuildOptions,
    path: &'a Path,
    pub(super) file: &'a Dockerfile,
    pub(super) ignore: Ignore,
    pub(super) ingest: Ingest,
    pub(super) runner: &'a mut Runner<'r>,
    pub(super) progress: &'a mut dyn FnMut(Progress<'_>),
    /// The ARGs before the first FROM, and the platform.
    pub(super) globals: BTreeMap<String, String>,
    /// Finished ones.
    pub(super) stages: BTreeMap<usize, State>,
    pub(super) used_arguments: BTreeSet<String>,
    number: usize,
    total: usize,
}

impl Builder<'_, '_> {
    fn stage(&mut self, number: usize) -> Result<State, BuildError> {
        let stage = &self.file.stages[number];
        let base = self.base_of(number)?;
        self.announce(&stage.from.text, false);
        let mut state = match self
            .earlier(&base, number)
            .and_then(|earlier| self.stages.get(&earlier))
        {
            Some(earlier) => State {
                arguments: BTreeMap::new(),
                has_cmd: false,
                ..earlier.clone()
            },
            None if base == "scratch" => scratch(),
            None => self.state_of(&self.image(&base, &stage.from)?)?,
        };
        for name in PROXY {
            let given = self.given(name);
            state
                .arguments
                .extend(given.map(|value| (name.to_owned(), value)));
        }
        if state
            .document
            .config
            .on_build
            .as_ref()
            .is_some_and(|triggers| !triggers.is_empty())
        {
            let reason =
                format!("base image {base} has ONBUILD instructions, which are not supported");
            return Err(self.wrong(&stage.from, reason));
        }
        for step in &stage.steps {
            self.step(&mut state, step, number)?;
        }
        Ok(state)
    }

    fn step(&mut self, state: &mut State, step: &Step, stage: usize) -> Result<(), BuildError> {
        let instruction = state
            .expanded(&step.instruction, self.file.escape)
            .map_err(|reason| self.wrong(step, reason))?;
        match &instruction {
            Instruction::Copy(copy) => return self.copy_step(state, step, copy, false, stage),
            Instruction::Add(copy) => return self.copy_step(state, step, copy, true, stage),
            Instruction::Run(run) => return self.run_step(state, step, run),
            Instruction::Workdir(path) => {
                let path = state.absolute(path);
                state
                    .configure(&instruction)
                    .map_err(|reason| self.wrong(step, reason))?;
                return self.workdir_step(state, step, &path);
            }
            Instruction::Arg(arguments) => {
                for (name, default) in arguments {
                    let expanded = default
                        .as_ref()
                        .map(|word| expand(word, self.file.escape, &|name| state.variable(name)));
                    let default = expanded
                        .transpose()
                        .map_err(|reason| self.wrong(step, reason))?;
                    let global = default
                        .is_none()
                        .then(|| self.globals.get(name).cloned())
                        .flatten();
                    let value = self.given(name).or(default).or(global);
                    state
                        .arguments
                        .extend(value.map(|value| (name.clone(), value)));
                }
            }
            Instruction::Healthcheck(_) => {
                self.warn("HEALTHCHECK is recorded in the image; Kubernetes uses probes instead");
            }
            Instruction::Maintainer(_) => {
                self.warn("MAINTAINER is deprecated and has no effect; use a LABEL");
            }
            _ => {}
        }
        state
            .configure(&instruction)
            .map_err(|reason| self.wrong(step, reason))?;
        let text = format!("{instruction:?}");
        self.keyed(
            state,
            step,
            &[text.as_bytes()],
            step.text.clone(),
            |_, _| Ok(None),
        )
    }

    /// Does a step unless it was done before under the same key. `make` gives the new layer, if any.
    pub(super) fn keyed(
        &mut self,
        state: &mut State,
        step: &Step,
        depends_on: &[&[u8]],
        created_by: String,
        make: impl FnOnce(&mut Self, &State) -> Result<Option<Layer>, BuildError>,
    ) -> Result<(), BuildError> {
        let key = state.key.then(depends_on);
        let known = if self.options.no_cache {
            None
        } else {
            self.store.cached_step(&key)?
        };
        self.announce(&step.text, known.is_some());
        let entry = if let Some(entry) = known {
            entry
        } else {
            let layer = make(self, state)?;
            self.ingest.settle()?;
            let entry = Entry::new(jiff::Timestamp::now().to_string(), layer, &state.layers);
            self.store.remember_step(&key, &entry)?;
            entry
        };
        state.key = key;
        state.advance(created_by, entry.created, entry.layer);
        Ok(())
    }

    fn announce(&mut self, text: &str, cached: bool) {
        self.number += 1;
        (self.progress)(Progress::Step {
            number: self.number,
            total: self.total,
            text,
            cached,
        });
    }

    fn warn(&mut self, text: &str) {
        (self.progress)(Progress::Warning(text));
    }

    #[allow(clippy::needless_pass_by_value)] // an error or a text, as it comes
    pub(super) fn wrong(&self, step: &Step, reason: impl ToString) -> BuildError {
        BuildError::Dockerfile {
            file: self.path.to_owned(),
            line: step.line,
            reason: reason.to_string(),
        }
    }

    pub(super) fn failed(&self, step: &Step, code: i32) -> BuildError {
        BuildError::Command {
            file: self.path.to_owned(),
            line: step.line,
            text: step.text.clone(),
            code,
        }
    }

    /// The layers as overlayfs wants them, top first.
    pub(super) fn lowers(&self, layers: &[Layer]) -> Vec<PathBuf> {
        layers
            .iter()
            .rev()
            .map(|layer| self.store.layer_path(&layer.diff_id))
            .collect()
    }

    fn finish(mut self, target: usize, names: Vec<String>) -> Result<Image, BuildError> {
        let given = self
            .options
            .build_args
            .iter()
            .map(|(name, _)| name.as_str());
        let unused: Vec<&str> = given
            .filter(|name| !self.used_arguments.contains(*name))
            .collect();
        if !unused.is_empty() {
            let text = format!("build arguments were not used: {}", unused.join(", "));
            self.warn(&text);
        }
        // The target is among the needed stages, all of which were built.
        let Some(state) = self.stages.remove(&target) else {
            return Err(BuildError::NoTarget(target.to_string()));
        };
        let config = state.document.to_json()?;
        let id = Digest::of(&config);
        let image = NewImage {
            config,
            layers: state.layers,
            names,
        };
        let mut images = self.ingest.publish(vec![image])?;
        images
            .pop()
            .ok_or_else(|| super::super::error::ImageError::NotFound(id.to_string()).into())
    }
}
