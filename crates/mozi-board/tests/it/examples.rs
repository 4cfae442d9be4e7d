//! The examples of the document are true: they are asked of a board, one after the other, and answered as they say.

use http::Method;
use mozi_api::LogStream;
use mozi_board::declared;
use serde_json::{Value, json};

use crate::{
    conform::{self, DOCUMENT},
    support::{ADMIN, OPERATOR, RUNNER, TestBoard},
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/openapi/examples.json");
/// The attempt of the story; the poll there offers the hash of its token.
const SESSION: &str = "5c0ffee0-0000-4000-8000-000000000001";
const ATTEMPT: &str = "mozi_a_00000000000000000000000000000000";

/// What is different each time is shown as something that is not.
fn steady(value: &mut Value) {
    match value {
        Value::String(text) => {
            let is_hex = |t: &str| t.bytes().all(|b| b.is_ascii_hexdigit());
            if text.strip_prefix("mozi_u_").is_some_and(|secret| secret.len() == 48 && is_hex(secret)) {
                *text = format!("mozi_u_{}", "0123456789abcdef".repeat(3));
            }
            if uuid::Uuid::parse_str(text).is_ok() && text != SESSION {
                *text = SESSION.replace("001", "002");
            }
        }
        Value::Array(all) => all.iter_mut().for_each(steady),
        Value::Object(all) => all.values_mut().for_each(steady),
        _ => {}
    }
}

#[tokio::test]
async fn the_examples_are_true() {
    let board = TestBoard::new().await;
    board.files.write(SESSION, LogStream::Stdout, b"looking at the cookie\n", true);
    let mut story: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    let before = story.clone();
    let mut last = String::new();
    for step in &mut story {
        let text = |name: &str| step[name].as_str().unwrap().to_owned();
        let (method, path) = (Method::from_bytes(text("method").as_bytes()).unwrap(), text("path"));
        let token = match text("as").as_str() {
            "nobody" => "",
            "operator" => OPERATOR,
            "admin" => ADMIN,
            "runner" => RUNNER,
            "attempt" => ATTEMPT,
            other => panic!("{other}"),
        };
        let mut ask = board.ask(&method, &path.replace("$SESSION", &last)).token(token);
        if let Some(body) = step.get("body") {
            ask = ask.json(body);
        }
        // Whatever is answered is held against the document on its way.
        let reply = ask.send().await;
        assert!(reply.status.is_success(), "{method} {path}: {}", reply.text());
        if path == "/api/sessions" && method == Method::POST {
            last = reply.json()["session_id"].as_str().unwrap().to_owned();
        }
        step["status"] = json!(reply.status.as_u16());
        if step["quiet"] != json!(true) {
            let mut answer = reply.json();
            steady(&mut answer);
            step["answer"] = answer;
        }
    }
    #[expect(clippy::disallowed_methods, reason = "how golden files are rewritten")]
    let update = std::env::var_os("UPDATE").is_some();
    if update && story != before {
        std::fs::write(FILE, serde_json::to_string_pretty(&story).unwrap() + "\n").unwrap();
        return;
    }
    for (now, then) in story.iter().zip(&before) {
        assert_eq!(now, then, "the example is not true any more: UPDATE=1 writes it anew");
    }
}

#[test]
fn every_call_has_an_example_that_fits_its_schema() {
    let story: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    let mut examples = 0;
    for (method, route, _) in declared() {
        let has = story.iter().any(|s| s["method"] == method.as_str() && s["route"] == route);
        assert!(has, "{method} {route} has no example in examples.json");
        let operation = conform::operation(&method, route).unwrap();
        for content in std::iter::once(&operation["requestBody"])
            .chain(operation["responses"].as_object().unwrap().values())
        {
            for kind in content["content"].as_object().into_iter().flat_map(|c| c.values()) {
                if let Some(example) = kind.get("example") {
                    let wrong = conform::faults(&kind["schema"], example, "");
                    assert!(wrong.is_empty(), "{method} {route}: {wrong:?}");
                    examples += 1;
                }
            }
        }
    }
    assert!(examples > 60, "{examples}");
}

#[test]
fn every_call_is_named_once_and_for_programs() {
    let mut ids = Vec::new();
    for item in DOCUMENT["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{id}");
            ids.push(id);
            let parameters = operation["parameters"].as_array().unwrap();
            for p in parameters {
                let known =
                    p["schema"].is_object() && p["description"].as_str().is_some_and(|d| !d.is_empty());
                assert!(known || p["$ref"].is_string(), "{id}: {p}");
            }
        }
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "{ids:?}");
}
