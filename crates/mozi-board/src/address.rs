//! An attempt's token in the address, for agents that can be told an address and no header: `/t/TOKEN/api/…`.
//!
//! It is taken out before the request is routed: nothing behind this module, the log least of all, sees it.

use axum::{Router, body::Body, response::Response, routing::any};
use http::{HeaderValue, Request, Uri, header, uri::PathAndQuery};
use tower::ServiceExt as _;

use crate::error::ApiError;

const BEFORE: &str = "/t/";

/// What was wrong with an address that held a token, or should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It holds something else.
    NoAttempt,
    /// A header names somebody too.
    Twice,
}

impl Wrong {
    pub(crate) fn error(self) -> ApiError {
        ApiError::unauthenticated(match self {
            Self::NoAttempt => "an address with /t/ holds an attempt's token, and no other",
            Self::Twice => "the address holds a token and `Authorization` another: give one of them",
        })
    }
}

/// The router with addresses that hold a token.
pub(crate) fn with_tokens(router: Router) -> Router {
    let inner = router.clone();
    router.route(
        "/t/{*address}",
        any(move |request: Request<Body>| {
            let inner = inner.clone();
            async move {
                let answered: Result<Response, std::convert::Infallible> =
                    inner.oneshot(without(request)).await;
                answered.unwrap_or_else(|never| match never {})
            }
        }),
    )
}

/// The same request with the token where it belongs.
fn without(mut request: Request<Body>) -> Request<Body> {
    let path = request.uri().path();
    let (token, rest) = path.strip_prefix(BEFORE).map_or(("", path), |rest| match rest.find('/') {
        Some(end) => rest.split_at(end),
        None => (rest, "/"),
    });
    let value = token.starts_with("mozi_a_").then(|| HeaderValue::from_str(&format!("Bearer {token}")).ok());
    let (value, stripped) = (value.flatten(), stripped(request.uri(), rest));
    *request.uri_mut() = stripped;
    let wrong = match (value, request.headers().get(header::AUTHORIZATION)) {
        (None, _) => Some(Wrong::NoAttempt),
        (Some(own), Some(given)) if own != given => Some(Wrong::Twice),
        (Some(mut own), _) => {
            own.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, own);
            None
        }
    };
    if let Some(wrong) = wrong {
        request.extensions_mut().insert(wrong);
    }
    request
}

fn stripped(uri: &Uri, rest: &str) -> Uri {
    let mut parts = uri.clone().into_parts();
    let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    let path = PathAndQuery::try_from(format!("{rest}{query}"));
    // What was read as an address can be read again without its beginning; nothing of it is kept if not.
    parts.path_and_query = Some(path.unwrap_or_else(|_| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).unwrap_or_else(|_| Uri::from_static("/"))
}
