//! As much of tar as an archive needs: regular files one after the other. Nothing else is taken, so nothing else can
//! surprise: no links, no sparse files, no names from elsewhere.

use std::io::{self, Read};

use ::tar::{EntryType, Header};

use super::Failed;

/// Everything comes in blocks of this.
pub(super) const BLOCK: usize = 512;

/// Whether what begins so is a tar.
pub fn is_tar(beginning: &[u8]) -> bool {
    beginning.get(257..262) == Some(b"ustar")
}

/// The block before a file.
///
/// # Errors
/// When the name does not fit.
pub(super) fn header(name: &str, size: u64) -> io::Result<[u8; BLOCK]> {
    let mut header = Header::new_ustar();
    header.set_path(name)?;
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    Ok(*header.as_bytes())
}

/// What follows a file to fill its last block.
pub(super) fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    if over == 0 { 0 } else { BLOCK - over }
}

/// What ends the whole.
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// A file that is to come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) size: u64,
}

/// Reads the block before the next file; none at the end.
pub(super) fn next(from: &mut impl Read) -> Result<Option<Entry>, Failed> {
    let mut block = [0; BLOCK];
    from.read_exact(&mut block).map_err(cut_off)?;
    if block.iter().all(|b| *b == 0) {
        return Ok(None);
    }
    let wrong = |why: &str| Failed::Wrong(format!("it is damaged: {why}"));
    let header = Header::from_byte_slice(&block);
    let sum = |of: &Header| of.cksum().ok();
    let mut right = header.clone();
    right.set_cksum();
    if !is_tar(&block) || sum(header).is_none() || sum(header) != sum(&right) {
        return Err(wrong("where a file should begin none does"));
    }
    let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
    if header.entry_type() != EntryType::Regular {
        return Err(Failed::Wrong(format!(
            "{name:?} is no regular file: it was packed anew by another program"
        )));
    }
    let size = header.entry_size().ok().filter(|n| *n <= i64::MAX.unsigned_abs());
    Ok(Some(Entry { name, size: size.ok_or_else(|| wrong("a file has no size"))? }))
}

pub(super) fn cut_off(e: io::Error) -> Failed {
    match e.kind() {
        io::ErrorKind::UnexpectedEof => Failed::Wrong("it is cut off: its end is missing".into()),
        _ => Failed::Io(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes up to here are written in octal, others in binary.
    const OCTAL: u64 = 0o777_7777_7777;

    #[test]
    fn what_is_written_is_read() {
        for (name, size) in
            [("mozi/tasks.jsonl", 0), ("a", 511), ("b", OCTAL), ("c", OCTAL + 1), ("d", 1 << 50)]
        {
            let block = header(name, size).unwrap();
            assert!(is_tar(&block));
            let read = next(&mut &block[..]).unwrap();
            assert_eq!(read, Some(Entry { name: name.into(), size }));
        }
        assert_eq!(next(&mut &END[..]).unwrap(), None);
        assert_eq!((padding(0), padding(1), padding(512), padding(513)), (0, 511, 0, 511));
    }

    #[test]
    fn what_is_bent_is_not() {
        let good = header("mozi/tasks.jsonl", 12).unwrap();
        for at in [0, 10, 126, 156, 258, 150] {
            let mut bent = good;
            bent[at] ^= 1;
            assert!(matches!(next(&mut &bent[..]), Err(Failed::Wrong(_))), "{at}");
        }
        assert!(matches!(next(&mut &good[..100]), Err(Failed::Wrong(_))));
    }
}
