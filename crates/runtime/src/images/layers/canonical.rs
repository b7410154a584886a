//! The canonical tar of a layer directory: the same directory gives the same bytes, today and at the next export.
//!
//! Entries are in depth-first order, names sorted by bytes, without `./`; headers are ustar, with PAX records (sorted)
//! for what ustar cannot say; times are whole seconds; owners are numbers; the root itself has no entry.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::super::Result;
use super::super::error::ImageError;
use super::tree::{is_whiteout, xattr, xattr_names};
use super::{OPAQUE, OPAQUE_ENTRY, WHITEOUT, XATTR_RECORD};

const NAME_FIELD: usize = 100;

/// Writes the canonical tar of `root`; answers with the bytes of its regular files.
pub(in super::super) fn write_canonical(root: &Path, to: impl Write) -> Result<u64> {
    let mut writer = Writer {
        root,
        tar: Builder::new(to),
        links: HashMap::new(),
        size: 0,
    };
    writer.directory(Path::new(""))?;
    writer
        .tar
        .into_inner()
        .and_then(|mut to| to.flush())
        .map_err(ImageError::io("finish archive of", root))?;
    Ok(writer.size)
}

struct Writer<'a, W: Write> {
    root: &'a Path,
    tar: Builder<W>,
    /// Where a file with several names was first met, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
    size: u64,
}

impl<W: Write> Writer<'_, W> {
    fn directory(&mut self, relative: &Path) -> Result<()> {
        let path = self.root.join(relative);
        let list = || {
            fs::read_dir(&path)?
                .map(|entry| Ok(entry?.file_name()))
                .collect::<io::Result<Vec<OsString>>>()
        };
        let mut names = list().map_err(ImageError::io("list", &path))?;
        names.sort();
        names
            .iter()
            .try_for_each(|name| self.entry(&relative.join(name)))
    }

    fn entry(&mut self, relative: &Path) -> Result<()> {
        let path = self.root.join(relative);
        let metadata = fs::symlink_metadata(&path).map_err(ImageError::io("inspect", &path))?;
        let kind = metadata.file_type();
        if is_whiteout(&metadata) {
            return self.marker(&whiteout_of(relative));
        }
        let mut header = header(&metadata);
        let mut records = xattr_records(&path)?;
        let result = if kind.is_dir() {
            let mut name = relative.as_os_str().as_bytes().to_vec();
            name.push(b'/');
            header.set_entry_type(EntryType::Directory);
            self.append(&mut header, &name, &mut records, io::empty())
                .map_err(ImageError::io("archive", &path))?;
            if xattr_names(&path)?.iter().any(|name| name == OPAQUE) {
                name.extend_from_slice(OPAQUE_ENTRY);
                self.marker(&name)?;
            }
            return self.directory(relative);
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(ImageError::io("read link", &path))?;
            header.set_entry_type(EntryType::Symlink);
            self.append_link(&mut header, relative, &mut records, &target)
        } else if kind.is_file() {
            let first = (metadata.nlink() > 1)
                .then(|| {
                    self.links
                        .insert((metadata.dev(), metadata.ino()), relative.to_owned())
                })
                .flatten();
            if let Some(first) = first {
                self.links
                    .insert((metadata.dev(), metadata.ino()), first.clone());
                header.set_entry_type(EntryType::Link);
                self.append_link(&mut header, relative, &mut Vec::new(), &first)
            } else {
                self.size += metadata.len();
                header.set_entry_type(EntryType::Regular);
                header.set_size(metadata.len());
                let file = File::open(&path).map_err(ImageError::io("open", &path))?;
                // Exactly as long as the header says, whatever happens to the file meanwhile.
                let content = io::Read::chain(file, io::repeat(0));
                let content = io::Read::take(content, metadata.len());
                self.append(
                    &mut header,
                    relative.as_os_str().as_bytes(),
                    &mut records,
                    content,
                )
            }
        } else {
            header.set_entry_type(if kind.is_fifo() {
                EntryType::Fifo
            } else if kind.is_char_device() {
                EntryType::Char
            } else if kind.is_block_device() {
                EntryType::Block
            } else {
                return Ok(());
            });
            header
                .set_device_major(rustix::fs::major(metadata.rdev()))
                .and_then(|()| header.set_device_minor(rustix::fs::minor(metadata.rdev())))
                .and_then(|()| {
                    self.append(
                        &mut header,
                        relative.as_os_str().as_bytes(),
                        &mut records,
                        io::empty(),
                    )
                })
        };
        result.map_err(ImageError::io("archive", &path))
    }

    /// A deletion or an opaque mark: an empty file whose name says it all.
    fn marker(&mut self, name: &[u8]) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        self.append(&mut header, name, &mut Vec::new(), io::empty())
            .map_err(ImageError::io(
                "archive",
                Path::new(std::ffi::OsStr::from_bytes(name)),
            ))
    }

    fn append_link(
        &mut self,
        header: &mut Header,
        name: &Path,
        records: &mut Records,
        target: &Path,
    ) -> io::Result<()> {
        let target = target.as_os_str().as_bytes();
        let field = &mut header.as_old_mut().linkname;
        let fits = target.len().min(NAME_FIELD);
        field[..fits].copy_from_slice(&target[..fits]);
        if target.len() > NAME_FIELD {
            records.push(("linkpath".to_owned(), target.to_vec()));
        }
        self.append(header, name.as_os_str().as_bytes(), records, io::empty())
    }

    fn append(
        &mut self,
        header: &mut Header,
        name: &[u8],
        records: &mut Records,
        data: impl io::Read,
    ) -> io::Result<()> {
        let fits = name.len().min(NAME_FIELD);
        header.as_old_mut().name[..fits].copy_from_slice(&name[..fits]);
        if name.len() > NAME_FIELD {
            records.push(("path".to_owned(), name.to_vec()));
        }
        records.sort();
        if !records.is_empty() {
            self.tar.append_pax_extensions(
                records
                    .iter()
                    .map(|(key, value)| (key.as_str(), value.as_slice())),
            )?;
        }
        header.set_cksum();
        self.tar.append(header, data)
    }
}

fn xattr_records(path: &Path) -> Result<Records> {
    xattr_names(path)?
        .into_iter()
        .filter(|name| belongs_to_the_image(name))
        .map(|name| Ok((format!("{XATTR_RECORD}{name}"), xattr(path, &name)?)))
        .collect()
}

/// Keys and values of a PAX header.
type Records = Vec<(String, Vec<u8>)>;

/// Attributes that travel with a file; others (SELinux labels, overlayfs marks) are the host's.
fn belongs_to_the_image(name: &str) -> bool {
    name == "security.capability"
        || name.starts_with("user.")
        || name.starts_with("system.posix_acl_")
}

fn header(metadata: &Metadata) -> Header {
    let mut header = Header::new_ustar();
    header.set_mode(metadata.mode() & 0o7777);
    header.set_uid(metadata.uid().into());
    header.set_gid(metadata.gid().into());
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_size(0);
    header
}

fn whiteout_of(relative: &Path) -> Vec<u8> {
    let name = relative.file_name().unwrap_or_default().as_bytes();
    let marker = OsString::from_vec([WHITEOUT, name].concat());
    relative.with_file_name(marker).into_os_string().into_vec()
}
