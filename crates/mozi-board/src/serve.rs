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
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::task::{spawn, until};

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
    let (close, closing) = watch::channel(false);
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(limits.connections));
    let drain = limits.drain;
    let server =
        Arc::new(Server { router, tls: tls.map(TlsAcceptor::from), closing: Closing(closing), limits });
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => match Arc::clone(&slots).try_acquire_owned() {
                Ok(slot) => {
                    let served = Arc::clone(&server).connection(stream, slot, graceful.watcher());
                    drop(spawn("connection", served));
                }
                Err(_) => refuse(stream).await,
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

fn is_of_one_connection(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(e.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn is_out_of_files(e: &io::Error) -> bool {
    // EMFILE, ENFILE, ENOBUFS, ENOMEM: others will close theirs.
    matches!(e.raw_os_error(), Some(24 | 23 | 105 | 12))
}

async fn refuse(mut stream: TcpStream) {
    // The kernel's buffer takes this much at once; a peer that does not is not waited for.
    let said = timeout(Duration::from_millis(50), stream.write_all(TOO_MANY)).await;
    drop(said);
}

struct Server {
    router: Router,
    tls: Option<TlsAcceptor>,
    closing: Closing,
    limits: Limits,
}

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream, slot: OwnedSemaphorePermit, watcher: Watcher) {
        // Answers are small and whole: waiting for more to send would only delay them.
        if let Err(e) = stream.set_nodelay(true) {
            tracing::debug!("could not set TCP_NODELAY: {e}");
        }
        match &self.tls {
            None => self.http(stream, watcher).await,
            Some(tls) => match timeout(self.limits.header_timeout, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.http(stream, watcher).await,
                Ok(Err(e)) => tracing::debug!("TLS handshake failed: {e}"),
                Err(_) => tracing::debug!("TLS handshake took too long"),
            },
        }
        drop(slot);
    }

    async fn http<S>(&self, stream: S, watcher: Watcher)
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
