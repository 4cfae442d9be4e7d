//! The driver: carries out what [`step`](crate::step) decides, and brings back what came of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::pin;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use mozi_api::runner::{Hello, HelloAgent, KnownOrder, Offer, Poll as PollBody, RunnerNotice};
use mozi_api::{Client, ClientError};
use mozi_core::{AgentId, ProjectId, SessionId};
use mozi_supervise::Error;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::config::{RunnerConfig, Verdict};
use crate::control::{Control, Told, held_back};
use crate::entropy;
use crate::error::{FileError, RunnerError};
use crate::orders::Word;
use crate::session::{self, Begin};
use crate::shared::{Backoff, STARTS, Shared, sleep};
use crate::step::{Action, Event, Failure, Poll, Runner};
use crate::{hooks, look, runtime, workspace};

/// Words that wait for one session.
const WORDS: usize = 32;
/// So often it is looked whether agents can be started.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// So long after it broke a part of the runner is taken up anew.
const PART_PAUSE: Duration = Duration::from_secs(1);
/// So long a shutdown waits for starts that are under way.
const STARTS_WITHIN: Duration = Duration::from_secs(10);
/// So long a shutdown waits for the goodbye.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);

/// Claims and follows until `shutdown`; agents stay at work beyond it.
///
/// `client` carries the runner's token; `control` is the ear for what the program around it has to say.
///
/// # Errors
/// If the folders cannot be made or the board does not let the runner in. Anything later is tried again.
pub async fn run(
    config: RunnerConfig,
    client: Client,
    control: Control,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunnerError> {
    let mut shutdown = pin!(shutdown);
    make_folders(&config)?;
    let boot_id = mozi_supervise::boot_id().map_err(|e| system("know this machine's boot", &e))?;
    let pid_namespace =
        mozi_supervise::pid_namespace().map_err(|e| system("know the process namespace", &e))?.to_string();
    let (reaper, children) = mpsc::channel(1024);
    let mut shared = Shared::new(config, client, String::new(), boot_id, pid_namespace, reaper);
    let held_back = tokio::select! {
        found = probe(&shared) => found,
        () = &mut shutdown => return Ok(()),
    };
    shared.board_id = tokio::select! {
        id = first_hello(&shared, &held_back) => id?,
        () = &mut shutdown => return Ok(()),
    };
    let shared = Arc::new(shared);
    let config = shared.config();
    let fresh = || match entropy::Offer::fresh() {
        Ok(offer) => Some(offer),
        Err(error) => {
            tracing::error!("could not make a session id: {error}");
            None
        }
    };
    let mut runner =
        Runner::new(config.max_sessions, config.agents.keys().cloned(), in_place(&config), fresh);
    let mut actions = runner.step(Duration::ZERO, Event::Probed(held_back));
    actions.extend(runner.step(Duration::ZERO, Event::Greeted(Ok(()))));
    let mut driver = Driver::new(shared, runner, children);
    driver.carry_out(actions);
    driver.drive(control, shutdown).await;
    Ok(())
}

struct Driver {
    shared: Arc<Shared>,
    runner: Runner,
    began: Instant,
    tasks: JoinSet<Event>,
    /// What a task is for: of one that broke that much is known.
    of: HashMap<Id, For>,
    words: HashMap<SessionId, mpsc::Sender<Word>>,
    poll: Option<AbortHandle>,
    /// What goes on beside.
    beside: JoinSet<()>,
    parts: HashMap<Id, Part>,
    reaper: Arc<Mutex<Reaper>>,
    tell: mpsc::Sender<Beside>,
    found: mpsc::Receiver<Beside>,
    leaving: bool,
    /// A hello is under way; one more follows it, so that the board never takes an older word for the newer one.
    greeting: bool,
    greet_again: bool,
    /// Who waits for the board to know of a change.
    waiting: Vec<oneshot::Sender<()>>,
}

/// What a task is for.
#[derive(Clone, Copy)]
enum For {
    Session(SessionId),
    Hello,
    Change,
    Poll(u64),
    Look,
}

/// What goes on beside for as long as the runner is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Reaping,
    Probing,
    Hooks,
}

/// News from what goes on beside.
pub(crate) enum Beside {
    /// What stands in the way of agents, and by which state of the configuration.
    Probed(u64, BTreeMap<AgentId, Option<String>>),
    /// A session's agent was heard of at the board.
    SignOfLife(SessionId),
}

