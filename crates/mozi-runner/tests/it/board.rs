//! A board that knows the runner's protocol and nothing else. It hands out what a test puts in, keeps what it is told,
//! and can be away.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use mozi_api::runner::{
    Assignment, EndSession, Hello, HelloReply, KnownOrder, OpenAttempt, OpenSession, Order, OrderKind, Poll,
    PollReply, PromptParts, RunnerNotice, SessionNote, StartOrder, StartedSession, StopOrder, TakeSession,
};
use mozi_api::session::Session;
use mozi_api::transport::{Body, BoxError};
use mozi_api::wire::{Text, Time};
use mozi_api::{Client, Problem, Transport};
use mozi_core::attempt::{Role, VerdictMode};
use mozi_core::{SessionId, TokenHash};
use serde_json::{Value, json};
use tokio::sync::Notify;

pub(crate) const BOARD_ID: &str = "board-1";

/// A task to be claimed, or a session to be ordered.
#[derive(Clone, Default)]
pub(crate) struct Job {
    pub(crate) agent: String,
    pub(crate) project: String,
    pub(crate) task: Option<String>,
    pub(crate) prompt: Option<PromptParts>,
    pub(crate) message: Option<String>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) queue: VecDeque<Job>,
    /// Sessions to be taken up by name.
    ordered: BTreeMap<SessionId, Job>,
    claims: BTreeMap<SessionId, (Assignment, TokenHash)>,
    pub(crate) open: BTreeMap<SessionId, OpenSession>,
    stops: BTreeMap<SessionId, StopOrder>,
    cleans: BTreeSet<SessionId>,
    /// Answers nothing but 503.
    pub(crate) away: bool,
    /// The next answers to polls are lost on their way.
    pub(crate) lose: u32,
    /// Everything that was told, in order.
    pub(crate) log: Vec<String>,
    pub(crate) hellos: Vec<Hello>,
    pub(crate) polls: Vec<Poll>,
    pub(crate) started: Vec<(SessionId, StartedSession)>,
    pub(crate) notes: Vec<(SessionId, SessionNote)>,
    pub(crate) notices: Vec<RunnerNotice>,
    pub(crate) ends: Vec<(SessionId, EndSession)>,
    pub(crate) reports: Vec<(String, String, Value)>,
    pub(crate) events: Vec<(u64, Value)>,
    streams: Vec<tokio::sync::mpsc::Sender<Frame>>,
}

type Frame = Result<http_body::Frame<Bytes>, BoxError>;

fn frame(number: u64, event: &Value) -> http_body::Frame<Bytes> {
    let kind = event["event_type"].as_str().unwrap();
    http_body::Frame::data(format!("id: {number}\nevent: {kind}\ndata: {event}\n\n").into())
}

