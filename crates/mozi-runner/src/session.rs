//! One session in the runner's hands, from its start or adoption to the end that the board has acknowledged.

use std::sync::Arc;
use std::time::Duration;

use mozi_api::runner::{Assignment, OpenSession, StartOrder, TakeSession};
use mozi_core::{ProjectId, SessionId};
use mozi_supervise::{Cause, ExitRecord};
use tokio::sync::{OwnedMutexGuard, mpsc};
use tracing::Instrument as _;

use crate::end;
use crate::entropy::{Offer, Secret};
use crate::follow::{self, Followed};
use crate::orders::{Orders, Word};
use crate::report::{Holding, Report};
use crate::shared::{Backoff, Decided, Shared, until_decided};
use crate::start::{self, Started};

/// How a session comes into the runner's hands.
pub(crate) enum Begin {
    /// It was claimed.
    Claimed(Box<Assignment>, Secret),
    /// It was asked for by name.
    Ordered(Box<StartOrder>, Secret),
    /// It is open at the board, and there is something of it or not.
    Adopted(Box<OpenSession>),
    /// There is something of it, and the board does not know it as open.
    Unclaimed,
}

/// What log lines about a session name.
fn span(id: SessionId, begin: &Begin) -> tracing::Span {
    let (project, task, attempt) = match begin {
        Begin::Claimed(a, _) => (a.project_id.as_ref(), a.task_id.as_ref(), a.attempt_number),
        Begin::Ordered(o, _) => (o.project_id.as_ref(), o.task_id.as_ref(), o.attempt_number),
        Begin::Adopted(open) => {
            let s = &open.session;
            (s.project_id.as_ref(), s.task_id.as_ref(), s.attempt_number)
        }
        Begin::Unclaimed => (None, None, None),
    };
    let (project, task) = (project.map(tracing::field::display), task.map(tracing::field::display));
    tracing::info_span!("session", session_id = %id, project, task, attempt_number = attempt)
}

/// The life of a session in the runner's hands.
pub(crate) async fn run(shared: Arc<Shared>, id: SessionId, begin: Begin, words: mpsc::Receiver<Word>) {
    let span = span(id, &begin);
    life(shared, id, begin, words).instrument(span).await;
}

async fn life(shared: Arc<Shared>, id: SessionId, begin: Begin, words: mpsc::Receiver<Word>) {
    let report = Report::new(id);
    tokio::select! {
        () = live(&shared, id, begin, Orders::new(words), &report) => {}
        () = report.run(&shared) => {}
    }
}

async fn live(shared: &Arc<Shared>, id: SessionId, begin: Begin, mut orders: Orders, report: &Report) {
    let orders = &mut orders;
    // Held to the end: nobody else works in a project's own folder meanwhile.
    let mut _place: Option<OwnedMutexGuard<()>> = None;
    let mut followed = Followed {
        dir: shared.dir(id),
        boot_id: None,
        pid_namespace: None,
        ran: false,
        grace: Duration::from_secs(30),
    };
    let mut tell = true;
    let agent = match &begin {
        Begin::Claimed(assignment, _) => Some(assignment.agent.0.clone()),
        Begin::Ordered(order, _) => Some(order.agent.0.clone()),
        Begin::Adopted(open) => Some(open.session.agent.0.clone()),
        Begin::Unclaimed => None,
    };
    let record = match begin {
        Begin::Claimed(assignment, token) => {
            let project = assignment.project_id.as_ref().map(|p| p.0.clone());
            _place = place(shared, project, orders).await;
            started(shared, assignment, token, &mut followed, orders, report).await
        }
        Begin::Ordered(order, token) => {
            let project = order.project_id.as_ref().map(|p| p.0.clone());
            _place = place(shared, project, orders).await;
            match take(shared, id, token).await {
                Some((assignment, token)) => {
                    started(shared, Box::new(assignment), token, &mut followed, orders, report).await
                }
                // Gone at the board, or taken back: nothing was started and nobody waits for it.
                None => return,
            }
        }
        Begin::Adopted(open) => {
            let project = open.session.project_id.as_ref().map(|p| p.0.clone());
            if !followed.dir.exit_path().exists() {
                _place = try_place(shared, project.as_ref()).await;
            }
            adopt(&mut followed, &open);
            if let Some(why) = &open.session.stop_requested {
                orders.stop_now(why);
            }
            if let Some(age) = end::verdict_age(&open) {
                orders.verdict_given(age);
            }
            follow(shared, &mut followed, orders, report).await
        }
        // A dry run ends nothing; a board that is more than that will find it.
        Begin::Unclaimed if shared.config().dry_run => return,
        Begin::Unclaimed => {
            tell = false;
            orders.stop_now("the board does not know this session as open");
            follow(shared, &mut followed, orders, report).await
        }
    };
    if tell {
        end::end(shared, id, agent.as_ref(), record, orders, report).await;
    }
}

