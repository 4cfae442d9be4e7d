//! What OpenClaw's command line leaves on its standard output.
//!
//! Its exit status and `status: ok` do not mean that the agent has finished: a turn that its time limit cut off in a
//! tool looks just so, but for `stopReason`.

use mozi_api::attempt::ModelUsage;
use mozi_api::runner::EndReading;
use mozi_core::Reason;
use mozi_core::command::EndedAs;
use mozi_supervise::{ExitRecord, SessionDir};
use serde_json::Value;

use crate::files::read_log;

/// A result is larger only if the prompt is: it is echoed.
const LIMIT: usize = 24 * 1024 * 1024;
/// More of the last words is not kept here; the log has them.
const FINAL_TEXT_CHARS: usize = 8_000;

/// What could be read of a result.
#[derive(Debug, Default, PartialEq)]
pub(in crate::runtime) struct Read {
    pub(in crate::runtime) reading: EndReading,
    /// The Gateway has told the command line of the end of the run, or it never heard of the run at all.
    pub(in crate::runtime) complete: bool,
}

/// Reads the result of an ended session. What is not there stays unknown.
pub(in crate::runtime) fn read(dir: &SessionDir, record: &ExitRecord) -> Read {
    if record.ended == Some(mozi_supervise::Ended::NotStarted) {
        return Read::default();
    }
    match read_log(&dir.stdout_path(), 0, LIMIT) {
        Ok((bytes, 0, end)) if u64::try_from(bytes.len()).ok() == Some(end) => parse(&bytes),
        _ => Read::default(),
    }
}

fn parse(stdout: &[u8]) -> Read {
    let Ok(text) = std::str::from_utf8(stdout) else { return Read::default() };
    let Ok(result) = serde_json::from_str::<Value>(text.trim()) else { return Read::default() };
    if result.get("ok").and_then(Value::as_bool) == Some(false) {
        return failure(&result);
    }
    let word = |pointer: &str| result.pointer(pointer).and_then(Value::as_str);
    let Some(status) = word("/status") else { return Read::default() };
    let meta = result.pointer("/result/meta");
    let stop_reason = word("/result/meta/stopReason").or_else(|| word("/stopReason"));
    let is_error = result
        .pointer("/result/payloads")
        .and_then(Value::as_array)
        .is_some_and(|all| all.iter().any(|p| p.get("isError").and_then(Value::as_bool) == Some(true)));
    let (ended_as, reason) = match status {
        "ok" if stop_reason == Some("stop") && !is_error => (EndedAs::Finished, None),
        // Cut off in a tool by its own time limit.
        "ok" if stop_reason == Some("toolUse") => (EndedAs::TimedOut, Some(Reason::Incomplete)),
        "timeout" if stop_reason == Some("rpc") => (EndedAs::Failed, Some(Reason::Incomplete)),
        "timeout" => (EndedAs::TimedOut, None),
        "ok" => (EndedAs::Failed, Some(Reason::Incomplete)),
        _ => (EndedAs::Failed, word("/error/message").or_else(|| word("/error")).map(classify)),
    };
    let final_text = word("/result/meta/finalAssistantVisibleText")
        .or_else(|| word("/result/payloads/0/text"))
        .map(|text| text.chars().take(FINAL_TEXT_CHARS).collect());
    Read {
        reading: EndReading {
            ended_as: Some(ended_as.into()),
            reason: reason.map(Into::into),
            reset_at: None,
            final_text,
            usage: meta.and_then(usage).into_iter().collect(),
        },
        complete: word("/runId").is_some() && meta.is_some(),
    }
}

fn failure(result: &Value) -> Read {
    let message = result
        .pointer("/error/message")
        .or_else(|| result.get("error"))
        .map(|m| m.as_str().map_or_else(|| m.to_string(), str::to_owned))
        .unwrap_or_default();
    let reading = EndReading {
        ended_as: Some(EndedAs::Failed.into()),
        reason: Some(classify(&message).into()),
        final_text: Some(message.chars().take(FINAL_TEXT_CHARS).collect()),
        ..EndReading::default()
    };
    // Whatever else went wrong, the Gateway is asked: some of these leave the run going.
    Read { reading, complete: never_sent(result, &message) }
}

