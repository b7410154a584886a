//! Hands out addresses of one range and remembers who holds which. Knows no links and sends nothing.
//!
//! A lease is a file named by its address whose content is the holder's id; creating it exclusively is
//! the allocation. The file `last` keeps the most recently given address: allocation goes on after it
//! and wraps round, so an address rests as long as possible before another sandbox gets it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Ipv4Cidr;

/// Why no address could be leased or released.
#[derive(Debug, thiserror::Error)]
pub enum IpamError {
    /// Every address of the range is held.
    #[error("no free address left in {range}: {held} are held")]
    Exhausted {
        /// The node's range.
        range: Ipv4Cidr,
        /// How many leases there are.
        held: usize,
    },
    /// A lease file could not be read or written.
    #[error("address lease {path:?}: {source}")]
    File {
        /// The lease file or directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// Two lease files name the same holder.
    #[error(
        "sandbox {holder} holds both {first} and {second}: remove one of the files in {directory:?}"
    )]
    HeldTwice {
        /// The sandbox id.
        holder: String,
        /// One address.
        first: Ipv4Addr,
        /// The other.
        second: Ipv4Addr,
        /// Where the lease files are.
        directory: PathBuf,
    },
}

/// The leases of one range.
#[derive(Debug)]
pub(crate) struct Ipam {
    directory: PathBuf,
    range: Ipv4Cidr,
    leases: Mutex<Leases>,
}

#[derive(Debug, Default)]
struct Leases {
    by_holder: BTreeMap<String, Ipv4Addr>,
    by_address: BTreeMap<Ipv4Addr, String>,
    last: Option<Ipv4Addr>,
}

impl Ipam {
    /// Reads the leases under `directory`. The first address of `range` names it, the second is the
    /// gateway's and the last is the broadcast address: none of the three is ever leased.
    pub(crate) fn open(directory: &Path, range: Ipv4Cidr) -> Result<Self, IpamError> {
        let file_error = |path: &Path| {
            let path = path.to_owned();
            move |source| IpamError::File { path, source }
        };
        fs::create_dir_all(directory).map_err(file_error(directory))?;
        let mut leases = Leases::default();
        for entry in fs::read_dir(directory).map_err(file_error(directory))? {
            let path = entry.map_err(file_error(directory))?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if name == "last" {
                let text = fs::read_to_string(&path).map_err(file_error(&path))?;
                leases.last = text.trim().parse().ok();
            } else if let Ok(address) = name.parse::<Ipv4Addr>() {
                let holder = fs::read_to_string(&path).map_err(file_error(&path))?;
                if let Some(first) = leases.by_holder.insert(holder.clone(), address) {
                    return Err(IpamError::HeldTwice {
                        holder,
                        first,
                        second: address,
                        directory: directory.to_owned(),
                    });
                }
                leases.by_address.insert(address, holder);
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            range,
            leases: Mutex::new(leases),
        })
    }

    /// The address of `holder`, leased now unless it already has one.
    pub(crate) fn lease(&self, holder: &str) -> Result<Ipv4Addr, IpamError> {
        let mut leases = self.lock();
        if let Some(address) = leases.by_holder.get(holder) {
            return Ok(*address);
        }
        let address = next_free(self.range, &leases).ok_or(IpamError::Exhausted {
            range: self.range,
            held: leases.by_address.len(),
        })?;
        // Written aside and linked into place: a lease file is never seen half written, and the link
        // fails if another process gave the address away.
        let path = self.directory.join(address.to_string());
        let draft = self.directory.join(format!(".{address}"));
        let file_error = |source| IpamError::File {
            path: path.clone(),
            source,
        };
        fs::write(&draft, holder).map_err(file_error)?;
        let linked = fs::hard_link(&draft, &path);
        fs::remove_file(&draft).map_err(file_error)?;
        linked.map_err(file_error)?;
        fs::write(self.directory.join("last"), address.to_string()).map_err(file_error)?;
        leases.by_holder.insert(holder.to_owned(), address);
        leases.by_address.insert(address, holder.to_owned());
        leases.last = Some(address);
        Ok(address)
    }

