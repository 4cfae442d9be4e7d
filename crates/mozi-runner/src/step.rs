//! What a runner does next: `step(now, event) -> actions`, without a clock and without input or output.
//!
//! A driver carries the actions out and brings back what came of them as events. Times are spans since the runner's
//! start.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use mozi_api::runner::{Assignment, OpenSession, OrderKind, PollReply, StartOrder, StopOrder};
use mozi_core::{AgentId, ProjectId, SessionId};

use crate::entropy::{Offer, Secret};
use crate::reconcile::{self, Board, Dir, Here, Verdict};
use crate::slots::Offers;

/// So often the directories and the board's open sessions are compared.
pub const RECONCILE_EVERY: Duration = Duration::from_secs(5);
/// So often all directories are looked at, not only those of sessions that are open at the board.
pub const LOOK_AT_ALL_EVERY: Duration = Duration::from_mins(10);
/// How long a poll waits at the board.
pub const POLL_WAIT: Duration = Duration::from_secs(25);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// The board has answered a hello, or not.
    Greeted(Result<(), Failure>),
    /// The poll of this number was answered, or failed.
    Polled(u64, Result<PollReply, Failure>),
    /// A look at directories and board is done, or failed.
    Looked(Result<Vec<Sighting>, Failure>),
    /// What stands in the way of each agent, as far as it has changed.
    Probed(BTreeMap<AgentId, Option<String>>),
    /// There are other agents, with what stands in their way, other limits or other folders now.
    Reconfigured {
        /// Sessions at once.
        max_sessions: u32,
        /// All agents, and what stands in their way.
        agents: BTreeMap<AgentId, Option<String>>,
        /// Projects whose own folder is worked in.
        in_place: BTreeSet<ProjectId>,
    },
    /// A session that was told to the driver is over: nothing of it is left to do.
    Over(SessionId),
    /// The time that [`Runner::wake_at`] named has come.
    Tick,
    /// The runner is to go away; its agents stay.
    ShutDown,
}

/// Why the board did not do as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It may do it later.
    Passing,
    /// It refused. A runner that it does not know has to say hello first.
    Refused,
}

/// A session that was seen in a directory or at the board.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// Which.
    pub session_id: SessionId,
    /// What its directory says.
    pub dir: Dir,
    /// What the board says, if it is open there.
    pub open: Option<Box<OpenSession>>,
}

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Say hello, with what stands in the way of agents.
    Hello,
    /// Ask for work and orders. A poll that is still under way is given up for it.
    Poll(Box<Poll>),
    /// Give up the poll that is under way.
    DropPoll,
    /// Compare directories and board; all directories, or those of open sessions.
    Look {
        /// All of them.
        all: bool,
        /// These need no look: they are in our hands, or offered.
        skip: BTreeSet<SessionId>,
    },
    /// Start a claimed session.
    Start {
        /// What.
        assignment: Box<Assignment>,
        /// Its token.
        token: Secret,
    },
    /// Take up an order, then start it.
    TakeUp {
        /// Which.
        order: Box<StartOrder>,
        /// Its token.
        token: Secret,
    },
    /// Follow a session to its end and tell the board.
    Adopt(Box<OpenSession>),
    /// Make an end of a session without a directory, which was never started or is to be swept; tell the board.
    CloseNeverStarted(Box<OpenSession>),
    /// End and sweep a session that the board does not know as open.
    EndUnclaimed(SessionId),
    /// Tell people of a directory that is left alone.
    ReportForeign(SessionId),
    /// Tell a session that was started, taken up or adopted what to do.
    Tell(SessionId, Tell),
    /// Remove what is left of an ended session.
    Clean(SessionId),
    /// Say goodbye. Nothing more comes.
    Goodbye,
}

/// What a session can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tell {
    /// End now.
    Stop {
        /// Why, in words.
        why: String,
    },
    /// Its verdict is given: end when the grace is over.
    Grace {
        /// How long ago it was given.
        age: Duration,
    },
    /// Close without proof.
    Force {
        /// Why, in words.
        why: String,
    },
}

/// A poll.
#[derive(Debug, Clone)]
pub struct Poll {
    /// Its number; answers of earlier ones are out of date.
    pub number: u64,
    /// The agents that can be started.
    pub agents: Vec<AgentId>,
    /// Session ids and tokens for claims.
    pub offers: Vec<Offer>,
    /// Projects whose own folder is in use.
    pub busy_projects: Vec<ProjectId>,
    /// Projects whose own folder is worked in, busy or not: one session at a time.
    pub in_place_projects: Vec<ProjectId>,
    /// Orders that are being carried out.
    pub known: Vec<(SessionId, OrderKind)>,
    /// How long to wait for something.
    pub wait: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    FirstLook,
    Working,
    Leaving,
}

