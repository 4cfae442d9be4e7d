//! Following a session from its supervisor's start to `exit.json`.
//!
//! The connection to the supervisor is held open: it brings news, takes orders, and its end says that the supervisor is
//! gone. What holds then is what the directory says.

use std::sync::Arc;
use std::time::Duration;

use mozi_supervise::{
    Answer, Cause, Elsewhere, Ended, ExitRecord, LeftBehind, LockAttempt, Message, Phase, Probe, Reconciled,
    SessionDir, Status, StopOrder, abandon_dead, kill_stuck_supervisor, living, reconcile_dead,
    reconcile_missing, reconcile_unheard,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::orders::Orders;
use crate::report::{Holding, Report};
use crate::shared::{Backoff, Shared, sleep};

/// A supervisor answers at once unless the machine is very busy.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// So long a new supervisor is waited for; if it takes longer, it is looked for like one that was found.
const UP_SOON: Duration = Duration::from_secs(2);
/// The greeting comes with the connection.
const GREETING_WITHIN: Duration = Duration::from_secs(10);
/// A supervisor writes its status within milliseconds of its start. One that has not after so long never will.
const UP_WITHIN: Duration = Duration::from_mins(5);
/// So often a supervisor is looked at that may be stuck.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// So long past the end of its graces an order may wait for its supervisor before that counts as stuck.
const TAKEN_UP_WITHIN: Duration = Duration::from_mins(1);
/// What a stuck one gets after SIGCONT.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of a session beside its directory.
pub(crate) struct Followed {
    pub(crate) dir: SessionDir,
    /// The boot in which it was claimed.
    pub(crate) boot_id: Option<String>,
    /// The process namespace in which it was claimed.
    pub(crate) pid_namespace: Option<String>,
    /// The board knows that its agent ran.
    pub(crate) ran: bool,
    /// The time after a verdict.
    pub(crate) grace: Duration,
}

/// Follows a session until `exit.json` is there.
pub(crate) async fn follow(
    shared: &Arc<Shared>,
    session: &Followed,
    orders: &mut Orders,
    report: &Report,
) -> ExitRecord {
    let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_secs(5));
    let mut grown = 0;
    loop {
        if converse(session, orders, report).await {
            backoff = Backoff::new(Duration::from_millis(5), Duration::from_secs(5));
        }
        match look(shared, session, orders, report).await {
            Some(record) => return record,
            None => grown += 1,
        }
        // Nobody tells when a lock gets free or what cannot die has died.
        let pause = backoff.next();
        if grown > 1 {
            orders.wait_for_one(pause).await;
        } else {
            sleep(pause).await;
        }
    }
}

/// Talks to the supervisor for as long as it is there; whether it was there at all.
async fn converse(session: &Followed, orders: &mut Orders, report: &Report) -> bool {
    let Ok((open_dir, address)) = session.dir.control_address() else { return false };
    let connected = tokio::time::timeout(ANSWER_WITHIN, UnixStream::connect(address)).await;
    drop(open_dir);
    let Ok(Ok(stream)) = connected else { return false };
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    // One that was stopped before it could say anything still has the connection taken by the system.
    let greeting = tokio::time::timeout(GREETING_WITHIN, next_answer(&mut read)).await;
    let Ok(Some(greeting)) = greeting else { return false };
    orders.greeted(greeting.done);
    hear(session, &greeting, orders, report);
    let mut asked = None;
    loop {
        if let Some((n, request)) = orders.next(session.grace) {
            let mut line = serde_json::to_vec(&Message { n, request }).unwrap_or_default();
            line.push(b'\n');
            if write.write_all(&line).await.is_err() {
                return true;
            }
            asked = Some(Instant::now());
        }
        let overdue = asked.map_or_else(|| Instant::now() + LOOK_EVERY, |at| at + ANSWER_WITHIN);
        tokio::select! {
            answer = next_answer(&mut read) => match answer {
                None => return true,
                Some(answer) => {
                    if !answer.news {
                        asked = None;
                        orders.answered(&answer);
                    }
                    hear(session, &answer, orders, report);
                }
            },
            () = orders.wait(), if asked.is_none() => {}
            () = tokio::time::sleep_until(overdue) => {
                // Silent too long, or long past its time: whether it is stuck is seen from outside.
                if asked.is_some() || session.dir.read_status().is_some_and(|s| s.supervisor_overdue()) {
                    return true;
                }
            }
        }
    }
}

