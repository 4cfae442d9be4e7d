//! The document of the interface as a page to read: no script, nothing from elsewhere.

use minijinja::{Environment, UndefinedBehavior, value::Serde};
use serde_json::Value;

const PAGE: &str = include_str!("docs.html.j2");

/// The page of a document in `OpenAPI`.
pub(crate) fn page(openapi: &str) -> Result<String, Box<dyn std::error::Error>> {
    let document: Value = serde_json::from_str(openapi)?;
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Chainable);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
    env.add_template("docs", PAGE)?;
    let codes: Vec<Value> = mozi_api::problem::CODES
        .iter()
        .map(|(code, status, title)| serde_json::json!({ "code": code, "status": status, "title": title }))
        .collect();
    let page = serde_json::json!({ "doc": document, "codes": codes });
    Ok(env.get_template("docs")?.render(Serde(page))?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_rendered() {
        let page = super::page(crate::openapi::openapi_text()).unwrap();
        assert!(page.contains("<h3>Task</h3>"), "{} bytes", page.len());
        assert!(page.ends_with("</html>"));
    }
}
