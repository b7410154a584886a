//! Who a container's program runs as: names and numbers looked up in the files of its root file system. Pure.

use crate::types::UserSpec;

/// A user as the kernel knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Without `gid`; sorted.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// Resolves `image_user` (`user[:group]`, empty for root), overridden by `spec`.
pub(crate) fn resolve(
    image_user: &str,
    spec: Option<&UserSpec>,
    passwd: &str,
    group: &str,
) -> Result<Identity, String> {
    let (image_name, image_group) = match image_user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (image_user, None),
    };
    let wanted = match spec.and_then(|spec| spec.uid) {
        Some(uid) => uid.to_string(),
        None if image_name.is_empty() => "0".to_owned(),
        None => image_name.to_owned(),
    };
    let entry = users(passwd).find(|user| user.name == wanted || wanted.parse() == Ok(user.uid));
    let uid = match (&entry, wanted.parse::<u32>()) {
        (Some(user), _) => user.uid,
        (None, Ok(uid)) => uid,
        (None, Err(_)) => {
            return Err(format!(
                "unable to find user {wanted}: no matching entries in passwd file"
            ));
        }
    };
    // The image's group belongs to the image's user, not to one that replaces it.
    let overridden = spec.is_some_and(|spec| spec.uid.is_some());
    let gid = match (spec.and_then(|spec| spec.gid), image_group) {
        (Some(gid), _) => gid,
        (None, Some(name)) if !overridden => group_id(name, group).ok_or_else(|| {
            format!("unable to find group {name}: no matching entries in group file")
        })?,
        _ => entry.as_ref().map_or(0, |user| user.gid),
    };
    let member_of = entry
        .as_ref()
        .map_or_else(Vec::new, |user| memberships(user.name, group));
    let supplemental = spec.map_or(&[][..], |spec| &spec.supplemental);
    let mut groups: Vec<u32> = member_of
        .into_iter()
        .chain(supplemental.iter().copied())
        .collect();
    groups.sort_unstable();
    groups.dedup();
    groups.retain(|g| *g != gid);
    let home = entry.map_or("", |user| user.home);
    Ok(Identity {
        uid,
        gid,
        groups,
        home: if home.is_empty() {
            "/".into()
        } else {
            home.into()
        },
    })
}

fn users(passwd: &str) -> impl Iterator<Item = Passwd<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or_default();
        Some(Passwd {
            name,
            uid,
            gid,
            home,
        })
    })
}

/// Name, id and members of every group.
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some((name, gid, fields.next().unwrap_or_default()))
    })
}

fn group_id(wanted: &str, group: &str) -> Option<u32> {
    groups(group)
        .find(|(name, ..)| *name == wanted)
        .map(|(_, gid, _)| gid)
        .or_else(|| wanted.parse().ok())
}

fn memberships(user: &str, group: &str) -> Vec<u32> {
    groups(group)
        .filter(|(_, _, members)| members.split(',').any(|member| member.trim() == user))
        .map(|(_, gid, _)| gid)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1001::/home/node:/bin/sh\nbad line\nodd:x:y:z\n";
    const GROUP: &str = "root:x:0:root\nnode:x:1001:\nvideo:x:44:games,node\nstaff:x:50:node\n";

    fn as_of(image: &str, spec: Option<&UserSpec>) -> Result<(u32, u32, Vec<u32>, String), String> {
        resolve(image, spec, PASSWD, GROUP).map(|u| (u.uid, u.gid, u.groups, u.home))
    }

    #[test]
    fn names_and_numbers_are_looked_up() {
        assert_eq!(as_of("", None), Ok((0, 0, vec![], "/root".into())));
        assert_eq!(
            as_of("node", None),
            Ok((1000, 1001, vec![44, 50], "/home/node".into()))
        );
        assert_eq!(
            as_of("1000", None),
            Ok((1000, 1001, vec![44, 50], "/home/node".into()))
        );
        assert_eq!(
            as_of("node:staff", None),
            Ok((1000, 50, vec![44], "/home/node".into()))
        );
        assert_eq!(as_of("7:9", None), Ok((7, 9, vec![], "/".into())));
        assert!(as_of("nobody", None).is_err_and(|e| e.contains("unable to find user nobody")));
        assert!(as_of("node:wheel", None).is_err_and(|e| e.contains("unable to find group wheel")));
    }

    #[test]
    fn the_pod_overrides_the_image() {
        let spec = UserSpec {
            uid: Some(1000),
            supplemental: vec![2000, 44],
            ..UserSpec::default()
        };
        assert_eq!(
            as_of("root:root", Some(&spec)),
            Ok((1000, 1001, vec![44, 50, 2000], "/home/node".into()))
        );
        let spec = UserSpec {
            uid: Some(5),
            gid: Some(6),
            ..UserSpec::default()
        };
        assert_eq!(
            as_of("node:staff", Some(&spec)),
            Ok((5, 6, vec![], "/".into()))
        );
        let spec = UserSpec {
            gid: Some(6),
            ..UserSpec::default()
        };
        assert_eq!(
            as_of("node", Some(&spec)),
            Ok((
                1000,
                6,
                vec![44, 50, 1001]
                    .into_iter()
                    .filter(|g| *g != 1001)
                    .collect(),
                "/home/node".into()
            ))
        );
    }
}
