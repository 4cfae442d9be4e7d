//! The end of a session: what waits in its outbox is delivered, its runtime confirms, the board is told.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use mozi_api::attempt::Resources;
use mozi_api::runner::{EndSession, EndTail, OpenSession, RunnerNotice};
use mozi_core::command::Cause as EndCause;
use mozi_core::{AgentId, Reason, SessionId};
use mozi_supervise::{Cause, Ended, ExitRecord, SessionDir, Spec, StopOrder, WrittenBy};
use serde_json::{Map, Value, json};

use crate::files::read_log;
use crate::orders::Orders;
use crate::outbox::{Outbox, PATIENCE};
use crate::report::{Holding, Report};
use crate::runtime::{self, RuntimeData};
use crate::shared::{Backoff, Decided, Shared, until_decided};

/// So much of each log is stored with the end.
const TAIL_BYTES: u64 = 4096;
/// So often an outbox that cannot be read is tried.
const OUTBOX_TRIES: u32 = 5;

/// Tells the board of the end, after everything that has to come before it.
pub(crate) async fn end(
    shared: &Arc<Shared>,
    id: SessionId,
    agent: Option<&AgentId>,
    record: ExitRecord,
    orders: &mut Orders,
    report: &Report,
) {
    let dir = shared.dir(id);
    let spec = dir.read_spec().ok();
    if record.ended != Some(Ended::NotStarted) {
        report.tell_started(shared).await;
        deliver(shared, &dir, spec.as_ref()).await;
        let run = to_confirm(shared, &dir, agent, spec.as_ref(), &record);
        confirm(run, orders, report).await;
    }
    let reading = spec.as_ref().map(|s| RuntimeData::read(&s.runtime_data)).unwrap_or_default();
    let built = shared.blocking(move || build(&dir, &reading, &record)).await;
    let body = built.unwrap_or_else(|| EndSession::of(EndCause::SupervisorLost));
    tell(shared, id, body).await;
}

async fn tell(shared: &Shared, id: SessionId, mut body: EndSession) {
    let runner = &shared.id;
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
    loop {
        let call = || shared.client.runner_end(runner, id, &body);
        let error = match until_decided("tell the board of the end of a session", call).await {
            Decided::Done(_) => return,
            Decided::Refused(error) => error,
        };
        match error.problem().map(|p| p.status) {
            // It has been forgotten there: nobody is left to be told.
            Some(404) => return,
            Some(400 | 413 | 422) if !body.metadata.is_empty() || body.tail.is_some() => {
                tracing::error!(session_id = %id, "the board does not take all of the end: {error}");
                body = EndSession {
                    exit_code: body.exit_code,
                    signal: body.signal,
                    reason: body.reason,
                    ..EndSession::of(body.cause.0)
                };
                continue;
            }
            _ => tracing::error!(session_id = %id, "the board does not take the end of the session: {error}"),
        }
        backoff.wait().await;
    }
}

/// Delivers what the agent could not, in order, however long the board is away. What it refuses, people are told.
async fn deliver(shared: &Shared, dir: &SessionDir, spec: Option<&Spec>) {
    let mut boxes = vec![Outbox::at(dir.outbox_path())];
    if let Some(spec) = spec {
        boxes.push(Outbox::fallback(&spec.cwd, &spec.session_id));
    }
    for outbox in boxes {
        let mut backoff = Backoff::board();
        let mut broken = 0;
        while !outbox.is_empty() {
            let result = match outbox.deliver(&shared.client, PATIENCE).await {
                Ok(delivered) => tell_refused(shared, &outbox, spec).await.map(|()| delivered.left),
                Err(error) => Err(error),
            };
            match result {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    broken += 1;
                    if broken >= OUTBOX_TRIES {
                        let text =
                            format!("what waited in an outbox could not be delivered: could not {error}");
                        shared.notice(about(spec, RunnerNotice::new("outbox_broken", text))).await;
                        break;
                    }
                }
            }
            backoff.wait().await;
        }
        if outbox.path().starts_with(dir.path()) {
            continue;
        }
        // The fallback was made for this session alone.
        drop(std::fs::remove_file(outbox.path().join("lock")));
        drop(std::fs::remove_dir(outbox.path()));
    }
}

