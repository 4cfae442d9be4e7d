//! What runners wait for: work and orders, all derived from stored state.

use std::sync::Arc;

use futures_util::future::try_join_all;
use http::StatusCode;
use mozi_api::runner::{
    Assignment, KnownOrder, MAX_POLL_SECONDS, Order, OrderKind, Poll, PollReply, StartOrder, StopOrder,
};
use mozi_core::{
    Agent, AgentId, Attempt, Command, Identity, Reply, Request, Role, RunnerId, Session, SessionId,
    SessionStatus, TaskKey, Timestamp, VerdictMode,
    command::{Claim, Credential},
};
use mozi_store::RunnerWork;
use tokio::time::{Duration, Instant};

use crate::{
    Board,
    call::{Call, Outcome, json},
    clock::new_secret,
    error::ApiError,
    prompt::{self, Callback, PromptMaterial, PromptNotice, PromptOptions, Rendered},
    task::until,
};

/// Waits until there is something to do. A caller that has gone away takes this future with it, so nothing is
/// claimed for nobody.
pub(super) async fn poll(mut call: Call) -> Outcome {
    let runner = call.runner()?;
    let body: Poll = call.json().await?;
    let claim = Claim {
        runner_id: runner.clone(),
        agents: body.agents.iter().map(|a| a.0.clone()).collect(),
        offers: body.offers.iter().map(|o| (*o).into()).collect(),
        busy: body.busy_projects.iter().map(|p| p.0.clone()).collect(),
        in_place: body.in_place_projects.iter().map(|p| p.0.clone()).collect(),
    };
    let can_claim = !claim.agents.is_empty() && !claim.offers.is_empty();
    if !can_claim {
        // Where a claim is asked for, the command itself is refused to others.
        own(&call, &runner).await?;
    }
    let wait = Duration::from_secs(body.wait_seconds.min(MAX_POLL_SECONDS).into());
    let deadline = Instant::now() + wait;
    let mut commits = call.board.store.subscribe_hints();
    let mut due = call.board.due.clone();
    let mut closing = Box::pin(call.closing());
    // What was looked at last: whatever is committed while this runs is another value, and never passed over.
    let mut looked: Option<(u64, u64, u64)> = None;
    let mut last = false;
    loop {
        let now = *commits.borrow_and_update();
        let bell = *due.borrow_and_update();
        let look_claim =
            can_claim && looked.is_none_or(|(ready, _, rung)| ready != now.ready || rung != bell);
        let look_orders = looked.is_none_or(|(_, orders, _)| orders != now.orders);
        looked = Some((now.ready, now.orders, bell));
        let mut reply = PollReply::default();
        // Side by side: an agent waits for the one, and neither can starve the other.
        let claims = async { if look_claim { claimed(&call, claim.clone()).await } else { Ok(Vec::new()) } };
        let work = async {
            if !look_orders {
                return Ok(None);
            }
            Ok::<_, ApiError>(Some(call.board.store.runner_work(&runner).await?))
        };
        let (claims, work) = tokio::try_join!(claims, work)?;
        reply.claimed = claims;
        if let Some(work) = work {
            orders(&work, &body.known, call.board.clock.now(), &mut reply);
        }
        if last || !reply.is_empty() {
            return json(StatusCode::OK, &reply);
        }
        tokio::select! {
            changed = commits.wait_for(|c| c.ready != now.ready || c.orders != now.orders) => {
                if changed.is_err() {
                    return Err(ApiError::unavailable("the board is closing"));
                }
            }
            rung = due.changed() => last = rung.is_err(),
            () = until(deadline) => last = true,
            () = &mut closing => last = true,
        }
    }
}

