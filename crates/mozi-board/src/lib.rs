//! The board over HTTP: rights, prompts, events.
//!
//! Nothing is decided here. A request becomes a command, the store decides and writes it, the answer goes back: the
//! routes translate, refuse what is malformed, and look at rights only where something is read.

mod access;
mod address;
mod archive;
mod auth;
mod call;
mod clock;
mod dismiss;
mod docs;
mod due;
mod error;
mod fanout;
mod files;
mod host;
mod house;
mod late;
mod local;
mod mask;
mod openapi;
pub mod prompt;
mod rest;
mod routes;
mod secret;
mod seen;
mod serve;
mod task;

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use mozi_api::SessionFiles;
use mozi_core::{Command, Request, command::Credential, project::Language};
use mozi_store::{ReadError, Store, SubmitError};
use tokio::sync::{Semaphore, watch};

pub use archive::is_tar;
pub use auth::{Access, AttemptAccess, Decided, RunnerAccess};
pub use clock::{Clock, hash_token, hex, new_secret};
pub use files::{BlobError, Blobs, Unnamed};
pub use host::{Host, Unreadable};
pub use house::{Backup, House, HouseError, Made};
pub use local::{Doorkeeper, Peer, Sign};
pub use openapi::openapi_json;
pub use routes::{declared, router};
pub use serve::{Limits, serve, serve_local};

/// What a board is told when it is made.
#[derive(Debug, Clone)]
pub struct BoardConfig {
    /// Where blobs are kept.
    pub data_dir: PathBuf,
    /// Where people find it.
    pub public_url: String,
    /// What agents are told.
    pub agent_url: String,
    /// Names under which it may be asked, beside loopback and that of `public_url`.
    pub allowed_hosts: Vec<String>,
    /// Addresses that it listens on, beside loopback: it may be asked under them.
    pub listen_hosts: Vec<IpAddr>,
    /// The folder of the projects' own prompt templates.
    pub prompts_dir: Option<PathBuf>,
    /// The language of projects that name none.
    pub default_language: Language,
    /// The contract's calls are taken without a token from the agent at work at the task.
    pub anonymous: bool,
    /// The program's version.
    pub version: String,
}

/// Why a board could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// Its folder of blobs.
    #[error("open the folder of outputs: {0}")]
    Blobs(#[from] BlobError),
    /// What it keeps to itself.
    #[error("keep the board's secret in {path}: {source}", path = .path.display())]
    Secret {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Its store.
    #[error("begin: {0}")]
    Submit(#[from] SubmitError),
    /// Its store.
    #[error("begin: {0}")]
    Read(#[from] ReadError),
}

/// A board at work.
pub struct Board {
    pub(crate) store: Store,
    pub(crate) config: BoardConfig,
    pub(crate) clock: Clock,
    pub(crate) files: Arc<dyn SessionFiles>,
    pub(crate) hosts: auth::Hosts,
    pub(crate) blobs: files::Blobs,
    /// The process around it, once it is there.
    pub(crate) host: OnceLock<Arc<dyn Host>>,
    pub(crate) house: OnceLock<Arc<dyn House>>,
    pub(crate) fanout: fanout::Fanout,
    pub(crate) secret: secret::Secret,
    /// Rings when a credential may be worth nothing any more.
    pub(crate) dismissals: dismiss::Dismissals,
    pub(crate) seen: seen::Seen,
    /// Rings when a time has come.
    pub(crate) due: watch::Receiver<u64>,
    /// Large bodies at once: each may be held in memory whole.
    pub(crate) large_bodies: Semaphore,
    _due: task::Running,
    _rest: task::Running,
}

impl Board {
    /// Its blobs.
    pub fn blobs(&self) -> Blobs {
        self.blobs.clone()
    }

    /// From now on this one keeps its house: the first that is named.
    pub fn keep_house(&self, house: Arc<dyn House>) {
        drop(self.house.set(house));
    }

    /// A board over a store. What was online before is not any more: runners have to say hello.
    ///
    /// # Errors
    /// When its folder cannot be made or the store does not answer.
    pub async fn new(
        store: Store,
        config: BoardConfig,
        files: Arc<dyn SessionFiles>,
        clock: Clock,
    ) -> Result<Arc<Self>, BoardError> {
        let blobs = files::Blobs::open(&config.data_dir)?;
        let secret = secret::Secret::open(&config.data_dir)?;
        let (now, seed) = (clock.now(), clock.seed());
        let started =
            Request { credential: Credential::Board, via: None, now, seed, command: Command::BoardStarted };
        store.submit(started, None).await?;
        // "Every address" is none by which anybody asks.
        let named = config.listen_hosts.iter().filter(|ip| !ip.is_unspecified());
        let listening = named.map(ToString::to_string);
        let allowed: Vec<String> = config.allowed_hosts.iter().cloned().chain(listening).collect();
        let hosts = auth::Hosts::new([config.public_url.as_str(), config.agent_url.as_str()], &allowed);
        let fanout = fanout::Fanout::start(store.clone(), store.last_seq().await?);
        let (bell, due) = watch::channel(0);
        let running = task::Running::spawn("due times", due::run(store.clone(), clock.clone(), bell));
        let looking = rest::run(store.clone(), clock.clone(), store.subscribe_hints());
        let rest = task::Running::spawn("rest", looking);
        Ok(Arc::new(Self {
            store,
            config,
            clock,
            files,
            hosts,
            blobs,
            host: OnceLock::new(),
            house: OnceLock::new(),
            fanout,
            secret,
            dismissals: dismiss::Dismissals::new(),
            seen: seen::Seen::default(),
            due,
            large_bodies: Semaphore::new(2),
            _due: running,
            _rest: rest,
        }))
    }

    /// The process around the board is there: it can be asked from now on. The first one stays.
    pub fn set_host(&self, host: Arc<dyn Host>) {
        // A second one is nobody's mistake: there is one process.
        drop(self.host.set(host));
    }
}
