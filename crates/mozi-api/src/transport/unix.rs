//! The way to a board of this machine by the socket in its data folder.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::timeout};
use tower::Service;

use super::CONNECT_TIMEOUT;
use crate::files::BoxFuture;

/// What the address of a socket may have, without the zero at its end.
const LONGEST: usize = 107;

/// Connects to one socket, whatever the address says.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    pub(super) socket: PathBuf,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<UnixStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: Uri) -> Self::Future {
        let socket = self.socket.clone();
        Box::pin(async move {
            let connected = timeout(CONNECT_TIMEOUT, connect(&socket)).await;
            connected.unwrap_or_else(|late| Err(late.into())).map(TokioIo::new)
        })
    }
}

async fn connect(socket: &Path) -> io::Result<UnixStream> {
    if socket.as_os_str().len() <= LONGEST {
        return UnixStream::connect(socket).await;
    }
    // Too long for an address: by way of its folder, which an open file makes short.
    let folder = File::open(socket.parent().unwrap_or_else(|| Path::new("/")))?;
    let name = socket.file_name().unwrap_or_default();
    let near = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    UnixStream::connect(near).await
}
