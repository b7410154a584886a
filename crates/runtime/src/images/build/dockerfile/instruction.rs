//! One instruction: what may stand in it, and what is refused.

use serde_json::{Value, json};

use super::lines::{Heredoc, Line};
use super::words::split_quoted;

/// An instruction, its words not yet expanded.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum Instruction {
    From {
        image: String,
        alias: Option<String>,
    },
    Add(Copy),
    Copy(Copy),
    Run(Run),
    Env(Vec<(String, String)>),
    Arg(Vec<(String, Option<String>)>),
    Label(Vec<(String, String)>),
    Expose(Vec<String>),
    Volume(Vec<String>),
    User(String),
    Workdir(String),
    Entrypoint(Command),
    Cmd(Command),
    Shell(Vec<String>),
    StopSignal(String),
    /// In the form of the image configuration.
    Healthcheck(Value),
    Maintainer(String),
}

/// COPY and ADD.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Copy {
    /// A stage, its number, or an image.
    pub(in super::super) from: Option<String>,
    pub(in super::super) chown: Option<String>,
    pub(in super::super) chmod: Option<String>,
    pub(in super::super) sources: Vec<String>,
    pub(in super::super) destination: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Run {
    pub(in super::super) command: Command,
    /// `--network=none`.
    pub(in super::super) private_network: bool,
}

/// The two forms of RUN, CMD and ENTRYPOINT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Command {
    /// For the stage's SHELL.
    Shell(String),
    /// A JSON array: run as it is.
    Exec(Vec<String>),
}

const KNOWN: &str = "ADD, ARG, CMD, COPY, ENTRYPOINT, ENV, EXPOSE, FROM, HEALTHCHECK, LABEL, MAINTAINER, RUN, SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR";

pub(super) fn parse(line: &Line, escape: char) -> Result<Instruction, String> {
    let keyword = line.keyword.to_ascii_uppercase();
    let rest = line.rest.as_str();
    if keyword == "ONBUILD" {
        return Err("ONBUILD is not supported: put the instruction into the Dockerfiles that build on this image".to_owned());
    }
    let known = KNOWN.split(", ").any(|known| known == keyword);
    if !known {
        return Err(format!(
            "unknown instruction: {} (known: {KNOWN})",
            line.keyword
        ));
    }
    if rest.is_empty() && !matches!(keyword.as_str(), "CMD" | "ENTRYPOINT") {
        return Err(format!("{keyword} requires at least one argument"));
    }
    let one = || Ok::<_, String>(rest.to_owned());
    Ok(match keyword.as_str() {
        "FROM" => from(rest)?,
        "ADD" => Instruction::Add(copy("ADD", line)?),
        "COPY" => Instruction::Copy(copy("COPY", line)?),
        "RUN" => Instruction::Run(run(rest, &line.heredocs)?),
        "ENV" => Instruction::Env(pairs("ENV", rest, escape)?),
        "LABEL" => Instruction::Label(pairs("LABEL", rest, escape)?),
        "ARG" => Instruction::Arg(arguments(rest, escape)?),
        "EXPOSE" => Instruction::Expose(words(rest)),
        "VOLUME" => Instruction::Volume(json_array(rest).unwrap_or_else(|| words(rest))),
        "USER" => Instruction::User(one()?),
        "WORKDIR" => Instruction::Workdir(one()?),
        "STOPSIGNAL" => Instruction::StopSignal(one()?),
        "ENTRYPOINT" => Instruction::Entrypoint(command(rest)),
        "CMD" => Instruction::Cmd(command(rest)),
        "SHELL" => match json_array(rest) {
            Some(shell) if !shell.is_empty() => Instruction::Shell(shell),
            _ => {
                return Err(
                    "SHELL requires the arguments to be in JSON form, as [\"/bin/sh\", \"-c\"]"
                        .to_owned(),
                );
            }
        },
        "HEALTHCHECK" => Instruction::Healthcheck(healthcheck(rest)?),
        _ => Instruction::Maintainer(one()?),
    })
}

