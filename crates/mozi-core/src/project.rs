//! Projects: boards with settings.

use std::time::Duration;

use crate::{
    id::{AgentId, ProjectId},
    task::{Status, StatusCounts},
    time::Timestamp,
};

/// A board of tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// What people call it.
    pub name: Option<String>,
    /// How its tasks are treated.
    pub settings: Settings,
    /// An archived project is not claimed from and takes no new tasks; its live attempts run to their end.
    pub archived: bool,
    /// Changes with every change of name, settings or archive mark.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When `version` last changed.
    pub updated_at: Timestamp,
    /// The number that the next task without an id tries first.
    pub next_task: u64,
    /// The id of its newest event.
    pub last_event: u64,
    /// Kept, never counted.
    pub counts: StatusCounts,
}

impl Project {
    /// A new, empty project.
    pub fn new(id: ProjectId, name: Option<String>, settings: Settings, now: Timestamp) -> Self {
        Self {
            id,
            name,
            settings,
            archived: false,
            version: 1,
            created_at: now,
            updated_at: now,
            next_task: 1,
            last_event: 0,
            counts: StatusCounts::default(),
        }
    }
}

/// Whether tasks are claimed by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dispatch {
    /// Runners claim what is ready.
    Auto,
    /// Nothing is claimed unless it is started by name.
    Manual,
}

/// Who decides on a result.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Review {
    /// A person.
    Human,
    /// Nobody: the executor's verdict is enough.
    None,
    /// This agent, in role reviewer; a person may be faster.
    Agent(AgentId),
}

/// Whether a verdict `review` needs an output of the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequireOutput {
    /// An output of this attempt, or whatever else counts as one.
    Auto,
    /// An output of this attempt.
    Always,
    /// No.
    Never,
}

/// What follows an attempt that ended with exit 0 and no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnNoVerdict {
    /// Review if the attempt has an output, else again.
    Auto,
    /// Again.
    Retry,
    /// Review.
    Review,
    /// A person decides.
    Block,
}

/// What follows an attempt that was lost or timed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryOrBlock {
    /// Again, while the budget lasts.
    Retry,
    /// A person decides.
    Block,
}

/// The language of prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    En,
    /// Simplified Chinese.
    ZhCn,
}

/// How the tasks of a project are treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The agent of tasks that name none.
    pub default_agent: Option<AgentId>,
    /// Whether tasks are claimed by themselves.
    pub dispatch: Dispatch,
    /// Who decides on results.
    pub review: Review,
    /// Whether a verdict `review` needs an output.
    pub require_output: RequireOutput,
    /// Executor attempts without a verdict, per budget.
    pub max_attempts: u32,
    /// Reviewer attempts without a verdict, per budget.
    pub max_review_attempts: u32,
    /// Send-backs by reviewers since a person last acted.
    pub max_review_rounds: u32,
    /// After exit 0 without a verdict.
    pub on_no_verdict: OnNoVerdict,
    /// After a lost attempt.
    pub on_lost: RetryOrBlock,
    /// After a timed out attempt.
    pub on_timeout: RetryOrBlock,
    /// The first pause before a repetition.
    pub backoff_initial: Duration,
    /// The longest.
    pub backoff_max: Duration,
    /// Live attempts at once in this project.
    pub max_sessions: Option<u32>,
    /// Whether executors may create subtasks.
    pub agents_may_create: bool,
    /// The language of prompts.
    pub language: Language,
    /// The name of the bootstrap command that builds the first part of a prompt.
    pub bootstrap: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_agent: None,
            dispatch: Dispatch::Auto,
            review: Review::Human,
            require_output: RequireOutput::Auto,
            max_attempts: 3,
            max_review_attempts: 2,
            max_review_rounds: 5,
            on_no_verdict: OnNoVerdict::Auto,
            on_lost: RetryOrBlock::Retry,
            on_timeout: RetryOrBlock::Retry,
            backoff_initial: Duration::from_secs(10),
            backoff_max: Duration::from_mins(5),
            max_sessions: None,
            agents_may_create: false,
            language: Language::En,
            bootstrap: None,
        }
    }
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident => $word:literal),+ $(,)? })+) => {$(
        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The word that stands for it everywhere outside.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
            /// The value of a word.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    )+};
}
pub(crate) use words;

words! {
    Dispatch { Auto => "auto", Manual => "manual" }
    RequireOutput { Auto => "auto", Always => "always", Never => "never" }
    OnNoVerdict { Auto => "auto", Retry => "retry", Review => "review", Block => "block" }
    RetryOrBlock { Retry => "retry", Block => "block" }
    Language { En => "en", ZhCn => "zh-CN" }
}

impl Review {
    /// The word or agent id that stands for it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Human => "human",
            Self::None => "none",
            Self::Agent(a) => a.as_str(),
        }
    }
    /// `human`, `none` or an agent's id.
    ///
    /// # Errors
    /// When it is neither word nor id.
    pub fn parse(word: &str) -> Result<Self, crate::id::BadId> {
        match word {
            "human" => Ok(Self::Human),
            "none" => Ok(Self::None),
            id => id.parse().map(Self::Agent),
        }
    }
}

impl StatusCounts {
    /// Tasks that may still move by themselves or by a person.
    pub fn open(&self) -> u64 {
        Status::ALL.iter().filter(|s| !s.is_end()).map(|s| self.get(*s)).fold(0, u64::saturating_add)
    }
}