async fn tell_refused(shared: &Shared, outbox: &Outbox, spec: Option<&Spec>) -> Result<(), crate::FileError> {
    for (name, refused) in outbox.refused()? {
        let text = format!(
            "a report that was kept while the board was away was refused: {} {}: {}",
            refused.method, refused.path, refused.detail
        );
        let mut notice = about(spec, RunnerNotice::new("outbox_refused", text));
        notice.more = Map::from_iter([
            ("method".to_owned(), json!(refused.method)),
            ("path".to_owned(), json!(refused.path)),
            ("status".to_owned(), json!(refused.status)),
            ("refused_code".to_owned(), json!(refused.code)),
            ("detail".to_owned(), json!(refused.detail)),
        ])
        .into();
        let call = || shared.client.runner_notice(&shared.id, &notice);
        if let Decided::Refused(error) = until_decided("tell of a refused report", call).await {
            tracing::error!("could not tell of a refused report: {error}: {}", notice.text);
        }
        outbox.forget(&name)?;
    }
    Ok(())
}

fn about(spec: Option<&Spec>, mut notice: RunnerNotice) -> RunnerNotice {
    let Some(spec) = spec else { return notice };
    notice.agent = spec.agent.parse().ok();
    let task = spec.project_id.as_ref().zip(spec.task_id.as_ref());
    if let Some((Ok(project), Ok(task))) = task.map(|(p, t)| (p.parse(), t.parse())) {
        notice.project_id = Some(project);
        notice.task_id = Some(task);
        notice.attempt_number = spec.attempt_number;
    }
    notice
}

/// What the runtime has to confirm, and how its program is to be called; none = nothing.
fn to_confirm(
    shared: &Shared,
    dir: &SessionDir,
    agent: Option<&AgentId>,
    spec: Option<&Spec>,
    record: &ExitRecord,
) -> Option<(runtime::openclaw::Run, BTreeMap<OsString, OsString>)> {
    let named = spec.and_then(|spec| spec.agent.parse().ok());
    let configured = named.as_ref().or(agent).and_then(|id| shared.agent(id));
    let run = match spec {
        Some(spec) => runtime::to_confirm(dir, &RuntimeData::read(&spec.runtime_data), record)?,
        // Its directory was removed: the configuration knows where it may go on.
        None => runtime::to_confirm_without_spec(&shared.config(), configured.as_ref()?, dir)?,
    };
    let env = match configured {
        Some(agent) => runtime::environment(&shared.config(), &agent),
        None => shared.config().base_env.iter().cloned().collect(),
    };
    Some((run, env))
}

/// Returns when the runtime has confirmed that nothing of the session goes on elsewhere, or a person has said so.
async fn confirm(
    run: Option<(runtime::openclaw::Run, BTreeMap<OsString, OsString>)>,
    orders: &mut Orders,
    report: &Report,
) {
    let Some((run, env)) = run else { return };
    let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_mins(1));
    while orders.forced().is_none() {
        match runtime::openclaw::confirm_stopped(&run, &env).await {
            Ok(()) => break,
            Err(why) => report.held_up(Holding::Gateway, why),
        }
        orders.wait_for_one(backoff.next()).await;
    }
    report.free();
}

fn build(dir: &SessionDir, data: &RuntimeData, record: &ExitRecord) -> EndSession {
    let cause = cause(record);
    EndSession {
        exit_code: record.exit_code,
        signal: record.signal,
        error: record.error.clone(),
        reason: (cause == EndCause::SpawnError)
            .then(|| start_reason(record.error.as_deref().unwrap_or_default()).into()),
        reading: runtime::read_result(dir, data, record),
        resources: record
            .resources
            .map(|r| Resources { cpu_seconds: r.cpu_seconds, max_rss_bytes: r.max_rss_bytes }),
        tail: tail(dir),
        metadata: metadata(record).into(),
        ..EndSession::of(cause)
    }
}

