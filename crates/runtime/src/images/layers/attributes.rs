//! What an archive says about a file beside its content.

use std::io::{self, Read};

use rustix::fs::Timespec;
use tar::Entry;

use super::super::Result;
use super::inside::hostile;
use super::{OVERLAY_PRIVATE, XATTR_RECORD};

/// Owner, mode, time and extended attributes of an entry.
pub(super) struct Attributes {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    pub(super) time: Timespec,
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
}

/// Reads them from the header and the PAX records before it.
pub(super) fn attributes<R: Read>(entry: &mut Entry<'_, R>, raw: &[u8]) -> Result<Attributes> {
    let bad = |error: io::Error| hostile(raw, &error.to_string());
    // The largest number means "leave it as it is" to chown(2).
    let id = |id: u64| {
        u32::try_from(id)
            .ok()
            .filter(|id| *id != u32::MAX)
            .ok_or_else(|| hostile(raw, "owner out of range"))
    };
    let header = entry.header();
    let (uid, gid) = (
        id(header.uid().map_err(bad)?)?,
        id(header.gid().map_err(bad)?)?,
    );
    let mode = header.mode().map_err(bad)? & 0o7777;
    let seconds = i64::try_from(header.mtime().map_err(bad)?).unwrap_or(0);
    let mut attributes = Attributes {
        uid,
        gid,
        mode,
        time: Timespec {
            tv_sec: seconds,
            tv_nsec: 0,
        },
        xattrs: Vec::new(),
    };
    for record in entry.pax_extensions().map_err(bad)?.into_iter().flatten() {
        let record = record.map_err(bad)?;
        let Ok(key) = record.key() else { continue };
        if key == "mtime" {
            attributes.time = record
                .value()
                .ok()
                .and_then(pax_time)
                .ok_or_else(|| hostile(raw, "unreadable mtime"))?;
        } else if let Some(name) = key.strip_prefix(XATTR_RECORD)
            && !name.starts_with(OVERLAY_PRIVATE)
        {
            attributes
                .xattrs
                .push((name.to_owned(), record.value_bytes().to_vec()));
        }
    }
    Ok(attributes)
}

/// `-?seconds[.fraction]`
fn pax_time(text: &str) -> Option<Timespec> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.get(..fraction.len().min(9))?;
    let nanoseconds: i64 = format!("{digits:0<9}")
        .parse()
        .ok()
        .filter(|n: &i64| *n >= 0)?;
    let seconds: i64 = seconds.parse().ok()?;
    Some(if text.starts_with('-') && nanoseconds > 0 {
        Timespec {
            tv_sec: seconds.checked_sub(1)?,
            tv_nsec: 1_000_000_000 - nanoseconds,
        }
    } else {
        Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        }
    })
}
