//! A stage as it grows: its configuration, its layers and the variables in force. Pure.

use std::collections::BTreeMap;

use super::super::image::{ConfigFile, History, Layer, RunConfig};
use super::cache::Key;
use super::dockerfile::{Command, Instruction, expand};

/// What the next instruction of a stage finds.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) document: ConfigFile,
    /// Bottom first.
    pub(super) layers: Vec<Layer>,
    pub(super) key: Key,
    /// ARGs declared in this stage that have a value.
    pub(super) arguments: BTreeMap<String, String>,
    /// Whether CMD was given in this stage; if not, ENTRYPOINT clears the base image's.
    pub(super) has_cmd: bool,
}

impl State {
    /// The value of a variable in an instruction: ENV wins over ARG.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let environment = self.document.config.env.iter().flatten();
        let set = environment
            .rev()
            .find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='));
        set.map(str::to_owned)
            .or_else(|| self.arguments.get(name).cloned())
    }

    /// SHELL, or docker's default.
    fn shell(&self) -> Vec<String> {
        self.document
            .config
            .shell
            .clone()
            .unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()])
    }

    /// The words to execute.
    pub(super) fn words(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(words) => words.clone(),
            Command::Shell(script) => [self.shell(), vec![script.clone()]].concat(),
        }
    }

    /// Environment of a RUN: the image's, and the ARGs it does not set itself.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let mut all = self.document.run_config().env;
        for (name, value) in &self.arguments {
            if !all.iter().any(|(known, _)| known == name) {
                all.push((name.clone(), value.clone()));
            }
        }
        all
    }

    /// The working directory; always absolute.
    pub(super) fn working_directory(&self) -> &str {
        match self.document.config.working_dir.as_str() {
            "" => "/",
            directory => directory,
        }
    }

    /// `path`, taken from the working directory if it is relative. Keeps a final slash.
    pub(super) fn absolute(&self, path: &str) -> String {
        if path.starts_with('/') {
            return path.to_owned();
        }
        let path = path.strip_prefix("./").unwrap_or(path);
        let path = if path == "." { "" } else { path };
        format!("{}/{path}", self.working_directory().trim_end_matches('/'))
    }

    /// Adds a finished step.
    pub(super) fn advance(&mut self, created_by: String, created: String, layer: Option<Layer>) {
        let history = History {
            created: Some(created.clone()),
            created_by: Some(created_by),
            comment: None,
            empty_layer: layer.is_none(),
        };
        self.document.history.push(history);
        self.document.created = Some(created);
        if let Some(layer) = layer {
            self.document.rootfs.diff_ids.push(layer.diff_id.clone());
            self.layers.push(layer);
        }
    }

    /// Puts values in place of the variables of an instruction that has them.
    pub(super) fn expanded(
        &self,
        instruction: &Instruction,
        escape: char,
    ) -> Result<Instruction, String> {
        let one = |word: &String| expand(word, escape, &|name| self.variable(name));
        let all = |words: &[String]| words.iter().map(one).collect::<Result<Vec<_>, _>>();
        let pairs = |pairs: &[(String, String)]| {
            pairs
                .iter()
                .map(|(name, value)| Ok((one(name)?, one(value)?)))
                .collect::<Result<Vec<_>, String>>()
        };
        let copy = |copy: &super::dockerfile::Copy| {
            Ok::<_, String>(super::dockerfile::Copy {
                from: copy.from.clone(),
                chown: copy.chown.as_ref().map(one).transpose()?,
                chmod: copy.chmod.as_ref().map(one).transpose()?,
                sources: all(&copy.sources)?,
                destination: one(&copy.destination)?,
            })
        };
        Ok(match instruction {
            Instruction::Add(add) => Instruction::Add(copy(add)?),
            Instruction::Copy(from) => Instruction::Copy(copy(from)?),
            Instruction::Env(env) => Instruction::Env(pairs(env)?),
            Instruction::Label(labels) => Instruction::Label(pairs(labels)?),
            // One variable may hold several ports.
            Instruction::Expose(ports) => {
                let ports = all(ports)?;
                Instruction::Expose(
                    ports
                        .iter()
                        .flat_map(|port| port.split_whitespace())
                        .map(str::to_owned)
                        .collect(),
                )
            }
            Instruction::Volume(paths) => Instruction::Volume(all(paths)?),
            Instruction::User(user) => Instruction::User(one(user)?),
            Instruction::Workdir(path) => Instruction::Workdir(one(path)?),
            Instruction::StopSignal(signal) => Instruction::StopSignal(one(signal)?),
            other => other.clone(),
        })
    }

    /// Applies an (expanded) instruction to the configuration; those that change files have their own code, and only leave
    /// their mark here.
    pub(super) fn configure(&mut self, instruction: &Instruction) -> Result<(), String> {
        let working_directory = match instruction {
            Instruction::Workdir(path) => Some(self.absolute(path)),
            _ => None,
        };
        let words = match instruction {
            Instruction::Entrypoint(command) | Instruction::Cmd(command) => {
                Some(self.words(command))
            }
            _ => None,
        };
        let config: &mut RunConfig = &mut self.document.config;
        match instruction {
            Instruction::Env(pairs) => {
                let env = config.env.get_or_insert_default();
                for (name, value) in pairs {
                    let entry = format!("{name}={value}");
                    match env
                        .iter_mut()
                        .find(|known| known.split('=').next() == Some(name))
                    {
                        Some(known) => *known = entry,
                        None => env.push(entry),
                    }
                }
            }
            Instruction::Label(pairs) => config
                .labels
                .get_or_insert_default()
                .extend(pairs.iter().cloned()),
            Instruction::Expose(ports) => {
                for port in ports {
                    config.exposed_ports.extend(ports_of(port)?);
                }
            }
            Instruction::Volume(paths) => {
                if paths.iter().any(String::is_empty) {
                    return Err("VOLUME specified can not be an empty string".to_owned());
                }
                config.volumes.extend(paths.iter().cloned());
            }
            Instruction::User(user) => config.user.clone_from(user),
            Instruction::Workdir(_) => {
                config.working_dir = tidy(&working_directory.unwrap_or_default());
            }
            Instruction::StopSignal(signal) => config.stop_signal = Some(signal_name(signal)?),
            Instruction::Shell(shell) => config.shell = Some(shell.clone()),
            Instruction::Healthcheck(check) => config.healthcheck = Some(check.clone()),
            Instruction::Cmd(_) => {
                config.cmd = words;
                self.has_cmd = true;
            }
            Instruction::Entrypoint(_) => {
                config.entrypoint = words;
                if !self.has_cmd {
                    config.cmd = None;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Without `.`, `..` and doubled slashes.
fn tidy(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `80`, `53/udp`, `8000-8002/tcp` as the keys of ExposedPorts.
fn ports_of(text: &str) -> Result<Vec<String>, String> {
    let bad = || format!("invalid containerPort: {text}");
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last): (u16, u16) = (
        first.parse().map_err(|_| bad())?,
        last.parse().map_err(|_| bad())?,
    );
    if first > last {
        return Err(bad());
    }
    Ok((first..=last)
        .map(|port| format!("{port}/{protocol}"))
        .collect())
}

/// A number, or a name with or without `SIG`, which is kept as written.
fn signal_name(text: &str) -> Result<String, String> {
    let name = text.trim().to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let number = name
        .parse()
        .is_ok_and(|number: u32| (1..=64).contains(&number));
    let real_time = name.starts_with("RTMIN") || name.starts_with("RTMAX");
    if number
        || real_time
        || format!("SIG{name}")
            .parse::<nix::sys::signal::Signal>()
            .is_ok()
    {
        Ok(text.trim().to_owned())
    } else {
        Err(format!("invalid signal: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            document: ConfigFile::default(),
            layers: Vec::new(),
            key: Key::base("scratch"),
            arguments: BTreeMap::from([
                ("A".to_owned(), "arg".to_owned()),
                ("E".to_owned(), "hidden".to_owned()),
            ]),
            has_cmd: false,
        }
    }

    fn apply(state: &mut State, text: &str) -> Result<(), String> {
        let file = super::super::dockerfile::Dockerfile::parse(&format!("FROM x\n{text}")).unwrap();
        for step in &file.stages[0].steps {
            let instruction = state.expanded(&step.instruction, file.escape)?;
            state.configure(&instruction)?;
        }
        Ok(())
    }

    #[test]
    fn instructions_shape_the_configuration() {
        let mut state = state();
        let text = "ENV E=env P=/bin:$A\nENV E=\"$E 2\" \nWORKDIR /a\nWORKDIR b/../c/\nUSER ${A}:g\nEXPOSE 80 53/UDP 1-2\nENV PORTS=\"7 8\"\nEXPOSE $PORTS\nVOLUME /v /w\nVOLUME [\"/x y\"]\nLABEL a=\"b c\"\nSTOPSIGNAL SIGQUIT\nSHELL [\"/bin/ash\", \"-ec\"]\nCMD run $A";
        apply(&mut state, text).unwrap();
        let config = state.document.run_config();
        let env: Vec<String> = config
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(env, ["E=env 2", "P=/bin:arg", "PORTS=7 8"]);
        assert_eq!(config.working_dir.as_deref(), Some("/a/c"));
        assert_eq!(config.user.as_deref(), Some("arg:g"));
        let ports: Vec<&str> = config.exposed_ports.iter().map(String::as_str).collect();
        assert_eq!(
            ports,
            ["1/tcp", "2/tcp", "53/udp", "7/tcp", "8/tcp", "80/tcp"]
        );
        let volumes: Vec<&str> = config.volumes.iter().map(String::as_str).collect();
        assert_eq!(volumes, ["/v", "/w", "/x y"]);
        assert_eq!(config.labels["a"], "b c");
        assert_eq!(config.stop_signal.as_deref(), Some("SIGQUIT"));
        assert_eq!(config.cmd, ["/bin/ash", "-ec", "run $A"]);
        assert!(
            state
                .environment()
                .contains(&("A".to_owned(), "arg".to_owned()))
        );
    }

    #[test]
    fn an_entry_point_clears_the_command_of_the_base_image_only() {
        let mut base = state();
        base.document.config.cmd = Some(vec!["old".to_owned()]);
        let mut own = base.clone();
        apply(&mut base, "ENTRYPOINT [\"x\"]").unwrap();
        assert_eq!(base.document.config.cmd, None);
        apply(&mut own, "CMD [\"new\"]\nENTRYPOINT [\"x\"]").unwrap();
        assert_eq!(own.document.config.cmd, Some(vec!["new".to_owned()]));
    }

    #[test]
    fn wrong_values_are_refused() {
        for (text, reason) in [
            ("EXPOSE http", "invalid containerPort: http"),
            ("EXPOSE 80/icmp", "invalid proto"),
            ("EXPOSE 9-8", "invalid containerPort"),
            ("EXPOSE 70000", "invalid containerPort"),
            ("STOPSIGNAL SIGWHAT", "invalid signal"),
            ("USER ${A:?}${B:?b is needed}", "b is needed"),
        ] {
            let error = apply(&mut state(), text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
