//! The templates that come with Mozi.

use mozi_core::{Role, project::Language};

/// The built-in template of a role in a language.
pub(super) const fn template(language: Language, role: Role) -> &'static str {
    match (language, role) {
        (Language::En, Role::Executor) => include_str!("../../prompts/en/executor.md.j2"),
        (Language::En, Role::Reviewer) => include_str!("../../prompts/en/reviewer.md.j2"),
        (Language::ZhCn, Role::Executor) => include_str!("../../prompts/zh-CN/executor.md.j2"),
        (Language::ZhCn, Role::Reviewer) => include_str!("../../prompts/zh-CN/reviewer.md.j2"),
    }
}
