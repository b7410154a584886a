//! What this server says and hears on the wire: bodies, media types, answers. Knows no kinds.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod media;
mod protobuf;
mod yaml;
