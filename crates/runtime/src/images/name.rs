//! Image names by docker's rules (distribution/reference): parse at the door, then carry [`ImageName`]. Knows no registry.

use std::fmt;

use super::Result;
use super::digest::Digest;
use super::error::ImageError;

const DEFAULT_DOMAIN: &str = "docker.io";
const OFFICIAL: &str = "library/";
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// A complete image name: registry, repository, and a tag or a digest (or both; then the digest decides).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    domain: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl ImageName {
    /// Parses a short or complete name: `kubia` is `docker.io/library/kubia:latest`, `host:5000/a/b:1` is itself.
    ///
    /// # Errors
    /// [`ImageError::InvalidName`], with docker's reason.
    pub fn parse(text: &str) -> Result<Self> {
        parse(text).map_err(|reason| ImageError::InvalidName {
            name: text.to_owned(),
            reason: reason.to_owned(),
        })
    }

    /// The registry, `docker.io` when the text named none.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Without the registry: `library/kubia`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// `None` only if there is a digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of a manifest, if the name pins one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository with this manifest digest in place of the tag.
    pub(super) fn with_digest(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// The key under which the index knows this name: `domain/repository:tag`, or `domain/repository@digest`.
    pub(super) fn key(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("{}/{}@{digest}", self.domain, self.repository),
            (None, tag) => format!(
                "{}/{}:{}",
                self.domain,
                self.repository,
                tag.as_deref().unwrap_or("latest")
            ),
        }
    }

    /// As people write it: without `docker.io/` and `library/`.
    pub fn familiar(&self) -> String {
        let key = self.key();
        let short = key.strip_prefix("docker.io/").unwrap_or(&key);
        short
            .strip_prefix(OFFICIAL)
            .filter(|rest| !rest.contains('/'))
            .unwrap_or(short)
            .to_owned()
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest
            .as_ref()
            .map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

const FORMAT: &str = "invalid reference format";

fn parse(text: &str) -> Result<ImageName, &'static str> {
    if text.is_empty() {
        return Err("repository name must have at least one component");
    }
    if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("64-byte hexadecimal strings are image ids, not names");
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (
            rest,
            Some(Digest::parse(digest).ok_or("invalid or unsupported digest")?),
        ),
        None => (text, None),
    };
    // A colon after the last slash starts a tag; one before it belongs to the registry's port.
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (rest, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err(FORMAT);
    }
    let (domain, mut repository) = match path.split_once('/') {
        Some((first, rest)) if names_a_registry(first) => (first, rest.to_owned()),
        _ => (DEFAULT_DOMAIN, path.to_owned()),
    };
    let domain = if domain == "index.docker.io" {
        DEFAULT_DOMAIN
    } else {
        domain
    };
    if repository.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("invalid reference format: repository name must be lowercase");
    }
    if !is_domain(domain) || !repository.split('/').all(is_component) {
        return Err(FORMAT);
    }
    if domain == DEFAULT_DOMAIN && !repository.contains('/') {
        repository.insert_str(0, OFFICIAL);
    }
    if domain.len() + 1 + repository.len() > MAX_NAME {
        return Err("repository name must not be more than 255 characters");
    }
    let tag = tag
        .map(str::to_owned)
        .or_else(|| digest.is_none().then(|| "latest".to_owned()));
    Ok(ImageName {
        domain: domain.to_owned(),
        repository,
        tag,
        digest,
    })
}

fn names_a_registry(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

/// `[a-z0-9]+` runs joined by `.`, `_`, `__` or any number of `-`.
fn is_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let edge = |b: Option<&u8>| b.is_some_and(|b| alphanumeric(*b));
    edge(bytes.first())
        && edge(bytes.last())
        && component
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|joint| matches!(joint, "" | "." | "_" | "__") || joint.bytes().all(|b| b == b'-'))
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit())) {
        return false;
    }
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    host.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn short_names_become_what_docker_makes_of_them() {
        for (text, complete) in [
            ("kubia-stored", "docker.io/library/kubia-stored:latest"),
            ("luksa/kubia:1.0", "docker.io/luksa/kubia:1.0"),
            ("docker.io/redis", "docker.io/library/redis:latest"),
            ("index.docker.io/redis", "docker.io/library/redis:latest"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/x/y:v1", "localhost:5000/x/y:v1"),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
            ("Registry/x", "Registry/x:latest"),
            ("[::1]:5000/x", "[::1]:5000/x:latest"),
            ("a__b.c---d", "docker.io/library/a__b.c---d:latest"),
            ("x:A_b.c-1", "docker.io/library/x:A_b.c-1"),
        ] {
            assert_eq!(
                ImageName::parse(text).unwrap().to_string(),
                complete,
                "{text}"
            );
        }
    }

    #[test]
    fn a_digest_replaces_the_default_tag() {
        let name = ImageName::parse(&format!("redis@sha256:{HEX}")).unwrap();
        assert_eq!(
            (name.tag(), name.key()),
            (None, format!("docker.io/library/redis@sha256:{HEX}"))
        );
        let both = ImageName::parse(&format!("redis:7@sha256:{HEX}")).unwrap();
        assert_eq!((both.tag(), both.key()), (Some("7"), name.key()));
    }

    #[test]
    fn familiar_names_drop_what_docker_adds() {
        for (text, short) in [
            ("kubia", "kubia:latest"),
            ("luksa/kubia", "luksa/kubia:latest"),
            ("quay.io/a:1", "quay.io/a:1"),
        ] {
            assert_eq!(ImageName::parse(text).unwrap().familiar(), short);
        }
    }

    #[test]
    fn what_is_not_a_name_is_refused() {
        let long = "a".repeat(256);
        for text in [
            "",
            ":",
            "a:",
            "a:-x",
            "Foo",
            "library/Foo",
            "a//b",
            "/a",
            "a/",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "a b",
            "a:b c",
            "a@sha256:12",
            "a@md5:d41d8cd98f00b204e9800998ecf8427e",
            "host:port/x",
            "-bad.example/x",
            "http://x/y",
            HEX,
            "ä",
            &long,
        ] {
            assert!(
                matches!(ImageName::parse(text), Err(ImageError::InvalidName { .. })),
                "{text:?}"
            );
        }
    }
}
