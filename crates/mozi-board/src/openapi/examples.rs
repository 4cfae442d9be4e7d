//! Examples: a story that is played by a test, which also writes what was answered.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::put;
use crate::routes::Route;

/// Requests in the order in which they are asked of a new board, each with its answer.
static STORY: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let read: Result<Vec<Value>, _> = serde_json::from_str(include_str!("examples.json"));
    read.unwrap_or_else(|e| {
        tracing::error!("could not read the examples: {e}");
        Vec::new()
    })
});

/// What a part of the path is in the story.
pub(super) fn of_parameter(name: &str) -> Value {
    match name {
        "p" => json!("app"),
        "t" => json!("1"),
        "other" => json!("2"),
        "n" | "id" => json!(1),
        "sid" => json!("5c0ffee0-0000-4000-8000-000000000001"),
        "a" => json!("coder"),
        "r" => json!("local"),
        "u" => json!("ann"),
        _ => json!("ci"),
    }
}

/// Puts the first request of the story to this route, and its answer, into its operation.
pub(super) fn add(route: &Route, operation: &mut Value) {
    let text = |v: &Value, name: &str| v.get(name).and_then(Value::as_str).map(str::to_owned);
    let asked = STORY.iter().find(|e| {
        text(e, "method").as_deref() == Some(route.method.as_str())
            && text(e, "route").as_deref() == Some(route.path)
    });
    let Some(asked) = asked else { return };
    for kind in ["application~1json", "application~1x-ndjson"] {
        if let (Some(body), Some(content)) =
            (asked.get("body"), operation.pointer_mut(&format!("/requestBody/content/{kind}")))
        {
            put(content, "example", body.clone());
        }
    }
    let status = asked.get("status").and_then(Value::as_u64).unwrap_or(200);
    if let (Some(answer), Some(content)) = (
        asked.get("answer"),
        operation.pointer_mut(&format!("/responses/{status}/content/application~1json")),
    ) {
        put(content, "example", answer.clone());
    }
}
