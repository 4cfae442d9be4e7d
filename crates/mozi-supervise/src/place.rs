//! The first steps of a supervisor: leaving whoever started it, and making sure that it is the one that may start the
//! agent. Until then it has done nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::durable::put_in_place;
use crate::error::Error;
use crate::exit_record::ExitRecord;
use crate::lock::Lock;
use crate::session_dir::{SessionDir, name};
use crate::sys;

/// What is set aside for `exit.json`.
const EXIT_BYTES: u32 = 16 * 1024;

/// The right to run the session of the current directory.
pub(crate) struct Place {
    pub(crate) lock: Lock,
    /// The session directory, as seen from within.
    pub(crate) dir: SessionDir,
    /// The umask of whoever started us: the agent's.
    pub(crate) umask: u32,
    ready: Option<File>,
}

impl Place {
    /// Takes the session over; `None` if it is not ours to start: no lock was handed over, it is not the lock of this
    /// directory, or the session has been closed.
    ///
    /// Runs before anything else exists in the process: one thread, no descriptors but the standard three.
    pub(crate) fn take_over(path: &Path) -> io::Result<Option<Place>> {
        sys::block_all_signals()?;
        // Only the leader of a process group is refused (started by hand): then there is nothing to leave.
        drop(sys::setsid());
        sys::set_process_name(c"mozi-supervise");
        sys::close_from_3();
        // The copies are closed by an exec.
        let lock = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        for standard in 0..3 {
            sys::replace_standard_fd(null.as_fd(), standard)?;
        }
        let umask = sys::umask(0o077);
        // All paths from here on are relative: short enough for a socket, and true even if the folder is renamed.
        std::env::set_current_dir(path)?;
        std::panic::set_hook(Box::new(|panic| {
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(name::PANIC);
            // There is nobody else to tell.
            drop(file.and_then(|mut file| writeln!(file, "{panic}")));
        }));
        let Some(lock) = Lock::adopt(lock)? else { return Ok(None) };
        let dir = SessionDir::at(".");
        if !lock.is_file_at(Path::new(name::LOCK))? || dir.read_exit().is_some() {
            return Ok(None);
        }
        let ready = stdout.metadata()?.file_type().is_fifo().then_some(stdout);
        Ok(Some(Place { lock, dir, umask, ready }))
    }

    /// Tells whoever started us that `control.sock` listens.
    pub(crate) fn say_ready(&mut self) {
        if let Some(mut ready) = self.ready.take() {
            // It may have gone; then nobody waits.
            drop(ready.write_all(b"listening\n"));
        }
    }

    /// Whether the session directory has been removed under us: no file can be made in it any more.
    pub(crate) fn is_gone(&self) -> bool {
        let no_file = exit_file().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        no_file && matches!(self.lock.is_file_at(Path::new(name::LOCK)), Ok(false))
    }

    /// Sets room for `exit.json` aside, so that a full disk cannot keep a session from ending.
    pub(crate) fn reserve_exit() -> io::Result<()> {
        match sys::reserve(&exit_file()?, EXIT_BYTES) {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                Err(error)
            }
            // Not every file system can.
            _ => Ok(()),
        }
    }

    /// Writes `exit.json` durably, into the room set aside.
    pub(crate) fn write_exit(&self, record: &ExitRecord) -> Result<(), Error> {
        let reserved = Path::new(name::EXIT_RESERVED);
        let text = serde_json::to_vec(record)
            .map_err(|error| Error::Malformed { path: reserved.to_path_buf(), why: error.to_string() })?;
        let write = || {
            let file = exit_file()?;
            file.write_all_at(&text, 0)?;
            file.set_len(text.len() as u64)?;
            file.sync_all()
        };
        write().map_err(Error::io("write", reserved))?;
        put_in_place(reserved, &self.dir.exit_path())
    }
}

fn exit_file() -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(name::EXIT_RESERVED)
}
