//! The accept loop: limits on connections, headers and time, and a stop that lets running requests end.

use std::{io, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::{
    local::{Doorkeeper, Visitor},
    task::{spawn, until},
};

/// What a peer may take before it is served no longer.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; one more is told so and closed.
    pub connections: usize,
    /// How long the head of a request may take, and a connection be idle between two.
    pub header_timeout: Duration,
    /// The largest head of a request, in bytes (at least 8 KiB).
    pub header_bytes: usize,
    /// The most header fields.
    pub headers: usize,
    /// How long a body may pause.
    pub body_pause: Duration,
    /// How long running requests have at the end.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 12_000,
            header_timeout: Duration::from_secs(30),
            header_bytes: 64 * 1024,
            headers: 100,
            body_pause: Duration::from_secs(20),
            drain: Duration::from_secs(10),
        }
    }
}

/// Told to whatever streams without an end that the server is closing.
#[derive(Debug, Clone)]
pub(crate) struct Closing(pub(crate) watch::Receiver<bool>);

impl Closing {
    /// Returns when the server is closing; never, where it cannot.
    pub(crate) async fn wait(&mut self) {
        if self.0.wait_for(|closing| *closing).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 140\r\n\r\n\
    {\"type\":\"/docs#unavailable\",\"title\":\"The board cannot answer now\",\"status\":503,\"detail\":\"too many connections at once\",\"code\":\"unavailable\"}";

const NOT_YOURS: &[u8] = b"HTTP/1.1 403 Forbidden\r\ncontent-type: application/problem+json\r\n\
    connection: close\r\ncontent-length: 163\r\n\r\n\
    {\"type\":\"urn:mozi:problem:forbidden\",\"title\":\"This credential may not do that\",\"status\":403,\"detail\":\"this socket is for the user of the board\",\"code\":\"forbidden\"}";

/// Serves `router` on `listener` until `shutdown` ends; then running requests have [`Limits::drain`] to end, and
/// streams of events and logs are closed.
///
/// # Errors
/// When the listener itself is broken.
pub async fn serve(
    router: Router,
    listener: TcpListener,
    tls: Option<Arc<tokio_rustls::rustls::ServerConfig>>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listen(router, Listener::Tcp(listener, tls.map(TlsAcceptor::from)), limits, shutdown).await
}

/// The same on a socket of this machine, for those whom `doorkeeper` lets in.
///
/// # Errors
/// When the listener itself is broken.
pub async fn serve_local(
    router: Router,
    listener: UnixListener,
    doorkeeper: Doorkeeper,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listen(router, Listener::Local(listener, doorkeeper), limits, shutdown).await
}

async fn listen(
    router: Router,
    listener: Listener,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (close, closing) = watch::channel(false);
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(limits.connections));
    let drain = limits.drain;
    let server = Arc::new(Server { router, closing: Closing(closing), limits });
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => match (Arc::clone(&slots).try_acquire_owned(), accepted) {
                (Ok(slot), accepted) => {
                    let served = Arc::clone(&server).connection(accepted, slot, graceful.watcher());
                    drop(spawn("connection", served));
                }
                (Err(_), Accepted::Tcp(stream, _)) => refuse(stream, TOO_MANY).await,
                (Err(_), Accepted::Local(stream, _)) => refuse(stream, TOO_MANY).await,
            },
            Err(e) if is_of_one_connection(&e) => {}
            Err(e) if is_out_of_files(&e) => {
                tracing::warn!("could not accept a connection: {e}");
                until(Instant::now() + Duration::from_millis(100)).await;
            }
            Err(e) => return Err(e),
        }
    }
    drop(listener);
    close.send_replace(true);
    // Whatever is left after that time is cut off when the runtime ends; agents ask again.
    if timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end within {drain:?}");
    }
    Ok(())
}

enum Listener {
    Tcp(TcpListener, Option<TlsAcceptor>),
    Local(UnixListener, Doorkeeper),
}

enum Accepted {
    Tcp(TcpStream, Option<TlsAcceptor>),
    /// With who it is; none who may not come in.
    Local(UnixStream, Option<Visitor>),
}

