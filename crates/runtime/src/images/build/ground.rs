//! What the stages of a Dockerfile stand on: the ARGs before them, each other, images, or nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::super::image::{ConfigFile, Image, Layer};
use super::super::manifest::Platform;
use super::super::pull::pull_blocking;
use super::BuildError;
use super::builder::Builder;
use super::cache::Key;
use super::dockerfile::{Instruction, Step, expand};
use super::state::State;

impl Builder<'_, '_> {
    /// Gives the ARGs before the first FROM, and the platform's, their values.
    pub(super) fn declare_globals(&mut self) -> Result<(), BuildError> {
        let host = Platform::host();
        for side in ["TARGET", "BUILD"] {
            self.globals.insert(
                format!("{side}PLATFORM"),
                format!("{}/{}", host.os, host.architecture),
            );
            self.globals.insert(format!("{side}OS"), host.os.clone());
            self.globals
                .insert(format!("{side}ARCH"), host.architecture.clone());
            self.globals.insert(format!("{side}VARIANT"), String::new());
        }
        for step in &self.file.arguments {
            let Instruction::Arg(arguments) = &step.instruction else {
                continue;
            };
            for (name, default) in arguments {
                let default = default.as_ref().map(|word| {
                    expand(word, self.file.escape, &|name| {
                        self.globals.get(name).cloned()
                    })
                });
                let default = default
                    .transpose()
                    .map_err(|reason| self.wrong(step, reason))?;
                let value = self.given(name).or(default);
                self.globals
                    .extend(value.map(|value| (name.clone(), value)));
            }
        }
        Ok(())
    }

    /// The value on the command line.
    pub(super) fn given(&mut self, name: &str) -> Option<String> {
        let (_, value) = self
            .options
            .build_args
            .iter()
            .rev()
            .find(|(given, _)| given == name)?;
        self.used_arguments.insert(name.to_owned());
        Some(value.clone())
    }

    /// The stages that the target stands on, itself last.
    pub(super) fn needed(&self, target: usize) -> Result<BTreeSet<usize>, BuildError> {
        let mut needed = BTreeSet::new();
        let mut open = vec![target];
        while let Some(number) = open.pop() {
            if !needed.insert(number) {
                continue;
            }
            open.extend(self.earlier(&self.base_of(number)?, number));
            for step in &self.file.stages[number].steps {
                if let Instruction::Copy(copy) = &step.instruction
                    && let Some(from) = &copy.from
                {
                    open.extend(self.file.stage(from, number));
                }
            }
        }
        Ok(needed)
    }

    /// The stage that FROM means by this name; a number is an image there.
    pub(super) fn earlier(&self, base: &str, before: usize) -> Option<usize> {
        self.file
            .stage(base, before)
            .filter(|_| base.parse::<usize>().is_err())
    }

    /// What FROM names, variables expanded.
    pub(super) fn base_of(&self, number: usize) -> Result<String, BuildError> {
        let stage = &self.file.stages[number];
        let base = expand(&stage.base, self.file.escape, &|name| {
            self.globals.get(name).cloned()
        })
        .map_err(|reason| self.wrong(&stage.from, reason))?;
        if base.is_empty() {
            let reason = format!("base name ({}) should not be blank", stage.base);
            return Err(self.wrong(&stage.from, reason));
        }
        Ok(base)
    }

    pub(super) fn state_of(&self, image: &Image) -> Result<State, BuildError> {
        let document = ConfigFile::parse(&image.id, &self.store.config_json(image)?)?;
        let (layers, key) = (image.layers.clone(), Key::base(&image.id));
        Ok(State {
            document,
            layers,
            key,
            arguments: BTreeMap::new(),
            has_cmd: false,
        })
    }

    /// An image of the store, or one fetched from its registry.
    pub(super) fn image(&self, name: &str, step: &Step) -> Result<Image, BuildError> {
        if let Some(image) = self
            .store
            .resolve(name)
            .map_err(|error| self.wrong(step, error))?
        {
            return Ok(image);
        }
        pull_blocking(self.store, name).map_err(|error| {
            self.wrong(
                step,
                format!(
                    "image {name} is not in the store, and its registry does not give it: {error}"
                ),
            )
        })
    }

    /// The layers of what `COPY --from` names, bottom first.
    pub(super) fn layers_from(
        &self,
        from: &str,
        stage: usize,
        step: &Step,
    ) -> Result<Vec<Layer>, BuildError> {
        if let Some(state) = self
            .file
            .stage(from, stage)
            .and_then(|earlier| self.stages.get(&earlier))
        {
            return Ok(state.layers.clone());
        }
        if self.file.stages[stage].alias.as_deref() == Some(&from.to_lowercase()) {
            return Err(self.wrong(
                step,
                format!("circular dependency: stage {from} cannot copy from itself"),
            ));
        }
        Ok(self.image(from, step)?.layers)
    }
}

/// FROM scratch.
pub(super) fn scratch() -> State {
    let host = Platform::host();
    let document = ConfigFile {
        architecture: host.architecture,
        os: host.os,
        ..ConfigFile::default()
    };
    State {
        document,
        layers: Vec::new(),
        key: Key::base("scratch"),
        arguments: BTreeMap::new(),
        has_cmd: false,
    }
}