fn words(rest: &str) -> Vec<String> {
    rest.split_whitespace().map(str::to_owned).collect()
}

fn json_array(rest: &str) -> Option<Vec<String>> {
    rest.starts_with('[')
        .then(|| serde_json::from_str(rest).ok())
        .flatten()
}

fn command(rest: &str) -> Command {
    if rest.is_empty() {
        return Command::Exec(Vec::new());
    }
    json_array(rest).map_or_else(|| Command::Shell(rest.to_owned()), Command::Exec)
}

/// `--name=value` and `--name` at the front, and what follows them.
fn flags(mut rest: &str) -> (Vec<(&str, Option<&str>)>, &str) {
    let mut flags = Vec::new();
    while let Some(flag) = rest.strip_prefix("--") {
        let end = flag.find(char::is_whitespace).unwrap_or(flag.len());
        let (flag, after) = flag.split_at(end);
        rest = after.trim_start();
        if flag.is_empty() {
            break;
        }
        flags.push(
            flag.split_once('=')
                .map_or((flag, None), |(name, value)| (name, Some(value))),
        );
    }
    (flags, rest)
}

fn unknown_flag(keyword: &str, flag: &str) -> String {
    format!("unknown flag: {keyword} --{flag}")
}

fn from(rest: &str) -> Result<Instruction, String> {
    let (flags, rest) = flags(rest);
    for (flag, _) in flags {
        // Images are for this machine, whatever other machine is asked for.
        if flag != "platform" {
            return Err(unknown_flag("FROM", flag));
        }
    }
    match words(rest).as_slice() {
        [image] => Ok(Instruction::From {
            image: image.clone(),
            alias: None,
        }),
        [image, word, alias] if word.eq_ignore_ascii_case("as") => {
            let valid = alias.starts_with(|c: char| c.is_ascii_alphabetic())
                && alias
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
            if !valid {
                return Err(format!(
                    "invalid name for build stage: {alias:?} (a letter, then letters, digits, - _ .)"
                ));
            }
            Ok(Instruction::From {
                image: image.clone(),
                alias: Some(alias.clone()),
            })
        }
        _ => {
            Err("FROM requires either one argument, or three: FROM <image> [AS <name>]".to_owned())
        }
    }
}

fn copy(keyword: &str, line: &Line) -> Result<Copy, String> {
    if !line.heredocs.is_empty() {
        return Err(format!(
            "heredocs are not supported in {keyword}: put the content into a file of the build context"
        ));
    }
    let (flags, rest) = flags(&line.rest);
    let mut copy = Copy::default();
    for (flag, value) in flags {
        let value = value.map(str::to_owned);
        let needed = || {
            value
                .clone()
                .filter(|value| !value.is_empty())
                .ok_or(format!("--{flag} requires a value"))
        };
        match flag {
            "from" if keyword == "COPY" => copy.from = Some(needed()?),
            "chown" => copy.chown = Some(needed()?),
            "chmod" => copy.chmod = Some(needed()?),
            // Only about how layers are kept; the result is the same.
            "link" => {}
            other => return Err(unknown_flag(keyword, other)),
        }
    }
    let mut words = json_array(rest).unwrap_or_else(|| words(rest));
    let destination = words.pop().unwrap_or_default();
    if words.is_empty() {
        return Err(format!(
            "{keyword} requires at least two arguments: sources and a destination"
        ));
    }
    let url = |word: &&String| {
        ["http://", "https://", "git://", "git@"]
            .iter()
            .any(|scheme| word.starts_with(scheme))
    };
    if let Some(url) = words.iter().find(url) {
        return Err(format!(
            "{keyword} from a URL is not supported: download {url} into the build context"
        ));
    }
    Ok(Copy {
        sources: words,
        destination,
        ..copy
    })
}

