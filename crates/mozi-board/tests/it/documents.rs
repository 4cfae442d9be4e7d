//! The documents of the interface are made from the route table, and say it all.

use std::collections::BTreeSet;

use http::Method;
use mozi_board::{declared, openapi_json};
use serde_json::Value;

use crate::support::{ADMIN, TestBoard, VIEWER};

#[test]
fn the_document_holds_every_route_and_no_other() {
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.insert((method.to_uppercase(), path.clone()));
            assert!(operation["summary"].as_str().is_some_and(|s| s.len() > 5), "{method} {path}");
        }
    }
    let routes: BTreeSet<_> = declared().into_iter().map(|(m, p, _)| (m.to_string(), p.to_owned())).collect();
    assert_eq!(described, routes);
}

#[test]
fn every_reference_leads_somewhere() {
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 100, "{}", references.len());
    for reference in references {
        let Some(name) = reference.strip_prefix("#/components/schemas/") else {
            assert_eq!(reference, "#/components/parameters/X-Request-Id");
            continue;
        };
        assert!(schemas.contains_key(name), "{reference} leads nowhere");
    }
}

fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            into.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|v| collect(v, into));
        }
        Value::Array(list) => list.iter().for_each(|v| collect(v, into)),
        _ => {}
    }
}

#[tokio::test]
async fn what_needs_no_token() {
    let board = TestBoard::new().await;
    assert_eq!(board.get("/healthz", "").await.expect(200)["status"], "ok");
    assert_eq!(board.get("/readyz", "").await.expect(200)["status"], "ok");
    assert_eq!(board.get("/api/version", "").await.expect(200)["api"], 1);
    let document = board.get("/openapi.json", "").await;
    assert_eq!(document.text(), openapi_json());
    let page = board.get("/docs", "").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let html = page.text().replace("&#x2f;", "/");
    for (method, path, _) in declared() {
        assert!(html.contains(path), "{method} {path} is not on the page");
    }
    assert!(html.contains("transition_refused"));
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for from_elsewhere in ["src=", "<link", "@import", "url(", "fetch("] {
        assert!(!html.contains(from_elsewhere), "it needs nothing from elsewhere: {from_elsewhere}");
    }
    // A token that is not known does no harm where none is needed.
    board.get("/healthz", "mozi_u_unknown").await.expect(200);
}

#[tokio::test]
async fn heads_have_no_body() {
    let board = TestBoard::new().await;
    let head = board.ask(&Method::HEAD, "/api/projects").token(VIEWER).send().await;
    assert_eq!((head.status.as_u16(), head.bytes.len()), (200, 0));
    assert!(board.get("/api/projects", ADMIN).await.header("cache-control").contains("no-store"));
}
