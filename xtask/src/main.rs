//! Chores of this repository that are run by hand, never by a build.
//! It refuses to be needed for building or testing.

mod gen_protobuf;
mod gen_schema;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("gen-protobuf") => gen_protobuf::run(),
        Some("gen-schema") => gen_schema::run(args.next().as_deref()),
        _ => bail!("usage: cargo run -p xtask -- gen-schema [DEFINITIONS.json] | gen-protobuf"),
    }
}
