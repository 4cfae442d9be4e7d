//! The board comes to rest, and says so once.

use super::{About, Desk};
use crate::{
    change::{Change, Reply},
    event::EventKind,
    refusal::Refusal,
    rest::is_at_rest,
    task::Status,
    token::{Actor, Identity},
    waiting::Floor,
};

pub(super) fn look(d: &mut Desk<'_>) -> Result<Reply, Refusal> {
    if d.state.identity != Identity::Board {
        return Err(Refusal::Forbidden { why: "only the board itself may do this".into() });
    }
    let floor = Floor {
        agents: &d.state.agents,
        runners: &d.state.runners,
        live: &d.state.live,
        busy: &[],
        now: d.now,
    };
    let at_rest = is_at_rest(&d.state.queued, &d.state.projects, floor);
    if at_rest == d.state.at_rest {
        return Ok(Reply::Done);
    }
    d.state.at_rest = at_rest;
    d.write(Change::SetRest { at_rest });
    if at_rest {
        let count = |status| d.state.totals.get(status);
        let kind = EventKind::Idle {
            review: count(Status::Review),
            blocked: count(Status::Blocked),
            pending: count(Status::Pending),
            failed: count(Status::Failed),
        };
        d.emit(About::default(), Actor::board(), kind);
    }
    Ok(Reply::Done)
}
