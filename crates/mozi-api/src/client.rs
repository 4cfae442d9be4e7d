//! The typed client: one method per call of the interface.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    problem::Problem,
    transport::{BadUrl, Body, SendError, Transport, empty, full},
};

pub use bytes_of::ByteStream;
pub use upload::Upload;

mod bytes_of;
mod calls;
mod house_calls;
mod people_calls;
mod runner_calls;
mod upload;

/// By which road a request came: `cli`, `outbox` …; stands in the actor of its event.
pub const VIA: HeaderName = HeaderName::from_static("mozi-via");
/// `true`: a person in an agent's shell means it; recorded beside the road.
pub const AS_PERSON: HeaderName = HeaderName::from_static("mozi-as-person");
/// A request with the same key and body is carried out once.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The id of a request, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long an answer may take, unless said otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read whole.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The board said no.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// No board answers there.
    #[error("no board answers at {address}: {source}")]
    Unreachable {
        /// Where.
        address: String,
        /// Nothing can have arrived: no connection was made.
        not_sent: bool,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something answers, but not as a board does.
    #[error("{address} does not answer as a board does: {why}")]
    Protocol {
        /// Where.
        address: String,
        /// What was wrong.
        why: String,
    },
    /// It took too long. What was asked may have been done.
    #[error("{address} did not answer within {}", crate::wire::show_duration(*.after))]
    Timeout {
        /// Where.
        address: String,
        /// After how long.
        after: Duration,
    },
    /// The address, token or request cannot be sent as it is.
    #[error("{0}")]
    Unusable(String),
}

impl ClientError {
    /// The problem that the board answered with, if it answered.
    pub fn problem(&self) -> Option<&Problem> {
        if let Self::Problem(p) = self { Some(p) } else { None }
    }
    /// The code that the board answered with, if it answered.
    pub fn code(&self) -> Option<&str> {
        self.problem().map(|p| p.code.as_str())
    }
    /// Whether the same request may be answered later: nobody is there, or the board is busy.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Problem(p) => matches!(p.status, 408 | 429 | 500 | 503 | 507),
            Self::Protocol { .. } | Self::Unusable(_) => false,
        }
    }
}

impl From<BadUrl> for ClientError {
    fn from(bad: BadUrl) -> Self {
        Self::Unusable(bad.to_string())
    }
}

/// A client of a board. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
    headers: Arc<HeaderMap>,
    timeout: Duration,
}

