//! `mozi serve`: one process with the board and the runner of this machine.
//!
//! It listens first and recovers in the background. When it ends, agents stay at work; the next start takes them up.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mozi_api::{Client, Transport};
use mozi_board::{Board, BoardConfig, Clock, Limits};
use mozi_core::{AgentId, RunnerId};
use mozi_runner::RunnerConfig;
use mozi_store::{OpenError, Store};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    cli::ServeArgs,
    config::{Config, env},
    context::ServerFile,
    error::{Failure, Result, plain},
    house::keeper::{Door, Keeper},
    output::note,
};

mod first;
pub(crate) mod lock;
mod log;
pub(crate) mod manager;
mod notify;
mod signals;
mod socket;
mod steering;
use notify::Notify;
pub(crate) use signals::{Heard, Signals};
use steering::Steering;
pub(crate) use steering::lines as reloaded_lines;

/// Logs warnings only.
pub(crate) fn quiet_log() {
    log::start(crate::cli::LogFormat::Text);
}

/// Whether other users of the machine may read or write it.
pub(crate) fn is_open_to_others(file: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let (group, other) = (file.permissions().mode() >> 3 & 0o7, file.permissions().mode() & 0o7);
    group != 0 || other != 0
}

mod port;
mod tls;

/// So long the word that all is ready waits for the runner.
const RUNNER_WITHIN: Duration = Duration::from_secs(10);

/// What a server is started with.
pub(crate) struct Start {
    pub data: PathBuf,
    pub config: Config,
    /// The file that the command line named.
    pub named: Option<PathBuf>,
    pub listen: SocketAddr,
    pub dry_run: bool,
}

/// A board and its runner at work.
pub(crate) struct Server {
    /// Where people find it.
    pub url: String,
    /// The first token.
    pub token: String,
    runner: RunnerConfig,
    store: Store,
    stop: watch::Sender<bool>,
    parts: JoinSet<Result<()>>,
    word: PathBuf,
    steering: Arc<Steering>,
    _lock: lock::DataLock,
}

/// `mozi serve`
pub(crate) async fn run(args: ServeArgs) -> Result<()> {
    if args.detached {
        // A group and a session of its own: no terminal can end it.
        rustix::process::setsid().map_err(|e| Failure::new(format!("could not leave the terminal: {e}")))?;
    }
    log::start(log::format(args.log_format)?);
    let notify = Notify::from_env();
    // Before anything is there that a signal could interrupt.
    let mut signals = Signals::new()?;
    let config = Config::load(args.config.as_deref())?;
    let data = data_dir(args.data)?;
    let listen = args.listen.unwrap_or(config.server.listen);
    let agents = config.agents.len();
    let has_file = config.file.clone();
    let mut server =
        start(Start { data: data.clone(), config, named: args.config, listen, dry_run: args.dry_run })
            .await?;
    tokio::select! {
        () = runner_is_there(server.store.clone()) => {}
        ended = server.ended() => return server.stop().await.and(ended),
        () = signals.next() => return server.stop().await,
    }
    let out = crate::output::Out::new(false);
    let dry = if args.dry_run { "  (dry run: nothing is started)" } else { "" };
    let names: Vec<&str> = server.runner.agents.keys().map(AgentId::as_str).collect();
    let names = if agents == 0 { "none".to_owned() } else { names.join(", ") };
    out.line(format!("mozi is ready at {}  data: {}  agents: {names}{dry}", server.url, data.display()))?;
    notify.ready(&format!("ready at {}, agents: {names}", server.url));
    if signals.on_a_terminal() {
        note(
            "closing this terminal ends the board, not the agents: they go on, and the next start takes them up",
        );
    }
    if agents == 0 {
        let file = has_file.or_else(env::config_file);
        let file = file.map_or_else(|| "mozi.toml".to_owned(), |f| f.display().to_string());
        note(format!("no agents are declared in {file}: `mozi init` writes it with those of this machine"));
    }
    if let Some(mark) = env::agent_mark() {
        note(format!(
            "{mark} is set: this runs inside another agent's shell; its marks are kept from Mozi's agents"
        ));
    }
    let (runner, steering) = (server.runner.clone(), Arc::clone(&server.steering));
    let obstacles = mozi_runner::probe::obstacles(&runner);
    let mut ended = tokio::select! {
        () = async {
            let danger = tokio::task::spawn_blocking(|| manager::danger(std::process::id())).await;
            if let Ok(Some(danger)) = danger {
                note(format!("WARNING: {}\n         {}", danger.what, danger.way_out));
            }
            for (agent, why) in obstacles.await {
                if let Some(why) = why {
                    note(format!("agent {agent} is held back: {why}"));
                }
            }
            std::future::pending::<()>().await;
        } => Ok(()),
        ended = server.ended() => ended,
        () = steered(&mut signals, &steering, &notify) => {
            note("stopping: agents at work go on, and the next start takes them up");
            Ok(())
        }
    };
    notify.stopping();
    tokio::select! {
        stopped = server.stop() => ended = ended.and(stopped),
        // Whoever says it twice does not want to wait.
        () = signals.next() => {}
    }
    ended
}