    /// Gives the address of `holder` back; nothing happens if it has none.
    pub(crate) fn release(&self, holder: &str) -> Result<(), IpamError> {
        let mut leases = self.lock();
        let Some(address) = leases.by_holder.get(holder).copied() else {
            return Ok(());
        };
        let path = self.directory.join(address.to_string());
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(IpamError::File { path, source }),
        }
        leases.by_holder.remove(holder);
        leases.by_address.remove(&address);
        Ok(())
    }

    /// The address that `holder` has.
    pub(crate) fn address(&self, holder: &str) -> Option<Ipv4Addr> {
        self.lock().by_holder.get(holder).copied()
    }

    /// Every holder with its address, by holder.
    pub(crate) fn leases(&self) -> Vec<(String, Ipv4Addr)> {
        self.lock()
            .by_holder
            .iter()
            .map(|(holder, address)| (holder.clone(), *address))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Leases> {
        // The maps change only after every fallible step, so a panic elsewhere leaves them whole.
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The free address that comes next after the last one given, wrapping round.
fn next_free(range: Ipv4Cidr, leases: &Leases) -> Option<Ipv4Addr> {
    let usable = u32::try_from(range.size().checked_sub(3)?)
        .ok()
        .filter(|usable| *usable > 0)?;
    let start = leases
        .last
        .filter(|last| range.contains(*last))
        .map_or(0, |last| {
            (u32::from(last) - u32::from(range.network())).saturating_sub(1)
        });
    (0..usable)
        .filter_map(|step| range.nth(2 + (start + step) % usable))
        .find(|address| !leases.by_address.contains_key(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn ipam(directory: &Path, range: &str) -> Ipam {
        Ipam::open(directory, range.parse().expect("range")).expect("open")
    }

    #[test]
    fn a_returning_sandbox_finds_its_address_after_a_restart() {
        let directory = tempfile::tempdir().expect("tempdir");
        let first = ipam(directory.path(), "10.244.0.0/24")
            .lease("a")
            .expect("lease");
        let again = ipam(directory.path(), "10.244.0.0/24");
        assert_eq!(again.lease("a").expect("lease"), first);
        assert_ne!(again.lease("b").expect("lease"), first);
    }

    #[test]
    fn a_released_address_rests_until_the_range_wraps_round() {
        let directory = tempfile::tempdir().expect("tempdir");
        let ipam = ipam(directory.path(), "10.244.0.0/29");
        let first = ipam.lease("a").expect("lease");
        assert_eq!(first, Ipv4Addr::new(10, 244, 0, 2));
        ipam.release("a").expect("release");
        for holder in ["b", "c", "d", "e"] {
            assert_ne!(ipam.lease(holder).expect("lease"), first);
        }
        assert_eq!(ipam.lease("f").expect("lease"), first);
        assert!(matches!(
            ipam.lease("g"),
            Err(IpamError::Exhausted { held: 5, .. })
        ));
    }

    proptest! {
        #[test]
        fn no_address_is_ever_held_twice(steps in prop::collection::vec((0u8..12, any::<bool>()), 1..120)) {
            let directory = tempfile::tempdir().expect("tempdir");
            let mut ipam = ipam(directory.path(), "10.244.0.0/28");
            for (n, (holder, take)) in steps.into_iter().enumerate() {
                let holder = format!("pod-{holder}");
                if take { ipam.lease(&holder).expect("lease"); } else { ipam.release(&holder).expect("release"); }
                if n % 17 == 0 {
                    ipam = Ipam::open(directory.path(), "10.244.0.0/28".parse().expect("range")).expect("reopen");
                }
                let leases = ipam.leases();
                let distinct: BTreeSet<_> = leases.iter().map(|(_, address)| *address).collect();
                prop_assert_eq!(distinct.len(), leases.len());
                for reserved in [0, 1, 15] {
                    prop_assert!(!distinct.contains(&Ipv4Addr::new(10, 244, 0, reserved)));
                }
            }
        }
    }
}
