//! How requests reach a board: by a socket of the network or of this machine, or in process through the very same router.
//!
//! Redirects are never followed, and the proxy variables of the environment are not looked at: a token goes to the
//! address that was named and to no other.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    io::Read,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::{Frame, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use crate::files::BoxFuture;

mod unix;

/// Any error of a body.
pub type BoxError = Box<dyn Error + Send + Sync>;
/// The body of a request or an answer.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a file is sent at once.
const PIECE: usize = 128 * 1024;
/// How long an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// No body.
pub fn empty() -> Body {
    Empty::new().map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body of bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body that is read while it is sent, with its size where that is known. Reading blocks: for files, in programs
/// that have nothing else to do.
pub fn reader(source: impl Read + Send + 'static, size: Option<u64>) -> Body {
    struct Reading<R> {
        source: R,
        /// What is left of the size that was told.
        left: Option<u64>,
    }
    impl<R: Read + Unpin> hyper::body::Body for Reading<R> {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            let mut buffer = vec![0; PIECE];
            let read = loop {
                match self.source.read(&mut buffer) {
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    read => break read,
                }
            };
            Poll::Ready(match read {
                Ok(0) => None,
                Ok(n) => {
                    buffer.truncate(n);
                    self.left = self.left.map(|left| left.saturating_sub(n as u64));
                    Some(Ok(Frame::data(buffer.into())))
                }
                Err(e) => Some(Err(e.into())),
            })
        }
        fn size_hint(&self) -> SizeHint {
            self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }
    Reading { source: Box::new(source), left: size }.boxed_unsync()
}

/// Why an address of a board is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is not the address of a board: {why}")]
pub struct BadUrl {
    /// The address as it was given.
    pub url: String,
    /// Why.
    pub why: String,
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct SendError {
    /// Nothing can have arrived: no connection was made.
    pub not_sent: bool,
    /// Why.
    pub source: BoxError,
}

/// A way to a board. Cheap to clone; connections are shared and kept alive.
#[derive(Clone)]
pub struct Transport(Arc<Way>);

/// The board's router, callable as often as one likes.
type InProcess = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

enum Way {
    Plain { base: Base, pool: Pool<HttpConnector, Body> },
    Tls { base: Base, pool: Pool<HttpsConnector<HttpConnector>, Body> },
    Unix { base: Base, connector: unix::Connector, pool: Pool<unix::Connector, Body> },
    InProcess(InProcess),
}

#[derive(Debug, Clone)]
struct Base {
    scheme: http::uri::Scheme,
    authority: http::uri::Authority,
    /// Without a slash at its end.
    prefix: String,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transport").field(&self.address()).finish()
    }
}

impl Transport {
    /// By a socket to `url`: `http://…` or `https://…`, with or without a base path.
    ///
    /// # Errors
    /// When it is no such address, or the machine's certificates cannot be read.
    pub fn http(url: &str) -> Result<Self, BadUrl> {
        let bad = |why: String| BadUrl { url: url.to_owned(), why };
        let base = Base::parse(url).map_err(bad)?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let mut builder = Pool::builder(TokioExecutor::new());
        builder.pool_idle_timeout(IDLE_TIMEOUT).pool_timer(TokioTimer::new());
        let way = if base.scheme == http::uri::Scheme::HTTPS {
            connector.enforce_http(false);
            let tls = HttpsConnectorBuilder::new()
                .with_native_roots()
                .map_err(|e| bad(format!("the certificates of this machine cannot be read: {e}")))?
                .https_only()
                .enable_http1()
                .wrap_connector(connector);
            Way::Tls { base, pool: builder.build(tls) }
        } else {
            Way::Plain { base, pool: builder.build(connector) }
        };
        Ok(Self(Arc::new(way)))
    }

    /// By the socket in the data folder of a board of this machine: who asks is told by the kernel.
    pub fn unix(socket: &Path) -> Self {
        let connector = unix::Connector { socket: socket.to_path_buf() };
        let mut builder = Pool::builder(TokioExecutor::new());
        builder.pool_idle_timeout(IDLE_TIMEOUT).pool_timer(TokioTimer::new());
        let base = Base {
            scheme: http::uri::Scheme::HTTP,
            authority: http::uri::Authority::from_static("localhost"),
            prefix: String::new(),
        };
        let pool = builder.build(connector.clone());
        Self(Arc::new(Way::Unix { base, connector, pool }))
    }

    /// In process, through a router: the same rights, handlers and bodies as by a socket, without a port.
    pub fn in_process<S, B>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let boxed = service.map_response(|r: Response<B>| r.map(|b| b.map_err(Into::into).boxed_unsync()));
        Self(Arc::new(Way::InProcess(BoxCloneSyncService::new(boxed))))
    }

    /// Where requests go, for messages.
    pub fn address(&self) -> String {
        match &*self.0 {
            Way::Plain { base, .. } | Way::Tls { base, .. } => {
                format!("{}://{}{}", base.scheme, base.authority, base.prefix)
            }
            Way::Unix { connector, .. } => format!("the socket {}", connector.socket.display()),
            Way::InProcess(_) => "this process".to_owned(),
        }
    }

    /// Sends a request for `path` (with its query) and returns with the head of the answer.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn send(
        &self,
        method: http::Method,
        path: &str,
        headers: http::HeaderMap,
        body: Body,
    ) -> Result<Response<Body>, SendError> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        let broken = |e: BoxError| SendError { not_sent: true, source: e };
        match &*self.0 {
            Way::InProcess(service) => {
                *request.uri_mut() = path.parse().map_err(|e: http::uri::InvalidUri| broken(e.into()))?;
                request
                    .headers_mut()
                    .entry(header::HOST)
                    .or_insert(header::HeaderValue::from_static("localhost"));
                match called(service, request).await {
                    Ok(answer) => Ok(answer),
                    Err(never) => match never {},
                }
            }
            Way::Plain { base, pool } => {
                *request.uri_mut() = base.uri(path).map_err(|e| broken(e.into()))?;
                answered(requested(pool, request).await)
            }
            Way::Unix { base, pool, .. } => {
                *request.uri_mut() = base.uri(path).map_err(|e| broken(e.into()))?;
                answered(requested(pool, request).await)
            }
            Way::Tls { base, pool } => {
                *request.uri_mut() = base.uri(path).map_err(|e| broken(e.into()))?;
                answered(requested(pool, request).await)
            }
        }
    }
}

