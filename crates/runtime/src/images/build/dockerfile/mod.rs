//! Reads a Dockerfile into stages of instructions. Pure: knows no image, no file but its own text, and no variable's value.
//!
//! Follows the Dockerfile reference (<https://docs.docker.com/reference/dockerfile/>) for the instructions in
//! [`Instruction`]; what is refused (ONBUILD, ADD from a URL, RUN --mount, heredocs of COPY) is refused by name.

mod instruction;
mod lines;
mod words;

pub(super) use instruction::{Command, Copy, Instruction, Run};
pub(super) use words::expand;

use instruction::parse;
use lines::logical_lines;

/// A Dockerfile in parts.
#[derive(Debug, PartialEq)]
pub(super) struct Dockerfile {
    /// `\`, or a backtick if the escape directive says so.
    pub(super) escape: char,
    /// The ARGs before the first FROM.
    pub(super) arguments: Vec<Step>,
    pub(super) stages: Vec<Stage>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Stage {
    /// FROM.
    pub(super) from: Step,
    /// As FROM says, not yet expanded.
    pub(super) base: String,
    /// In lower case.
    pub(super) alias: Option<String>,
    pub(super) steps: Vec<Step>,
}

/// One instruction and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    /// Of its first line, from 1.
    pub(super) line: usize,
    /// As written, on one line.
    pub(super) text: String,
    pub(super) instruction: Instruction,
}

/// Why a Dockerfile cannot be read, and at which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) line: usize,
    pub(super) reason: String,
}

impl Dockerfile {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let (escape, lines) = logical_lines(text)?;
        let mut file = Self {
            escape,
            arguments: Vec::new(),
            stages: Vec::new(),
        };
        for line in lines {
            let problem = |reason: String| Problem {
                line: line.number,
                reason,
            };
            let instruction = parse(&line, escape).map_err(problem)?;
            let step = Step {
                line: line.number,
                text: line.summary(),
                instruction,
            };
            match (&step.instruction, file.stages.last_mut()) {
                (Instruction::From { image, alias }, _) => {
                    let alias = alias.as_ref().map(|alias| alias.to_lowercase());
                    file.stages.push(Stage { base: image.clone(), alias, from: step, steps: Vec::new() });
                }
                (_, Some(stage)) => stage.steps.push(step),
                (Instruction::Arg(_), None) => file.arguments.push(step),
                (_, None) => return Err(problem("no build stage in current context: the first instruction must be FROM (or ARG)".to_owned())),
            }
        }
        if file.stages.is_empty() {
            return Err(Problem {
                line: 1,
                reason: "the Dockerfile has no FROM".to_owned(),
            });
        }
        Ok(file)
    }

    /// The stage of this name or number, looking only at those before `before`.
    pub(super) fn stage(&self, name: &str, before: usize) -> Option<usize> {
        let name = name.to_lowercase();
        let earlier = &self.stages[..before.min(self.stages.len())];
        earlier
            .iter()
            .rposition(|stage| stage.alias.as_ref() == Some(&name))
            .or_else(|| name.parse().ok().filter(|number| *number < earlier.len()))
    }
}

#[cfg(test)]
mod tests;
