//! Recognises and undoes the compression of an archive.

use std::io::{self, BufRead, Read};

use super::super::image::Compression;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
const BZIP2: [u8; 3] = *b"BZh";

/// Looks at the first bytes, without taking them.
///
/// # Errors
/// `Unsupported` for a compression that is recognised but not known here.
pub(in super::super) fn sniff(reader: &mut impl BufRead) -> io::Result<Compression> {
    let start = reader.fill_buf()?;
    let unsupported = |name: &str| {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{name} compression is not supported (use gzip or zstd)"),
        ))
    };
    if start.starts_with(&GZIP) {
        Ok(Compression::Gzip)
    } else if start.starts_with(&ZSTD) {
        Ok(Compression::Zstd)
    } else if start.starts_with(&XZ) {
        unsupported("xz")
    } else if start.starts_with(&BZIP2) {
        unsupported("bzip2")
    } else {
        Ok(Compression::None)
    }
}

/// The uncompressed stream and how it was compressed.
pub(in super::super) fn decoder<'r>(
    mut reader: impl BufRead + 'r,
) -> io::Result<(Compression, Box<dyn Read + 'r>)> {
    let compression = sniff(&mut reader)?;
    let plain: Box<dyn Read + 'r> = match compression {
        Compression::None => Box::new(reader),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(reader)?),
    };
    Ok((compression, plain))
}
