//! What all tasks of a runner share.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use mozi_api::runner::RunnerNotice;
use mozi_api::{Client, ClientError};
use mozi_core::{AgentId, ProjectId, RunnerId, SessionId};
use mozi_supervise::SessionDir;
use tokio::sync::{OwnedMutexGuard, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::{AgentConfig, RunnerConfig};
use crate::control::Change;
use crate::runtime::openclaw::Versions;
use crate::workspace;

/// So many blocking calls run at once; more wait.
const BLOCKING: usize = 32;
/// So many small things go on in the background.
const BACKGROUND: usize = 256;
/// So many starts at once, of which a shutdown waits for the end.
pub(crate) const STARTS: u32 = 1024;

/// What all tasks share.
pub(crate) struct Shared {
    /// The runner's own id.
    pub(crate) id: RunnerId,
    current: RwLock<Current>,
    pub(crate) client: Client,
    /// The board's own id, from its answer to the hello.
    pub(crate) board_id: String,
    pub(crate) boot_id: String,
    pub(crate) pid_namespace: String,
    pub(crate) versions: Versions,
    /// Supervisors that we have spawned, to be reaped.
    pub(crate) reaper: mpsc::Sender<std::process::Child>,
    /// Held by every start between its claim and its supervisor.
    pub(crate) starts: Arc<Semaphore>,
    /// Rings when the runner goes by something else.
    pub(crate) changes: watch::Sender<u64>,
    blocking: Semaphore,
    /// Small things that nobody waits for.
    background: Mutex<JoinSet<()>>,
    places: Mutex<HashMap<ProjectId, Arc<tokio::sync::Mutex<()>>>>,
}

/// What the runner goes by at the moment.
struct Current {
    config: Arc<RunnerConfig>,
    /// Agents that a reload has taken away. What was claimed for them is brought to its end.
    retired: BTreeMap<AgentId, AgentConfig>,
    /// Why nothing is to be started, if nothing is.
    draining: Option<Arc<str>>,
    /// How often this has changed.
    generation: u64,
}

impl Shared {
    pub(crate) fn new(
        config: RunnerConfig,
        client: Client,
        board_id: String,
        boot_id: String,
        pid_namespace: String,
        reaper: mpsc::Sender<std::process::Child>,
    ) -> Self {
        let id = config.id.clone();
        let (config, retired) = (Arc::new(config), BTreeMap::new());
        Self {
            id,
            current: RwLock::new(Current { config, retired, draining: None, generation: 0 }),
            client,
            board_id,
            boot_id,
            pid_namespace,
            versions: Versions::default(),
            reaper,
            starts: Arc::new(Semaphore::new(usize::try_from(STARTS).unwrap_or(1))),
            changes: watch::Sender::new(0),
            blocking: Semaphore::new(BLOCKING),
            background: Mutex::default(),
            places: Mutex::default(),
        }
    }

    /// What the runner goes by now. Whoever needs several values of it takes it once.
    pub(crate) fn config(&self) -> Arc<RunnerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// An agent, also one that was taken out of the configuration since it was claimed for.
    pub(crate) fn agent(&self, id: &AgentId) -> Option<AgentConfig> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.config.agents.get(id).or_else(|| current.retired.get(id)).cloned()
    }

    /// Why nothing is to be started, if nothing is; and how often all this has changed.
    pub(crate) fn draining(&self) -> (Option<Arc<str>>, u64) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        (current.draining.clone(), current.generation)
    }

    /// Goes by something else from here on.
    pub(crate) fn change(&self, change: Change) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.generation += 1;
        let generation = current.generation;
        match change {
            Change::Drain(why) => current.draining = why.map(Into::into),
            Change::Config(new) => {
                let old = Arc::clone(&current.config);
                current.retired.extend(old.agents.iter().map(|(id, a)| (id.clone(), a.clone())));
                current.retired.retain(|id, _| !new.agents.contains_key(id));
                // The rest is fixed as long as the runner lives: it stands in places that were handed out.
                current.config = Arc::new(RunnerConfig {
                    max_sessions: new.max_sessions,
                    agents: new.agents,
                    projects: new.projects,
                    bootstraps: new.bootstraps,
                    hooks: new.hooks,
                    ..(*old).clone()
                });
            }
        }
        drop(current);
        self.changes.send_replace(generation);
    }

    pub(crate) fn dir(&self, id: SessionId) -> SessionDir {
        SessionDir::at(self.config().sessions_dir().join(id.to_string()))
    }

    /// Runs what waits for disks, locks or `/proc` on a thread for that; none if it panicked.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _permit = self.blocking.acquire().await.ok()?;
        match tokio::task::spawn_blocking(work).await {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::error!("a task of the runner broke: {error}");
                None
            }
        }
    }

    /// Does something small that nobody waits for; beyond a number of such things it is left out.
    pub(crate) fn background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Ok(mut tasks) = self.background.lock() else { return };
        while let Some(done) = tasks.try_join_next() {
            if let Err(error) = done {
                tracing::error!("a task of the runner broke: {error}");
            }
        }
        if tasks.len() < BACKGROUND {
            tasks.spawn(work);
        }
    }

    /// The project's own folder, if sessions work in it: held until the guard goes.
    pub(crate) async fn place(&self, project: Option<&ProjectId>) -> Option<OwnedMutexGuard<()>> {
        let id = project?;
        workspace::in_place(self.config().projects.get(id))?;
        let place = {
            let mut places = self.places.lock().ok()?;
            Arc::clone(places.entry(id.clone()).or_default())
        };
        Some(place.lock_owned().await)
    }

    /// Tells people, if the board can be reached: a notice is never worth waiting for.
    pub(crate) async fn notice(&self, notice: RunnerNotice) {
        tracing::warn!(code = notice.code, "{}", notice.text);
        if let Err(error) = self.client.runner_notice(&self.id, &notice).await {
            tracing::warn!("could not tell the board of it: {error}");
        }
    }
}

/// Growing pauses between tries.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, most: Duration) -> Self {
        Self { next: first, most }
    }

    /// For calls of the board.
    pub(crate) const fn board() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(5))
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (self.next * 2).min(self.most);
        pause
    }

    pub(crate) async fn wait(&mut self) {
        let pause = self.next();
        sleep(pause).await;
    }
}

/// The one place where the runner lets time pass: pauses between tries of what tells nobody when it would work.
pub(crate) async fn sleep(pause: Duration) {
    tokio::time::sleep_until(Instant::now() + pause).await;
}

/// What came of a call that is repeated until the board has decided.
pub(crate) enum Decided<T> {
    Done(T),
    /// It will not, however often it is asked.
    Refused(ClientError),
}

/// Repeats a call until the board has carried it out or refused it.
pub(crate) async fn until_decided<T, F>(what: &str, mut call: impl FnMut() -> F) -> Decided<T>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let mut backoff = Backoff::board();
    let mut told = false;
    loop {
        let error = match call().await {
            Ok(value) => return Decided::Done(value),
            Err(error) => error,
        };
        let final_word = error.problem().is_some() && !error.is_passing();
        if final_word || matches!(error, ClientError::Unusable(_)) {
            return Decided::Refused(error);
        }
        if !told {
            tracing::warn!("could not {what}, it is tried again: {error}");
            told = true;
        }
        backoff.wait().await;
    }
}