#[derive(Clone, Default)]
pub(crate) struct Board {
    pub(crate) state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn client(&self) -> Client {
        let board = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let board = board.clone();
            let answer: std::pin::Pin<Box<dyn Future<Output = _> + Send>> =
                Box::pin(async move { Ok::<_, Infallible>(board.answer(request).await) });
            answer
        });
        Client::over(Transport::in_process(service), Some("mozi_r_test")).unwrap()
    }

    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let value = f(&mut self.state.lock().unwrap());
        self.changed.notify_waiters();
        value
    }

    /// Puts a task up for a claim.
    pub(crate) fn put(&self, job: Job) {
        self.with(|s| s.queue.push_back(job));
    }

    pub(crate) fn order(&self, session: SessionId, job: Job) {
        self.with(|s| {
            s.open.insert(session, open_session(session, &job, false));
            s.ordered.insert(session, job);
        });
    }

    pub(crate) fn stop(&self, session: SessionId, kind: OrderKind, age_ms: Option<u64>) {
        let order = StopOrder {
            session_id: Text(session),
            order: Text(kind),
            why: "a test wants it".into(),
            verdict_age_ms: age_ms,
        };
        self.with(|s| s.stops.insert(session, order));
    }

    pub(crate) fn clean(&self, session: SessionId) {
        self.with(|s| s.cleans.insert(session));
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.with(|s| s.away = away);
    }

    /// Waits until something was told.
    #[track_caller]
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        mut find: impl FnMut(&mut State) -> Option<T>,
    ) -> impl Future<Output = T> {
        let caller = std::panic::Location::caller();
        let (board, what) = (self.clone(), what.to_owned());
        async move {
            let wait = async {
                loop {
                    let changed = board.changed.notified();
                    tokio::pin!(changed);
                    changed.as_mut().enable();
                    if let Some(found) = find(&mut board.state.lock().unwrap()) {
                        return found;
                    }
                    changed.await;
                }
            };
            let Ok(found) = tokio::time::timeout(Duration::from_mins(1), wait).await else {
                panic!("{caller}: waited in vain for {what}: {:#?}", board.with(|s| s.log.clone()))
            };
            found
        }
    }

    /// Something happens: whoever reads the stream gets it.
    pub(crate) fn happen(&self, number: u64, event: Value) {
        self.with(|s| {
            s.streams.retain(|stream| stream.try_send(Ok(frame(number, &event))).is_ok());
            s.events.push((number, event));
        });
    }

    pub(crate) async fn claimed(&self) -> SessionId {
        self.wait("a claim", |s| s.claims.keys().next().copied()).await
    }

    pub(crate) async fn running(&self) -> (SessionId, u32) {
        self.wait("a started session", |s| s.started.last().map(|(id, st)| (*id, st.pid.unwrap()))).await
    }

    pub(crate) async fn end_of(&self, id: SessionId) -> EndSession {
        self.wait("the end", move |s| s.ends.iter().find(|(e, _)| *e == id).map(|(_, end)| end.clone())).await
    }

    pub(crate) async fn an_end(&self) -> (SessionId, EndSession) {
        self.wait("an end", |s| s.ends.last().cloned()).await
    }

    async fn answer(&self, request: Request<Body>) -> Response<UnsyncBoxBody<Bytes, BoxError>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let token = head.headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        if self.with(|s| s.away) {
            return problem(503, "unavailable", "away");
        }
        let path = head.uri.path().to_owned();
        let parts: Vec<&str> = path.trim_start_matches("/api/").split('/').collect();
        let reply = match parts.as_slice() {
            ["runners", _, "hello"] => {
                let hello: Hello = read(&body);
                self.with(|s| {
                    s.log.push("hello".into());
                    s.hellos.push(hello);
                });
                json!(HelloReply { board_id: BOARD_ID.into(), version: "0".into() })
            }
            ["runners", _, "goodbye"] => {
                self.with(|s| s.log.push("goodbye".into()));
                Value::Null
            }
            ["runners", _, "poll"] => return self.poll(read(&body)).await,
            ["runners", _, "sessions"] => json!(self.with(|s| s.open.values().cloned().collect::<Vec<_>>())),
            ["runners", _, "notice"] => {
                let notice: RunnerNotice = read(&body);
                self.with(|s| {
                    s.log.push(format!("notice {}", notice.code));
                    s.notices.push(notice);
                });
                Value::Null
            }
            ["runners", _, "sessions", id, verb] => return self.session(id.parse().unwrap(), verb, &body),
            ["events"] => return self.events(&head),
            ["projects", _, "tasks", _] => return problem(404, "not_found", "no such task"),
            ["projects", _, "tasks", _, "attempts", _] => {
                return problem(404, "not_found", "no such attempt");
            }
            ["projects", ..] => return self.report(path, token, &body),
            other => panic!("nobody asks for {other:?}"),
        };
        answer(&reply)
    }

    fn report(&self, path: String, token: String, body: &Bytes) -> Response<UnsyncBoxBody<Bytes, BoxError>> {
        let body: Value = serde_json::from_slice(body).unwrap();
        let text = body["body"].as_str().unwrap_or("").to_owned();
        self.with(|s| {
            s.log.push(format!("report {text}"));
            s.reports.push((path, token, body));
        });
        if text.contains("refuse") {
            problem(409, "attempt_closed", "it is closed")
        } else {
            answer(&json!({}))
        }
    }

    fn session(&self, id: SessionId, verb: &str, body: &Bytes) -> Response<UnsyncBoxBody<Bytes, BoxError>> {
        let reply = self.with(|s| {
            match verb {
                "take" => {
                    let TakeSession { token_sha256 } = read(body);
                    let job = s.ordered.remove(&id)?;
                    let assignment = assignment(id, &job);
                    s.log.push("take".into());
                    s.claims.insert(id, (assignment.clone(), token_sha256.0));
                    s.open.insert(id, open_session(id, &job, true));
                    return Some(json!(assignment));
                }
                "started" => {
                    s.log.push("started".into());
                    s.started.push((id, read(body)));
                }
                "note" => {
                    let note: SessionNote = read(body);
                    s.log.push(format!("note {}", note.note));
                    s.notes.push((id, note));
                    s.cleans.remove(&id);
                }
                "end" => {
                    let end: EndSession = read(body);
                    s.log.push(format!("end {}", end.cause));
                    s.ends.push((id, end));
                    s.open.remove(&id)?;
                    s.stops.remove(&id);
                }
                other => panic!("{other}"),
            }
            Some(json!(open_session(id, &Job { agent: "a".into(), ..Job::default() }, true).session))
        });
        match reply {
            Some(reply) => answer(&reply),
            None => problem(404, "not_found", "no such session"),
        }
    }

    async fn poll(&self, poll: Poll) -> Response<UnsyncBoxBody<Bytes, BoxError>> {
        let until = tokio::time::Instant::now() + Duration::from_secs(poll.wait_seconds.into());
        self.with(|s| s.polls.push(poll.clone()));
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (reply, lost) = {
                let mut state = self.state.lock().unwrap();
                let reply = state.orders_for(&poll);
                let lost = !reply.is_empty() && state.lose > 0;
                if lost {
                    state.lose -= 1;
                    state.log.push("lost".into());
                }
                (reply, lost)
            };
            if lost {
                return problem(503, "unavailable", "lost");
            }
            if !reply.is_empty() || tokio::time::timeout_at(until, changed).await.is_err() {
                return answer(&json!(reply));
            }
        }
    }

    /// A page, or a stream that stays open.
    fn events(&self, head: &http::request::Parts) -> Response<UnsyncBoxBody<Bytes, BoxError>> {
        let query = head.uri.query().unwrap_or("");
        let after: u64 = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("after="))
            .and_then(|after| after.parse().ok())
            .unwrap_or(0);
        let stream = head.headers.get("accept").is_some_and(|a| a == "text/event-stream");
        let named = query.contains("after=");
        let events: Vec<_> = self.with(|s| s.events.iter().filter(|(n, _)| *n > after).cloned().collect());
        if !stream {
            let next = events.last().map(|(n, _)| n.to_string());
            let items: Vec<_> = events.into_iter().map(|(_, e)| e).collect();
            return answer(&json!({ "items": items, "next_cursor": next }));
        }
        let (sender, receiver) = tokio::sync::mpsc::channel(1024);
        // Without a place it begins with what comes next.
        let place = if named { after } else { events.last().map_or(0, |(n, _)| *n) };
        let watching = format!(": watching\nid: {place}\n\n").into();
        sender.try_send(Ok(http_body::Frame::data(watching))).unwrap();
        for (number, event) in events.iter().filter(|(n, _)| *n > place) {
            sender.try_send(Ok(frame(*number, event))).unwrap();
        }
        self.with(|s| s.streams.push(sender));
        Response::new(BodyExt::boxed_unsync(StreamBody::new(Waiting(receiver))))
    }
}

