//! SPDY header blocks: pairs of names and values, compressed over the life of a connection with a dictionary that both
//! sides know. Pure.

use std::io;
use std::sync::LazyLock;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// More than this in one block is no header of a stream.
const MAX_BLOCK: usize = 64 << 10;

/// The words of the dictionary, each with its length before it.
const WORDS: &[&str] = &[
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
];
/// The rest of it, in one piece.
const REST: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden\
404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug \
Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,\
application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdch\
charset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut dictionary = Vec::new();
    for word in WORDS {
        // None is longer than a few letters.
        dictionary.extend_from_slice(&u32::try_from(word.len()).unwrap_or(0).to_be_bytes());
        dictionary.extend_from_slice(word.as_bytes());
    }
    dictionary.extend_from_slice(REST.as_bytes());
    dictionary
});

/// Names and values of a block, in order.
pub(in super::super) type Pairs = Vec<(String, String)>;

/// Reads the blocks of one connection, in order.
pub(super) struct Inflate(Decompress);

/// Writes the blocks of one connection, in order.
pub(super) struct Deflate(Compress);

fn bad(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("SPDY headers: {what}"))
}

impl Inflate {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// The pairs of the next block.
    pub(super) fn block(&mut self, mut compressed: &[u8]) -> io::Result<Pairs> {
        let mut plain = Vec::with_capacity(1024);
        while !compressed.is_empty() {
            if plain.len() > MAX_BLOCK {
                return Err(bad("too long"));
            }
            plain.reserve(1024);
            let (before, held) = (self.0.total_in(), plain.len());
            match self
                .0
                .decompress_vec(compressed, &mut plain, FlushDecompress::Sync)
            {
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&DICTIONARY).map_err(bad)?;
                }
                Err(error) => return Err(bad(error)),
            }
            // Never more than was given.
            let used = usize::try_from(self.0.total_in() - before).unwrap_or(usize::MAX);
            if used == 0 && plain.len() == held && plain.capacity() > held {
                return Err(bad("cut short"));
            }
            compressed = compressed.get(used..).unwrap_or_default();
        }
        pairs(&plain)
    }
}

fn pairs(mut block: &[u8]) -> io::Result<Pairs> {
    let count = number(&mut block)?;
    // Not reserved ahead: the count is the client's word.
    let mut pairs = Vec::new();
    for _ in 0..count {
        let name = text(&mut block)?.to_ascii_lowercase();
        pairs.push((name, text(&mut block)?));
    }
    Ok(pairs)
}

fn number(block: &mut &[u8]) -> io::Result<usize> {
    let (bytes, rest) = block
        .split_first_chunk::<4>()
        .ok_or_else(|| bad("cut short"))?;
    *block = rest;
    usize::try_from(u32::from_be_bytes(*bytes)).map_err(bad)
}

fn text(block: &mut &[u8]) -> io::Result<String> {
    let length = number(block)?;
    let (bytes, rest) = block
        .split_at_checked(length)
        .ok_or_else(|| bad("cut short"))?;
    *block = rest;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

impl Deflate {
    pub(super) fn new() -> io::Result<Self> {
        let mut compress = Compress::new(Compression::fast(), true);
        compress.set_dictionary(&DICTIONARY).map_err(bad)?;
        Ok(Self(compress))
    }

    /// A block of `pairs`.
    pub(super) fn block(&mut self, pairs: &[(&str, &str)]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        let length = |n: usize| u32::try_from(n).map(u32::to_be_bytes).map_err(bad);
        plain.extend_from_slice(&length(pairs.len())?);
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend_from_slice(&length(text.len())?);
            plain.extend_from_slice(text.as_bytes());
        }
        let mut block = Vec::with_capacity(plain.len() + 64);
        let begin = self.0.total_in();
        loop {
            let done = usize::try_from(self.0.total_in() - begin).map_err(bad)?;
            block.reserve(64);
            let rest = plain.get(done..).unwrap_or_default();
            self.0
                .compress_vec(rest, &mut block, FlushCompress::Sync)
                .map_err(bad)?;
            // Room to spare means that everything is flushed.
            let all = self.0.total_in() - begin == plain.len() as u64;
            if all && block.len() < block.capacity() {
                return Ok(block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_dictionary_is_the_specifications() {
        assert_eq!(DICTIONARY.len(), 1423);
        // Its Adler-32, which zlib writes into the head of a stream that uses it.
        let head = Deflate::new().expect("deflate").block(&[]).expect("block");
        assert_eq!(head[2..6], 0xe3c6_a7c2u32.to_be_bytes());
    }

    #[test]
    fn nonsense_is_refused_without_being_believed() {
        assert!(pairs(&[0xff; 4]).is_err());
        assert!(pairs(b"\0\0\0\x01\xff\xff\xff\xff").is_err());
        assert!(Inflate::new().block(b"nonsense").is_err());
    }

    proptest! {
        /// Blocks after one another share one compression state.
        #[test]
        fn blocks_come_back(blocks in proptest::collection::vec(
            proptest::collection::vec(("[a-z-]{1,20}", "[ -~]{0,300}"), 0..8), 1..5)) {
            let (mut to, mut from) = (Deflate::new().expect("deflate"), Inflate::new());
            for block in blocks {
                let pairs: Vec<_> = block.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                let back = from.block(&to.block(&pairs).expect("written")).expect("read");
                prop_assert_eq!(back, block);
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Inflate::new().block(&bytes);
            let _ = pairs(&bytes);
        }
    }
}
