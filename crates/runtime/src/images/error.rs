//! What can go wrong with an image, as callers need to tell it apart.

use std::io;
use std::path::{Path, PathBuf};

use super::digest::Digest;

/// An image operation failed; the message names the object and the step.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The text is not an image name. The kubelet shows this as `InvalidImageName`.
    #[error("{name:?} is not an image name: {reason}")]
    InvalidName {
        /// The text as given.
        name: String,
        /// In docker's words where docker has words for it.
        reason: String,
    },
    /// No image on this host has this name or id.
    #[error("no such image: {0}")]
    NotFound(String),
    /// An id prefix fits several images.
    #[error("image id {prefix:?} is ambiguous: it fits {}", candidates.join(", "))]
    Ambiguous {
        /// The prefix as given.
        prefix: String,
        /// The ids it fits.
        candidates: Vec<String>,
    },
    /// Removing the image would pull the ground from under somebody, or take names away that were not mentioned.
    #[error("image {image} is in use: {reason} (remove with force to do it anyway)")]
    InUse {
        /// The image, as the caller called it.
        image: String,
        /// By whom, or by which other names.
        reason: String,
    },
    /// Content is not what its digest says.
    #[error("{what}: content has digest {found}, expected {expected}")]
    DigestMismatch {
        /// Which blob or layer.
        what: String,
        /// The digest it was announced with.
        expected: Digest,
        /// The digest of what arrived.
        found: Digest,
    },
    /// The archive, manifest or configuration cannot be understood.
    #[error("{what}: {reason}")]
    Malformed {
        /// Which archive or document.
        what: String,
        /// Why.
        reason: String,
    },
    /// A layer archive contains an entry that no honest image has.
    #[error("layer entry {entry:?} refused: {reason}")]
    HostileLayer {
        /// The entry's path as written in the archive.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An image index has nothing for this host.
    #[error("{what} has no image for platform {wanted}; it offers {}", if offered.is_empty() { "none".to_owned() } else { offered.join(", ") })]
    NoPlatform {
        /// Which index.
        what: String,
        /// `os/architecture` of this host.
        wanted: String,
        /// What the index offers.
        offered: Vec<String>,
    },
    /// A registry refused or could not be reached.
    #[error("cannot pull {image}: {reason}")]
    Registry {
        /// The canonical name.
        image: String,
        /// The registry's or the network's answer.
        reason: String,
    },
    /// A system call failed.
    #[error("cannot {step} {}: {source}", path.display())]
    Io {
        /// A verb phrase.
        step: &'static str,
        /// The object of the step.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl ImageError {
    /// For `map_err`: names the step and its object.
    pub(super) fn io<E: Into<io::Error>>(
        step: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Io {
            step,
            path: path.as_ref().to_owned(),
            source: source.into(),
        }
    }

    #[allow(clippy::needless_pass_by_value)] // an error or a text, as it comes
    pub(super) fn malformed(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Malformed {
            what: what.into(),
            reason: reason.to_string(),
        }
    }
}
