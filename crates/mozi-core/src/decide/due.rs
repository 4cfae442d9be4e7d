//! Due times that a jump of the clock has moved out of reach.

use super::{About, Desk, agents};
use crate::{
    agent::Pause,
    change::Reply,
    event::EventKind,
    refusal::Refusal,
    task::NotBefore,
    token::{Actor, Identity},
};

pub(super) fn due(d: &mut Desk<'_>) -> Result<Reply, Refusal> {
    if d.state.identity != Identity::Board {
        return Err(Refusal::Forbidden { why: "only the board itself may do this".into() });
    }
    let now = d.now;
    let keys: Vec<_> = d.state.tasks.keys().cloned().collect();
    for key in keys {
        let longest = now.plus(d.project(&key.project)?.settings.backoff_max);
        let far = d.task(&key)?.state.not_before.is_some_and(|n| n.by_board && n.at > longest);
        if far {
            d.change_task(&key)?.state.not_before = Some(NotBefore { at: longest, by_board: true });
            d.emit(
                About::task(&key),
                Actor::board(),
                EventKind::TaskEdited { changed: vec!["not_before".into()], not_before: Some(Some(longest)) },
            );
        }
    }
    let too_long: Vec<_> = d
        .state
        .agents
        .values()
        .filter_map(|a| {
            let p = a.paused.clone()?;
            let until = p.believed_until(now)?;
            (p.until != Some(until)).then_some((a.id.clone(), Pause { until: Some(until), ..p }))
        })
        .collect();
    for (id, pause) in too_long {
        agents::set_pause(d, &id, pause, Actor::board());
    }
    Ok(Reply::Done)
}