/// A stream that goes on for as long as the board lives.
struct Waiting(tokio::sync::mpsc::Receiver<Frame>);

impl futures_util::Stream for Waiting {
    type Item = Frame;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

impl State {
    fn orders_for(&mut self, poll: &Poll) -> PollReply {
        let known = |id: SessionId, order: OrderKind| {
            poll.known.contains(&KnownOrder { session_id: Text(id), order: Text(order) })
        };
        let mut reply = PollReply::default();
        for offer in &poll.offers {
            let id = offer.session_id.0;
            if let Some((assignment, hash)) = self.claims.get(&id) {
                assert_eq!(*hash, offer.token_sha256.0);
                reply.claimed.push(assignment.clone());
            } else if let Some(at) = self.queue.iter().position(|job| {
                poll.agents.iter().any(|a| a.0.as_str() == job.agent)
                    && !poll.busy_projects.iter().any(|p| p.0.as_str() == job.project)
            }) {
                let job = self.queue.remove(at).unwrap();
                let assignment = assignment(id, &job);
                self.log.push("claim".into());
                self.open.insert(id, open_session(id, &job, true));
                self.claims.insert(id, (assignment.clone(), offer.token_sha256.0));
                reply.claimed.push(assignment);
            }
        }
        for (id, job) in &self.ordered {
            if !known(*id, OrderKind::Start) {
                reply.start.push(StartOrder {
                    session_id: Text(*id),
                    agent: job.agent.parse().unwrap(),
                    project_id: job.task.as_ref().map(|_| job.project.parse().unwrap()),
                    task_id: job.task.as_ref().map(|t| t.parse().unwrap()),
                    attempt_number: job.task.as_ref().map(|_| 1),
                });
            }
        }
        let wanted = |(id, order): (&SessionId, &StopOrder)| !known(*id, order.order.0);
        reply.stop.extend(self.stops.iter().filter(|o| wanted(*o)).map(|(_, o)| o.clone()));
        reply
            .clean
            .extend(self.cleans.iter().filter(|id| !known(**id, OrderKind::Clean)).map(|id| Text(*id)));
        reply
    }
}

pub(crate) fn open_session(id: SessionId, job: &Job, taken: bool) -> OpenSession {
    let attempt = job.task.as_ref().map(|_| OpenAttempt {
        number: 1,
        role: Text(Role::Executor),
        revoked: false,
        verdict: None,
        verdict_age_ms: None,
        verdict_mode: Text(VerdictMode::Report),
        boot_id: Some(mozi_supervise::boot_id().unwrap()),
        pid_namespace: Some(mozi_supervise::pid_namespace().unwrap().to_string()),
        timeout_ms: None,
        started_at: Time::default(),
    });
    OpenSession {
        session: Session {
            session_id: Text(id),
            agent: job.agent.parse().unwrap(),
            project_id: job.task.as_ref().map(|_| job.project.parse().unwrap()),
            task_id: job.task.as_ref().map(|t| t.parse().unwrap()),
            attempt_number: job.task.as_ref().map(|_| 1),
            runner_id: "local".parse().unwrap(),
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
        attempt,
    }
}

fn assignment(id: SessionId, job: &Job) -> Assignment {
    let at = job.task.as_ref();
    Assignment {
        session_id: Text(id),
        agent: job.agent.parse().unwrap(),
        role: Text(Role::Executor),
        project_id: at.map(|_| job.project.parse().unwrap()),
        task_id: at.map(|t| t.parse().unwrap()),
        attempt_number: at.map(|_| 1),
        timeout_ms: None,
        order: job.message.clone().map(|m| Order { message: Some(m), verbatim: job.prompt.is_none() }),
        language: Text(mozi_core::project::Language::En),
        prompt: job.prompt.clone(),
    }
}

fn read<T: serde::de::DeserializeOwned>(body: &Bytes) -> T {
    serde_json::from_slice(body).unwrap()
}

fn answer(value: &Value) -> Response<UnsyncBoxBody<Bytes, BoxError>> {
    with_status(200, value)
}

fn problem(status: u16, code: &str, detail: &str) -> Response<UnsyncBoxBody<Bytes, BoxError>> {
    with_status(status, &json!(Problem::new(status, code, detail)))
}

fn with_status(status: u16, value: &Value) -> Response<UnsyncBoxBody<Bytes, BoxError>> {
    let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {});
    let mut response = Response::new(BodyExt::boxed_unsync(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}