/// The state of a runner.
pub struct Runner {
    stage: Stage,
    offers: Offers,
    fresh: Box<dyn FnMut() -> Option<Offer> + Send>,
    /// Projects whose agents work in the project's own folder, one at a time.
    in_place: BTreeSet<ProjectId>,
    /// All agents, and what stands in their way.
    agents: BTreeMap<AgentId, Option<String>>,
    /// Sessions that the driver is busy with, and the project in whose own folder they work.
    sessions: BTreeMap<SessionId, Option<ProjectId>>,
    /// Those that went out of it since the last look began.
    over: BTreeSet<SessionId>,
    /// Orders that have come, by session: they are carried out, or wait for the session to be adopted.
    orders: BTreeMap<SessionId, BTreeMap<OrderKind, Option<Tell>>>,
    /// Directories that were reported once.
    reported: BTreeSet<SessionId>,
    poll: Option<u64>,
    polls: u64,
    looking: bool,
    look_at: Duration,
    look_all_at: Duration,
    /// Nothing is asked of the board before.
    quiet_until: Option<Duration>,
    pause: Duration,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("stage", &self.stage)
            .field("sessions", &self.sessions)
            .field("poll", &self.poll)
            .finish_non_exhaustive()
    }
}

impl Runner {
    /// A runner with these agents, and these projects whose own folder is worked in. `fresh` makes session ids and tokens; none = there is no chance to be had now.
    pub fn new(
        max_sessions: u32,
        agents: impl IntoIterator<Item = AgentId>,
        in_place: impl IntoIterator<Item = ProjectId>,
        fresh: impl FnMut() -> Option<Offer> + Send + 'static,
    ) -> Self {
        Self {
            stage: Stage::Greeting,
            offers: Offers::new(max_sessions),
            fresh: Box::new(fresh),
            in_place: in_place.into_iter().collect(),
            agents: agents.into_iter().map(|id| (id, None)).collect(),
            sessions: BTreeMap::new(),
            over: BTreeSet::new(),
            orders: BTreeMap::new(),
            reported: BTreeSet::new(),
            poll: None,
            polls: 0,
            looking: false,
            look_at: Duration::ZERO,
            look_all_at: Duration::ZERO,
            quiet_until: None,
            pause: FIRST_PAUSE,
        }
    }

    /// The first actions.
    pub fn begin(&mut self) -> Vec<Action> {
        vec![Action::Hello]
    }

    /// What stands in the way of each agent, for the hello.
    pub fn held_back(&self) -> &BTreeMap<AgentId, Option<String>> {
        &self.agents
    }

    /// When a [`Event::Tick`] is due.
    pub fn wake_at(&self) -> Option<Duration> {
        match self.stage {
            Stage::Leaving => None,
            Stage::Greeting | Stage::FirstLook => self.quiet_until,
            Stage::Working => {
                let look = (!self.looking).then_some(self.look_at);
                look.into_iter().chain(self.quiet_until).min()
            }
        }
    }

    /// What follows from an event.
    pub fn step(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.stage == Stage::Leaving {
            return actions;
        }
        match event {
            Event::Greeted(Ok(())) => self.greeted(&mut actions),
            Event::Greeted(Err(_)) => {
                self.stage = if self.stage == Stage::Working { Stage::Working } else { Stage::Greeting };
                self.back_off(now);
            }
            Event::Polled(number, answer) => self.polled(now, number, answer, &mut actions),
            Event::Looked(Ok(seen)) => self.looked(now, seen, &mut actions),
            Event::Looked(Err(_)) => {
                self.looking = false;
                self.look_at = now + FIRST_PAUSE.max(self.pause);
                self.back_off(now);
            }
            Event::Probed(found) => self.probed(found, &mut actions),
            Event::Reconfigured { max_sessions, agents, in_place } => {
                self.offers.resize(max_sessions);
                (self.agents, self.in_place) = (agents, in_place);
                // The answer to it brings the next poll.
                actions.push(Action::Hello);
            }
            Event::Over(id) => {
                let folder = self.sessions.remove(&id).flatten();
                self.over.insert(id);
                self.orders.remove(&id);
                // The board knows slots, but folders only from us.
                if folder.is_some() {
                    self.poll_anew(&mut actions);
                }
            }
            Event::Tick => self.tick(now, &mut actions),
            Event::ShutDown => {
                self.stage = Stage::Leaving;
                actions.push(Action::DropPoll);
                actions.push(Action::Goodbye);
            }
        }
        actions
    }

