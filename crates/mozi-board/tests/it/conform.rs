//! Every answer that a test gets is held against the document of the interface.

use std::sync::LazyLock;

use http::Method;
use mozi_board::openapi_json;
use serde_json::{Map, Value};

use crate::support::Reply;

pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&openapi_json()).unwrap());

/// The operation that answers to this, if the document has one.
pub(crate) fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap();
    let fits = |template: &str| {
        let (asked, known): (Vec<_>, Vec<_>) = (path.split('/').collect(), template.split('/').collect());
        asked.len() == known.len()
            && known.iter().zip(&asked).all(|(k, a)| if k.starts_with('{') { !a.is_empty() } else { k == a })
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    // What is written out goes before what is a parameter.
    let exact = paths.get(path);
    let item = exact.or_else(|| paths.iter().find(|(template, _)| fits(template)).map(|(_, item)| item))?;
    item.get(method.as_str().to_ascii_lowercase())
}

/// Holds an answer against the document: its status, its type, its headers and its body.
#[track_caller]
pub(crate) fn check(method: &Method, path: &str, reply: &Reply) {
    // Before a token in the address there is nothing that the document has.
    let path = path.strip_prefix("/t/").and_then(|p| p.find('/').map(|i| p.split_at(i).1)).unwrap_or(path);
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let Some(operation) = operation(method, path) else {
        assert!(matches!(reply.status.as_u16(), 403..=405), "{method} {path} is not in the document");
        return;
    };
    let status = reply.status.as_u16().to_string();
    let said = &operation["responses"][&status];
    assert!(!said.is_null(), "{method} {path}: {status} is not in the document: {}", reply.text());
    let media_type = reply.header("content-type").split(';').next().unwrap();
    let content = said["content"].as_object().unwrap();
    let known = content.get(media_type).or_else(|| content.get("*/*"));
    let Some(known) = known else { panic!("{method} {path} {status}: {media_type} is not in the document") };
    assert!(!reply.header("x-request-id").is_empty());
    if said["headers"]["ETag"].is_object() {
        assert!(reply.header("etag").starts_with('"'), "{method} {path} {status} has no ETag");
    }
    if !media_type.ends_with("json") || media_type.ends_with("ndjson") || reply.bytes.is_empty() {
        return;
    }
    let body: Value = serde_json::from_slice(&reply.bytes).unwrap();
    let wrong = faults(&known["schema"], &body, "");
    assert!(wrong.is_empty(), "{method} {path} {status}: {wrong:?} in {body}");
}

/// What of a value is not as its schema says. A keyword that is not understood here is a fault too: nothing is passed
/// over in silence.
pub(crate) fn faults(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let empty = Map::new();
    for (keyword, rule) in schema.as_object().unwrap_or(&empty) {
        let mut say = |what: String| wrong.push(format!("{at}: {what}"));
        match keyword.as_str() {
            "$ref" => {
                let name = rule.as_str().unwrap().rsplit('/').next().unwrap();
                wrong.extend(faults(&DOCUMENT["components"]["schemas"][name], value, at));
            }
            "type" => {
                let is = |t: &Value| match t.as_str().unwrap() {
                    "null" => value.is_null(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    "string" => value.is_string(),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    other => panic!("type {other}"),
                };
                if !rule.as_array().map_or_else(|| is(rule), |all| all.iter().any(is)) {
                    say(format!("{value} is not {rule}"));
                }
            }
            "enum" if !rule.as_array().unwrap().contains(value) => say(format!("{value} is none of {rule}")),
            "const" if rule != value => say(format!("{value} is not {rule}")),
            "required" => {
                for name in rule.as_array().unwrap() {
                    if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
                        say(format!("{name} is missing"));
                    }
                }
            }
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(inner) = value.get(name) {
                        wrong.extend(faults(schema, inner, &format!("{at}.{name}")));
                    }
                }
            }
            "additionalProperties" => {
                let known = schema["properties"].as_object().unwrap_or(&empty);
                for (name, inner) in value.as_object().unwrap_or(&empty) {
                    if !known.contains_key(name) {
                        if *rule == Value::Bool(false) {
                            wrong.push(format!("{at}: {name} is not known"));
                        } else {
                            wrong.extend(faults(rule, inner, &format!("{at}.{name}")));
                        }
                    }
                }
            }
            "items" => {
                for (n, inner) in value.as_array().into_iter().flatten().enumerate() {
                    wrong.extend(faults(rule, inner, &format!("{at}[{n}]")));
                }
            }
            "allOf" => wrong.extend(rule.as_array().unwrap().iter().flat_map(|s| faults(s, value, at))),
            "oneOf" => {
                let all: Vec<_> = rule.as_array().unwrap().iter().map(|s| faults(s, value, at)).collect();
                if all.iter().filter(|f| f.is_empty()).count() != 1 {
                    say(format!("not just one of {all:?}"));
                }
            }
            "minimum" if value.as_f64().is_some_and(|n| n < rule.as_f64().unwrap()) => {
                say(format!("under {rule}"));
            }
            "maximum" if value.as_f64().is_some_and(|n| n > rule.as_f64().unwrap()) => {
                say(format!("over {rule}"));
            }
            "enum" | "const" | "minimum" | "maximum" | "description" | "format" | "pattern"
            | "propertyNames" | "minLength" | "maxLength" | "example" | "examples" | "default"
            | "contentMediaType" | "title" | "minItems" | "maxItems" | "contentEncoding" => {}
            other => panic!("{at}: the keyword {other} is not understood here"),
        }
    }
    wrong
}