impl Driver {
    fn new(shared: Arc<Shared>, runner: Runner, children: mpsc::Receiver<Child>) -> Self {
        let (tell, found) = mpsc::channel(256);
        let mut driver = Self {
            shared,
            runner,
            began: Instant::now(),
            tasks: JoinSet::new(),
            of: HashMap::new(),
            words: HashMap::new(),
            poll: None,
            beside: JoinSet::new(),
            parts: HashMap::new(),
            reaper: Arc::new(Mutex::new(Reaper { incoming: children, children: Vec::new() })),
            tell,
            found,
            leaving: false,
            greeting: false,
            greet_again: false,
            waiting: Vec::new(),
        };
        driver.keep_up(Part::Reaping, Duration::ZERO);
        driver.keep_up(Part::Probing, Duration::ZERO);
        driver.keep_hooks();
        driver
    }

    /// Reads events as soon as there is a use for them.
    fn keep_hooks(&mut self) {
        if hooks::are_wanted(&self.shared.config()) && !self.parts.values().any(|p| *p == Part::Hooks) {
            self.keep_up(Part::Hooks, Duration::ZERO);
        }
    }

    fn keep_up(&mut self, part: Part, pause: Duration) {
        let (shared, tell, reaper) = (Arc::clone(&self.shared), self.tell.clone(), Arc::clone(&self.reaper));
        let handle = self.beside.spawn(async move {
            if !pause.is_zero() {
                sleep(pause).await;
            }
            match part {
                Part::Reaping => reaper.lock().await.reap().await,
                Part::Probing => keep_probing(shared, tell).await,
                Part::Hooks => hooks::run(shared, tell).await,
            }
        });
        self.parts.insert(handle.id(), part);
    }