/// Obeys signals until one asks for an end.
async fn steered(signals: &mut Signals, steering: &Steering, notify: &Notify) {
    while signals.heard().await == Heard::Reload {
        notify.reloading();
        let read = steering.reload_by_signal().await;
        note(steering::told(&read));
        notify.ready(if read.is_ok() {
            "ready, by the configuration as it is now"
        } else {
            "ready, by the configuration of before: it is wrong now"
        });
    }
}

/// The data folder that is meant.
pub(crate) fn data_dir(named: Option<PathBuf>) -> Result<PathBuf> {
    let data = named.or_else(env::data_dir).ok_or_else(|| {
        Failure::new("no data folder is known: neither HOME nor XDG_DATA_HOME is set")
            .hint("name one with --data or MOZI_DATA")
    })?;
    std::path::absolute(&data).map_err(|e| Failure::io("find", &data, &e))
}

/// Starts a board with its runner.
pub(crate) async fn start(start: Start) -> Result<Server> {
    let Start { data, config, named, listen, dry_run } = start;
    config.check_listen(listen)?;
    let tls = config.server.tls.as_ref().map(tls::load).transpose()?;
    let lock = lock::take(&data)?;
    crate::house::restore::is_unfinished(&data)?;
    raise_file_limit();
    let listener = TcpListener::bind(listen).await.map_err(|e| not_listening(listen, &e))?;
    let address = listener.local_addr().map_err(|e| not_listening(listen, &e))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let own_url = format!("{scheme}://{}", reachable(address));
    let public_url = config.server.public_url.clone().unwrap_or_else(|| own_url.clone());
    let fallback = if tls.is_some() { public_url.clone() } else { own_url.clone() };
    let agent_url = config.server.agent_url.clone().unwrap_or(fallback);
    let store = open_store(&data).await?;
    let clock = Clock::system();
    let runner = runner_config(&data, &config, &agent_url, dry_run)?;
    let board_config = BoardConfig {
        data_dir: data.clone(),
        public_url: public_url.clone(),
        agent_url: agent_url.clone(),
        allowed_hosts: config.server.allowed_hosts.clone(),
        listen_hosts: if address.ip().is_unspecified() { Vec::new() } else { vec![address.ip()] },
        prompts_dir: Some(config.dir.join("prompts")),
        default_language: env::language(),
        anonymous: config.server.anonymous,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let files = mozi_runner::session_files(&runner);
    let board = Board::new(store.clone(), board_config, files, clock.clone()).await;
    let board = board.map_err(|e| Failure::new(format!("could not {e}")))?;
    let first = first::Start { store: &store, clock: &clock, data: &data, config: &config };
    let secrets = first.run().await?;
    let router = mozi_board::router(Arc::clone(&board));
    let client = Client::over(Transport::in_process(router.clone()), Some(&secrets.runner));
    let client = client.map_err(|e| crate::context::from_client(&e))?;
    let local = socket::bind(&data)?;
    // Whoever sees that it answers finds it by this file.
    let word = leave_word(&data, &own_url)?;
    let (stop, stopping) = watch::channel(false);
    let mut parts = JoinSet::new();
    let until = |mut stopping: watch::Receiver<bool>| async move {
        // A sender that is gone is a stop too.
        drop(stopping.wait_for(|s| *s).await);
    };
    let (shutdown, of_network, doorkeeper) =
        (until(stopping.clone()), router.clone(), socket::doorkeeper(&secrets.admin));
    parts.spawn(async move {
        let served = mozi_board::serve_local(router, local, doorkeeper, Limits::default(), shutdown).await;
        served.map_err(|e| Failure::new(format!("could not go on listening on mozi.sock: {}", plain(&e))))
    });
    let shutdown = until(stopping.clone());
    parts.spawn(async move {
        let served = mozi_board::serve(of_network, listener, tls, Limits::default(), shutdown).await;
        served.map_err(|e| Failure::new(format!("could not go on listening: {}", plain(&e))))
    });
    let stop_keeping = stopping.clone();
    let shutdown = until(stopping);
    let config_of_runner = runner.clone();
    let (controller, control) = mozi_runner::control();
    parts.spawn(async move {
        let ran = mozi_runner::run(config_of_runner, client, control, shutdown).await;
        ran.map_err(|e| Failure::new(format!("the runner could not go on: {e}")))
    });
    let url = if config.server.public_url.is_some() { public_url } else { own_url };
    let steering = Arc::new(Steering {
        named,
        data,
        agent_url,
        dry_run,
        controller,
        store: store.clone(),
        clock,
        current: watch::Sender::new(Arc::new(config)),
        drained_until: watch::Sender::new(None),
        changing: tokio::sync::Mutex::default(),
    });
    board.set_host(Arc::<Steering>::clone(&steering));
    let keeper =
        Arc::new(Keeper::new(&steering.data, store.clone(), board.blobs(), steering.current.subscribe()));
    board.keep_house(Arc::new(Door(Arc::clone(&keeper))));
    parts.spawn(async move {
        keeper.keep(stop_keeping).await;
        Ok(())
    });
    let (ends, until_stop) = (Arc::clone(&steering).end_draining(), until(stop.subscribe()));
    parts.spawn(async move {
        tokio::select! {
            () = ends => {}
            () = until_stop => {}
        }
        Ok(())
    });
    Ok(Server { url, token: secrets.admin, runner, store, stop, parts, word, steering, _lock: lock })
}

impl Server {
    /// Returns when a part of it has ended by itself, which it should not.
    pub(crate) async fn ended(&mut self) -> Result<()> {
        match self.parts.join_next().await {
            None => Ok(()),
            Some(Ok(Err(failure))) => Err(failure),
            Some(Ok(Ok(()))) => Err(Failure::new("a part of the server has ended by itself")),
            Some(Err(e)) => Err(Failure::new(format!("a part of the server has failed: {e}"))),
        }
    }

    /// Stops listening and lets running requests end. Agents go on.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.stop.send_replace(true);
        let mut all = Ok(());
        while let Some(part) = self.parts.join_next().await {
            match part {
                Ok(ended) => all = all.and(ended),
                Err(e) => {
                    all =
                        all.and_then(|()| Err(Failure::new(format!("a part of the server has failed: {e}"))));
                }
            }
        }
        socket::remove(&self.steering.data);
        match std::fs::remove_file(&self.word) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!("could not remove {}: {}", self.word.display(), plain(&e));
            }
            _ => {}
        }
        all
    }
}