/// One line of the supervisor; none when it is gone or says what is no answer.
async fn next_answer(read: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Answer> {
    let mut line = Vec::new();
    let limit = u64::try_from(mozi_supervise::LINE_LIMIT).unwrap_or(u64::MAX);
    (&mut *read).take(limit).read_until(b'\n', &mut line).await.ok()?;
    line.ends_with(b"\n").then_some(())?;
    serde_json::from_slice(&line).ok()
}

fn hear(session: &Followed, answer: &Answer, orders: &mut Orders, report: &Report) {
    let Some(status) = &answer.status else { return };
    tell(status, &session.dir, report);
    orders.stuck(status.phase == Phase::Stuck);
}

/// Tells the board what a status says.
fn tell(status: &Status, dir: &SessionDir, report: &Report) {
    if let Some(agent) = status.agent {
        // A process without its program yet: whether there will be one is known a moment later.
        let unknown = status.phase == Phase::Starting || status.cause == Some(Cause::SpawnError);
        if unknown {
            report.may_have_run();
        } else {
            report.started(u32::try_from(agent.pid).ok(), dir);
        }
    }
    if status.phase == Phase::Stuck {
        let left = in_words(&status.left_behind, status.left_behind_count);
        report.held_up(Holding::Processes, left);
    } else if let Some(trouble) = status.trouble.as_ref().filter(|_| status.phase == Phase::Ending) {
        report.held_up(Holding::Other, trouble.clone());
    } else if status.phase == Phase::Ending {
        report.ending();
    }
}

fn in_words(left: &[LeftBehind], count: u64) -> String {
    let all = count.max(u64::try_from(left.len()).unwrap_or(u64::MAX));
    format!("{all} processes cannot be killed: {}", names(left))
}

fn names(left: &[LeftBehind]) -> String {
    let shown: Vec<_> = left
        .iter()
        .take(5)
        .map(|p| format!("{} (pid {}, user {}, state {})", p.command, p.pid, p.uid, p.state))
        .collect();
    shown.join(", ")
}

/// Where else a session runs, and what a person can do about it.
fn in_another_folder(dir: &SessionDir, other: &Elsewhere) -> String {
    let (id, sessions) = (dir.session_id(), other.directory.parent());
    let data = sessions.filter(|path| path.ends_with("sessions")).and_then(std::path::Path::parent);
    let data = data.unwrap_or(&other.directory).display();
    format!(
        "it runs in another data folder, {data} (its supervisor has pid {pid}), and nothing of it is ended from here. \
         Stop it at the board of that folder (`MOZI_DATA={data} mozi session stop {id}`), \
         or let it go on there without this board (`mozi session clean {id} --force`)",
        pid = other.pid,
    )
}

/// What the directory says when nobody answers; none = look again later.
async fn look(
    shared: &Arc<Shared>,
    session: &Followed,
    orders: &mut Orders,
    report: &Report,
) -> Option<ExitRecord> {
    let dir = session.dir.clone();
    let probed = shared.blocking(move || dir.probe()).await?;
    match probed {
        Ok(Probe::Ended(record)) => {
            let ran = record.ended != Some(Ended::NotStarted);
            if let Some(agent) = session.dir.read_status().and_then(|status| status.agent).filter(|_| ran) {
                report.started(u32::try_from(agent.pid).ok(), &session.dir);
            }
            Some(*record)
        }
        Ok(Probe::Running(status)) => {
            let overdue = match status.as_deref() {
                Some(status) => status.supervisor_overdue(),
                None => age(&session.dir).is_some_and(|age| age > UP_WITHIN),
            };
            // One that does not take up a stop will not see its deadline either.
            let overdue = overdue || orders.overdue(session.grace, TAKEN_UP_WITHIN);
            if overdue && !shared.config().dry_run {
                let dir = session.dir.clone();
                let killed = shared.blocking(move || kill_stuck_supervisor(&dir, PATIENCE)).await?;
                return made_an_end(shared, session, orders, report, killed).await;
            }
            None
        }
        Ok(Probe::Dead) => make_an_end(shared, session, orders, report, false).await,
        // It was never made, or somebody has removed it, perhaps under a living supervisor.
        Ok(Probe::Missing) => make_an_end(shared, session, orders, report, true).await,
        Err(error) => {
            report.held_up(Holding::Other, format!("could not {error}"));
            None
        }
    }
}

/// How long ago the session's lock was made.
fn age(dir: &SessionDir) -> Option<Duration> {
    dir.lock_path().metadata().ok()?.modified().ok()?.elapsed().ok()
}

async fn make_an_end(
    shared: &Arc<Shared>,
    session: &Followed,
    orders: &mut Orders,
    report: &Report,
    missing: bool,
) -> Option<ExitRecord> {
    if shared.config().dry_run {
        let dir = session.dir.clone();
        let left = shared.blocking(move || living(&dir)).await?;
        if !left.is_empty() {
            let what = format!("a dry run ends nothing, and this lives: {}", names(&left));
            report.held_up(Holding::Processes, what);
            return abandon(shared, session, orders, left).await;
        }
    }
    let boot = session.boot_id.clone();
    let same_boot = boot.as_ref().is_none_or(|boot| *boot == shared.boot_id);
    let elsewhere = same_boot && session.pid_namespace.as_ref().is_some_and(|ns| *ns != shared.pid_namespace);
    let ran = session.ran || report.has_started();
    let (dir, root) = (session.dir.clone(), shared.config().sessions_dir());
    let made = shared
        .blocking(move || {
            if missing {
                if elsewhere && ran {
                    return Some(Ok(Reconciled::OtherNamespace));
                }
                return match reconcile_missing(&root, &dir.session_id(), boot.as_deref(), ran) {
                    // Somebody has made it since: it is looked at again.
                    Err(mozi_supervise::Error::Exists { .. }) => None,
                    made => Some(made),
                };
            }
            match dir.try_lock() {
                // A status would say so, too; where there is none, the claim does.
                Ok(LockAttempt::Locked(_)) if elsewhere && dir.read_status().is_none() => {
                    Some(Ok(Reconciled::OtherNamespace))
                }
                Ok(LockAttempt::Locked(lock)) if ran => Some(reconcile_dead(&dir, lock, boot.as_deref())),
                Ok(LockAttempt::Locked(lock)) => Some(reconcile_unheard(&dir, lock, boot.as_deref())),
                Ok(LockAttempt::Held) => None,
                Err(error) => Some(Err(error)),
            }
        })
        .await??;
    made_an_end(shared, session, orders, report, made).await
}

async fn made_an_end(
    shared: &Arc<Shared>,
    session: &Followed,
    orders: &mut Orders,
    report: &Report,
    made: Result<Reconciled, mozi_supervise::Error>,
) -> Option<ExitRecord> {
    let left = match made {
        Ok(Reconciled::Ended(record)) => return Some(*record),
        Ok(Reconciled::StillAlive(left)) => {
            report.held_up(Holding::Processes, in_words(&left, 0));
            left
        }
        Ok(Reconciled::OtherNamespace) => {
            let what = "it ran in another process namespace: what is left of it cannot be seen from here";
            report.held_up(Holding::Other, what.to_owned());
            Vec::new()
        }
        Ok(Reconciled::Elsewhere(other)) => {
            report.held_up(Holding::Other, in_another_folder(&session.dir, &other));
            Vec::new()
        }
        Err(error) => {
            report.held_up(Holding::Other, format!("could not {error}"));
            return None;
        }
    };
    abandon(shared, session, orders, left).await
}

/// Closes a session without proof, if a person has given their word.
async fn abandon(
    shared: &Arc<Shared>,
    session: &Followed,
    orders: &mut Orders,
    left: Vec<LeftBehind>,
) -> Option<ExitRecord> {
    let why = orders.forced()?.to_owned();
    let (dir, root) = (session.dir.clone(), shared.config().sessions_dir());
    let by = StopOrder { by: "a person".to_owned(), why };
    shared
        .blocking(move || {
            // Without a directory there is nowhere to write that word: it is made, and nobody can start there any more.
            let lock = match SessionDir::create(&root, &dir.session_id()) {
                Ok((_, lock)) => lock,
                Err(_) => match dir.try_lock() {
                    Ok(LockAttempt::Locked(lock)) => lock,
                    Ok(LockAttempt::Held) | Err(_) => return None,
                },
            };
            abandon_dead(&dir, lock, by, left).ok()
        })
        .await?
}

/// Waits until the supervisor says that its socket listens, or has gone.
pub(crate) async fn listening(child: &mut std::process::Child) {
    let Some(stdout) = child.stdout.take() else { return };
    let Ok(pipe) = tokio::net::unix::pipe::Receiver::from_owned_fd(stdout.into()) else { return };
    let mut line = Vec::new();
    let mut pipe = BufReader::new(pipe.take(256));
    // Either way the directory is looked at next.
    drop(tokio::time::timeout(UP_SOON, pipe.read_until(b'\n', &mut line)).await);
}
