//! The socket of this machine: the kernel says who connects, and the process around the board what it knows of them.

use std::{fmt, sync::Arc};

use mozi_core::TokenHash;
use tokio::net::UnixStream;

/// What tells that a process runs inside an agent, if anything does. It is asked for decisions only, and may read files.
pub type Sign = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Who has connected, as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// As whom it runs.
    pub uid: u32,
    /// Which process it is, where it can be seen from here.
    pub pid: Option<u32>,
}

/// Who is let in by the socket, and as whom.
pub struct Doorkeeper {
    /// The token in whose name it acts who shows none.
    pub owner: TokenHash,
    /// Looks at who has connected; none for whoever may not come in.
    pub meets: Box<dyn Fn(Peer) -> Option<Sign> + Send + Sync>,
}

impl fmt::Debug for Doorkeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorkeeper").finish_non_exhaustive()
    }
}

impl Doorkeeper {
    pub(crate) fn meet(&self, stream: &UnixStream) -> Option<Visitor> {
        let known =
            stream.peer_cred().inspect_err(|e| tracing::warn!("who connects is not told: {e}")).ok()?;
        // Zero is a process that cannot be seen from here.
        let pid = known.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0);
        let sign = (self.meets)(Peer { uid: known.uid(), pid })?;
        Some(Visitor { owner: self.owner, sign })
    }
}

/// Who asks by the socket; stands beside every request of the connection.
#[derive(Clone)]
pub(crate) struct Visitor {
    /// In whose name, without a token of its own.
    pub(crate) owner: TokenHash,
    pub(crate) sign: Sign,
}
