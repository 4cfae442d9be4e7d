//! Limits of texts and numbers, and the checks that name them.

use std::collections::BTreeMap;

use crate::{command::SettingChange, refusal::Refusal, task::TaskSpec};

/// The longest title, in characters.
pub const TITLE_CHARS: usize = 500;
/// The longest description, in bytes.
pub const DESCRIPTION_BYTES: usize = 512 * 1024;
/// The longest detail or remark, in bytes.
pub const DETAIL_BYTES: usize = 64 * 1024;
/// The longest comment, in bytes.
pub const COMMENT_BYTES: usize = 256 * 1024;
/// The longest summary, in bytes.
pub const SUMMARY_BYTES: usize = 16 * 1024;
/// The longest of all short words: types, kinds, names, labels. In characters.
pub const WORD_CHARS: usize = 200;
/// The most must-haves and labels.
pub const ITEMS: usize = 100;
/// The longest must-have, in bytes.
pub const MUST_HAVE_BYTES: usize = 8 * 1024;
/// The most dependencies of a task.
pub const DEPENDENCIES: usize = 1_000;
/// The largest metadata, in bytes of JSON.
pub const METADATA_BYTES: usize = 64 * 1024;
/// The most attempts that may be asked for.
pub const ATTEMPTS: u32 = 1_000;
/// Tasks that one attempt may create.
pub const CREATED_PER_ATTEMPT: u32 = 50;
/// How deep below a person's task an executor may create one.
pub const CREATED_DEPTH: u32 = 3;

/// One line of text, not empty, without control characters.
pub(crate) fn line(field: &str, text: &str, chars: usize) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::invalid(field, "must not be empty"));
    }
    if text.chars().count() > chars {
        return Err(Refusal::invalid(field, format!("is longer than {chars} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::invalid(field, "must be one line without control characters"));
    }
    Ok(())
}

/// Any text without NUL.
pub(crate) fn text(field: &str, text: &str, bytes: usize) -> Result<(), Refusal> {
    if text.len() > bytes {
        return Err(Refusal::invalid(field, format!("is longer than {bytes} bytes")));
    }
    if text.contains('\0') {
        return Err(Refusal::invalid(field, "must not contain NUL bytes"));
    }
    Ok(())
}

pub(crate) fn opt_text(field: &str, value: Option<&str>, bytes: usize) -> Result<(), Refusal> {
    value.map_or(Ok(()), |v| text(field, v, bytes))
}

pub(crate) fn count(field: &str, n: u32, max: u32) -> Result<(), Refusal> {
    if (1..=max).contains(&n) {
        Ok(())
    } else {
        Err(Refusal::invalid(field, format!("must be between 1 and {max}")))
    }
}

/// What a task's author says, against all limits.
///
/// # Errors
/// The first field that is beyond one.
pub fn spec(s: &TaskSpec) -> Result<(), Refusal> {
    line("title", &s.title, TITLE_CHARS)?;
    opt_text("description", s.description.as_deref(), DESCRIPTION_BYTES)?;
    line("task_type", &s.task_type, WORD_CHARS)?;
    must_haves(&s.must_haves)?;
    if let Some(n) = s.max_attempts {
        count("max_attempts", n, ATTEMPTS)?;
    }
    if s.timeout.is_some_and(|t| t.is_zero()) {
        return Err(Refusal::invalid("timeout_seconds", "must be more than 0"));
    }
    labels(&s.labels)?;
    metadata(&s.metadata)
}

pub(crate) fn must_haves(items: &[String]) -> Result<(), Refusal> {
    if items.len() > ITEMS {
        return Err(Refusal::invalid("must_haves", format!("has more than {ITEMS} entries")));
    }
    items.iter().try_for_each(|m| text("must_haves", m, MUST_HAVE_BYTES))
}

pub(crate) fn labels(items: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if items.len() > ITEMS {
        return Err(Refusal::invalid("labels", format!("has more than {ITEMS} entries")));
    }
    items.iter().try_for_each(|(k, v)| {
        line("labels", k, WORD_CHARS)?;
        text("labels", v, WORD_CHARS.saturating_mul(4))
    })
}

pub(crate) fn metadata(value: &serde_json::Value) -> Result<(), Refusal> {
    if !value.is_object() {
        return Err(Refusal::invalid("metadata", "must be an object"));
    }
    let json = value.to_string();
    if json.contains("\\u0000") {
        return Err(Refusal::invalid("metadata", "must not contain NUL characters"));
    }
    text("metadata", &json, METADATA_BYTES)
}

pub(crate) fn setting(change: &SettingChange) -> Result<(), Refusal> {
    match change {
        SettingChange::MaxAttempts(n) => count("max_attempts", *n, ATTEMPTS),
        SettingChange::MaxReviewAttempts(n) => count("max_review_attempts", *n, ATTEMPTS),
        SettingChange::MaxReviewRounds(n) => count("max_review_rounds", *n, ATTEMPTS),
        SettingChange::MaxSessions(Some(n)) => count("max_sessions", *n, 100_000),
        SettingChange::Bootstrap(Some(name)) => line("bootstrap", name, WORD_CHARS),
        SettingChange::BackoffInitial(d) | SettingChange::BackoffMax(d) if d.as_secs() > 86_400 => {
            Err(Refusal::invalid("backoff_max", "must be at most 24h"))
        }
        SettingChange::BackoffInitial(_)
        | SettingChange::BackoffMax(_)
        | SettingChange::MaxSessions(None)
        | SettingChange::Bootstrap(None)
        | SettingChange::DefaultAgent(_)
        | SettingChange::Dispatch(_)
        | SettingChange::Review(_)
        | SettingChange::RequireOutput(_)
        | SettingChange::OnNoVerdict(_)
        | SettingChange::OnLost(_)
        | SettingChange::OnTimeout(_)
        | SettingChange::AgentsMayCreate(_)
        | SettingChange::Language(_) => Ok(()),
    }
}