fn cause(record: &ExitRecord) -> EndCause {
    let never = record.ended == Some(Ended::NotStarted);
    match record.cause {
        Cause::Itself => EndCause::Itself,
        Cause::Deadline => EndCause::Deadline,
        Cause::Stall => EndCause::Stall,
        Cause::OutputLimit => EndCause::OutputLimit,
        Cause::Stop if record.stop.as_ref().is_some_and(|s| s.by == StopOrder::GRACE) => EndCause::Grace,
        Cause::Stop => EndCause::Stop,
        Cause::Reboot => EndCause::Reboot,
        Cause::SpawnError => EndCause::SpawnError,
        Cause::DryRun => EndCause::DryRun,
        Cause::SupervisorLost | Cause::SupervisorStuck | Cause::Unknown if never => EndCause::NeverStarted,
        Cause::SupervisorStuck => EndCause::SupervisorStuck,
        Cause::SupervisorLost | Cause::Unknown => EndCause::SupervisorLost,
    }
}

/// Why a start failed, from the error: the supervisor names the system's word for it.
fn start_reason(error: &str) -> Reason {
    let has = |words: &[&str]| words.iter().any(|word| error.contains(word));
    if has(&["ENOSPC", "EDQUOT", "No space left"]) {
        Reason::DiskFull
    } else if has(&["EACCES", "EPERM", "Permission denied"]) {
        Reason::PermissionDenied
    } else if has(&["Gateway"]) {
        Reason::GatewayLost
    } else if has(&["ENOMEM", "EAGAIN"]) {
        Reason::OutOfMemory
    } else if has(&["ENOENT", "No such file", "no program", "is not there"]) {
        Reason::ProgramNotFound
    } else {
        Reason::BadConfig
    }
}

fn metadata(record: &ExitRecord) -> Map<String, Value> {
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| {
        let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value == json!(false);
        if !empty {
            map.insert(name.to_owned(), value);
        }
    };
    put("cause", json!(record.cause));
    put("stop", json!(record.stop));
    put("core", json!(record.core));
    put("elapsed_ms", json!(record.elapsed_ms));
    put("killed", json!(record.killed));
    put("killed_count", if record.killed_count > 0 { json!(record.killed_count) } else { Value::Null });
    put("left_behind", json!(record.left_behind));
    put("recorded_by", if record.by == WrittenBy::Supervisor { Value::Null } else { json!(record.by) });
    let lost = record.logs.as_ref().is_some_and(|logs| {
        [&logs.stdout, &logs.stderr].iter().any(|log| log.lost_bytes > 0 || log.kept_from > 0)
    });
    put("logs", if lost { json!(record.logs) } else { Value::Null });
    map
}

fn tail(dir: &SessionDir) -> Option<EndTail> {
    let read = |path: &std::path::Path| {
        let size = std::fs::symlink_metadata(path).ok()?.len();
        let max = usize::try_from(TAIL_BYTES).unwrap_or(usize::MAX);
        let (bytes, _, end) = read_log(path, size.saturating_sub(TAIL_BYTES), max).ok()?;
        Some((text_of(&bytes), end))
    };
    let (stdout, stderr) = (read(&dir.stdout_path()), read(&dir.stderr_path()));
    if stdout.is_none() && stderr.is_none() {
        return None;
    }
    let ((stdout, stdout_bytes), (stderr, stderr_bytes)) =
        (stdout.unwrap_or_default(), stderr.unwrap_or_default());
    Some(EndTail { stdout, stderr, stdout_bytes, stderr_bytes })
}

/// The end of a log as text: a letter that was cut off at its beginning goes, tokens are covered, NUL bytes too.
fn text_of(bytes: &[u8]) -> String {
    let start = bytes.iter().take(3).take_while(|b| **b & 0xc0 == 0x80).count();
    let text = String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).replace('\0', "\u{fffd}");
    mask(&text)
}

