//! The templates that come with Mozi.

use mozi_core::{Role, project::Language};

use super::{PromptMaterial, context::Context, engine::Page, quote};

/// The built-in templates of a language, with the names under which a project's own may extend them.
pub(super) const fn templates(language: Language) -> [(&'static str, &'static str); 2] {
    match language {
        Language::En => [
            (name(Role::Executor), include_str!("../../prompts/en/executor.md.j2")),
            (name(Role::Reviewer), include_str!("../../prompts/en/reviewer.md.j2")),
        ],
        Language::ZhCn => [
            (name(Role::Executor), include_str!("../../prompts/zh-CN/executor.md.j2")),
            (name(Role::Reviewer), include_str!("../../prompts/zh-CN/reviewer.md.j2")),
        ],
    }
}

/// The name of a role's template.
pub(super) const fn name(role: Role) -> &'static str {
    match role {
        Role::Executor => "builtin/executor.md",
        Role::Reviewer => "builtin/reviewer.md",
    }
}

/// Sentences on what the runner finds in the workspace.
pub(super) const fn states(language: Language, role: Role) -> [(&'static str, &'static str); 4] {
    match (language, role) {
        (Language::En, Role::Executor) => [
            ("new", "It is new and empty."),
            (
                "kept",
                "It is as the last attempt left it: look at what is there before you begin, and build on what is good.",
            ),
            (
                "in_place",
                "It is the project's own folder, where people work too: change only what the task asks for.",
            ),
            (
                "unknown",
                "(Here it says whether it is new, kept from an earlier attempt, or the project's own.)",
            ),
        ],
        (Language::En, Role::Reviewer) => [
            ("new", "It is new and empty: fetch into it what you want to look at."),
            ("kept", "It is as the last attempt left it: look, and change nothing that is there."),
            ("in_place", "It is the project's own folder, where people work too: change nothing in it."),
            (
                "unknown",
                "(Here it says whether it is new, kept from an earlier attempt, or the project's own.)",
            ),
        ],
        (Language::ZhCn, Role::Executor) => [
            ("new", "它是新建的空目录。"),
            ("kept", "它保持着上一次尝试结束时的样子：动手之前先看看里面有什么，好的部分接着用。"),
            ("in_place", "它就是项目本身的目录，人也在里面工作：只改任务要求改的地方。"),
            ("unknown", "（此处将说明它是新建的、沿用上一次尝试的，还是项目本身的目录。）"),
        ],
        (Language::ZhCn, Role::Reviewer) => [
            ("new", "它是新建的空目录：要看什么，就取到这里来看。"),
            ("kept", "它保持着上一次尝试结束时的样子：只看，不要改动里面的任何东西。"),
            ("in_place", "它就是项目本身的目录，人也在里面工作：不要改动任何东西。"),
            ("unknown", "（此处将说明它是新建的、沿用上一次尝试的，还是项目本身的目录。）"),
        ],
    }
}

/// A page without any template, for the case that the built-in ones are broken: short, but it can be worked with.
pub(super) fn last_resort(m: &PromptMaterial, context: &Context) -> Page {
    let calls = &context.call;
    let operating = format!(
        "Report by these calls: `working` at once, an output with your result, then `review` (or `failed` with the \
         reason in `detail`).\n\n```bash\n{} -d '{{\"status\":\"working\"}}'\n```\n\n```bash\n{} --data-binary @- \
         <<'JSON'\n{{\"type\": \"document\", \"title\": \"Result\", \"content\": \"The text.\"}}\nJSON\n```\n\n\
         ```bash\n{} -d '{{\"status\":\"review\"}}'\n```\n",
        calls.status, calls.outputs, calls.status,
    );
    let task = &context.task;
    let text = format!(
        "# Task {}: {}\n\n{}\n\n{}\n\n{operating}",
        quote::code(&task.id),
        quote::code(&task.title),
        quote::fenced(m.task.spec.description.as_deref().unwrap_or("(none)")),
        quote::numbered(&task.must_haves),
    );
    Page { text, operating }
}
