//! What the process that started the server is told of it: systemd, or `mozi up`.
//!
//! One datagram of `KEY=VALUE` lines to the socket that `NOTIFY_SOCKET` names.

use std::os::{
    linux::net::SocketAddrExt as _,
    unix::net::{SocketAddr, UnixDatagram},
};

use crate::config::env;

/// The way to whoever waits for news; nowhere, if nobody does.
#[derive(Debug)]
pub(super) struct Notify(Option<(UnixDatagram, SocketAddr)>);

impl Notify {
    pub(super) fn from_env() -> Self {
        Self::to(env::var("NOTIFY_SOCKET").as_deref())
    }

    fn to(name: Option<&str>) -> Self {
        let address = name.and_then(|name| match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).ok(),
            None => SocketAddr::from_pathname(name).ok(),
        });
        Self(address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address))))
    }

    fn say(&self, text: &str) {
        if let Some((socket, address)) = &self.0
            && let Err(e) = socket.send_to_addr(text.as_bytes(), address)
        {
            // `mozi up` listens until it has heard that all is ready.
            tracing::debug!("could not tell the service manager {text:?}: {}", crate::error::plain(&e));
        }
    }

    /// Requests are answered.
    pub(super) fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={}", status.replace('\n', " ")));
    }
    /// The configuration is read again; [`ready`](Self::ready) follows.
    pub(super) fn reloading(&self) {
        self.say("RELOADING=1");
    }
    /// It is about to end.
    pub(super) fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=stopping: agents at work go on");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_arrive_at_a_path_and_at_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let abstract_name = format!("mozi-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        for (socket, name) in [
            (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned()),
            (UnixDatagram::bind_addr(&address).unwrap(), format!("@{abstract_name}")),
        ] {
            Notify::to(Some(&name)).ready("at\nhome");
            let mut buffer = [0; 100];
            let n = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..n], b"READY=1\nSTATUS=at home");
        }
        // Nobody there: nothing happens.
        Notify::to(Some("/nowhere/at/all")).stopping();
        Notify::to(None).reloading();
    }
}
