//! The texts a build reads besides its sources: Dockerfile and `.dockerignore`.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::pattern::Ignore;
use super::{BuildError, BuildOptions};

/// No honest Dockerfile or `.dockerignore` is larger.
const MAX_TEXT: u64 = 4 * 1024 * 1024;

/// The `.dockerignore` beside the Dockerfile (`<name>.dockerignore`), or the context's.
pub(super) fn read_ignore(options: &BuildOptions, dockerfile: &Path) -> Result<Ignore, BuildError> {
    let mut beside = dockerfile.as_os_str().to_owned();
    beside.push(".dockerignore");
    for path in [PathBuf::from(beside), options.context.join(".dockerignore")] {
        if let Some(text) = read_text(&path)? {
            return Ignore::parse(&text).map_err(|reason| unreadable(&path, reason));
        }
    }
    Ok(Ignore::default())
}

/// A whole text file; `None` if it is not there.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, BuildError> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, error)),
    };
    let mut text = String::new();
    file.take(MAX_TEXT + 1)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(path, error))?;
    if text.len() as u64 > MAX_TEXT {
        return Err(unreadable(path, "it is larger than 4 MiB"));
    }
    Ok(Some(text))
}

#[allow(clippy::needless_pass_by_value)] // an error or a text, as it comes
pub(super) fn unreadable(path: &Path, reason: impl ToString) -> BuildError {
    BuildError::Unreadable {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
