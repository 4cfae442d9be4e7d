//! What the runner does next, step by step.

use mozi_api::session::Session;
use mozi_api::wire::{Text, Time};
use mozi_core::attempt::Role;
use proptest::prelude::*;

use super::*;

fn id(n: u128) -> SessionId {
    SessionId(uuid::Uuid::from_u128(n))
}

fn project(name: &str) -> ProjectId {
    name.parse().unwrap()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Offers are numbered 1, 2, 3 …
fn runner(max: u32) -> Runner {
    let mut n = 0;
    let fresh = move || {
        n += 1;
        Some(Offer { session_id: id(n), token: Secret::new(format!("t{n}")) })
    };
    Runner::new(max, ["coder".parse().unwrap(), "shell".parse().unwrap()], [project("place")], fresh)
}

fn assignment(session: SessionId, project_id: &str) -> Assignment {
    Assignment {
        session_id: Text(session),
        agent: Text("coder".parse().unwrap()),
        role: Text(Role::Executor),
        project_id: Some(Text(project(project_id))),
        task_id: Some(Text("1".parse().unwrap())),
        attempt_number: Some(1),
        timeout_ms: None,
        order: None,
        language: Text(mozi_core::project::Language::En),
        prompt: None,
    }
}

fn open(session: SessionId, taken: bool) -> OpenSession {
    OpenSession {
        session: Session {
            session_id: Text(session),
            agent: Text("coder".parse().unwrap()),
            project_id: None,
            task_id: None,
            attempt_number: None,
            runner_id: Text("local".parse().unwrap()),
            pid: None,
            status: "starting".into(),
            held_up: None,
            error: None,
            stop_requested: None,
            started_at: Time::default(),
            completed_at: None,
        },
        taken,
        forced: false,
        attempt: None,
    }
}

fn seen(session: SessionId, dir: Dir, taken: Option<bool>) -> Sighting {
    Sighting { session_id: session, dir, open: taken.map(|t| Box::new(open(session, t))) }
}

fn stop(session: SessionId, kind: OrderKind) -> StopOrder {
    StopOrder { session_id: Text(session), order: Text(kind), why: "enough".into(), verdict_age_ms: Some(7) }
}

/// Says hello, sees nothing, and asks.
#[track_caller]
fn working(max: u32) -> (Runner, Poll) {
    let mut r = runner(max);
    assert!(matches!(r.begin().as_slice(), [Action::Hello]));
    assert!(matches!(r.step(ms(1), Event::Greeted(Ok(()))).as_slice(), [Action::Look { all: true, .. }]));
    let actions = r.step(ms(2), Event::Looked(Ok(Vec::new())));
    let poll = the_poll(&actions);
    (r, poll)
}

#[track_caller]
fn the_poll(actions: &[Action]) -> Poll {
    let polls: Vec<_> =
        actions.iter().filter_map(|a| if let Action::Poll(p) = a { Some(p) } else { None }).collect();
    assert_eq!(polls.len(), 1, "{actions:?}");
    (**polls[0]).clone()
}

fn claimed(sessions: &[(SessionId, &str)]) -> PollReply {
    PollReply { claimed: sessions.iter().map(|(s, p)| assignment(*s, p)).collect(), ..PollReply::default() }
}

#[test]
fn nothing_is_claimed_before_the_first_look() {
    let mut r = runner(2);
    r.begin();
    let actions = r.step(ms(0), Event::Greeted(Err(Failure::Passing)));
    assert!(actions.is_empty());
    let again = r.wake_at().unwrap();
    assert!(matches!(r.step(again, Event::Tick).as_slice(), [Action::Hello]));
    r.step(again, Event::Greeted(Ok(())));
    // The look fails: it is done again, and still nothing is asked for.
    assert!(r.step(again, Event::Looked(Err(Failure::Passing))).is_empty());
    let again = r.wake_at().unwrap();
    assert!(matches!(r.step(again, Event::Tick).as_slice(), [Action::Look { all: true, .. }]));
    let actions = r.step(again, Event::Looked(Ok(vec![seen(id(900), Dir::Running, Some(true))])));
    assert!(matches!(actions.as_slice(), [Action::Adopt(_), Action::Poll(_)]), "{actions:?}");
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_offers() {
    let (mut r, first) = working(3);
    assert_eq!(first.offers.len(), 3);
    assert!(r.step(ms(10), Event::Polled(first.number, Err(Failure::Passing))).is_empty());
    let again = r.wake_at().unwrap();
    assert!(matches!(r.step(again, Event::Tick).as_slice(), [Action::Hello]));
    let second = the_poll(&r.step(again, Event::Greeted(Ok(()))));
    assert_eq!(second.offers, first.offers);
    assert!(second.number > first.number);
    // The late answer of the first is out of date; the second one answers the same.
    let id = first.offers[0].session_id;
    assert!(r.step(again, Event::Polled(first.number, Ok(claimed(&[(id, "p")])))).is_empty());
    let actions = r.step(again, Event::Polled(second.number, Ok(claimed(&[(id, "p")]))));
    let Action::Start { token, .. } = &actions[0] else { panic!("{actions:?}") };
    assert_eq!(*token, first.offers[0].token);
    let third = the_poll(&actions);
    assert_eq!(third.offers.len(), 3);
    assert!(!third.offers.iter().any(|o| o.session_id == id), "an answered offer is used up");
}

#[test]
fn what_is_offered_or_being_started_is_never_called_unstarted() {
    let (mut r, poll) = working(2);
    let [offered, started] = [poll.offers[0].session_id, poll.offers[1].session_id];
    r.step(ms(3), Event::Polled(poll.number, Ok(claimed(&[(started, "p")]))));
    let all = vec![
        seen(offered, Dir::Missing, Some(true)),
        seen(started, Dir::Missing, Some(true)),
        seen(id(77), Dir::Missing, Some(true)),
        seen(id(78), Dir::Missing, Some(false)),
    ];
    let actions = r.step(ms(6000), Event::Looked(Ok(all)));
    let closed: Vec<_> = actions
        .iter()
        .map(|a| if let Action::CloseNeverStarted(o) = a { o.session.session_id.0 } else { panic!("{a:?}") })
        .collect();
    assert_eq!(closed, [id(77)]);
    // It went out of our hands while the look was under way: what was seen of it is old.
    r.step(ms(6000), Event::Over(started));
    let (tick, again) = (r.wake_at().unwrap(), seen(started, Dir::Missing, Some(true)));
    let actions = r.step(tick, Event::Tick);
    assert!(matches!(actions.as_slice(), [Action::Look { all: false, skip }] if skip.contains(&offered)));
    r.step(tick, Event::Over(id(77)));
    assert!(r.step(tick, Event::Looked(Ok(vec![seen(id(77), Dir::Missing, Some(true))]))).is_empty());
    drop(again);
}

#[test]
fn orders_are_carried_out_once_and_named_until_the_session_is_over() {
    let (mut r, poll) = working(2);
    let session = poll.offers[0].session_id;
    let poll = the_poll(&r.step(ms(3), Event::Polled(poll.number, Ok(claimed(&[(session, "p")])))));
    let reply = PollReply { stop: vec![stop(session, OrderKind::Grace)], ..PollReply::default() };
    let actions = r.step(ms(4), Event::Polled(poll.number, Ok(reply.clone())));
    assert!(
        matches!(&actions[0], Action::Tell(s, Tell::Grace { age }) if *s == session && *age == ms(7)),
        "{actions:?}"
    );
    let poll = the_poll(&actions);
    assert_eq!(poll.known, [(session, OrderKind::Grace)]);
    // A board that repeats itself is not asked again at once.
    assert!(r.step(ms(5), Event::Polled(poll.number, Ok(reply))).is_empty());
    assert!(r.wake_at().unwrap() > ms(5));
    r.step(ms(6), Event::Over(session));
    let again = r.wake_at().unwrap();
    r.step(again, Event::Tick);
    assert!(the_poll(&r.step(again, Event::Greeted(Ok(())))).known.is_empty());
}

#[test]
fn an_order_for_what_is_not_in_our_hands_waits_for_its_adoption() {
    let (mut r, poll) = working(2);
    let reply = PollReply { stop: vec![stop(id(500), OrderKind::Stop)], ..PollReply::default() };
    let actions = r.step(ms(10), Event::Polled(poll.number, Ok(reply)));
    assert_eq!(the_poll(&actions).known, [(id(500), OrderKind::Stop)]);
    assert!(r.wake_at().unwrap() <= ms(10), "a look is due at once");
    assert!(matches!(r.step(ms(10), Event::Tick).as_slice(), [Action::Look { .. }]));
    let actions = r.step(ms(11), Event::Looked(Ok(vec![seen(id(500), Dir::Running, Some(true))])));
    assert!(
        matches!(actions.as_slice(), [Action::Adopt(_), Action::Tell(s, Tell::Stop { .. })] if *s == id(500)),
        "{actions:?}"
    );
}

#[test]
fn a_folder_that_is_worked_on_in_place_is_named_until_it_is_free() {
    let (mut r, poll) = working(2);
    let session = poll.offers[0].session_id;
    let poll = the_poll(&r.step(ms(3), Event::Polled(poll.number, Ok(claimed(&[(session, "PLACE")])))));
    assert_eq!(poll.busy_projects, [project("place")]);
    let next = the_poll(&r.step(ms(4), Event::Over(session)));
    assert!(next.busy_projects.is_empty() && next.number > poll.number);
}

#[test]
fn an_agent_that_cannot_be_started_is_not_offered() {
    let (mut r, poll) = working(1);
    assert_eq!(poll.agents.len(), 2);
    let why = BTreeMap::from([("coder".parse().unwrap(), Some("no program".to_owned()))]);
    assert!(matches!(r.step(ms(3), Event::Probed(why.clone())).as_slice(), [Action::Hello]));
    let poll = the_poll(&r.step(ms(4), Event::Greeted(Ok(()))));
    assert_eq!(poll.agents, ["shell".parse::<AgentId>().unwrap()]);
    assert!(r.step(ms(5), Event::Probed(why)).is_empty(), "nothing has changed");
}

#[test]
fn an_order_by_name_is_taken_up_once() {
    let (mut r, poll) = working(1);
    let order = StartOrder {
        session_id: Text(id(600)),
        agent: Text("shell".parse().unwrap()),
        project_id: None,
        task_id: None,
        attempt_number: None,
    };
    let reply = PollReply { start: vec![order], ..PollReply::default() };
    let actions = r.step(ms(3), Event::Polled(poll.number, Ok(reply.clone())));
    assert!(matches!(&actions[0], Action::TakeUp { .. }));
    let poll = the_poll(&actions);
    assert_eq!(poll.known, [(id(600), OrderKind::Start)]);
    assert!(r.step(ms(4), Event::Polled(poll.number, Ok(reply))).is_empty());
}

#[test]
fn after_the_goodbye_nothing_comes() {
    let (mut r, poll) = working(1);
    assert!(matches!(r.step(ms(3), Event::ShutDown).as_slice(), [Action::DropPoll, Action::Goodbye]));
    let id = poll.offers[0].session_id;
    assert!(r.step(ms(4), Event::Polled(poll.number, Ok(claimed(&[(id, "p")])))).is_empty());
    assert_eq!(r.wake_at(), None);
}

#[derive(Debug, Clone)]
enum Input {
    Greet(bool),
    Answer { claims: Vec<u8>, stops: Vec<(u8, bool)>, ok: bool, stale: bool },
    Look(Vec<(u8, u8, Option<bool>)>, bool),
    Over(u8),
    Tick,
}

fn input() -> impl Strategy<Value = Input> {
    let small = 0_u8..12;
    prop_oneof![
        any::<bool>().prop_map(Input::Greet),
        (
            prop::collection::vec(small.clone(), 0..3),
            prop::collection::vec((small.clone(), any::<bool>()), 0..3),
            any::<bool>(),
            any::<bool>()
        )
            .prop_map(|(claims, stops, ok, stale)| Input::Answer { claims, stops, ok, stale }),
        (prop::collection::vec((small.clone(), 0_u8..5, any::<Option<bool>>()), 0..4), any::<bool>())
            .prop_map(|(seen, ok)| Input::Look(seen, ok)),
        small.prop_map(Input::Over),
        Just(Input::Tick),
    ]
}

proptest! {
    /// Whatever comes in whatever order: a session is in the driver's hands at most once at a time, nothing that is
    /// offered or in its hands is closed as never started, an offer is answered once, and the runner never stands still.
    #[test]
    fn no_session_is_begun_twice(inputs in prop::collection::vec(input(), 1..60)) {
        let mut r = runner(2);
        let mut now = ms(0);
        let mut hands = BTreeSet::new();
        let mut used = BTreeSet::new();
        let mut outstanding = 0_u32; // answers that the driver owes
        let mut last_poll = None;
        let mut queue = r.begin();
        for input in inputs {
            for action in queue.drain(..) {
                match action {
                    Action::Hello | Action::Look { .. } => outstanding += 1,
                    Action::Poll(p) => {
                        for offer in &p.offers {
                            prop_assert!(!used.contains(&offer.session_id), "an answered offer is made again");
                            prop_assert!(!hands.contains(&offer.session_id));
                        }
                        prop_assert!(p.offers.len() <= 2);
                        last_poll = Some(*p);
                    }
                    Action::Start { assignment, .. } => {
                        prop_assert!(used.insert(assignment.session_id.0), "one offer, two starts");
                        prop_assert!(hands.insert(assignment.session_id.0));
                    }
                    Action::Adopt(o) | Action::CloseNeverStarted(o) => {
                        prop_assert!(hands.insert(o.session.session_id.0), "begun twice");
                    }
                    Action::EndUnclaimed(s) => prop_assert!(hands.insert(s), "begun twice"),
                    Action::Tell(s, _) => prop_assert!(hands.contains(&s), "told without having it"),
                    _ => {}
                }
            }
            now += ms(50);
            // Ids of all kinds: offered, in hand, used up, of an earlier life.
            let offered = last_poll.iter().flat_map(|p| p.offers.iter().map(|o| o.session_id));
            let mut pool: Vec<_> = offered.chain(hands.iter().copied()).chain(used.iter().rev().copied()).take(8).collect();
            pool.extend((0..12).map(|n| id(900_000 + n)));
            let pick = |n: &u8| pool[usize::from(*n) % pool.len()];
            queue = match input {
                Input::Greet(ok) => r.step(now, Event::Greeted(if ok { Ok(()) } else { Err(Failure::Passing) })),
                Input::Answer { claims, stops, ok, stale } => {
                    let Some(poll) = last_poll.clone() else { continue };
                    let claims: BTreeSet<_> = claims
                        .iter()
                        .map(pick)
                        .collect();
                    let mut reply = claimed(&claims.into_iter().map(|c| (c, "p")).collect::<Vec<_>>());
                    reply.stop = stops
                        .iter()
                        .map(|(s, hard)| stop(pick(s), if *hard { OrderKind::Stop } else { OrderKind::Grace }))
                        .collect();
                    let number = if stale { poll.number.saturating_sub(1) } else { poll.number };
                    r.step(now, Event::Polled(number, if ok { Ok(reply) } else { Err(Failure::Passing) }))
                }
                Input::Look(all, ok) => {
                    let dirs = [Dir::Missing, Dir::Foreign, Dir::Running, Dir::Dead, Dir::Ended];
                    let all = all.iter().map(|(s, d, o)| seen(pick(s), dirs[usize::from(*d)], *o)).collect();
                    r.step(now, Event::Looked(if ok { Ok(all) } else { Err(Failure::Passing) }))
                }
                Input::Over(s) => {
                    let Some(one) = hands.iter().nth(usize::from(s)).copied() else { continue };
                    hands.remove(&one);
                    r.step(now, Event::Over(one))
                }
                Input::Tick => r.step(now, Event::Tick),
            };
        }
        let busy = outstanding > 0 || r.poll.is_some() || r.wake_at().is_some();
        prop_assert!(busy, "nothing will ever happen again: {r:?}");
    }
}

#[test]
fn another_configuration_is_told_before_anything_is_asked_for() {
    let (mut r, first) = working(2);
    let agents = [("writer".parse().unwrap(), None), ("coder".parse().unwrap(), Some("away".to_owned()))];
    let (agents, in_place) = (agents.into(), [project("other")].into());
    let actions = r.step(ms(5), Event::Reconfigured { max_sessions: 3, agents, in_place });
    assert!(matches!(actions.as_slice(), [Action::Hello]), "{actions:?}");
    assert_eq!(r.held_back().len(), 2);
    let poll = the_poll(&r.step(ms(6), Event::Greeted(Ok(()))));
    assert_eq!(poll.agents, ["writer".parse().unwrap()]);
    assert_eq!((poll.offers.len(), poll.in_place_projects.as_slice()), (3, [project("other")].as_slice()));
    assert_eq!(poll.offers[..2], first.offers[..], "what was offered stays offered");
    // Fewer: those that are too many are used up, and not made up for.
    let agents = [("writer".parse().unwrap(), None)].into();
    r.step(ms(7), Event::Reconfigured { max_sessions: 1, agents, in_place: BTreeSet::new() });
    let poll = the_poll(&r.step(ms(8), Event::Greeted(Ok(()))));
    assert_eq!(poll.offers.len(), 3);
    let session = poll.offers[0].session_id;
    let poll = the_poll(&r.step(ms(9), Event::Polled(poll.number, Ok(claimed(&[(session, "p")])))));
    assert_eq!(poll.offers.len(), 2);
}