/// Covers Mozi's own tokens in the same length.
fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("mozi_") {
        let (before, from) = rest.split_at(at);
        masked.push_str(before);
        let kind = from.as_bytes().get(5..7);
        let secret = from.get(7..).unwrap_or_default();
        let length = secret.bytes().take_while(u8::is_ascii_alphanumeric).count();
        if matches!(kind, Some(b"a_" | b"u_" | b"r_")) && length >= 16 {
            masked.push_str(from.get(..7).unwrap_or_default());
            masked.extend(std::iter::repeat_n('*', length));
            rest = secret.get(length..).unwrap_or_default();
        } else {
            masked.push_str("mozi_");
            rest = from.get(5..).unwrap_or_default();
        }
    }
    masked.push_str(rest);
    masked
}

/// What an open session says of how it is to be followed.
pub(crate) fn verdict_age(open: &OpenSession) -> Option<Duration> {
    open.attempt.as_ref()?.verdict_age_ms.map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(ended: Option<Ended>, cause: Cause, stop: Option<&str>) -> ExitRecord {
        let stop = stop.map(|by| StopOrder { by: by.into(), why: String::new() });
        ExitRecord { ended, stop, ..ExitRecord::not_started(cause, None, WrittenBy::Supervisor) }
    }

    #[test]
    fn causes() {
        let ran = Some(Ended::Exited);
        let never = Some(Ended::NotStarted);
        for (ended, of, stop, expected) in [
            (ran, Cause::Itself, None, EndCause::Itself),
            (ran, Cause::Stop, Some("board"), EndCause::Stop),
            (ran, Cause::Stop, Some("grace"), EndCause::Grace),
            (ran, Cause::Stop, Some("signal"), EndCause::Stop),
            (None, Cause::SupervisorLost, None, EndCause::SupervisorLost),
            (never, Cause::SupervisorLost, None, EndCause::NeverStarted),
            (never, Cause::Reboot, None, EndCause::Reboot),
            (never, Cause::Stop, None, EndCause::Stop),
            (never, Cause::SpawnError, None, EndCause::SpawnError),
            (never, Cause::DryRun, None, EndCause::DryRun),
            (None, Cause::Unknown, None, EndCause::SupervisorLost),
        ] {
            assert_eq!(cause(&record(ended, of, stop)), expected, "{ended:?} {of:?} {stop:?}");
        }
    }

    #[test]
    fn reasons_of_failed_starts() {
        for (error, reason) in [
            ("could not execute nothing: ENOENT (No such file or directory)", Reason::ProgramNotFound),
            ("could not execute /x: EACCES", Reason::PermissionDenied),
            ("there is no program `codex` on its PATH", Reason::ProgramNotFound),
            ("no OpenClaw Gateway answers at 127.0.0.1:1", Reason::GatewayLost),
            ("its `command` is empty", Reason::BadConfig),
        ] {
            assert_eq!(start_reason(error), reason, "{error}");
        }
    }

    #[test]
    fn the_tail_is_text_without_tokens() {
        let token = format!("mozi_a_{}", "0f".repeat(32));
        let text = mask(&format!("x {token} y mozi_a_short mozi_ 日本 mozi"));
        assert_eq!(text, format!("x mozi_a_{} y mozi_a_short mozi_ 日本 mozi", "*".repeat(64)));
        let cut = &"日本".as_bytes()[1..];
        assert_eq!(text_of(cut), "本");
        assert_eq!(text_of(b"a\0b\xff"), "a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn metadata_says_only_what_there_is_to_say() {
        let mut plain = record(Some(Ended::Exited), Cause::Itself, None);
        plain.elapsed_ms = Some(5);
        assert_eq!(Value::Object(metadata(&plain)), json!({ "cause": "itself", "elapsed_ms": 5 }));
    }
}