fn adopt(followed: &mut Followed, open: &OpenSession) {
    followed.ran = open.session.pid.is_some() || open.session.status == "running";
    if let Some(attempt) = &open.attempt {
        followed.boot_id.clone_from(&attempt.boot_id);
        followed.pid_namespace.clone_from(&attempt.pid_namespace);
    }
}

/// Waits until the project's own folder is free, if sessions work in it, or until the session is to be stopped.
async fn place(
    shared: &Shared,
    project: Option<ProjectId>,
    orders: &mut Orders,
) -> Option<OwnedMutexGuard<()>> {
    tokio::select! {
        biased;
        guard = shared.place(project.as_ref()) => guard,
        () = orders.wait_for_stop() => None,
    }
}

/// An adopted session is in its folder already: that somebody else has it, too, is no reason not to follow it.
async fn try_place(shared: &Shared, project: Option<&ProjectId>) -> Option<OwnedMutexGuard<()>> {
    tokio::time::timeout(Duration::ZERO, shared.place(project)).await.ok().flatten()
}

/// Takes up what was asked for by name, with a token of our own.
async fn take(shared: &Shared, id: SessionId, token: Secret) -> Option<(Assignment, Secret)> {
    let offer = Offer { session_id: id, token };
    let body = TakeSession { token_sha256: offer.token_hash().into() };
    let call = || shared.client.runner_take(&shared.id, id, &body);
    match until_decided("take up a session", call).await {
        Decided::Done(assignment) => Some((assignment, offer.token)),
        Decided::Refused(error) => {
            tracing::warn!("could not take up the session: {error}");
            None
        }
    }
}

/// Starts a session and follows it to its end.
async fn started(
    shared: &Arc<Shared>,
    assignment: Box<Assignment>,
    token: Secret,
    followed: &mut Followed,
    orders: &mut Orders,
    report: &Report,
) -> ExitRecord {
    let id = assignment.session_id.0;
    followed.boot_id = Some(shared.boot_id.clone());
    followed.pid_namespace = Some(shared.pid_namespace.clone());
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    let permit = shared.starts.clone().acquire_owned().await.ok();
    let outcome = loop {
        // Stopped before it was started: then that is how it ends.
        if let Some(why) = orders.stop() {
            let why = why.to_owned();
            return never_started(shared, id, Cause::Stop, Some(why), followed, orders, report).await;
        }
        match start::start(shared, &assignment, &token).await {
            Ok(outcome) => break outcome,
            Err(why) => report.held_up(Holding::Other, format!("could not {why}")),
        }
        backoff.wait().await;
    };
    // A prompt may be large, and the session long.
    drop((permit, assignment, token));
    match outcome {
        Started::Not(record) => *record,
        Started::Exists => follow(shared, followed, orders, report).await,
        Started::Running(mut child) => {
            follow::listening(&mut child).await;
            // Whoever ends first: the child is reaped by one that waits for nothing else.
            drop(shared.reaper.send(child).await);
            follow(shared, followed, orders, report).await
        }
    }
}

async fn never_started(
    shared: &Arc<Shared>,
    id: SessionId,
    cause: Cause,
    why: Option<String>,
    followed: &mut Followed,
    orders: &mut Orders,
    report: &Report,
) -> ExitRecord {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        match start::never_started(shared, id, cause, why.clone()).await {
            Ok(Started::Not(record)) => return *record,
            // It was started after all, or closed: its directory says which.
            Ok(Started::Exists | Started::Running(_)) => {
                return follow(shared, followed, orders, report).await;
            }
            Err(error) => report.held_up(Holding::Other, format!("could not {error}")),
        }
        backoff.wait().await;
    }
}

async fn follow(
    shared: &Arc<Shared>,
    followed: &mut Followed,
    orders: &mut Orders,
    report: &Report,
) -> ExitRecord {
    if let Ok(spec) = followed.dir.read_spec() {
        followed.grace = Duration::from_millis(spec.grace_ms);
    }
    follow::follow(shared, followed, orders, report).await
}