fn requested<C>(
    pool: &Pool<C, Body>,
    request: Request<Body>,
) -> BoxFuture<'static, Result<Response<hyper::body::Incoming>, hyper_util::client::legacy::Error>>
where
    C: hyper_util::client::legacy::connect::Connect + Clone + Send + Sync + 'static,
{
    Box::pin(pool.request(request))
}

/// Boxed, as is the one above: inside another future the compiler cannot see that it may go from thread to thread.
fn called(
    service: &InProcess,
    request: Request<Body>,
) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
    Box::pin(service.clone().oneshot(request))
}

fn answered(
    result: Result<Response<hyper::body::Incoming>, hyper_util::client::legacy::Error>,
) -> Result<Response<Body>, SendError> {
    match result {
        Ok(answer) => Ok(answer.map(|b| b.map_err(Into::into).boxed_unsync())),
        Err(e) => Err(SendError { not_sent: e.is_connect(), source: root(&e) }),
    }
}

/// The library wraps "connection refused" three times; people need the innermost words, programs the chain.
fn root(error: &hyper_util::client::legacy::Error) -> BoxError {
    let mut words: Vec<String> = Vec::new();
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(e) = next {
        let text = e.to_string();
        if !words.contains(&text) {
            words.push(text);
        }
        next = e.source();
    }
    let last = words.last().cloned().unwrap_or_else(|| error.to_string());
    // The number is the system's; the words before it say the same.
    last.split(" (os error").next().unwrap_or(&last).to_owned().into()
}

impl Base {
    fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.trim().parse().map_err(|e: http::uri::InvalidUri| e.to_string())?;
        let parts = uri.into_parts();
        let scheme = parts.scheme.ok_or("it has no http:// or https://")?;
        if scheme != http::uri::Scheme::HTTP && scheme != http::uri::Scheme::HTTPS {
            return Err("it is neither http:// nor https://".to_owned());
        }
        let authority = parts.authority.filter(|a| !a.host().is_empty()).ok_or("it has no host")?;
        if authority.as_str().contains('@') {
            return Err("it holds a user name; a token goes by its own way".to_owned());
        }
        let path = parts.path_and_query.as_ref().map_or("", |p| p.path());
        if parts.path_and_query.as_ref().is_some_and(|p| p.query().is_some()) {
            return Err("it has a query".to_owned());
        }
        Ok(Self { scheme, authority, prefix: path.trim_end_matches('/').to_owned() })
    }

    fn uri(&self, path: &str) -> Result<Uri, http::Error> {
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{path}", self.prefix))
            .build()
    }
}
