//! With which codes a route can refuse: most follow from its path, rights and body.

use std::collections::BTreeMap;

use http::Method;
use mozi_api::problem::CODES;

use crate::{AttemptAccess, Decided, routes::Route};

/// Whether it makes no sense without a body.
pub(super) fn needs_body(route: &Route) -> bool {
    const MAY_BE_LEFT_OUT: &[&str] = &["/stop", "/pause", "/resume", "/dependencies/{other}"];
    !MAY_BE_LEFT_OUT.iter().any(|end| route.path.ends_with(end))
}

/// Whether an `Idempotency-Key` counts: what a runner asks for work with is a key of its own.
pub(super) fn takes_key(route: &Route) -> bool {
    route.method == Method::POST && !route.path.ends_with("/poll")
}

/// The codes of a route by status.
pub(super) fn of(route: &Route) -> BTreeMap<u16, Vec<&'static str>> {
    let access = route.access;
    let writes = access.decided == Decided::Within;
    let mut all = vec!["host_refused", "origin_refused", "header_too_large", "internal", "unavailable"];
    if !access.open {
        all.extend(["unauthenticated", "forbidden", "not_found"]);
    }
    if route.path.contains('{') {
        all.push("not_found");
    }
    if !route.is_lenient() {
        // A query that it does not take.
        all.push("invalid_body");
    }
    if route.doc.body.is_some() {
        all.extend(["invalid_body", "payload_too_large", "unsupported_media_type", "request_timeout"]);
    }
    if route.doc.lines.is_some() {
        all.extend(["invalid_body", "payload_too_large", "request_timeout"]);
    }
    if takes_key(route) {
        all.push("idempotency_conflict");
    }
    if writes {
        all.extend(["invalid_body", "storage_full"]);
    }
    if route.by_person {
        all.push("agent_context");
    }
    match (access.attempt, writes) {
        (AttemptAccess::None, _) => {}
        (_, false) => all.push("attempt_closed"),
        (_, true) => all.extend(["attempt_closed", "verdict_given"]),
    }
    if route.doc.if_match {
        all.push("version_mismatch");
    }
    all.extend(route.doc.refuses);
    let mut by_status: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
    let mut put = |status: u16, code: &'static str| {
        let codes = by_status.entry(status).or_default();
        if !codes.contains(&code) {
            codes.push(code);
        }
    };
    for (code, status, _) in CODES {
        if all.contains(code) {
            put(*status, code);
            if *code == "invalid_body" && (route.doc.body.is_some() || route.doc.lines.is_some()) {
                put(400, code);
            }
        }
    }
    by_status
}
