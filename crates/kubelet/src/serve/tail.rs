//! Where the last lines of a file begin.

use std::io;

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};

const BLOCK: u64 = 16 * 1024;

/// The offset of the last `lines` lines of `file`; an unfinished last line counts as one.
pub(super) async fn offset(file: &mut File, lines: u64) -> io::Result<u64> {
    let size = file.metadata().await?.len();
    if lines == 0 {
        return Ok(size);
    }
    let mut left = lines;
    let mut end = size;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let mut block = vec![0; usize::try_from(end - start).unwrap_or(0)];
        file.seek(SeekFrom::Start(start)).await?;
        file.read_exact(&mut block).await?;
        for (at, byte) in block.iter().enumerate().rev() {
            let position = start + at as u64;
            // The newline at the very end closes the last line; any other opens the line after it.
            if *byte == b'\n' && position + 1 != size {
                left -= 1;
                if left == 0 {
                    return Ok(position + 1);
                }
            }
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn tail(text: &str, lines: u64) -> String {
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), text).expect("write");
        let mut file = File::open(file.path()).await.expect("open");
        let at = offset(&mut file, lines).await.expect("offset");
        text[usize::try_from(at).expect("small")..].to_owned()
    }

    #[tokio::test]
    async fn the_last_lines_whatever_the_file_ends_with() {
        assert_eq!(tail("a\nb\nc\n", 2).await, "b\nc\n");
        assert_eq!(tail("a\nb\nc", 2).await, "b\nc");
        assert_eq!(tail("a\nb\n", 5).await, "a\nb\n");
        assert_eq!(tail("a\nb\n", 0).await, "");
        assert_eq!(tail("", 3).await, "");
        let long = "x".repeat(40_000);
        assert_eq!(
            tail(&format!("1\n{long}\n2\n"), 2).await,
            format!("{long}\n2\n")
        );
    }
}