    /// A part that broke is taken up anew; one that has come to its end has nothing more to do.
    fn part_ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let (id, error) = match ended {
            Ok((id, ())) => (id, None),
            Err(error) => (error.id(), Some(error)),
        };
        if let Some(part) = self.parts.remove(&id)
            && let Some(error) = error
        {
            tracing::error!("a part of the runner broke, it is taken up anew ({part:?}): {error}");
            self.keep_up(part, PART_PAUSE);
        }
    }

    async fn drive(
        &mut self,
        mut control: Control,
        mut shutdown: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) {
        while !self.leaving {
            let wake = self.runner.wake_at().map(|at| self.began + at);
            let event = tokio::select! {
                () = &mut shutdown => Some(Event::ShutDown),
                Some(done) = self.tasks.join_next_with_id() => self.done(done),
                Some(news) = self.found.recv() => match news {
                    Beside::Probed(of, found) => {
                        (of == self.shared.draining().1).then_some(Event::Probed(found))
                    }
                    Beside::SignOfLife(id) => {
                        // A queue that is half full has one in it; the rest is for orders.
                        if let Some(words) = self.words.get(&id).filter(|w| w.capacity() > WORDS / 2) {
                            drop(words.try_send(Word::SignOfLife));
                        }
                        None
                    }
                },
                told = control.next() => {
                    self.change(told);
                    None
                }
                Some(ended) = self.beside.join_next_with_id() => {
                    self.part_ended(ended);
                    None
                }
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    Some(Event::Tick)
                }
            };
            if let Some(event) = event {
                let actions = self.runner.step(self.began.elapsed(), event);
                self.carry_out(actions);
            }
        }
        self.leave().await;
    }

    /// Goes by something else. The board hears of it once it is known what stands in the way of the agents.
    fn change(&mut self, Told { change, done }: Told) {
        self.shared.change(change);
        self.waiting.push(done);
        self.keep_hooks();
        let shared = Arc::clone(&self.shared);
        self.spawn(For::Change, async move {
            // Of several changes the last one counts, whichever is probed first.
            loop {
                let (_, of) = shared.draining();
                let (config, agents) = (shared.config(), probe(&shared).await);
                if of == shared.draining().1 {
                    let in_place = in_place(&config);
                    return Event::Reconfigured { max_sessions: config.max_sessions, agents, in_place };
                }
            }
        });
    }

    fn greet(&mut self) {
        if self.greeting {
            self.greet_again = true;
            return;
        }
        self.greeting = true;
        let (shared, held_back) = (Arc::clone(&self.shared), self.runner.held_back().clone());
        self.spawn(For::Hello, async move {
            let answer = shared.client.runner_hello(&shared.id, &hello(&shared, &held_back)).await;
            Event::Greeted(answer.map(drop).map_err(|e| failure("say hello to the board", &e)))
        });
    }

    /// What a hello has brought; none while another one has to follow it.
    fn greeted(&mut self, event: Event) -> Option<Event> {
        self.greeting = false;
        if std::mem::take(&mut self.greet_again) {
            self.greet();
            return None;
        }
        if matches!(event, Event::Greeted(Ok(()))) && !self.of.values().any(|f| matches!(f, For::Change)) {
            for done in self.waiting.drain(..) {
                // Whoever has gone away does not wait.
                done.send(()).ok();
            }
        }
        Some(event)
    }

    /// What a finished task has brought.
    fn done(&mut self, done: Result<(Id, Event), JoinError>) -> Option<Event> {
        let (id, event) = match done {
            Ok((id, event)) => (id, Some(event)),
            Err(error) if error.is_cancelled() => {
                self.of.remove(&error.id());
                return None;
            }
            Err(error) => {
                tracing::error!("a task of the runner broke: {error}");
                (error.id(), None)
            }
        };
        let what = self.of.remove(&id);
        if let Some(For::Session(session)) = what {
            self.words.remove(&session);
        }
        let what = what?;
        if matches!(what, For::Hello) {
            return self.greeted(event.unwrap_or(Event::Greeted(Err(Failure::Passing))));
        }
        // Of a session whose task broke the next look finds what is left.
        event.or(match what {
            For::Session(session) => Some(Event::Over(session)),
            // What was changed holds all the same; the next probe brings it to the board.
            For::Hello | For::Change => None,
            For::Poll(number) => Some(Event::Polled(number, Err(Failure::Passing))),
            For::Look => Some(Event::Looked(Err(Failure::Passing))),
        })
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            let shared = Arc::clone(&self.shared);
            match action {
                Action::Hello => self.greet(),
                Action::Poll(poll) => {
                    self.drop_poll();
                    self.poll = Some(self.spawn(For::Poll(poll.number), ask(shared, poll)));
                }
                Action::DropPoll => self.drop_poll(),
                Action::Look { all, skip } => {
                    self.spawn(For::Look, async move { Event::Looked(look::look(&shared, all, skip).await) });
                }
                Action::Start { assignment, token } => {
                    self.begin(assignment.session_id.0, Begin::Claimed(assignment, token));
                }
                Action::TakeUp { order, token } => {
                    self.begin(order.session_id.0, Begin::Ordered(order, token));
                }
                Action::Adopt(open) | Action::CloseNeverStarted(open) => {
                    self.begin(open.session.session_id.0, Begin::Adopted(open));
                }
                Action::EndUnclaimed(id) => self.begin(id, Begin::Unclaimed),
                Action::Tell(id, tell) => {
                    if let Some(words) = self.words.get(&id)
                        && words.try_send(Word::Order(tell)).is_err()
                    {
                        tracing::error!(session_id = %id, "the session's task takes no more orders");
                    }
                }
                Action::Clean(id) => {
                    self.spawn(For::Session(id), clean(shared, id));
                }
                Action::ReportForeign(id) => {
                    let text = format!(
                        "session directory {id} belongs to another board or a newer mozi: it is left alone"
                    );
                    shared.clone().background(async move {
                        shared.notice(RunnerNotice::new("foreign_session", text)).await;
                    });
                }
                Action::Goodbye => self.leaving = true,
            }
        }
    }

    fn begin(&mut self, id: SessionId, begin: Begin) {
        let (words, incoming) = mpsc::channel(WORDS);
        self.words.insert(id, words);
        let life = session::run(Arc::clone(&self.shared), id, begin, incoming);
        self.spawn(For::Session(id), async move {
            life.await;
            Event::Over(id)
        });
    }

    fn spawn(&mut self, what: For, task: impl Future<Output = Event> + Send + 'static) -> AbortHandle {
        let handle = self.tasks.spawn(task);
        self.of.insert(handle.id(), what);
        handle
    }

    fn drop_poll(&mut self) {
        if let Some(poll) = self.poll.take() {
            poll.abort();
        }
    }

    /// What is between a claim and its supervisor is brought to an end; everything else goes on without us.
    async fn leave(&mut self) {
        let starts = Arc::clone(&self.shared.starts);
        if tokio::time::timeout(STARTS_WITHIN, starts.acquire_many(STARTS)).await.is_err() {
            tracing::warn!(
                "some sessions are still being started; the next start of the board looks after them"
            );
        }
        let goodbye = self.shared.client.runner_goodbye(&self.shared.id);
        if !matches!(tokio::time::timeout(GOODBYE_WITHIN, goodbye).await, Ok(Ok(()))) {
            tracing::debug!("the board was not told goodbye");
        }
        self.tasks.shutdown().await;
        self.beside.shutdown().await;
    }
}

