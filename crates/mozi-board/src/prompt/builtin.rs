//! The templates that come with Mozi.

use mozi_api::prompt::SOURCE;
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
pub(super) const fn states(language: Language, role: Role) -> [(&'static str, &'static str); 5] {
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
            (
                SOURCE,
                "The project's own folder on this machine is `{path}`: read there, copy from there, and change it only if the task says so.",
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
            (SOURCE, "The project's own folder on this machine is `{path}`: read there, and change nothing."),
        ],
        (Language::ZhCn, Role::Executor) => [
            ("new", "它是新建的空目录。"),
            ("kept", "它保持着上一次尝试结束时的样子：动手之前先看看里面有什么，好的部分接着用。"),
            ("in_place", "它就是项目本身的目录，人也在里面工作：只改任务要求改的地方。"),
            ("unknown", "（此处将说明它是新建的、沿用上一次尝试的，还是项目本身的目录。）"),
            (SOURCE, "项目本身的目录在本机的 `{path}`：可以读取，可以从中复制；只有任务要求时才改动它。"),
        ],
        (Language::ZhCn, Role::Reviewer) => [
            ("new", "它是新建的空目录：要看什么，就取到这里来看。"),
            ("kept", "它保持着上一次尝试结束时的样子：只看，不要改动里面的任何东西。"),
            ("in_place", "它就是项目本身的目录，人也在里面工作：不要改动任何东西。"),
            ("unknown", "（此处将说明它是新建的、沿用上一次尝试的，还是项目本身的目录。）"),
            (SOURCE, "项目本身的目录在本机的 `{path}`：可以读取，不要改动。"),
        ],
    }
}

/// A page without any template, for the case that the built-in ones are broken: short, but it can be worked with.
pub(super) fn last_resort(m: &PromptMaterial, context: &Context) -> Page {
    let calls = &context.call;
    let operating = format!(
        "Report by these calls: `working` at once, an output with your result, then `review` (or `failed` with the \
         reason in `detail`).\n\n```bash\n{} -d '{{\"status\":\"working\"{}}}'\n```\n\n```bash\n{} --data-binary @- \
         <<'JSON'\n{{\"type\": \"document\", \"title\": \"Result\", \"content\": \"The text.\"{}}}\nJSON\n```\n\n\
         ```bash\n{} -d '{{\"status\":\"review\"{}}}'\n```\n",
        calls.status, calls.by_agent, calls.outputs, calls.by_agent, calls.status, calls.by_agent,
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

#[cfg(test)]
mod tests {
    use mozi_core::{
        Actor, Project, Settings, Status, Task, TaskKey, TaskSpec, TaskState, Timestamp, VerdictMode,
    };

    use super::*;
    use crate::prompt::{Callback, PromptOptions, marks};

    #[test]
    fn without_any_template_a_task_can_still_be_done() {
        let now = Timestamp::from_micros(0);
        let spec = TaskSpec { description: Some("```\nfence".into()), ..TaskSpec::titled("a `b`") };
        let task = Task {
            key: TaskKey::new("app".parse().unwrap(), "7".parse().unwrap()),
            spec,
            state: TaskState::new(Status::Claimed, None, None, 0, 0),
            created_by: Actor::board(),
            created_at: now,
            updated_at: now,
            version: 1,
        };
        let project = Project::new("app".parse().unwrap(), None, Settings::default(), now);
        let m = PromptMaterial {
            task,
            project,
            dependencies: Vec::new(),
            parent: None,
            attempts: Vec::new(),
            outputs: Vec::new(),
            comments: Vec::new(),
            remarks: Vec::new(),
        };
        let options = PromptOptions {
            role: Role::Executor,
            agent: &"coder".parse().unwrap(),
            attempt_number: 1,
            callback: Callback::Header,
            verdict_mode: VerdictMode::Report,
            nonce: "0",
            prompts_dir: None,
            message: None,
        };
        let page = last_resort(&m, &Context::new(&m, &options, &marks("0")));
        assert!(page.text.contains("`` a `b` ``\n\n````text\n```\nfence\n````"), "{}", page.text);
        assert!(page.text.contains("Bearer @@token-0@@"));
        for word in ["working", "review", "failed", "\"type\": \"document\""] {
            assert!(page.operating.contains(word), "nothing of {word}");
        }
    }
}