impl Client {
    /// A client of the board at `url`, with a bearer token.
    ///
    /// # Errors
    /// When the address or the token cannot be one.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, ClientError> {
        Self::over(Transport::http(url)?, token)
    }

    /// A client over any transport, with a bearer token.
    ///
    /// # Errors
    /// When the token cannot be one.
    pub fn over(transport: Transport, token: Option<&str>) -> Result<Self, ClientError> {
        let mut headers = HeaderMap::new();
        let agent = concat!("mozi/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        let client = Self { transport, headers: Arc::new(headers), timeout: DEFAULT_TIMEOUT };
        match token {
            Some(token) => client.with_token(token),
            None => Ok(client),
        }
    }

    /// The same client with another token; connections are shared.
    ///
    /// # Errors
    /// When the token cannot be one.
    pub fn with_token(self, token: &str) -> Result<Self, ClientError> {
        let unusable = || ClientError::Unusable("the token holds characters that no token has".to_owned());
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| unusable())?;
        value.set_sensitive(true);
        Ok(self.with_header(header::AUTHORIZATION, value))
    }

    /// The same client with one header more in every request.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        Arc::make_mut(&mut self.headers).insert(name, value);
        self
    }

    /// The same client, saying by which road its requests come.
    #[must_use]
    pub fn with_via(self, via: &'static str) -> Self {
        self.with_header(VIA, HeaderValue::from_static(via))
    }

    /// The same client, whose changes count for this version of what they change only.
    #[must_use]
    pub fn if_version(self, version: u64) -> Self {
        let tag = HeaderValue::from_str(&format!("\"{version}\""));
        // Digits in quotes can be a header.
        tag.map(|tag| self.clone().with_header(header::IF_MATCH, tag)).unwrap_or(self)
    }

    /// The same client, saying that a person asks, whatever the surroundings look like.
    #[must_use]
    pub fn as_person(self) -> Self {
        self.with_header(AS_PERSON, HeaderValue::from_static("true"))
    }

    /// The same client with another limit of time for each answer.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where requests go, for messages.
    pub fn address(&self) -> String {
        self.transport.address()
    }

    /// Sends a request with the client's headers and `more`, and returns with the head of the answer, whatever its
    /// status is.
    ///
    /// # Errors
    /// When no answer came, or not within `within`.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        more: &HeaderMap,
        body: Body,
        within: Duration,
    ) -> Result<Response<Body>, ClientError> {
        let mut headers = (*self.headers).clone();
        for (name, value) in more {
            headers.insert(name, value.clone());
        }
        match tokio::time::timeout(within, self.transport.send(method, path, headers, body)).await {
            Err(_) => Err(ClientError::Timeout { address: self.address(), after: within }),
            Ok(Err(SendError { not_sent, source })) => {
                Err(ClientError::Unreachable { address: self.address(), not_sent, source })
            }
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    /// The same, but an answer that is no success is the error that it tells of.
    ///
    /// # Errors
    /// When no answer came, or the board said no.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        more: &HeaderMap,
        body: Body,
        within: Duration,
    ) -> Result<Response<Body>, ClientError> {
        let answer = self.send(method, path, more, body, within).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (head, body) = answer.into_parts();
        let bytes = self.whole(body, within).await?;
        Err(self.refused(head.status, &head.headers, &bytes))
    }

    /// Reads a body to its end.
    async fn whole(&self, body: Body, within: Duration) -> Result<Bytes, ClientError> {
        match tokio::time::timeout(within, collected(body)).await {
            Err(_) => Err(ClientError::Timeout { address: self.address(), after: within }),
            Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => {
                Err(self.strange(format!("its answer is larger than {MAX_ANSWER} bytes")))
            }
            Ok(Err(source)) => {
                Err(ClientError::Unreachable { address: self.address(), not_sent: false, source })
            }
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
        }
    }

    fn strange(&self, why: String) -> ClientError {
        ClientError::Protocol { address: self.address(), why }
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ClientError {
        if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
            return ClientError::Problem(Box::new(problem));
        }
        if let Some(to) = headers.get(header::LOCATION).filter(|_| status.is_redirection()) {
            return self
                .strange(format!("it sends elsewhere, to {to:?}; name that address if it is the board"));
        }
        let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
        let said = format!("status {status}: {}", text.trim());
        // A proxy speaks for a board that is away: to whoever asks, nobody is there.
        if matches!(status.as_u16(), 502..=504) {
            return ClientError::Unreachable {
                address: self.address(),
                not_sent: false,
                source: said.into(),
            };
        }
        self.strange(said)
    }

    /// Asks and reads a JSON answer.
    async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let within = self.timeout.saturating_add(call.waits);
        let answer = self.open(call.method, &call.path, &call.headers, call.body, within).await?;
        let body = self.whole(answer.into_body(), within).await?;
        serde_json::from_slice(&body).map_err(|e| self.strange(format!("{e} in its answer to {}", call.path)))
    }

    /// Asks and reads an answer of text.
    async fn text(&self, call: Call) -> Result<String, ClientError> {
        let answer = self.open(call.method, &call.path, &call.headers, call.body, self.timeout).await?;
        let body = self.whole(answer.into_body(), self.timeout).await?;
        String::from_utf8(body.into())
            .map_err(|_| self.strange(format!("no UTF-8 in its answer to {}", call.path)))
    }

    /// Asks, and reads past whatever is answered.
    async fn done(&self, call: Call) -> Result<(), ClientError> {
        let answer = self.open(call.method, &call.path, &call.headers, call.body, self.timeout).await?;
        self.whole(answer.into_body(), self.timeout).await.map(drop)
    }

    /// Asks for bytes that may be many and may come slowly.
    async fn bytes(&self, call: Call) -> Result<ByteStream, ClientError> {
        let within = self.timeout.saturating_add(call.waits);
        let answer = self.open(call.method, &call.path, &call.headers, call.body, within).await?;
        Ok(ByteStream::new(self.address(), answer))
    }
}

type Whole = http_body_util::Collected<Bytes>;

/// Boxed: inside another future the compiler cannot see that it may go from thread to thread.
fn collected(body: Body) -> crate::files::BoxFuture<'static, Result<Whole, crate::transport::BoxError>> {
    Box::pin(Limited::new(body, MAX_ANSWER).collect())
}

/// One request.
#[derive(Debug)]
struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Body,
    /// How long the board may hold it back on purpose.
    waits: Duration,
}

impl Call {
    fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: HeaderMap::new(), body: empty(), waits: Duration::ZERO }
    }
    fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }
    fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }
    fn json(mut self, body: &impl Serialize) -> Result<Self, ClientError> {
        let bytes = serde_json::to_vec(body).map_err(|e| ClientError::Unusable(e.to_string()))?;
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = full(bytes);
        Ok(self)
    }
    /// A body that is sent as it is.
    fn sends(mut self, media_type: &'static str, body: Body) -> Self {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        self.body = body;
        self
    }
    /// It may take so much longer than usual.
    fn patient(mut self, longer: Duration) -> Self {
        self.waits = longer;
        self
    }
    fn key(mut self, key: Option<&str>) -> Result<Self, ClientError> {
        if let Some(key) = key {
            let unusable =
                |_| ClientError::Unusable("the idempotency key holds control characters".to_owned());
            self.headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_str(key).map_err(unusable)?);
        }
        Ok(self)
    }
}
