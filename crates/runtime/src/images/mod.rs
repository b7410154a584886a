//! The images of this host: names, layers and configurations on disk, shared by every Plinth process. Knows nothing of
//! pods, of the Kubernetes API, or of who runs the containers.
//!
//! # On disk
//!
//! ```text
//! <root>/layers/<hex of diff id>/        one unpacked layer, ready to be an overlayfs lower directory
//! <root>/images/index.json               which images exist and what they are called: the only truth
//! <root>/images/blobs/sha256/<hex>       configurations, and layer archives as they were received
//! <root>/images/holds/<owner>            layers that somebody (a container) stands on
//! <root>/images/staging/<random>/        work in progress; never referred to from elsewhere
//! <root>/images/{index.lock,sweep.lock}  flock(2) files
//! ```
//!
//! A layer or blob is made in `staging`, flushed, and then renamed to its final, content-addressed path; an image exists
//! from the moment `index.json` is replaced. Whatever interrupts this leaves only files that nothing names, which the
//! next sweep deletes. Whoever brings content in holds `sweep.lock` shared for as long as it takes, so that a sweep
//! (exclusive) never takes away a layer between its arrival and its first mention.
//!
//! # Export
//!
//! Archives that came from outside are kept as received, so an export gives the same bytes back. Layers made here (by
//! `build`) keep no archive: their diff id is the hash of the *canonical tar* of the directory (`canonical.rs`), which can
//! be written again at any time.

mod build;
mod digest;
mod error;
mod export;
mod image;
mod import;
mod index;
mod ingest;
mod layers;
mod manifest;
mod name;
mod pull;
mod source;
mod store;
mod sweep;

pub use build::{BuildError, BuildOptions, Progress, Runner, build};
pub use digest::Digest;
pub use error::ImageError;
pub use image::{Archive, Compression, Image, ImageConfig, Layer};
pub use name::ImageName;
pub use pull::{PullOptions, PullProgress};
pub use store::{ImageStore, Removed};

type Result<T, E = ImageError> = std::result::Result<T, E>;
