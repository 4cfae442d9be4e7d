//! The agent's output: read from its pipes, written into logs that only the supervisor writes, held to their limit.
//!
//! The agent never gets a log itself: a program that opens `/dev/stderr` anew would empty it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::exit_record::LogEnd;
use crate::spec::LogOverflow;
use crate::sys;

/// What is read at once: the size of a pipe.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Reads of one stream before the loop looks at everything else again.
const READS_PER_TURN: usize = 8;

/// After everything has ended only strangers can hold a pipe; they must not keep the session open.
const LAST_READS: usize = 64;

/// A hole is punched in steps of about this size: one step takes some milliseconds.
const LARGEST_HOLE: u64 = 32 * 1024 * 1024;
const BLOCK: u64 = 4096;

/// One of the agent's two output streams.
pub(crate) struct Stream {
    /// `None` once the other side has been closed.
    pipe: Option<File>,
    pub(crate) log: Log,
}

/// What one round of reading found.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Pumped {
    pub(crate) bytes: usize,
    /// The log is full, and that is to end the session.
    pub(crate) over_limit: bool,
}

impl Stream {
    /// Makes the log and the pipe; the second value is the agent's end.
    pub(crate) fn open(path: &Path, limit: u64, overflow: LogOverflow) -> io::Result<(Stream, OwnedFd)> {
        let log = Log::create(path, limit, overflow)?;
        let (ours, agents) = io::pipe()?;
        let ours = File::from(OwnedFd::from(ours));
        sys::set_nonblocking(&ours)?;
        Ok((Stream { pipe: Some(ours), log }, OwnedFd::from(agents)))
    }

    pub(crate) fn pipe(&self) -> Option<&File> {
        self.pipe.as_ref()
    }

    /// The inode number by which a holder of the pipe is recognised.
    pub(crate) fn inode(&self) -> io::Result<u64> {
        self.pipe.as_ref().map_or_else(|| Ok(0), |pipe| Ok(pipe.metadata()?.ino()))
    }

    /// Takes over what is there now.
    pub(crate) fn pump(&mut self, buffer: &mut Vec<u8>) -> Pumped {
        self.read_up_to(READS_PER_TURN, buffer)
    }

    /// Takes over what the dead have left in the pipe: until it is empty, not until it is closed.
    pub(crate) fn drain(&mut self, buffer: &mut Vec<u8>) {
        self.read_up_to(LAST_READS, buffer);
    }

    fn read_up_to(&mut self, reads: usize, buffer: &mut Vec<u8>) -> Pumped {
        let mut pumped = Pumped::default();
        for _ in 0..reads {
            let Some(pipe) = &self.pipe else { break };
            match sys::read_into_spare(pipe, buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => {
                    pumped.bytes += count;
                    pumped.over_limit |= self.log.append(buffer);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        pumped
    }
}

/// One log file.
pub(crate) struct Log {
    file: File,
    /// The offset after the last byte.
    pub(crate) written: u64,
    /// What lies before was freed.
    kept_from: u64,
    limit: u64,
    overflow: LogOverflow,
    lost: u64,
    error: Option<String>,
}

impl Log {
    fn create(path: &Path, limit: u64, overflow: LogOverflow) -> io::Result<Log> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Log { file, written: 0, kept_from: 0, limit, overflow, lost: 0, error: None })
    }

    /// Keeps `bytes`, or counts them as lost; true when the limit is passed and that ends the session.
    fn append(&mut self, bytes: &[u8]) -> bool {
        let count = bytes.len() as u64;
        if self.overflow == LogOverflow::End {
            let room = usize::try_from(self.limit.saturating_sub(self.written)).unwrap_or(usize::MAX);
            let fits = bytes.get(..room).unwrap_or(bytes);
            self.write(fits);
            self.lost += count - fits.len() as u64;
            return fits.len() < bytes.len();
        }
        if self.written + count - self.kept_from > self.limit {
            self.drop_oldest(count);
        }
        if self.written + count - self.kept_from > self.limit.max(READ_BYTES as u64 + BLOCK) {
            // A file system that cannot free the oldest part: then the newest is not kept. Never is the disk filled.
            self.lost += count;
        } else {
            self.write(bytes);
        }
        false
    }

    fn write(&mut self, bytes: &[u8]) {
        match self.file.write_all_at(bytes, self.written) {
            Ok(()) => self.written += bytes.len() as u64,
            Err(error) => {
                // The agent is not to be held up or killed by a full disk; the gap is counted and told.
                self.lost += bytes.len() as u64;
                self.error.get_or_insert_with(|| format!("could not write the log: {error}"));
            }
        }
    }

    /// Frees enough of the oldest part for `count` more bytes, and some more, so that it is not done at each write.
    fn drop_oldest(&mut self, count: u64) {
        let spare = (self.limit / 8).clamp(BLOCK, LARGEST_HOLE);
        let keep = self.limit.saturating_sub(spare).saturating_sub(count);
        let from =
            self.written.saturating_sub(keep).next_multiple_of(BLOCK).min(self.written / BLOCK * BLOCK);
        if from <= self.kept_from {
            return;
        }
        match sys::punch_hole(&self.file, self.kept_from, from - self.kept_from) {
            Ok(()) => self.kept_from = from,
            Err(error) => {
                self.error
                    .get_or_insert_with(|| format!("could not free the oldest part of the log: {error}"));
            }
        }
    }

    /// What has become of it.
    pub(crate) fn end(&self) -> LogEnd {
        LogEnd {
            bytes: self.written,
            kept_from: self.kept_from,
            lost_bytes: self.lost,
            error: self.error.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(at: usize) -> u8 {
        u8::try_from(at % 251).unwrap()
    }

    #[test]
    fn the_oldest_part_goes_and_offsets_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let limit = 256 * 1024;
        let mut log = Log::create(&path, limit, LogOverflow::DropOldest).unwrap();
        for round in 0..100 {
            let bytes: Vec<u8> = (0..10_000).map(|at| pattern(round * 10_000 + at)).collect();
            assert!(!log.append(&bytes));
            assert!(path.metadata().unwrap().blocks() * 512 <= limit + BLOCK, "round {round}");
        }
        let end = log.end();
        assert_eq!((end.bytes, end.lost_bytes, end.error), (1_000_000, 0, None));
        assert!(
            end.kept_from > 1_000_000 - limit && end.kept_from < 1_000_000 - limit / 2,
            "{}",
            end.kept_from
        );
        let content = std::fs::read(&path).unwrap();
        assert_eq!(content.len(), 1_000_000);
        let kept = usize::try_from(end.kept_from).unwrap();
        assert!(content[kept..].iter().enumerate().all(|(at, byte)| *byte == pattern(kept + at)));
        assert!(content[..kept].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn at_the_end_it_holds_exactly_the_limit_and_counts_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::create(&dir.path().join("log"), 10, LogOverflow::End).unwrap();
        assert!(!log.append(b"0123456789"));
        assert!(log.append(b"abc"));
        assert_eq!((log.end().bytes, log.end().lost_bytes), (10, 3));
    }
}