async fn ask(shared: Arc<Shared>, poll: Box<Poll>) -> Event {
    let body = PollBody {
        agents: poll.agents.into_iter().map(Into::into).collect(),
        offers: poll
            .offers
            .iter()
            .map(|o| Offer { session_id: o.session_id.into(), token_sha256: o.token_hash().into() })
            .collect(),
        busy_projects: poll.busy_projects.into_iter().map(Into::into).collect(),
        in_place_projects: poll.in_place_projects.into_iter().map(Into::into).collect(),
        known: poll
            .known
            .into_iter()
            .map(|(id, order)| KnownOrder { session_id: id.into(), order: order.into() })
            .collect(),
        wait_seconds: u32::try_from(poll.wait.as_secs()).unwrap_or(0),
    };
    let answer = shared.client.runner_poll(&shared.id, &body).await;
    Event::Polled(poll.number, answer.map_err(|error| failure("ask the board for work", &error)))
}

fn failure(what: &str, error: &ClientError) -> Failure {
    if error.is_passing() {
        tracing::warn!("could not {what}, it is tried again: {error}");
        Failure::Passing
    } else {
        tracing::error!("could not {what}: {error}");
        Failure::Refused
    }
}

async fn first_hello(
    shared: &Shared,
    held_back: &BTreeMap<AgentId, Option<String>>,
) -> Result<String, RunnerError> {
    let body = hello(shared, held_back);
    let mut backoff = Backoff::board();
    loop {
        match shared.client.runner_hello(&shared.id, &body).await {
            Ok(reply) => return Ok(reply.board_id),
            Err(error) if !error.is_passing() && error.problem().is_some() => {
                return Err(RunnerError::NotLetIn(error.to_string()));
            }
            Err(error) => tracing::warn!("could not say hello to the board, it is tried again: {error}"),
        }
        backoff.wait().await;
    }
}

fn hello(shared: &Shared, held_back: &BTreeMap<AgentId, Option<String>>) -> Hello {
    let config = shared.config();
    let agents = config.agents.iter().map(|(id, agent)| HelloAgent {
        id: id.clone().into(),
        runtime: if config.dry_run { "dry-run" } else { agent.runtime.name() }.to_owned(),
        aliases: agent.aliases.clone(),
        roles: agent.roles.iter().map(|role| (*role).into()).collect(),
        max_sessions: agent.max_sessions,
        verdict: match agent.runtime.verdict() {
            Verdict::Report => mozi_core::VerdictMode::Report,
            Verdict::Exit => mozi_core::VerdictMode::Exit,
        }
        .into(),
        timeout_ms: agent.timeout.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
        callback: agent.callback.as_str().to_owned(),
        held_back: held_back.get(id).cloned().flatten(),
    });
    Hello {
        max_sessions: config.max_sessions,
        boot_id: shared.boot_id.clone(),
        pid_namespace: shared.pid_namespace.clone(),
        version: config.version.clone(),
        agents: agents.collect(),
    }
}

/// What stands in the way of each agent now.
async fn probe(shared: &Shared) -> BTreeMap<AgentId, Option<String>> {
    let config = shared.config();
    if let Some(why) = shared.draining().0 {
        return held_back(config.agents.keys().cloned(), &why);
    }
    let mut found = BTreeMap::new();
    for (id, agent) in &config.agents {
        found.insert(id.clone(), runtime::obstacle(&config, agent, &shared.versions).await);
    }
    found
}

async fn keep_probing(shared: Arc<Shared>, tell: mpsc::Sender<Beside>) {
    // Nobody tells when a program is installed or a Gateway comes up.
    loop {
        sleep(PROBE_EVERY).await;
        let (_, of) = shared.draining();
        if tell.send(Beside::Probed(of, probe(&shared).await)).await.is_err() {
            return;
        }
    }
}

/// The projects whose own folder is worked in.
fn in_place(config: &RunnerConfig) -> BTreeSet<ProjectId> {
    let all = config.projects.iter().filter(|(_, project)| workspace::in_place(Some(project)).is_some());
    all.map(|(id, _)| id.clone()).collect()
}

