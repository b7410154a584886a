//! Which capabilities a container's program has. Pure.

use std::collections::HashSet;
use std::str::FromStr;

use oci_spec::runtime::Capability;

/// What docker and containerd give by default.
const DEFAULT: &[Capability] = &[
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// Every capability; the position is its number in the kernel.
const ALL: &[Capability] = &[
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// Every capability.
pub(super) fn all() -> HashSet<Capability> {
    ALL.iter().copied().collect()
}

/// The default set, changed. `ALL` in either list is applied first, so that `add ALL, drop CHOWN` and
/// `drop ALL, add CHOWN` both mean what they say. Where no device group guards the host's devices, making device
/// nodes is not in the default set.
pub(super) fn chosen(
    add: &[String],
    drop: &[String],
    devices_guarded: bool,
) -> Result<HashSet<Capability>, String> {
    let has_all = |list: &[String]| list.iter().any(|name| name.eq_ignore_ascii_case("all"));
    let mut set: HashSet<_> = match (has_all(drop), has_all(add)) {
        (true, _) => HashSet::new(),
        (false, true) => all(),
        (false, false) => DEFAULT
            .iter()
            .copied()
            .filter(|c| devices_guarded || *c != Capability::Mknod)
            .collect(),
    };
    for name in add.iter().filter(|name| !name.eq_ignore_ascii_case("all")) {
        set.insert(parse(name)?);
    }
    for name in drop.iter().filter(|name| !name.eq_ignore_ascii_case("all")) {
        set.remove(&parse(name)?);
    }
    Ok(set)
}

/// Leaves out what this process does not have itself and so cannot give: what is newer than the kernel, or was taken
/// from the runtime (a nested container).
pub(super) fn that_we_have(set: &HashSet<Capability>) -> Result<HashSet<Capability>, String> {
    let path = "/proc/self/status";
    let status = std::fs::read_to_string(path).map_err(|e| format!("read {path}: {e}"))?;
    let permitted = status
        .lines()
        .find_map(|line| line.strip_prefix("CapPrm:"))
        .unwrap_or_default()
        .trim();
    let permitted = u64::from_str_radix(permitted, 16).map_err(|e| format!("{path}: {e}"))?;
    Ok(ALL
        .iter()
        .enumerate()
        .filter(|(n, c)| permitted >> n & 1 == 1 && set.contains(c))
        .map(|(_, c)| *c)
        .collect())
}

/// The set as the kernel counts it: one bit each.
pub(crate) fn bits(set: &HashSet<Capability>) -> u64 {
    let bits = ALL.iter().enumerate().filter(|(_, c)| set.contains(c));
    bits.fold(0, |sum, (n, _)| sum | 1 << n)
}

fn parse(name: &str) -> Result<Capability, String> {
    let upper = name.to_ascii_uppercase();
    Capability::from_str(upper.strip_prefix("CAP_").unwrap_or(&upper))
        .map_err(|_| format!("unknown capability {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen_of(add: &[&str], drop: &[&str]) -> HashSet<Capability> {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        chosen(&own(add), &own(drop), true).expect("known names")
    }

    #[test]
    fn all_is_applied_before_single_ones() {
        assert_eq!(chosen_of(&[], &[]).len(), 14);
        assert!(
            !chosen(&[], &[], false)
                .expect("no names")
                .contains(&Capability::Mknod)
        );
        assert!(chosen_of(&["NET_ADMIN"], &["MKNOD"]).contains(&Capability::NetAdmin));
        assert!(!chosen_of(&["NET_ADMIN"], &["MKNOD"]).contains(&Capability::Mknod));
        assert_eq!(
            chosen_of(&["CHOWN"], &["ALL"]),
            HashSet::from([Capability::Chown])
        );
        let nearly = chosen_of(&["ALL"], &["cap_chown"]);
        assert_eq!(nearly.len(), ALL.len() - 1);
        assert!(chosen(&["FLY".into()], &[], true).is_err());
    }
}
