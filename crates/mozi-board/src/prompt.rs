//! What an agent is told: its task, what was tried before, and how to report.
//!
//! The board renders from one snapshot of the store, and nothing else comes in: no clock, no randomness. What only
//! the runner knows stays open as a [mark](MarkKind). Text of tasks is data throughout: it is never a template, and it
//! stands in fences that it cannot close.

mod bootstrap;
mod builtin;
mod calls;
mod context;
mod cut;
mod engine;
mod history;
mod outputs;
mod quote;
mod time;

use std::{collections::BTreeMap, path::Path};

use mozi_api::{
    prompt::{PromptValues, WorkspaceState},
    runner::{BootstrapParts, MarkKind, MarkName, PromptParts},
    wire::Text,
};
use mozi_core::{AgentId, AttemptNumber, Role, VerdictMode};
use serde_json::{Map, Value};

pub use mozi_store::{PromptMaterial, Upstream};

/// How an agent knows where and as whom to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Callback {
    /// From its environment.
    #[default]
    Env,
    /// From its prompt: nothing else reaches it.
    Header,
    /// From the address in its prompt, which holds the token: it cannot set a header.
    Url,
    /// From its prompt, without a token: it is known by its name.
    Anonymous,
}

impl Callback {
    /// The mode that an agent's `callback` names; an unknown one is the one that always works.
    pub fn parse(word: &str) -> Self {
        match word {
            "env" => Self::Env,
            "url" => Self::Url,
            "anonymous" => Self::Anonymous,
            _ => Self::Header,
        }
    }

    /// How it is for this role: who has the word over somebody's work shows a token.
    const fn of(self, role: Role) -> Self {
        match (self, role) {
            (Self::Anonymous, Role::Reviewer) => Self::Header,
            (other, _) => other,
        }
    }
}

/// What a prompt is made for, beside the material of the task.
#[derive(Debug, Clone)]
pub struct PromptOptions<'a> {
    /// What the attempt is for.
    pub role: Role,
    /// Who will read it.
    pub agent: &'a AgentId,
    /// The attempt that it is for; for a preview the next one.
    pub attempt_number: AttemptNumber,
    /// How the agent reports.
    pub callback: Callback,
    /// How its verdict is known: an agent whose exit status counts is not asked to report.
    pub verdict_mode: VerdictMode,
    /// Random text, new for each prompt (letters and digits): no text of a task can hold a mark that was made of it.
    pub nonce: &'a str,
    /// The folder of the projects' own templates.
    pub prompts_dir: Option<&'a Path>,
    /// What somebody who started it by name wants it told beside its task.
    pub message: Option<&'a str>,
}

/// Something that people should know of how a prompt was made.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptNotice {
    /// The notice's code.
    pub code: &'static str,
    /// It in words.
    pub text: String,
    /// Figures and names.
    pub more: Map<String, Value>,
}

/// A rendered prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// For the runner.
    pub parts: PromptParts,
    /// For people.
    pub notices: Vec<PromptNotice>,
}

/// Renders the prompt of a task. It reads the project's own template from disk, if there is one; whatever fails
/// falls back to the built-in one and is told in a notice.
pub fn render(material: &PromptMaterial, options: &PromptOptions<'_>) -> Rendered {
    let marks = marks(options.nonce);
    let language = material.project.settings.language;
    let context = context::Context::new(material, options, &marks);
    let mut notices = Vec::new();
    let own = options.prompts_dir.map(|dir| dir.join(material.project.id.as_str()));
    let page = own
        .and_then(|folder| match engine::own(language, options.role, &folder, &context) {
            Ok(page) => page,
            Err(why) => {
                notices.push(template_failed(options.role, &why));
                None
            }
        })
        .or_else(|| match engine::builtin(language, options.role, &context) {
            Ok(page) => Some(page),
            Err(why) => {
                notices.push(template_failed(options.role, &why));
                None
            }
        })
        .unwrap_or_else(|| builtin::last_resort(material, &context));
    let bootstrap = material.project.settings.bootstrap.as_ref().map(|name| BootstrapParts {
        name: name.clone(),
        input: bootstrap::input(material, options),
        operating_text: page.operating,
    });
    let states = builtin::states(language, options.role)
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    Rendered { parts: PromptParts { text: page.text, marks, states, bootstrap }, notices }
}

/// What people are shown of a prompt that nobody has been given yet: where the runner sets something in stands a word
/// for it. The token is never known here.
pub fn preview(parts: &PromptParts, url: &str) -> String {
    parts.filled(&PromptValues {
        token: "mozi_a_****",
        workspace: "WORKSPACE",
        outbox: "OUTBOX",
        mozi: "mozi",
        url,
        session_id: "SESSION",
        state: WorkspaceState::Unknown,
        source: None,
    })
}

/// The marks of one prompt, by what they stand for.
type Marks = BTreeMap<MarkName, String>;

fn marks(nonce: &str) -> Marks {
    MarkKind::ALL.iter().map(|m| (Text(*m), format!("@@{}-{nonce}@@", Text(*m)))).collect()
}

fn mark(marks: &Marks, kind: MarkKind) -> String {
    marks.get(&Text(kind)).cloned().unwrap_or_default()
}

fn template_failed(role: Role, why: &engine::TemplateError) -> PromptNotice {
    let mut more = Map::new();
    more.insert("role".into(), role.as_str().into());
    if let Some(file) = why.file() {
        more.insert("file".into(), file.display().to_string().into());
    }
    PromptNotice {
        code: "prompt_template_failed",
        text: format!("could not use the project's own prompt, took the built-in one: {why}"),
        more,
    }
}