/// Takes leave of supervisors that have ended, so that no zombie stays.
struct Reaper {
    incoming: mpsc::Receiver<Child>,
    children: Vec<Child>,
}

impl Reaper {
    async fn reap(&mut self) {
        let Ok(mut signals) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child()) else {
            tracing::error!("could not watch for ended supervisors");
            return;
        };
        loop {
            self.children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
            tokio::select! {
                child = self.incoming.recv() => match child {
                    Some(child) => self.children.push(child),
                    None => return,
                },
                _ = signals.recv() => {}
            }
        }
    }
}

/// Removes what is left of an ended session, however often it has to be tried.
async fn clean(shared: Arc<Shared>, id: SessionId) -> Event {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(5));
    loop {
        let dir = shared.dir(id);
        let root = shared.config().workspaces_dir();
        let removed = shared.blocking(move || {
            let workspace = dir.read_spec().ok().map(|spec| spec.cwd);
            match dir.remove() {
                Ok(()) => {}
                Err(Error::NotEnded { .. }) if !dir.path().exists() => {}
                Err(error) => return Err(error),
            }
            if let Some(path) = workspace {
                workspace::remove_if_unused(&root, &path);
            }
            Ok(())
        });
        match removed.await {
            None => return Event::Over(id),
            Some(Ok(())) => break,
            Some(Err(error)) => tracing::warn!(session_id = %id, "could not {error}"),
        }
        backoff.wait().await;
    }
    let note = mozi_api::runner::SessionNote {
        note: mozi_api::runner::NoteKind::Cleaned.into(),
        by: None,
        detail: None,
    };
    let call = || shared.client.runner_note(&shared.id, id, &note);
    if let crate::shared::Decided::Refused(error) =
        crate::shared::until_decided("tell of a cleaned session", call).await
    {
        tracing::warn!(session_id = %id, "the board does not take it that the session is cleaned up: {error}");
    }
    Event::Over(id)
}

fn system(what: &str, error: &dyn std::fmt::Display) -> RunnerError {
    RunnerError::System(format!("{what}: {error}"))
}

fn make_folders(config: &RunnerConfig) -> Result<(), RunnerError> {
    use std::os::unix::fs::DirBuilderExt;
    for dir in [config.sessions_dir(), config.workspaces_dir()] {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(FileError::at("make", &dir))?;
    }
    crate::link::renew(&config.exe, &config.mozi_link)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn driver(reaped: mpsc::Receiver<Child>) -> Driver {
        let board = tower::service_fn(|_request: http::Request<mozi_api::transport::Body>| async {
            Ok::<_, Infallible>(http::Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
        });
        let client = Client::over(mozi_api::Transport::in_process(board), None).unwrap();
        let config = RunnerConfig {
            id: "local".parse().unwrap(),
            data_dir: "/".into(),
            config_dir: "/".into(),
            max_sessions: 1,
            agents: BTreeMap::new(),
            projects: BTreeMap::new(),
            bootstraps: BTreeMap::new(),
            hooks: Vec::new(),
            agent_url: String::new(),
            exe: "/proc/self/exe".into(),
            mozi_link: "/".into(),
            base_env: Vec::new(),
            dry_run: false,
            version: String::new(),
        };
        let (reaper, _) = mpsc::channel(1);
        let shared = Shared::new(config, client, String::new(), String::new(), String::new(), reaper);
        Driver::new(Arc::new(shared), Runner::new(1, [], [], || None), reaped)
    }

    #[tokio::test]
    async fn what_goes_on_beside_is_taken_up_anew_when_it_breaks() {
        let (reaper, children) = mpsc::channel(1);
        let mut driver = driver(children);
        assert_eq!(driver.parts.len(), 2);
        driver.beside.abort_all();
        for _ in 0..2 {
            let ended = driver.beside.join_next_with_id().await.unwrap();
            driver.part_ended(ended);
        }
        assert_eq!(driver.parts.len(), 2);
        #[expect(clippy::disallowed_methods, reason = "a child to be reaped")]
        let child = std::process::Command::new("true").spawn().unwrap();
        let stat = format!("/proc/{}/stat", child.id());
        reaper.send(child).await.unwrap();
        mozi_testing::wait_until(Duration::from_secs(20), "the child is reaped", async || {
            !std::path::Path::new(&stat).exists()
        })
        .await;
    }
}