/// What the command line says of a run that it never handed to the Gateway: its own arguments were wrong, nobody
/// listened, or it was not let in.
fn never_sent(result: &Value, message: &str) -> bool {
    const REFUSALS: &[&str] = &[
        "unknown agent",
        "no explicit owner",
        "does not match its placement",
        "inter-session attribution",
        "message file not found",
        "unknown option",
        "token mismatch",
        "econnrefused",
    ];
    let own = result.pointer("/error/type").and_then(Value::as_str) == Some("cli_error");
    let message = message.to_lowercase();
    own && result.get("runId").is_none() && REFUSALS.iter().any(|words| message.contains(words))
}

/// One turn may have used several models; only the sum and the last model are told.
fn usage(meta: &Value) -> Option<ModelUsage> {
    let agent = meta.get("agentMeta")?;
    let usage = agent.get("usage")?;
    let tokens = |name: &str| usage.get(name).and_then(Value::as_u64);
    let cost = usage.pointer("/cost/total").or_else(|| agent.get("costUsd")).and_then(Value::as_f64);
    let text = |name: &str| agent.get(name).and_then(Value::as_str);
    let model = match (text("provider"), text("model")) {
        (Some(provider), Some(model)) => Some(format!("{provider}/{model}")),
        (_, model) => model.map(str::to_owned),
    };
    Some(ModelUsage {
        model,
        input_tokens: tokens("input"),
        output_tokens: tokens("output"),
        cache_read_tokens: tokens("cacheRead"),
        cache_write_tokens: tokens("cacheWrite"),
        cost_micro_usd: cost.and_then(micro_usd),
        source: "reported".to_owned(),
    })
}

fn micro_usd(usd: f64) -> Option<i64> {
    let micro = (usd * 1e6).round();
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    ((0.0..9e15).contains(&micro)).then_some(micro as i64)
}