/// The token must be this very runner's.
pub(super) async fn own(call: &Call, runner: &RunnerId) -> Result<(), ApiError> {
    match call.identify().await? {
        Identity::Runner(me) if me == *runner => Ok(()),
        Identity::Runner(_) => Err(ApiError::not_found("such runner for this token")),
        Identity::Unknown | Identity::Board | Identity::User { .. } | Identity::Attempt { .. } => {
            Err(ApiError::unauthenticated("this token is not known, or not any more"))
        }
    }
}

async fn claimed(call: &Call, claim: Claim) -> Result<Vec<Assignment>, ApiError> {
    let answer = call.submit(Command::Claim(Box::new(claim))).await?;
    let Reply::Claimed(pairs) = answer.reply else {
        return Err(ApiError::internal("the reply is no claim"));
    };
    // Each needs a look at its task: side by side, for agents wait for them.
    try_join_all(pairs.iter().map(|(attempt, session)| assignment(&call.board, session, Some(attempt)))).await
}

/// What a runner is to do with its sessions, without what it knows already.
fn orders(work: &RunnerWork, known: &[KnownOrder], now: Timestamp, reply: &mut PollReply) {
    let is_known =
        |id: SessionId, order: OrderKind| known.iter().any(|k| k.session_id.0 == id && k.order.0 == order);
    for (session, attempt) in &work.open {
        match order(session, attempt.as_ref()) {
            None => {}
            Some((order, _)) if is_known(session.id, order) => {}
            Some((OrderKind::Start, _)) => reply.start.push(StartOrder {
                session_id: session.id.into(),
                agent: session.agent.clone().into(),
                project_id: session.attempt.as_ref().map(|(k, _)| k.project.clone().into()),
                task_id: session.attempt.as_ref().map(|(k, _)| k.task.clone().into()),
                attempt_number: session.attempt.as_ref().map(|(_, n)| *n),
            }),
            Some((order, why)) => {
                let age = attempt.as_ref().and_then(|a| a.verdict_at).map(|at| now.since(at).as_millis());
                reply.stop.push(StopOrder {
                    session_id: session.id.into(),
                    order: order.into(),
                    why,
                    verdict_age_ms: age.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
                });
            }
        }
    }
    let clean = work.clean.iter().filter(|id| !is_known(**id, OrderKind::Clean));
    reply.clean.extend(clean.copied().map(mozi_api::wire::SessionId::from));
}

/// The one order that the state of an open session is, the strongest first.
fn order(session: &Session, attempt: Option<&Attempt>) -> Option<(OrderKind, String)> {
    if session.forced {
        return Some((OrderKind::Force, "a person says that what is left of it is not Mozi's".into()));
    }
    let revoked = attempt.filter(|a| a.revoked_at.is_some());
    if let Some(a) = revoked {
        let why = a.revoked_why.clone().unwrap_or_else(|| "its task was taken from it".into());
        return Some((OrderKind::Stop, why));
    }
    if let Some(why) = &session.stop_requested {
        return Some((OrderKind::Stop, why.clone()));
    }
    if let Some(verdict) = attempt.and_then(|a| a.verdict) {
        return Some((OrderKind::Grace, format!("it has given its verdict: {verdict}")));
    }
    (session.status == SessionStatus::Starting && session.order.is_some())
        .then(|| (OrderKind::Start, "started by name".into()))
}

