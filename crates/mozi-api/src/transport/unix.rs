//! The way to a board of this machine by the socket in its data folder.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
    time::timeout,
};
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
    type Response = TokioIo<Heard>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<Heard>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: Uri) -> Self::Future {
        let socket = self.socket.clone();
        Box::pin(async move {
            let connected = timeout(CONNECT_TIMEOUT, connect(&socket)).await;
            connected.unwrap_or_else(|late| Err(late.into())).map(|s| TokioIo::new(Heard(s)))
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

/// A connection whose answer is read though the other end takes no more of the request: a board that refuses a large
/// body does not read it to its end. A network would still carry some of it; a local socket breaks at once.
#[derive(Debug)]
pub(super) struct Heard(UnixStream);

impl Connection for Heard {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.0).poll_write(cx, bytes) {
            // Reading tells what there is: the answer, or that the connection is gone.
            Poll::Ready(Err(e)) if is_cut_off(&e) => Poll::Ready(Ok(bytes.len())),
            other => other,
        }
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn is_cut_off(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
