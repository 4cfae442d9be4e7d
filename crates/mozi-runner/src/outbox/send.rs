//! One kept request on its way to the board.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::{BodyExt, Limited};
use mozi_api::{
    Client, Problem,
    client::{IDEMPOTENCY_KEY, VIA},
    transport,
};

use super::{Entry, Refused};

/// A larger answer is not read.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;
/// So many bytes of a body a slow disk at the board may need a second more for.
const BYTES_A_SECOND: usize = 4 * 1024 * 1024;

/// What came of sending.
#[derive(Debug)]
pub enum Sent {
    /// The board has answered.
    Answered(Answered),
    /// It did not, or only that it cannot now; in words.
    NoAnswer(String),
}

/// An answer of the board.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answered {
    /// The board has done what was asked.
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// The problem that it tells of, if it is one.
    pub fn problem(&self) -> Option<Problem> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(super) fn refusal(&self, entry: &Entry) -> Option<Refused> {
        if self.is_success() {
            return None;
        }
        let problem = self.problem();
        let text = || String::from_utf8_lossy(&self.body).chars().take(500).collect();
        Some(Refused {
            method: entry.method.clone(),
            path: entry.path.clone(),
            status: self.status,
            code: problem.as_ref().map(|p| p.code.clone()),
            detail: problem.map_or_else(text, |p| p.detail),
        })
    }
}

/// Boxed: inside another future the compiler cannot see that it may go from thread to thread.
fn collected(
    body: transport::Body,
) -> mozi_api::BoxFuture<'static, Result<http_body_util::Collected<bytes::Bytes>, transport::BoxError>> {
    Box::pin(Limited::new(body, ANSWER_LIMIT).collect())
}

/// Sends a request with its own token and key.
pub(super) async fn send(client: &Client, entry: &Entry, patience: Duration) -> Sent {
    let refused = |why: &str| {
        let body = serde_json::to_vec(&Problem::of("invalid_body", why)).unwrap_or_default();
        Sent::Answered(Answered { status: 422, body })
    };
    let Ok(method) = entry.method.parse::<Method>() else { return refused("the method is none") };
    let bearer = HeaderValue::from_str(&format!("Bearer {}", entry.token.expose()));
    let values =
        (bearer, HeaderValue::from_str(&entry.content_type), HeaderValue::from_str(&entry.idempotency_key));
    let (Ok(mut bearer), Ok(content_type), Ok(key)) = values else {
        return refused("a header holds control characters");
    };
    bearer.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, bearer);
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(IDEMPOTENCY_KEY, key);
    headers.insert(VIA, HeaderValue::from_static("outbox"));
    let size = u64::try_from(entry.body.len() / BYTES_A_SECOND).unwrap_or(0);
    let within = patience.saturating_add(Duration::from_secs(size));
    let body = transport::full(entry.body.clone());
    let answer = match client.send(method, &entry.path, &headers, body, within).await {
        Ok(answer) => answer,
        Err(error) => return Sent::NoAnswer(error.to_string()),
    };
    let status = answer.status().as_u16();
    let body = match tokio::time::timeout(within, collected(answer.into_body())).await {
        Ok(Ok(body)) => body.to_bytes().to_vec(),
        Ok(Err(error)) => return Sent::NoAnswer(error.to_string()),
        Err(_) => return Sent::NoAnswer("the answer did not come to its end".to_owned()),
    };
    let answered = Answered { status, body };
    // Busy, full, broken or behind a proxy without a board: the same request is answered later.
    let passing = status >= 500 || status == 429 || status == 408;
    // What is not a board refuses nothing.
    let foreign = status >= 300 && answered.problem().is_none();
    if passing || foreign {
        return Sent::NoAnswer(format!("status {status}"));
    }
    Sent::Answered(answered)
}