impl Listener {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener, tls) => Ok(Accepted::Tcp(listener.accept().await?.0, tls.clone())),
            Self::Local(listener, doorkeeper) => {
                let (stream, _) = listener.accept().await?;
                // At once: later the process may be gone and its number somebody else's.
                let visitor = doorkeeper.meet(&stream);
                Ok(Accepted::Local(stream, visitor))
            }
        }
    }
}

fn is_of_one_connection(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(e.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn is_out_of_files(e: &io::Error) -> bool {
    // EMFILE, ENFILE, ENOBUFS, ENOMEM: others will close theirs.
    matches!(e.raw_os_error(), Some(24 | 23 | 105 | 12))
}

async fn refuse(mut stream: impl AsyncWrite + Unpin, answer: &[u8]) {
    // The kernel's buffer takes this much at once; a peer that does not is not waited for.
    let said = timeout(Duration::from_millis(50), stream.write_all(answer)).await;
    drop(said);
}

/// Asked before it answers and heard to the end: else a client hears of a broken connection and not of the answer.
async fn shown_out(mut stream: UnixStream) {
    let answered = async {
        let mut asked = [0; 1024];
        if stream.read(&mut asked).await? == 0 {
            return Ok(0);
        }
        refuse(&mut stream, NOT_YOURS).await;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    drop(timeout(Duration::from_secs(1), answered).await);
}

struct Server {
    router: Router,
    closing: Closing,
    limits: Limits,
}

impl Server {
    async fn connection(self: Arc<Self>, accepted: Accepted, slot: OwnedSemaphorePermit, watcher: Watcher) {
        match accepted {
            Accepted::Local(stream, None) => shown_out(stream).await,
            Accepted::Local(stream, visitor) => self.http(stream, visitor, watcher).await,
            Accepted::Tcp(stream, tls) => self.tcp(stream, tls, watcher).await,
        }
        drop(slot);
    }

    async fn tcp(&self, stream: TcpStream, tls: Option<TlsAcceptor>, watcher: Watcher) {
        // Answers are small and whole: waiting for more to send would only delay them.
        if let Err(e) = stream.set_nodelay(true) {
            tracing::debug!("could not set TCP_NODELAY: {e}");
        }
        match tls {
            None => self.http(stream, None, watcher).await,
            Some(tls) => match timeout(self.limits.header_timeout, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.http(stream, None, watcher).await,
                Ok(Err(e)) => tracing::debug!("TLS handshake failed: {e}"),
                Err(_) => tracing::debug!("TLS handshake took too long"),
            },
        }
    }

    async fn http<S>(&self, stream: S, visitor: Option<Visitor>, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (router, closing, pause) = (self.router.clone(), self.closing.clone(), self.limits.body_pause);
        let (most, longest) = (self.limits.headers, self.limits.header_bytes.max(8192));
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            if is_too_large(&request, most, longest) {
                request.extensions_mut().insert(HeadTooLarge);
            }
            request.extensions_mut().insert(closing.clone());
            request.extensions_mut().insert(BodyPause(pause));
            if let Some(visitor) = &visitor {
                request.extensions_mut().insert(visitor.clone());
            }
            let answer = router.clone().oneshot(request.map(Body::new));
            async move { answer.await as Result<Response<Body>, std::convert::Infallible> }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            // What is a little too large is answered in words; what is more is not read to its end.
            .max_headers(most.saturating_mul(2))
            .max_buf_size(longest.saturating_mul(2));
        let connection = http.serve_connection(TokioIo::new(stream), service);
        if let Err(e) = watcher.watch(connection).await {
            tracing::debug!("connection ended: {e}");
        }
    }
}

/// Whether the head of a request is larger than allowed, about as it stood on the wire.
fn is_too_large(request: &Request<Incoming>, most: usize, longest: usize) -> bool {
    let line = |n: &http::HeaderName, v: &http::HeaderValue| n.as_str().len() + v.len() + 4;
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(n, v)| line(n, v)).sum();
    let target = request.uri().path_and_query().map_or(0, |p| p.as_str().len());
    headers.len() > most || bytes + target > longest
}

/// Marks a request whose head is larger than allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadTooLarge;

/// How long the body of a request may pause.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyPause(pub(crate) Duration);
