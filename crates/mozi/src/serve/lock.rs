//! One `serve` per data folder.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use crate::error::{Failure, Result};

/// Held for as long as this lives.
#[derive(Debug)]
pub(crate) struct DataLock {
    _file: File,
}

/// Makes the folder if need be, and takes it.
pub(crate) fn take(data: &Path) -> Result<DataLock> {
    let not_writable = |doing: &str, path: &Path, e: &std::io::Error| {
        Failure::io(doing, path, e).hint("--data or MOZI_DATA names another folder")
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(|e| not_writable("make the data folder", data, &e))?;
    if fs::metadata(data).is_ok_and(|m| super::is_open_to_others(&m)) {
        let data = data.display();
        crate::output::note(format!(
            "note: others on this machine can look into the data folder {data}: `chmod 700 {data}` keeps it yours"
        ));
    }
    let path = data.join("lock");
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file =
        options.open(&path).map_err(|e| not_writable("write to the data folder: open", &path, &e))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Without the number the sentence is still true.
            drop(file.read_to_string(&mut pid));
            let who = pid.trim().parse::<u32>().map_or_else(|_| String::new(), |pid| format!(" (pid {pid})"));
            return Err(Failure::new(format!(
                "the data folder {} is in use by another `mozi serve`{who}",
                data.display()
            ))
            .hint("use that board, stop it first, or name another folder with --data"));
        }
        Err(TryLockError::Error(e)) => return Err(not_writable("lock", &path, &e)),
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
    written.map_err(|e| not_writable("write", &path, &e))?;
    Ok(DataLock { _file: file })
}

/// The process that holds the folder, if one does.
pub(crate) fn holder(data: &Path) -> Option<u32> {
    let mut file = File::open(data.join("lock")).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid).ok()?;
            pid.trim().parse().ok()
        }
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

/// `lock-probe FILE`: whether another process's lock keeps this one out. 0 = it does.
pub(crate) fn probe(path: &Path) -> std::process::ExitCode {
    let file = File::options().read(true).write(true).open(path);
    match file.map(|f| f.try_lock()) {
        Ok(Err(TryLockError::WouldBlock)) => std::process::ExitCode::SUCCESS,
        _ => std::process::ExitCode::FAILURE,
    }
}
