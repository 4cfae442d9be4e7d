//! The document of the interface as a page to read: nothing from elsewhere, and its own script is only comfort.

use minijinja::{Environment, UndefinedBehavior, value::Serde};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const PAGE: &str = include_str!("docs.html.j2");
const STYLE: &str = include_str!("docs/page.css");
const SCRIPT: &str = include_str!("docs/page.js");

/// The page of a document in `OpenAPI`.
pub(crate) fn page(openapi: &str) -> Result<String, Box<dyn std::error::Error>> {
    let document: Value = serde_json::from_str(openapi)?;
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Chainable);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
    env.add_filter("tojson", |value: minijinja::Value, _: minijinja::value::Kwargs| {
        serde_json::to_string_pretty(&value).unwrap_or_default()
    });
    env.add_filter("ticks", |text: Option<String>| ticks(&text.unwrap_or_default()));
    env.add_filter("short", |path: String| {
        let short = path.strip_prefix("/api").unwrap_or(&path).replace("/projects/{p}/tasks/{t}/", "…/");
        short.replace("/runners/{r}/sessions/{sid}/", "…/")
    });
    env.add_template("docs", PAGE)?;
    let codes: Vec<Value> = mozi_api::problem::CODES
        .iter()
        .map(|(code, status, title)| json!({ "code": code, "status": status, "title": title }))
        .collect();
    let events: Vec<Value> = mozi_api::event::EVENT_TYPES
        .iter()
        .map(|(name, about)| json!({ "name": name, "about": about }))
        .collect();
    let page = json!({
        "groups": groups(&document), "doc": document, "codes": codes, "events": events,
        "style": STYLE, "script": SCRIPT,
    });
    Ok(env.get_template("docs")?.render(Serde(page))?)
}

/// What stands between backticks becomes code; all of it is escaped.
fn ticks(text: &str) -> minijinja::Value {
    let escape = |t: &str| t.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let parts = text.split('`').enumerate().map(|(n, part)| match (n % 2, escape(part)) {
        (0, plain) => plain,
        (_, code) => format!("<code>{code}</code>"),
    });
    minijinja::Value::from_safe_string(parts.collect())
}

/// The calls by their tags, in the order of these.
fn groups(document: &Value) -> Vec<Value> {
    let tags = document.get("tags").and_then(Value::as_array);
    let group = |tag: &Value| {
        let name = tag.get("name")?.as_str()?;
        let mut calls = Vec::new();
        for (path, item) in document.get("paths")?.as_object()? {
            for method in ["get", "post", "put", "patch", "delete"] {
                let Some(op) = item.get(method) else { continue };
                if op.pointer("/tags/0").and_then(Value::as_str) == Some(name) {
                    calls.push(json!({ "method": method, "path": path, "op": op }));
                }
            }
        }
        let (anchor, about) = (name.replace(' ', "-"), tag.get("description")?);
        (!calls.is_empty()).then(|| json!({ "name": name, "anchor": anchor, "about": about, "calls": calls }))
    };
    tags.into_iter().flatten().filter_map(group).collect()
}

/// What the page may do: nothing but be styled and searched by what is in it.
pub(crate) fn policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", base64(&Sha256::digest(text.as_bytes())));
    format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |n: u32| LETTERS.get(n as usize & 63).map_or('=', |b| char::from(*b));
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let n = three.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        let four = [n >> 18, n >> 12, n >> 6, n].map(letter);
        out.extend(four.iter().take(three.len() + 1));
        out.extend(std::iter::repeat_n('=', 3 - three.len()));
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_rendered() {
        let page = super::page(crate::openapi::openapi_text()).unwrap();
        assert!(page.contains("id=\"shape-Task\""), "{} bytes", page.len());
        assert!(page.contains("id=\"transition_refused\""), "refusals lead here");
        assert!(page.trim_end().ends_with("</html>"));
        // The style and the script stand there as they are hashed.
        assert!(page.contains(super::STYLE) && page.contains(super::SCRIPT));
    }

    #[test]
    fn backticks_become_code_and_nothing_becomes_more() {
        assert_eq!(super::ticks("a `<b>` & <i>").to_string(), "a <code>&lt;b&gt;</code> &amp; &lt;i&gt;");
    }

    #[test]
    fn hashes_are_written_as_browsers_read_them() {
        let all: Vec<_> =
            ["", "f", "fo", "foo", "foob"].iter().map(|t| super::base64(t.as_bytes())).collect();
        assert_eq!(all, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }
}
