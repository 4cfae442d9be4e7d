//! Putting a prompt together: the board's text, what only the runner knows, and what a project's own command builds.

use mozi_api::prompt::PromptValues;
use mozi_api::runner::{Assignment, BootstrapParts, RunnerNotice};

use crate::child;
use crate::config::RunnerConfig;

/// More text than this is not taken from a bootstrap command.
const BOOTSTRAP_LIMIT: u64 = 1024 * 1024;

/// A prompt, and what people should know of how it was made.
pub(crate) struct Prompt {
    pub(crate) text: String,
    pub(crate) notice: Option<RunnerNotice>,
}

/// The prompt of a session.
pub(crate) async fn compose(
    config: &RunnerConfig,
    assignment: &Assignment,
    values: &PromptValues<'_>,
) -> Prompt {
    let message = || assignment.order.as_ref().and_then(|order| order.message.clone()).unwrap_or_default();
    let Some(parts) = &assignment.prompt else {
        return Prompt { text: message(), notice: None };
    };
    if let (Some(bootstrap), Some(operating)) = (&parts.bootstrap, parts.operating_filled(values)) {
        match first_part(config, bootstrap).await {
            Ok(first) => {
                let text = format!("{}\n\n{operating}", first.trim_end());
                return Prompt { text, notice: None };
            }
            Err(why) => {
                let text = format!("bootstrap {} failed, the built-in prompt is used: {why}", bootstrap.name);
                let notice = RunnerNotice {
                    project_id: assignment.project_id.clone(),
                    task_id: assignment.task_id.clone(),
                    attempt_number: assignment.attempt_number,
                    agent: Some(assignment.agent.clone()),
                    ..RunnerNotice::new("bootstrap_failed", text)
                };
                return Prompt { text: parts.filled(values), notice: Some(notice) };
            }
        }
    }
    Prompt { text: parts.filled(values), notice: None }
}

async fn first_part(config: &RunnerConfig, parts: &BootstrapParts) -> Result<String, String> {
    let Some(bootstrap) = config.bootstraps.get(&parts.name) else {
        return Err("this machine's mozi.toml has no such bootstrap".to_owned());
    };
    let input = serde_json::to_vec(&parts.input).map_err(|error| error.to_string())?;
    let mark = crate::fresh_key().map_err(|error| format!("the system gives no random numbers: {error}"))?;
    let output = child::run(
        config,
        &bootstrap.command,
        mark,
        input,
        child::Output::All(BOOTSTRAP_LIMIT),
        bootstrap.timeout,
    )
    .await?;
    let text = String::from_utf8(output).map_err(|_| "its text is not UTF-8".to_owned())?;
    if text.trim().is_empty() {
        return Err("it printed nothing".to_owned());
    }
    if text.contains('\0') {
        return Err("its text holds a NUL byte".to_owned());
    }
    Ok(text)
}