    fn greeted(&mut self, actions: &mut Vec<Action>) {
        self.quiet_until = None;
        self.pause = FIRST_PAUSE;
        match self.stage {
            // Before anything is claimed, what an earlier life of this runner has left is known.
            Stage::Greeting => {
                self.stage = Stage::FirstLook;
                self.look(true, actions);
            }
            Stage::Working => self.poll_anew(actions),
            Stage::FirstLook | Stage::Leaving => {}
        }
    }

    fn tick(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.quiet_until.is_some_and(|until| now < until) {
            return;
        }
        if self.quiet_until.take().is_some() {
            match self.stage {
                Stage::Greeting => actions.push(Action::Hello),
                Stage::FirstLook if !self.looking => self.look(true, actions),
                // A board that was away may have forgotten that we are there.
                Stage::Working if self.poll.is_none() => actions.push(Action::Hello),
                Stage::FirstLook | Stage::Working | Stage::Leaving => {}
            }
        }
        if self.stage == Stage::Working && !self.looking && now >= self.look_at {
            let all = now >= self.look_all_at;
            if all {
                self.look_all_at = now + LOOK_AT_ALL_EVERY;
            }
            self.look(all, actions);
        }
    }

    fn look(&mut self, all: bool, actions: &mut Vec<Action>) {
        self.looking = true;
        self.over.clear();
        let offered = self.offers.list().into_iter().map(|offer| offer.session_id);
        actions.push(Action::Look { all, skip: self.sessions.keys().copied().chain(offered).collect() });
    }

    fn looked(&mut self, now: Duration, seen: Vec<Sighting>, actions: &mut Vec<Action>) {
        self.looking = false;
        self.look_at = now + RECONCILE_EVERY;
        // An order for what is neither in our hands nor open any more has nobody left to obey it.
        let open: BTreeSet<_> = seen.iter().filter(|s| s.open.is_some()).map(|s| s.session_id).collect();
        self.orders.retain(|id, _| self.sessions.contains_key(id) || open.contains(id));
        for sighting in seen {
            self.reconcile(sighting, actions);
        }
        self.over.clear();
        if self.stage == Stage::FirstLook {
            self.stage = Stage::Working;
            self.look_all_at = now + LOOK_AT_ALL_EVERY;
            self.poll_anew(actions);
        }
    }

    fn reconcile(&mut self, seen: Sighting, actions: &mut Vec<Action>) {
        let id = seen.session_id;
        let board = match &seen.open {
            None => Board::NotOpen,
            Some(open) if open.taken => Board::Open,
            Some(_) => Board::Ordered,
        };
        let here = if self.sessions.contains_key(&id) {
            Here::Busy
        } else if self.offers.contains(id) {
            Here::Offered
        } else if self.over.contains(&id) {
            Here::Over
        } else {
            Here::Unknown
        };
        match (reconcile::reconcile(seen.dir, board, here), seen.open) {
            // The table says the latter two only of what is open.
            (Verdict::Leave, _) | (Verdict::Adopt | Verdict::CloseNeverStarted, None) => {}
            (Verdict::Adopt, Some(open)) => {
                let project = open.session.project_id.as_ref().map(|p| p.0.clone());
                self.begin_with(id, project, Action::Adopt(open), actions);
            }
            (Verdict::CloseNeverStarted, Some(open)) => {
                self.begin_with(id, None, Action::CloseNeverStarted(open), actions);
            }
            (Verdict::EndUnclaimed, _) => self.begin_with(id, None, Action::EndUnclaimed(id), actions),
            (Verdict::Report, _) => {
                if self.reported.insert(id) {
                    actions.push(Action::ReportForeign(id));
                }
            }
        }
    }

    /// The driver gets a session into its hands, and with it the orders that have come for it.
    fn begin_with(
        &mut self,
        id: SessionId,
        project: Option<ProjectId>,
        action: Action,
        actions: &mut Vec<Action>,
    ) {
        self.sessions.insert(id, project.filter(|project| self.in_place.contains(project)));
        actions.push(action);
        for tell in self.orders.get(&id).into_iter().flat_map(BTreeMap::values).flatten() {
            actions.push(Action::Tell(id, tell.clone()));
        }
    }

