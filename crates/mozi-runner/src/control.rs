//! What a running runner is told by the program around it: another configuration, and to claim nothing more.

use mozi_core::AgentId;
use tokio::sync::{mpsc, oneshot};

use crate::config::RunnerConfig;

/// Words that wait for the runner.
const WORDS: usize = 8;

/// The hand that tells.
#[derive(Debug, Clone)]
pub struct Controller(mpsc::Sender<Told>);

/// The ear of a runner.
#[derive(Debug)]
pub struct Control(mpsc::Receiver<Told>);

/// A change, and whom to tell that the board knows of it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) change: Change,
    pub(crate) done: oneshot::Sender<()>,
}

#[derive(Debug)]
pub(crate) enum Change {
    Config(Box<RunnerConfig>),
    Drain(Option<String>),
}

/// A hand, and the ear that it speaks to.
pub fn control() -> (Controller, Control) {
    let (tell, told) = mpsc::channel(WORDS);
    (Controller(tell), Control(told))
}

impl Controller {
    /// From here on the runner goes by `config`: its agents, projects, bootstraps, hooks and number of sessions. What
    /// already runs keeps what it was started with. Folders, addresses and programs of the runner stay as they were.
    ///
    /// Returns when the board knows the agents; false when the runner is not there any more.
    pub async fn reconfigure(&self, config: RunnerConfig) -> bool {
        self.tell(Change::Config(Box::new(config))).await
    }

    /// Claims and starts nothing while there is a reason; none ends that. What runs goes on.
    ///
    /// Returns when the board knows; false when the runner is not there any more.
    pub async fn drain(&self, why: Option<String>) -> bool {
        self.tell(Change::Drain(why)).await
    }

    async fn tell(&self, change: Change) -> bool {
        let (done, told) = oneshot::channel();
        self.0.send(Told { change, done }).await.is_ok() && told.await.is_ok()
    }
}

impl Control {
    /// The next word; never, when nobody can speak any more.
    pub(crate) async fn next(&mut self) -> Told {
        match self.0.recv().await {
            Some(told) => told,
            None => std::future::pending().await,
        }
    }
}

/// What stands in the way of every agent while nothing is to be started.
pub(crate) fn held_back(
    agents: impl IntoIterator<Item = AgentId>,
    why: &str,
) -> std::collections::BTreeMap<AgentId, Option<String>> {
    agents.into_iter().map(|id| (id, Some(why.to_owned()))).collect()
}
