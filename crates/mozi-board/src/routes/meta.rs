//! Health, version and the documents.

use std::sync::OnceLock;

use http::{HeaderValue, StatusCode, header};
use mozi_api::health::{Health, Version};

use crate::{
    call::{Call, Outcome, json, text},
    docs,
    error::ApiError,
    openapi::openapi_text,
};

pub(super) async fn health(_: Call) -> Outcome {
    json(StatusCode::OK, &Health { status: "ok".to_owned() })
}

/// It takes requests when its database answers.
pub(super) async fn ready(call: Call) -> Outcome {
    call.board.store.last_seq().await?;
    json(StatusCode::OK, &Health { status: "ok".to_owned() })
}

pub(super) async fn version(call: Call) -> Outcome {
    json(StatusCode::OK, &Version { version: call.board.config.version.clone(), api: 1 })
}

pub(super) async fn openapi(_: Call) -> Outcome {
    Ok(text("application/json", openapi_text()))
}

pub(super) async fn docs(_: Call) -> Outcome {
    static PAGE: OnceLock<String> = OnceLock::new();
    if PAGE.get().is_none() {
        let page = docs::page(openapi_text());
        let page = page.map_err(|e| ApiError::internal(&format!("could not render the documents: {e}")))?;
        PAGE.get_or_init(|| page);
    }
    let page = PAGE.get().map_or("", String::as_str);
    let mut response = text("text/html; charset=utf-8", page);
    let policy = HeaderValue::from_str(&docs::policy());
    response.headers_mut().extend(policy.ok().map(|p| (header::CONTENT_SECURITY_POLICY, p)));
    Ok(response)
}