fn run(rest: &str, heredocs: &[Heredoc]) -> Result<Run, String> {
    let (flags, rest) = flags(rest);
    let mut private_network = false;
    for (flag, value) in flags {
        match (flag, value) {
            ("network", Some("none")) => private_network = true,
            ("network", Some("default" | "host")) => {}
            ("mount" | "security" | "network" | "device", _) => {
                return Err(format!("RUN --{flag} is not supported"));
            }
            _ => return Err(unknown_flag("RUN", flag)),
        }
    }
    let command = match heredocs {
        [] if rest.is_empty() => return Err("RUN requires at least one argument".to_owned()),
        [] => command(rest),
        // Nothing but the heredoc: its body is the script.
        [heredoc] if rest.split_whitespace().count() == 1 => Command::Shell(heredoc.body.clone()),
        // Otherwise the shell reads it, as it reads any other.
        several => {
            let mut script = format!("{rest}\n");
            for heredoc in several {
                script.extend([heredoc.body.as_str(), heredoc.terminator.as_str(), "\n"]);
            }
            Command::Shell(script)
        }
    };
    Ok(Run {
        command,
        private_network,
    })
}

/// `name=value …`, or the old form `name value with spaces`.
fn pairs(keyword: &str, rest: &str, escape: char) -> Result<Vec<(String, String)>, String> {
    let words = split_quoted(rest, escape);
    if !words.first().is_some_and(|word| word.contains('=')) {
        let (name, value) = rest
            .split_once(char::is_whitespace)
            .ok_or_else(|| format!("{keyword} must have two arguments: name=value"))?;
        return Ok(vec![(name.to_owned(), value.trim_start().to_owned())]);
    }
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some(("", _)) => Err(format!("{keyword} names can not be blank")),
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(format!(
                "can't find = in {word:?}. Must be of the form: name=value"
            )),
        })
        .collect()
}

fn arguments(rest: &str, escape: char) -> Result<Vec<(String, Option<String>)>, String> {
    split_quoted(rest, escape)
        .iter()
        .map(|word| match word.split_once('=') {
            Some(("", _)) => Err("ARG names can not be blank".to_owned()),
            Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
            None => Ok((word.clone(), None)),
        })
        .collect()
}

fn healthcheck(rest: &str) -> Result<Value, String> {
    let (flags, rest) = flags(rest);
    let mut check = serde_json::Map::new();
    for (flag, value) in flags {
        let value = value.unwrap_or_default();
        let key = match flag {
            "interval" => "Interval",
            "timeout" => "Timeout",
            "start-period" => "StartPeriod",
            "start-interval" => "StartInterval",
            "retries" => "Retries",
            other => return Err(unknown_flag("HEALTHCHECK", other)),
        };
        let number = if key == "Retries" {
            value.parse().ok()
        } else {
            nanoseconds(value)
        };
        check.insert(
            key.to_owned(),
            json!(number.ok_or_else(|| format!("invalid value for --{flag}: {value:?}"))?),
        );
    }
    let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let test = match (kind.to_ascii_uppercase().as_str(), command(rest.trim())) {
        ("NONE", _) if rest.is_empty() => json!(["NONE"]),
        ("CMD", Command::Shell(command)) => json!(["CMD-SHELL", command]),
        ("CMD", Command::Exec(arguments)) if !arguments.is_empty() => {
            json!([vec!["CMD".to_owned()], arguments].concat())
        }
        _ => return Err("HEALTHCHECK takes [options] CMD <command>, or NONE".to_owned()),
    };
    check.insert("Test".to_owned(), test);
    Ok(Value::Object(check))
}

/// Go's durations, as far as health checks use them: `1m30s`, `500ms`, `1.5h`.
fn nanoseconds(text: &str) -> Option<i64> {
    let mut total = 0.0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let (factor, length) = [
            ("ns", 1.0),
            ("us", 1e3),
            ("ms", 1e6),
            ("s", 1e9),
            ("m", 60e9),
            ("h", 3600e9),
        ]
        .into_iter()
        .find_map(|(unit, factor)| after.starts_with(unit).then_some((factor, unit.len())))?;
        total += number.parse::<f64>().ok()? * factor;
        rest = &after[length..];
    }
    #[allow(clippy::cast_possible_truncation)]
    // saturates; a health check of 292 years is one of never
    Some(total.round() as i64)
}
