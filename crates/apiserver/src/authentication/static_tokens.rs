//! Tokens that an administrator writes down in a file, in upstream's format: lines of `token,user,uid,"group,group"`.

use std::collections::HashMap;

use ring::digest::{SHA256, digest};

use super::UserInfo;

/// Users by their token's digest: a lookup then takes no time that tells how much of a guess was right.
#[derive(Default)]
pub struct StaticTokens(HashMap<Vec<u8>, UserInfo>);

/// A line of the file is not understood.
#[derive(Debug, thiserror::Error)]
#[error("line {0} of the token file needs at least a token, a user and a uid")]
pub struct BadTokens(usize);

impl StaticTokens {
    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<Self, BadTokens> {
        let mut tokens = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let fields = fields(line);
            let [token, user, uid, rest @ ..] = fields.as_slice() else {
                return Err(BadTokens(index + 1));
            };
            if token.is_empty() || user.is_empty() {
                return Err(BadTokens(index + 1));
            }
            let groups = rest.first().map(String::as_str).unwrap_or_default();
            let groups = groups.split(',').map(str::trim).filter(|g| !g.is_empty());
            let user = UserInfo {
                name: user.clone(),
                uid: uid.clone(),
                groups: groups.map(ToOwned::to_owned).collect(),
                ..UserInfo::default()
            };
            tokens.insert(digest(&SHA256, token.as_bytes()).as_ref().to_vec(), user);
        }
        Ok(Self(tokens))
    }

    pub(crate) fn user(&self, token: &str) -> Option<&UserInfo> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(digest(&SHA256, token.as_bytes()).as_ref())
    }
}

/// The fields of a line of comma-separated values; quotes keep commas together.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for character in line.trim().chars() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => {
                if let Some(last) = fields.last_mut() {
                    last.push(other);
                }
            }
        }
    }
    for field in &mut fields {
        *field = field.trim().to_owned();
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_token_alone() {
        let tokens =
            StaticTokens::parse("t1,jane,7,\"devs,ops\"\n\nt2, joe ,8\n").expect("two users");
        let jane = tokens.user("t1").expect("jane");
        assert_eq!(
            (jane.name.as_str(), jane.uid.as_str(), jane.groups.len()),
            ("jane", "7", 2)
        );
        assert_eq!(tokens.user("t2").expect("joe").name, "joe");
        assert!(tokens.user("t").is_none());
        assert!(StaticTokens::parse("t1,jane").is_err());
    }
}
