//! Changes of a project's settings.

use std::time::Duration;

use serde_json::Value;

use crate::{
    id::AgentId,
    project::{Dispatch, Language, OnNoVerdict, RequireOutput, RetryOrBlock, Review, Settings},
};

/// One setting of a project and its new value.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "named as the fields of `Settings`")]
pub enum SettingChange {
    DefaultAgent(Option<AgentId>),
    Dispatch(Dispatch),
    Review(Review),
    RequireOutput(RequireOutput),
    MaxAttempts(u32),
    MaxReviewAttempts(u32),
    MaxReviewRounds(u32),
    OnNoVerdict(OnNoVerdict),
    OnLost(RetryOrBlock),
    OnTimeout(RetryOrBlock),
    BackoffInitial(Duration),
    BackoffMax(Duration),
    MaxSessions(Option<u32>),
    AgentsMayCreate(bool),
    Language(Language),
    Bootstrap(Option<String>),
}

impl SettingChange {
    /// Carries it out.
    pub fn apply(&self, s: &mut Settings) {
        match self.clone() {
            Self::DefaultAgent(v) => s.default_agent = v,
            Self::Dispatch(v) => s.dispatch = v,
            Self::Review(v) => s.review = v,
            Self::RequireOutput(v) => s.require_output = v,
            Self::MaxAttempts(v) => s.max_attempts = v,
            Self::MaxReviewAttempts(v) => s.max_review_attempts = v,
            Self::MaxReviewRounds(v) => s.max_review_rounds = v,
            Self::OnNoVerdict(v) => s.on_no_verdict = v,
            Self::OnLost(v) => s.on_lost = v,
            Self::OnTimeout(v) => s.on_timeout = v,
            Self::BackoffInitial(v) => s.backoff_initial = v,
            Self::BackoffMax(v) => s.backoff_max = v,
            Self::MaxSessions(v) => s.max_sessions = v,
            Self::AgentsMayCreate(v) => s.agents_may_create = v,
            Self::Language(v) => s.language = v,
            Self::Bootstrap(v) => s.bootstrap = v,
        }
    }
    /// Its name and new value, for the event.
    pub fn named(&self) -> (&'static str, Value) {
        let ms = |d: &Duration| Value::from(u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        match self {
            Self::DefaultAgent(v) => ("default_agent", Value::from(v.as_ref().map(AgentId::as_str))),
            Self::Dispatch(v) => ("dispatch", Value::from(v.as_str())),
            Self::Review(v) => ("review", Value::from(v.as_str())),
            Self::RequireOutput(v) => ("require_output", Value::from(v.as_str())),
            Self::MaxAttempts(v) => ("max_attempts", Value::from(*v)),
            Self::MaxReviewAttempts(v) => ("max_review_attempts", Value::from(*v)),
            Self::MaxReviewRounds(v) => ("max_review_rounds", Value::from(*v)),
            Self::OnNoVerdict(v) => ("on_no_verdict", Value::from(v.as_str())),
            Self::OnLost(v) => ("on_lost", Value::from(v.as_str())),
            Self::OnTimeout(v) => ("on_timeout", Value::from(v.as_str())),
            Self::BackoffInitial(v) => ("backoff_initial_ms", ms(v)),
            Self::BackoffMax(v) => ("backoff_max_ms", ms(v)),
            Self::MaxSessions(v) => ("max_sessions", Value::from(*v)),
            Self::AgentsMayCreate(v) => ("agents_may_create", Value::from(*v)),
            Self::Language(v) => ("language", Value::from(v.as_str())),
            Self::Bootstrap(v) => ("bootstrap", Value::from(v.clone())),
        }
    }
}
