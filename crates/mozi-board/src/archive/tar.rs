//! As much of tar as an archive needs: regular files one after the other. Nothing else is taken, so nothing else can
//! surprise: no links, no sparse files, no names from elsewhere.

use std::io::{self, Read};

use super::Failed;

/// Everything comes in blocks of this.
pub(super) const BLOCK: usize = 512;
/// The longest name.
const NAME: usize = 100;
/// Sizes up to here are written in octal, others in binary.
const OCTAL: u64 = 0o777_7777_7777;

/// Whether what begins so is a tar.
pub(crate) fn is_tar(beginning: &[u8]) -> bool {
    beginning.get(257..262) == Some(b"ustar")
}

/// The block before a file.
pub(super) fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(to) = block.get_mut(at..at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    };
    put(0, name.as_bytes().get(..NAME.min(name.len())).unwrap_or_default());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if size <= OCTAL {
        put(124, format!("{size:011o}\0").as_bytes());
    } else {
        put(124, &[0x80, 0, 0, 0]);
        put(128, &size.to_be_bytes());
    }
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum = checksum(&block);
    if let Some(to) = block.get_mut(148..156) {
        to.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    block
}

/// What follows a file to fill its last block.
pub(super) fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    if over == 0 { 0 } else { BLOCK - over }
}

/// What ends the whole.
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

fn checksum(block: &[u8; BLOCK]) -> u32 {
    let counted = |(i, b): (usize, &u8)| if (148..156).contains(&i) { 32 } else { u32::from(*b) };
    block.iter().enumerate().map(counted).sum()
}

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
    let octal = |range: std::ops::Range<usize>| {
        let text = std::str::from_utf8(block.get(range)?).ok()?;
        u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
    };
    if !is_tar(&block) || octal(148..156) != Some(u64::from(checksum(&block))) {
        return Err(wrong("where a file should begin none does"));
    }
    let name = block.get(..NAME).unwrap_or_default().split(|b| *b == 0).next().unwrap_or_default();
    let name = String::from_utf8_lossy(name).into_owned();
    if !matches!(block.get(156), Some(b'0' | 0)) {
        return Err(Failed::Wrong(format!(
            "{name:?} is no regular file: it was packed anew by another program"
        )));
    }
    let size = match block.get(124) {
        Some(0x80) => block.get(128..136).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes),
        _ => octal(124..136),
    };
    let size = size.filter(|n| *n <= i64::MAX.unsigned_abs()).ok_or_else(|| wrong("a file has no size"))?;
    Ok(Some(Entry { name, size }))
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

    #[test]
    fn what_is_written_is_read() {
        for (name, size) in
            [("mozi/tasks.jsonl", 0), ("a", 511), ("b", OCTAL), ("c", OCTAL + 1), ("d", 1 << 50)]
        {
            let block = header(name, size);
            assert!(is_tar(&block));
            let read = next(&mut &block[..]).unwrap();
            assert_eq!(read, Some(Entry { name: name.into(), size }));
        }
        assert_eq!(next(&mut &END[..]).unwrap(), None);
        assert_eq!((padding(0), padding(1), padding(512), padding(513)), (0, 511, 0, 511));
    }

    #[test]
    fn what_is_bent_is_not() {
        let good = header("mozi/tasks.jsonl", 12);
        for at in [0, 10, 126, 156, 258, 150] {
            let mut bent = good;
            bent[at] ^= 1;
            assert!(matches!(next(&mut &bent[..]), Err(Failed::Wrong(_))), "{at}");
        }
        assert!(matches!(next(&mut &good[..100]), Err(Failed::Wrong(_))));
    }
}