    fn polled(
        &mut self,
        now: Duration,
        number: u64,
        answer: Result<PollReply, Failure>,
        actions: &mut Vec<Action>,
    ) {
        // Claims of a poll that was given up are answered again to the same offers.
        if self.poll != Some(number) {
            return;
        }
        self.poll = None;
        let Ok(reply) = answer else { return self.back_off(now) };
        let empty = reply.is_empty();
        let news = self.take_reply(reply, actions);
        if news || empty {
            self.pause = FIRST_PAUSE;
            self.poll_anew(actions);
        } else {
            // It repeats what we have: whatever is wrong there, asking at once would not mend it.
            self.back_off(now);
        }
    }

    /// Whether there was anything new in it.
    fn take_reply(&mut self, reply: PollReply, actions: &mut Vec<Action>) -> bool {
        let mut news = false;
        for assignment in reply.claimed {
            let id = assignment.session_id.0;
            // An offer of an earlier life is nobody's: reconciling closes it.
            if let Some(token) = self.offers.take(id) {
                news = true;
                let project = assignment.project_id.as_ref().map(|p| p.0.clone());
                let start = Action::Start { assignment: Box::new(assignment), token };
                self.begin_with(id, project, start, actions);
            }
        }
        for order in reply.start {
            let id = order.session_id.0;
            let new = self.note_order(id, OrderKind::Start, None);
            if new && !self.sessions.contains_key(&id) {
                let Some(fresh) = (self.fresh)() else {
                    self.orders.remove(&id);
                    continue;
                };
                let project = order.project_id.as_ref().map(|p| p.0.clone());
                let take = Action::TakeUp { order: Box::new(order), token: fresh.token };
                self.begin_with(id, project, take, actions);
            }
            news |= new;
        }
        for StopOrder { session_id, order, why, verdict_age_ms } in reply.stop {
            let tell = match order.0 {
                OrderKind::Stop => Tell::Stop { why },
                OrderKind::Grace => Tell::Grace { age: Duration::from_millis(verdict_age_ms.unwrap_or(0)) },
                OrderKind::Force => Tell::Force { why },
                OrderKind::Start | OrderKind::Clean => continue,
            };
            if self.note_order(session_id.0, order.0, Some(tell.clone())) {
                news = true;
                if self.sessions.contains_key(&session_id.0) {
                    actions.push(Action::Tell(session_id.0, tell));
                } else {
                    // Not in our hands yet: the next look finds out what it is.
                    self.look_at = Duration::ZERO;
                }
            }
        }
        for id in reply.clean {
            if self.note_order(id.0, OrderKind::Clean, None) {
                news = true;
                self.sessions.entry(id.0).or_insert(None);
                actions.push(Action::Clean(id.0));
            }
        }
        news
    }

    fn note_order(&mut self, id: SessionId, kind: OrderKind, tell: Option<Tell>) -> bool {
        self.orders.entry(id).or_default().insert(kind, tell).is_none()
    }

    fn probed(&mut self, found: BTreeMap<AgentId, Option<String>>, actions: &mut Vec<Action>) {
        let mut changed = false;
        for (id, why) in found {
            if let Some(known) = self.agents.get_mut(&id)
                && *known != why
            {
                *known = why;
                changed = true;
            }
        }
        if changed && self.stage == Stage::Working {
            // The answer to it brings the next poll.
            actions.push(Action::Hello);
        }
    }

    fn back_off(&mut self, now: Duration) {
        self.quiet_until = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }

    fn poll_anew(&mut self, actions: &mut Vec<Action>) {
        if self.stage != Stage::Working || self.quiet_until.is_some() {
            return;
        }
        self.offers.refill(&mut self.fresh);
        self.polls += 1;
        self.poll = Some(self.polls);
        let known = self.orders.iter().flat_map(|(id, kinds)| kinds.keys().map(|kind| (*id, *kind)));
        let mut busy: Vec<ProjectId> = self.sessions.values().flatten().cloned().collect();
        busy.sort_unstable();
        busy.dedup();
        actions.push(Action::Poll(Box::new(Poll {
            number: self.polls,
            agents: self.agents.iter().filter(|(_, why)| why.is_none()).map(|(id, _)| id.clone()).collect(),
            offers: self.offers.list(),
            busy_projects: busy,
            in_place_projects: self.in_place.iter().cloned().collect(),
            known: known.collect(),
            wait: POLL_WAIT,
        })));
    }
}

#[cfg(test)]
mod tests;
