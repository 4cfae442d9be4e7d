//! The supervisor's side of `control.sock`.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use super::{Answer, Message};
use crate::sys::{self, PollFd};

/// What a client may have sent without a line end: more is not of this protocol.
const PENDING_LIMIT: usize = 8 * 1024;

/// More clients at once are turned away.
const CLIENTS: usize = 16;

/// The socket and whoever is connected to it.
pub(crate) struct Server {
    listener: UnixListener,
    clients: Vec<Client>,
}

struct Client {
    stream: UnixStream,
    pending: Vec<u8>,
    /// It has closed its side, or was cut off.
    gone: bool,
}

/// Which client asked.
pub(crate) struct Asked {
    client: usize,
    pub(crate) message: Result<Message, String>,
}

impl Server {
    /// `path` is relative: an absolute one may be too long for a socket's address.
    pub(crate) fn bind(path: &Path) -> io::Result<Server> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Server { listener, clients: Vec::new() })
    }

    pub(crate) fn has_clients(&self) -> bool {
        !self.clients.is_empty()
    }

    /// What to wait for: the listener first, then every client.
    pub(crate) fn add_to(&self, fds: &mut Vec<PollFd>) {
        fds.push(PollFd::readable(&self.listener));
        fds.extend(self.clients.iter().map(|client| PollFd::readable(&client.stream)));
    }

    /// Lets in who is waiting; each is greeted.
    pub(crate) fn accept(&mut self, greeting: &Answer) {
        while let Ok((stream, _)) = self.listener.accept() {
            let is_ours = sys::peer_uid(&stream).is_ok_and(|uid| uid == 0 || uid == sys::effective_uid());
            if !is_ours || self.clients.len() >= CLIENTS || stream.set_nonblocking(true).is_err() {
                continue;
            }
            self.clients.push(Client { stream, pending: Vec::new(), gone: false });
            self.send(self.clients.len() - 1, greeting);
        }
    }

    /// Reads what the ready clients have sent. `ready` has one entry for each client, as in [`Server::add_to`].
    pub(crate) fn read(&mut self, ready: &[PollFd]) -> Vec<Asked> {
        let mut asked = Vec::new();
        for (index, client) in self.clients.iter_mut().enumerate() {
            if !ready.get(index).is_some_and(|fd| fd.is_ready()) {
                continue;
            }
            client.receive();
            while let Some(end) = client.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = client.pending.drain(..=end).collect();
                let message = serde_json::from_slice(&line).map_err(|error| error.to_string());
                asked.push(Asked { client: index, message });
            }
            // Whoever sent a last message and left has it done all the same; the answer finds nobody.
            client.gone |= client.pending.len() > PENDING_LIMIT;
        }
        asked
    }

    /// Forgets the clients that have gone. Apart from [`Server::read`], so that indices stay valid for the answers.
    pub(crate) fn forget_gone(&mut self) {
        self.clients.retain(|client| !client.gone);
    }

    pub(crate) fn answer(&mut self, asked: &Asked, answer: &Answer) {
        self.send(asked.client, answer);
    }

    /// Tells everybody.
    pub(crate) fn tell_all(&mut self, news: &Answer) {
        for index in 0..self.clients.len() {
            self.send(index, news);
        }
        self.forget_gone();
    }

    /// A client that does not read is cut off: it must not hold up the supervisor.
    fn send(&mut self, index: usize, answer: &Answer) {
        let Some(client) = self.clients.get_mut(index) else { return };
        let mut line = serde_json::to_vec(answer).unwrap_or_default();
        line.push(b'\n');
        client.gone |= client.stream.write_all(&line).is_err();
    }
}

impl Client {
    /// Reads what is there, and notices when the other side has gone.
    fn receive(&mut self) {
        let mut buffer = [0; 1024];
        while self.pending.len() <= PENDING_LIMIT {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.gone = true;
                    return;
                }
                Ok(count) => self.pending.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.gone |= error.kind() != io::ErrorKind::WouldBlock;
                    return;
                }
            }
        }
    }
}
