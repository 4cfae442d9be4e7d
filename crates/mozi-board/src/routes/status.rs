//! The board at a glance.

use std::collections::BTreeMap;

use http::StatusCode;
use mozi_api::{
    agent::{Agent, Runner},
    session::Session,
    status::{
        BoardStatus, Delayed, EndedLine, Listed, RunningLine, SINCE, Since, Spent, StatusQuery, TaskLine,
        WaitingGroup,
    },
};
use mozi_core::{Identity, Status, Timestamp, task::StatusCounts};
use mozi_store::{self as store, Overview, OverviewQuery};

use crate::{
    call::{Call, Outcome, json, rows},
    error::ApiError,
    fanout::cursor,
};

pub(super) async fn show(call: Call) -> Outcome {
    let asked = StatusQuery::parse(call.query())?;
    let mut project = asked.project.map(|p| p.0);
    if let Some(Identity::User { project: Some(scope), .. }) = &call.who {
        let asked = project.get_or_insert_with(|| scope.clone());
        if *asked != *scope {
            return Err(ApiError::not_found(format_args!("project {asked}")));
        }
    }
    if let Some(id) = &project
        && call.board.store.project(id).await?.is_none()
    {
        return Err(ApiError::not_found(format_args!("project {id}")));
    }
    let now = call.board.clock.now();
    let since = match asked.since.unwrap_or(Since::Ago(SINCE)) {
        Since::At(at) => at.0,
        Since::Ago(span) => {
            let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
            Timestamp::from_micros(now.as_micros().saturating_sub(micros))
        }
    };
    let query = OverviewQuery { project: project.clone(), since, limit: rows(asked.limit) };
    let seen = call.board.store.overview(query, now).await?;
    let ids: Vec<String> = seen.running.items.iter().map(|r| r.session.id.to_string()).collect();
    let printed = call.board.files.last_output(ids).await;
    let mut running = listed(&seen.running, running_line);
    for (line, printed) in running.items.iter_mut().zip(printed) {
        line.last_sign_at = line.last_sign_at.max(printed.map(Into::into));
    }
    let cursor = if project.is_some() { seen.last_event.to_string() } else { cursor(seen.last_event) };
    json(
        StatusCode::OK,
        &BoardStatus {
            at: now.into(),
            since: since.into(),
            project_id: project.map(Into::into),
            cursor,
            counts: by_status(&seen.counts, Status::ALL),
            reviews: listed(&seen.reviews, task_line),
            blocked: listed(&seen.blocked, task_line),
            running,
            ended: listed(&seen.ended, ended_line),
            ended_counts: by_status(&seen.ended_counts, &[Status::Done, Status::Failed, Status::Cancelled]),
            waiting: seen.waiting.iter().map(waiting_group).collect(),
            delayed: Delayed {
                total: seen.delayed.tasks,
                exact: seen.delayed.exact,
                next_at: seen.delayed.next_at.map(Into::into),
                next: seen.delayed.next.as_ref().map(task_line),
            },
            agents: agents(&seen, now),
            runners: seen.runners.iter().map(Runner::from).collect(),
            spent: Spent {
                attempts: seen.spent.attempts,
                known: seen.spent.known,
                cost_micro_usd: seen.spent.cost_micro_usd,
                exact: seen.spent.exact,
            },
        },
    )
}

fn by_status(counts: &StatusCounts, of: &[Status]) -> BTreeMap<String, u64> {
    of.iter().map(|s| (s.as_str().to_owned(), counts.get(*s))).collect()
}

fn listed<T, U>(list: &store::Listed<T>, show: impl Fn(&T) -> U) -> Listed<U> {
    Listed { items: list.items.iter().map(show).collect(), total: list.total, exact: list.exact }
}

fn task_line(t: &store::TaskLine) -> TaskLine {
    TaskLine {
        project_id: t.key.project.clone().into(),
        task_id: t.key.task.clone().into(),
        title: t.title.clone(),
        status: t.status.into(),
        kind: t.kind.clone(),
        detail: t.detail.clone(),
        attempt_number: (t.attempts > 0).then_some(t.attempts),
        reviewer_given_up: t.reviewer_given_up,
        updated_at: t.updated_at.into(),
    }
}

fn running_line(r: &store::RunningLine) -> RunningLine {
    RunningLine {
        session: Session::from(&r.session),
        title: r.title.clone(),
        task_status: r.status.map(Into::into),
        role: r.role.map(|role| role.as_str().to_owned()),
        deadline: r.timeout.map(|t| r.session.started_at.plus(t).into()),
        last_sign_at: r.last_event_at.map(Into::into),
        runner_online: r.runner_online,
    }
}

fn ended_line(e: &store::EndedLine) -> EndedLine {
    EndedLine {
        task: task_line(&e.task),
        agent: e.agent.as_ref().and_then(|a| a.parse().ok()),
        outcome: e.outcome.clone(),
        reason: e.reason.clone(),
        last_error: e.last_error.clone(),
        worked_seconds: e.worked.as_secs(),
        cost_micro_usd: e.cost_micro_usd,
        cost_incomplete: e.cost_incomplete,
    }
}

fn waiting_group(g: &store::WaitingGroup) -> WaitingGroup {
    WaitingGroup {
        waiting_for: (&g.waits_for).into(),
        needs_somebody: g.waits_for.needs_somebody(),
        tasks: g.tasks,
        exact: g.exact,
        project_id: g.example.project.clone().into(),
        task_id: g.example.task.clone().into(),
    }
}

fn agents(seen: &Overview, now: Timestamp) -> Vec<Agent> {
    let live = |agent: &mozi_core::AgentId| {
        let of_agent = seen.running.items.iter().filter(|r| r.session.agent == *agent);
        of_agent.map(|r| r.session.id).collect::<Vec<_>>()
    };
    seen.agents.iter().map(|a| Agent::new(a, &live(&a.id), now)).collect()
}
