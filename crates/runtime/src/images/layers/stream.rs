//! Guards around the streams of an archive whose author is not trusted.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

/// The most that the headers of one entry (long names, PAX records, sparse maps) may take. The reader of the tar crate
/// keeps them in memory.
const MAX_HEADERS: u64 = 1024 * 1024;

/// Limits what is read between [`Allowance::headers`] and [`Allowance::content`].
pub(in super::super) struct Metered<R> {
    inner: R,
    allowance: Allowance,
}

/// The handle that switches a [`Metered`] stream between headers and content.
#[derive(Clone, Default)]
pub(in super::super) struct Allowance(Rc<Cell<Option<u64>>>);

impl Allowance {
    /// From here the next entry's headers are read: at most a megabyte of them.
    pub(in super::super) fn headers(&self) {
        self.0.set(Some(MAX_HEADERS));
    }

    /// From here content is read, as much as there is.
    pub(in super::super) fn content(&self) {
        self.0.set(None);
    }
}

impl<R> Metered<R> {
    pub(in super::super) fn new(inner: R) -> (Self, Allowance) {
        let allowance = Allowance::default();
        (
            Self {
                inner,
                allowance: allowance.clone(),
            },
            allowance,
        )
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if let Some(left) = self.allowance.0.get() {
            let left = left.checked_sub(n as u64).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the headers of one archive entry exceed a megabyte",
                )
            })?;
            self.allowance.0.set(Some(left));
        }
        Ok(n)
    }
}

/// Copies everything into an empty file, leaving holes where there are only zeros, so that a sparse file stays one.
pub(super) fn copy_sparse(mut from: impl Read, file: &mut File) -> io::Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    let mut length = 0;
    let mut hole = false;
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        length += n as u64;
        hole = n >= 4096 && buffer[..n].iter().all(|byte| *byte == 0);
        if hole {
            file.seek(SeekFrom::Current(
                i64::try_from(n).map_err(io::Error::other)?,
            ))?;
        } else {
            file.write_all(&buffer[..n])?;
        }
    }
    if hole {
        file.set_len(length)?;
    }
    Ok(length)
}
