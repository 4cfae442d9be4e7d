//! Asking the Gateway that nothing of a run goes on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use super::Run;

/// One question takes two or three seconds, more on a machine under load.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between the two questions: the Gateway may just be taking the run up.
const BETWEEN: Duration = Duration::from_secs(2);

/// Has the Gateway abort the run, and returns when it has said twice that there is none (any more).
///
/// # Errors
/// Why it could not be asked or did not say so, in words: to be tried again.
pub(crate) async fn confirm_stopped(run: &Run, env: &BTreeMap<OsString, OsString>) -> Result<(), String> {
    ask(run, env).await?;
    tokio::time::sleep_until(tokio::time::Instant::now() + BETWEEN).await;
    ask(run, env).await
}

async fn ask(run: &Run, env: &BTreeMap<OsString, OsString>) -> Result<(), String> {
    let params = json!({ "key": run.key, "clearQueued": true }).to_string();
    let mut command = tokio::process::Command::new(&run.program);
    command
        .args(["gateway", "call", "sessions.abort", "--params", &params, "--json"])
        .env_clear()
        .envs(env)
        .env("OPENCLAW_NO_RESPAWN", "1")
        .env_remove("OPENCLAW_SHELL")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = match tokio::time::timeout(PATIENCE, command.output()).await {
        Err(_) => return Err("the Gateway did not answer in time".to_owned()),
        Ok(Err(error)) => return Err(format!("could not start {}: {error}", run.program.display())),
        Ok(Ok(output)) => output,
    };
    judge(output.status.success(), &output.stdout, &output.stderr)
}

fn judge(success: bool, stdout: &[u8], stderr: &[u8]) -> Result<(), String> {
    let answer: Option<Value> = serde_json::from_slice(stdout).ok();
    let status = answer.as_ref().and_then(|a| a.get("status")).and_then(Value::as_str);
    if success && matches!(status, Some("aborted" | "no-active-run")) {
        return Ok(());
    }
    let said = answer
        .as_ref()
        .and_then(|a| a.pointer("/error/message").and_then(Value::as_str).map(str::to_owned))
        .unwrap_or_else(|| {
            let text = if stdout.is_empty() { stderr } else { stdout };
            String::from_utf8_lossy(text).trim().to_owned()
        });
    Err(format!(
        "the Gateway did not confirm that the run is over: {}",
        said.chars().take(300).collect::<String>()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_answers_confirm() {
        let ok = |text: &str| judge(true, text.as_bytes(), b"").is_ok();
        assert!(ok(r#"{"ok":true,"abortedRunId":"r","status":"aborted"}"#));
        assert!(ok(r#"{"ok":true,"abortedRunId":null,"status":"no-active-run"}"#));
        assert!(!ok(r#"{"ok":true,"status":"aborting"}"#));
        assert!(!ok(""));
        assert!(judge(false, br#"{"status":"aborted"}"#, b"").is_err());
        let down = r#"{"ok":false,"error":{"type":"cli_error","message":"Gateway not reachable"}}"#;
        assert!(judge(false, down.as_bytes(), b"").unwrap_err().contains("Gateway not reachable"));
    }
}
