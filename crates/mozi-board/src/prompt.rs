//! What an agent is told: its task, what was tried before, and how to report.
//!
//! The board renders from one snapshot of the store, and nothing else comes in: no clock, no randomness. What only
//! the runner knows stays open as a [mark](Mark). Text of tasks is data throughout: it is never a template, and it
//! stands in fences that it cannot close.

mod builtin;
mod context;
mod engine;
mod material;
mod quote;

use std::{collections::BTreeMap, path::Path};

use mozi_core::{AgentId, AttemptNumber, Role};
use serde_json::{Map, Value};

pub use material::{PromptMaterial, Upstream};

/// How an agent knows where and as whom to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Callback {
    /// From its environment.
    #[default]
    Env,
    /// From its prompt: nothing else reaches it.
    Header,
}

impl Callback {
    /// The mode that an agent's `callback` names; an unknown one is the one that always works.
    pub fn parse(word: &str) -> Self {
        if word == "env" { Self::Env } else { Self::Header }
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
    /// Random text, new for each prompt (letters and digits): no text of a task can hold a mark that was made of it.
    pub nonce: &'a str,
    /// The folder of the projects' own templates.
    pub prompts_dir: Option<&'a Path>,
    /// What somebody who started it by name wants it told beside its task.
    pub message: Option<&'a str>,
}

/// What the runner sets in, because it alone knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mark {
    /// The attempt's bearer token.
    Token,
    /// The folder that it works in.
    Workspace,
    /// The folder of reports that wait for the board.
    Outbox,
    /// The path of the `mozi` program.
    Mozi,
    /// The address of the board, as agents reach it, without a slash at its end.
    Url,
    /// One of [`PromptParts::states`], by what it finds in the workspace.
    WorkspaceState,
    /// The session's id.
    SessionId,
}

impl Mark {
    /// Every mark.
    pub const ALL: [Self; 7] = [
        Self::Token,
        Self::Workspace,
        Self::Outbox,
        Self::Mozi,
        Self::Url,
        Self::WorkspaceState,
        Self::SessionId,
    ];

    /// Its name in [`PromptParts::marks`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Workspace => "workspace",
            Self::Outbox => "outbox",
            Self::Mozi => "mozi",
            Self::Url => "url",
            Self::WorkspaceState => "workspace_state",
            Self::SessionId => "session_id",
        }
    }
}

/// A prompt but for what the runner sets in.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptParts {
    /// The whole prompt, with marks.
    pub text: String,
    /// By name, the text that stands in [`text`](Self::text) for what the runner knows.
    pub marks: BTreeMap<String, String>,
    /// Sentences for the mark `workspace_state`, in the language of the prompt: `new`, `kept`, `in_place`.
    pub states: BTreeMap<String, String>,
    /// The command that builds the first part, where the project names one.
    pub bootstrap: Option<BootstrapPart>,
}

/// The part of a prompt that a command of the project builds.
#[derive(Debug, Clone, PartialEq)]
pub struct BootstrapPart {
    /// The command, as `mozi.toml` names it.
    pub name: String,
    /// What it gets on its standard input, as JSON.
    pub input: Value,
    /// What is put behind its text; with marks. Where it fails, the whole `text` is used.
    pub operating_text: String,
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

/// Renders the prompt of a task. Whatever fails falls back to the built-in template and is told in a notice.
pub fn render(material: &PromptMaterial, options: &PromptOptions<'_>) -> Rendered {
    let marks: BTreeMap<String, String> = Mark::ALL
        .iter()
        .map(|m| (m.name().to_owned(), format!("@@mozi-{}-{}@@", m.name(), options.nonce)))
        .collect();
    let language = material.project.settings.language;
    let context = context::Context::new(material, options, &marks);
    let mut notices = Vec::new();
    let text = match engine::render(builtin::template(language, options.role), &context) {
        Ok(text) => text,
        Err(why) => {
            notices.push(PromptNotice {
                code: "prompt_template_failed",
                text: format!("could not render the built-in template: {why}"),
                more: Map::new(),
            });
            String::new()
        }
    };
    Rendered { parts: PromptParts { text, marks, states: BTreeMap::new(), bootstrap: None }, notices }
}
