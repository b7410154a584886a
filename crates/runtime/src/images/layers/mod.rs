//! Layers as directories and as archives. Knows no image, no name and no store.
//!
//! In a directory a layer is what overlayfs wants of a lower directory: a deleted file is a character device 0:0, a
//! directory that hides the ones below has `trusted.overlay.opaque`. In an archive the same facts are entries named
//! `.wh.<name>` and `.wh..wh..opq`.

mod attributes;
mod canonical;
mod compression;
mod inside;
mod stream;
mod tree;
mod unpack;

pub(super) use canonical::write_canonical;
pub(super) use compression::{decoder, sniff};
pub(super) use stream::Metered;
pub(super) use tree::{delete_tree, make_upper, tidy_upper};
pub(super) use unpack::unpack;

/// Marks a directory whose lower namesakes must not be seen.
const OPAQUE: &str = "trusted.overlay.opaque";
/// What overlayfs keeps for itself; never taken from, or written to, an archive.
const OVERLAY_PRIVATE: &str = "trusted.overlay.";
/// In archives: `.wh.<name>` deletes `<name>`.
const WHITEOUT: &[u8] = b".wh.";
/// In archives: the directory that contains it is opaque.
const OPAQUE_ENTRY: &[u8] = b".wh..wh..opq";
/// An extended attribute in a PAX header.
const XATTR_RECORD: &str = "SCHILY.xattr.";
