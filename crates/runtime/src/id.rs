//! Makes names that are never used twice.

use std::fs::File;
use std::io::{self, Read as _};

/// 64 random hexadecimal digits.
pub(crate) fn random() -> io::Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex::encode(bytes))
}