/// All that starting a session needs.
pub(super) async fn assignment(
    board: &Arc<Board>,
    session: &Session,
    attempt: Option<&Attempt>,
) -> Result<Assignment, ApiError> {
    let order = session.order.as_ref();
    let mut assignment = Assignment {
        session_id: session.id.into(),
        agent: session.agent.clone().into(),
        role: attempt.map_or(Role::Executor, |a| a.role).into(),
        project_id: attempt.map(|a| a.key.project.clone().into()),
        task_id: attempt.map(|a| a.key.task.clone().into()),
        attempt_number: attempt.map(|a| a.number),
        timeout_ms: attempt.and_then(|a| a.timeout_ms),
        order: order.map(|o| Order { message: o.message.clone(), verbatim: o.verbatim }),
        language: board.config.default_language.into(),
        prompt: None,
    };
    let Some(attempt) = attempt else { return Ok(assignment) };
    let (material, agent) =
        tokio::try_join!(board.store.prompt_material(&attempt.key), board.store.agent(&session.agent))?;
    let material = material.ok_or_else(|| ApiError::internal("a claimed task is gone"))?;
    assignment.language = material.project.settings.language.into();
    if order.is_some_and(|o| o.verbatim) {
        return Ok(assignment);
    }
    let rendered = render(
        board,
        &material,
        &Wanted {
            role: attempt.role,
            agent: &session.agent,
            number: attempt.number,
            known: agent.as_ref(),
            mode: attempt.verdict_mode,
            message: order.and_then(|o| o.message.as_deref()),
        },
    )?;
    for notice in rendered.notices {
        note(board, &attempt.key, attempt.number, &session.agent, notice).await;
    }
    assignment.prompt = Some(rendered.parts);
    Ok(assignment)
}

struct Wanted<'a> {
    role: Role,
    agent: &'a AgentId,
    number: u32,
    known: Option<&'a Agent>,
    mode: VerdictMode,
    message: Option<&'a str>,
}

fn render(board: &Board, material: &PromptMaterial, wanted: &Wanted<'_>) -> Result<Rendered, ApiError> {
    let nonce = new_secret("")?;
    let options = PromptOptions {
        role: wanted.role,
        agent: wanted.agent,
        attempt_number: wanted.number,
        callback: wanted.known.map_or(Callback::Env, |a| Callback::parse(&a.callback)),
        verdict_mode: wanted.mode,
        nonce: &nonce,
        prompts_dir: board.config.prompts_dir.as_deref(),
        message: wanted.message,
    };
    Ok(prompt::render(material, &options))
}

/// What went wrong with a prompt is told to people; a notice that cannot be written holds nothing up.
async fn note(board: &Board, key: &TaskKey, number: u32, agent: &AgentId, notice: PromptNotice) {
    let command = Command::Notice {
        key: Some(key.clone()),
        attempt_number: Some(number),
        agent: Some(agent.clone()),
        code: notice.code.to_owned(),
        text: notice.text,
        more: notice.more,
    };
    let (now, seed) = (board.clock.now(), board.clock.seed());
    let request = Request { credential: Credential::Board, via: None, now, seed, command };
    if let Err(e) = board.store.submit(request, None).await {
        tracing::warn!("could not write a notice on task {}: {e}", key.task);
    }
}

/// What an agent would be told, as people may read it.
pub(super) struct Preview {
    pub(super) text: String,
    pub(super) bootstrap: Option<String>,
    pub(super) notices: Vec<String>,
}

pub(super) async fn preview(
    board: &Arc<Board>,
    material: PromptMaterial,
    role: Role,
    agent: Option<AgentId>,
) -> Result<Preview, ApiError> {
    let known = match &agent {
        Some(id) => board.store.agent(id).await?,
        None => None,
    };
    // Where nobody is named, the page is written for somebody.
    let id = match agent {
        Some(id) => id,
        None => "agent".parse().map_err(|_| ApiError::internal("an id is none"))?,
    };
    let number = material.task.state.last_attempt.saturating_add(1);
    let mode = match role {
        Role::Executor => known.as_ref().map_or(VerdictMode::Report, |a| a.verdict_mode),
        Role::Reviewer => VerdictMode::Report,
    };
    let wanted = Wanted { role, agent: &id, number, known: known.as_ref(), mode, message: None };
    let rendered = render(board, &material, &wanted)?;
    Ok(Preview {
        text: prompt::preview(&rendered.parts, &board.config.agent_url),
        bootstrap: rendered.parts.bootstrap.map(|b| b.name),
        notices: rendered.notices.into_iter().map(|n| n.text).collect(),
    })
}
