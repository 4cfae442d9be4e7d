//! The template engine: strict, without escapes, bounded.

use minijinja::{AutoEscape, Environment, UndefinedBehavior, syntax::SyntaxConfig, value::Serde};
use serde::Serialize;

/// Renders `source` with `context`.
pub(super) fn render(source: &str, context: &impl Serialize) -> Result<String, minijinja::Error> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    env.add_filter("fenced", |text: String| super::quote::fenced(&text));
    env.add_filter("code", |text: String| super::quote::code(&text));
    env.template_from_str(source)?.render(Serde(context))
}