/// Returns when the runner has said which agents there are, or after a while: it may be looking for a long time.
async fn runner_is_there(store: Store) {
    let mut commits = store.subscribe();
    let there = async {
        loop {
            if store.runners().await.is_ok_and(|all| all.iter().any(|r| r.online)) {
                return;
            }
            if commits.changed().await.is_err() {
                return;
            }
        }
    };
    if tokio::time::timeout(RUNNER_WITHIN, there).await.is_err() {
        tracing::info!("the runner is still looking at its agents");
    }
}

/// Where one reaches what listens on this address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn not_listening(listen: SocketAddr, e: &std::io::Error) -> Failure {
    match e.kind() {
        std::io::ErrorKind::AddrInUse => {
            let who = port::holder(listen.port())
                .map_or_else(|| "another program".to_owned(), |(pid, name)| format!("{name} (pid {pid})"));
            Failure::new(format!("could not listen on {listen}: {who} listens there"))
                .hint("stop it, or name another address: mozi serve --listen 127.0.0.1:0 takes a free port")
        }
        std::io::ErrorKind::AddrNotAvailable => {
            Failure::new(format!("could not listen on {listen}: this machine does not have that address"))
        }
        _ => Failure::new(format!("could not listen on {listen}: {}", plain(e))),
    }
}

