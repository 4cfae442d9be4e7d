//! `mozi.sock` in the data folder: the command line's way to the board of its machine.

use std::{
    fs,
    io::{self, ErrorKind},
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use mozi_board::{Doorkeeper, Peer, Sign, hash_token};
use tokio::net::UnixListener;

use crate::{
    agent_context::Process,
    context::socket_file,
    error::{Failure, Result, plain},
};

/// Listens on it, in place of what an earlier server has left. The data folder is locked: nobody else does this.
pub(super) fn bind(data: &Path) -> Result<UnixListener> {
    let failed = |e: io::Error| Failure::io("listen on", &socket_file(data), &e);
    let folder = fs::File::open(data).map_err(failed)?;
    // An address may not be long; a data folder may.
    let near = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    let fresh = near.join("mozi.sock.new");
    match fs::remove_file(&fresh) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh).map_err(failed)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a socket has nothing to sync; under its name it is private from the beginning"
    )]
    fs::rename(&fresh, near.join("mozi.sock")).map_err(failed)?;
    Ok(listener)
}

/// Takes it away at the end.
pub(super) fn remove(data: &Path) {
    let socket = socket_file(data);
    match fs::remove_file(&socket) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            tracing::warn!("could not remove {}: {}", socket.display(), plain(&e));
        }
        _ => {}
    }
}

/// Lets in whoever runs as the server does, and root, as the owner.
pub(super) fn doorkeeper(owner: &str) -> Doorkeeper {
    let own = rustix::process::geteuid().as_raw();
    let meets = move |peer: Peer| {
        if peer.uid != own && peer.uid != 0 {
            tracing::warn!("a process of user {} was refused at the socket", peer.uid);
            return None;
        }
        // Its start is told now: later the number may be somebody else's.
        let process = peer.pid.and_then(Process::now);
        let sign: Sign = Arc::new(move || match &process {
            Some(process) => process.sign(),
            None => Some("the process that asks cannot be seen".to_owned()),
        });
        Some(sign)
    };
    Doorkeeper { owner: hash_token(owner), meets: Box::new(meets) }
}