/// Why, from OpenClaw's words. The order matters: a refused key is also called disabled for a while.
fn classify(message: &str) -> Reason {
    const TABLE: &[(&[&str], Reason)] = &[
        (&["no explicit owner", "unknown agent", "does not match its placement"], Reason::BadConfig),
        (&["token mismatch"], Reason::AuthFailed),
        (
            &[
                "gateway not reachable",
                "gateway closed",
                "econnrefused",
                "gateway is draining",
                "gateway timeout",
            ],
            Reason::GatewayLost,
        ),
        (
            &[
                "insufficient_quota",
                "quota",
                "billing hard limit",
                "credit balance",
                "usage limit",
                "payment required",
            ],
            Reason::QuotaExhausted,
        ),
        (&["rate limit", "rate_limit", "too many requests", "429", "overloaded", "529"], Reason::RateLimited),
        (
            &[
                "401",
                "403",
                "unauthorized",
                "authentication",
                "invalid api key",
                "invalid x-api-key",
                "auth/billing",
            ],
            Reason::AuthFailed,
        ),
        (
            &[
                "unknown option",
                "message file not found",
                "required option",
                "required",
                "inter-session attribution",
            ],
            Reason::BadConfig,
        ),
    ];
    let message = message.to_lowercase();
    TABLE
        .iter()
        .find(|(words, _)| words.iter().any(|word| message.contains(word)))
        .map_or(Reason::ModelError, |(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUCCESS: &str = r#"{ "runId": "463bb1d9", "status": "ok", "summary": "completed",
      "result": {
        "payloads": [ { "text": "done: ran 3 command(s)", "mediaUrl": null } ],
        "meta": { "durationMs": 3785, "aborted": false, "stopReason": "stop", "livenessState": "working",
          "agentMeta": { "sessionId": "d39f670d", "provider": "mock", "model": "mock-1", "contextTokens": 1000000,
            "usage": { "input": 39968, "output": 80, "cacheRead": 0, "cacheWrite": 0, "total": 40048,
                       "cost": { "total": 0.040128 } },
            "costUsd": 0.040128, "assistantTurns": 4 },
          "toolSummary": { "calls": 3, "tools": ["exec"], "failures": 0 },
          "finalPromptText": "…", "finalAssistantVisibleText": "done: ran 3 command(s)" } } }"#;

    #[track_caller]
    fn check(text: &str, ended_as: Option<EndedAs>, reason: Option<Reason>, complete: bool) {
        let read = parse(text.as_bytes());
        let found = (read.reading.ended_as.map(|e| e.0), read.reading.reason.map(|r| r.0), read.complete);
        assert_eq!(found, (ended_as, reason, complete), "{text}");
    }

    #[test]
    fn success_with_usage_and_last_words() {
        check(SUCCESS, Some(EndedAs::Finished), None, true);
        let reading = parse(SUCCESS.as_bytes()).reading;
        assert_eq!(reading.final_text.as_deref(), Some("done: ran 3 command(s)"));
        let usage = &reading.usage[0];
        assert_eq!(usage.model.as_deref(), Some("mock/mock-1"));
        assert_eq!(
            (usage.input_tokens, usage.output_tokens, usage.cost_micro_usd),
            (Some(39968), Some(80), Some(40_128))
        );
    }

    #[test]
    fn what_is_not_told_stays_unknown() {
        let text = SUCCESS.replace(r#""output": 80,"#, "").replace("0.040128", "null");
        let usage = &parse(text.as_bytes()).reading.usage[0];
        assert_eq!((usage.output_tokens, usage.cost_micro_usd), (None, None));
    }

    #[test]
    fn an_end_that_only_looks_like_success() {
        let cut_off = SUCCESS.replace(r#""stopReason": "stop""#, r#""stopReason": "toolUse""#);
        check(&cut_off, Some(EndedAs::TimedOut), Some(Reason::Incomplete), true);
        let failed = SUCCESS.replace(r#""mediaUrl": null"#, r#""isError": true"#);
        check(&failed, Some(EndedAs::Failed), Some(Reason::Incomplete), true);
    }

    #[test]
    fn the_rows_of_failure() {
        let cli =
            |message: &str| format!(r#"{{"ok":false,"error":{{"type":"cli_error","message":"{message}"}}}}"#);
        let failed = Some(EndedAs::Failed);
        for (message, reason, never_sent) in [
            ("Gateway not reachable at ws://127.0.0.1:1 (ECONNREFUSED)", Reason::GatewayLost, true),
            ("unauthorized: gateway token mismatch (provide token)", Reason::AuthFailed, true),
            ("Unknown agent id coderx", Reason::BadConfig, true),
            ("gateway closed (1006 abnormal closure): outcome is unknown", Reason::GatewayLost, false),
            ("mock/mock-1 request failed (HTTP 401 unauthorized)", Reason::AuthFailed, false),
            (
                "Inline API key for provider is temporarily disabled after a provider auth/billing failure",
                Reason::AuthFailed,
                false,
            ),
            ("HTTP 429: rate limit exceeded", Reason::RateLimited, false),
            ("You exceeded your current quota", Reason::QuotaExhausted, false),
            ("request failed (HTTP 500)", Reason::ModelError, false),
        ] {
            check(&cli(message), failed, Some(reason), never_sent);
        }
        let aborted = r#"{"runId":"r","status":"timeout","summary":"aborted","stopReason":"rpc"}"#;
        check(aborted, failed, Some(Reason::Incomplete), false);
        let timeout = r#"{"runId":"r","status":"timeout","summary":"aborted","timeoutPhase":"provider","result":{"meta":{}}}"#;
        check(timeout, Some(EndedAs::TimedOut), None, true);
    }

    #[test]
    fn nothing_or_half_a_result_proves_nothing() {
        check("", None, None, false);
        let half = SUCCESS.split_once("\"agentMeta\"").unwrap().0;
        check(half, None, None, false);
        check("[]", None, None, false);
        check("{}", None, None, false);
    }
}