async fn open_store(data: &Path) -> Result<Store> {
    let id =
        mozi_runner::fresh_key().map_err(|e| Failure::new(format!("could not get random bytes: {e}")))?;
    let (options, data) = (mozi_store::Options::new(data.join("mozi.db"), id), data.to_path_buf());
    let opened = tokio::task::spawn_blocking(move || {
        if let Some(copy) = crate::house::before::a_migration(&data)? {
            note(format!("the database is brought to a newer format; as it was before: {}", copy.display()));
        }
        Ok(Store::open(options))
    });
    let opened = opened.await.map_err(|e| Failure::new(format!("could not open the database: {e}")))?;
    opened?.map_err(|e| {
        let failure = Failure::new(format!("could not {e}"));
        match e {
            OpenError::Corrupt { .. } => failure.hint("restore the data folder from a backup"),
            OpenError::Io { .. } => failure.hint("--data or MOZI_DATA names another folder"),
            OpenError::Newer { .. } | OpenError::Older { .. } | OpenError::Sql { .. } => failure,
        }
    })
}

/// The runner of this machine as mozi.toml says.
pub(crate) fn runner_config(
    data: &Path,
    config: &Config,
    agent_url: &str,
    dry_run: bool,
) -> Result<RunnerConfig> {
    let id: RunnerId = "local".parse().map_err(|e| Failure::new(format!("{e}")))?;
    Ok(RunnerConfig {
        id,
        data_dir: data.to_path_buf(),
        config_dir: config.dir.clone(),
        max_sessions: config.max_sessions,
        agents: config.agents.clone(),
        projects: config.projects.clone(),
        bootstraps: config.bootstraps.clone(),
        hooks: config.hooks.clone(),
        agent_url: agent_url.to_owned(),
        exe: PathBuf::from("/proc/self/exe"),
        mozi_link: data.join("bin").join("mozi"),
        base_env: env::for_agents(),
        dry_run,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Tells the command line of this machine where the board is.
fn leave_word(data: &Path, url: &str) -> Result<PathBuf> {
    let file = ServerFile {
        url: url.to_owned(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let path = ServerFile::path(data);
    let text = serde_json::to_vec(&file).map_err(|e| Failure::new(format!("could not write JSON: {e}")))?;
    mozi_supervise::durable_write(&path, &text).map_err(|e| Failure::new(format!("could not {e}")))?;
    Ok(path)
}

/// Thousands may watch: as many files as the system allows without asking.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wanted = now.maximum.map_or(65_536, |m| m.min(65_536));
    if now.current.is_some_and(|c| c < wanted) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum });
        if let Err(e) = raised {
            tracing::debug!("could not raise the limit of open files: {e}");
        }
    }
}
