//! How a running server is told something else: another configuration, or to claim nothing for a while.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mozi_api::server::{ConfigMistake, Reloaded};
use mozi_board::{Clock, Host, Unreadable};
use mozi_core::{
    Command, Request,
    command::{ConfigRead, Credential},
};
use mozi_runner::Controller;
use mozi_store::Store;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{first, runner_config, tls};
use crate::{
    config::{Config, Mistake, Unread, env},
    error::Failure,
};

/// So long a change waits for the runner to have told the board.
const RUNNER_WITHIN: Duration = Duration::from_secs(20);

const DRAINING: &str = "the board is about to be stopped, nothing is started any more";

/// What a running server goes by.
pub(super) struct Steering {
    /// The file that the command line named.
    pub(super) named: Option<PathBuf>,
    pub(super) data: PathBuf,
    pub(super) agent_url: String,
    pub(super) dry_run: bool,
    pub(super) controller: Controller,
    pub(super) store: Store,
    pub(super) clock: Clock,
    /// The configuration that holds; with `[server]` as it was at the start.
    pub(super) current: watch::Sender<Arc<Config>>,
    /// When draining ends, if it is going on.
    pub(super) drained_until: watch::Sender<Option<Instant>>,
    /// One change at a time.
    pub(super) changing: Mutex<()>,
}

impl Steering {
    /// Reads the configuration again because a signal says so, and tells everybody what came of it.
    pub(super) async fn reload_by_signal(&self) -> Result<Reloaded, Unreadable> {
        let read = self.take_up().await;
        let told = match &read {
            Ok(reloaded) => reloaded.clone().into_read(),
            Err(why) => ConfigRead::Refused { text: why.text.clone() },
        };
        let (now, seed) = (self.clock.now(), self.clock.seed());
        let (credential, via) = (Credential::Board, Some("signal".to_owned()));
        let request = Request { credential, via, now, seed, command: Command::ConfigRead(told) };
        if let Err(e) = self.store.submit(request, None).await {
            tracing::warn!("could not tell the board of the configuration: {e}");
        }
        read
    }

    async fn take_up(&self) -> Result<Reloaded, Unreadable> {
        let _one_at_a_time = self.changing.lock().await;
        let old = Arc::clone(&self.current.borrow());
        let (named, before) = (self.named.clone(), Arc::clone(&old));
        let read = tokio::task::spawn_blocking(move || read(named.as_deref(), &before)).await;
        let mut new = match read {
            Ok(read) => read?,
            Err(e) => return Err(unreadable(format!("could not read the configuration: {e}"))),
        };
        let difference = old.difference(&new);
        let file = new.file.clone().map_or_else(String::new, |f| f.display().to_string());
        // It is compared with what holds, now and at the next reload.
        new.server = old.server.clone();
        self.go_by(&new).await.map_err(|e| unreadable(e.what))?;
        self.current.send_replace(Arc::new(new));
        Ok(Reloaded {
            file,
            added: difference.added,
            removed: difference.removed,
            changed: difference.changed,
            needs_restart: difference.needs_restart,
        })
    }

    async fn go_by(&self, config: &Config) -> Result<(), Failure> {
        let runner = runner_config(&self.data, config, &self.agent_url, self.dry_run)?;
        let first = first::Start { store: &self.store, clock: &self.clock, data: &self.data, config };
        first.projects().await?;
        match timeout(RUNNER_WITHIN, self.controller.reconfigure(runner)).await {
            Ok(true) => {}
            Ok(false) => return Err(Failure::new("the runner is not there")),
            // It has it, but is still looking at the agents.
            Err(_) => tracing::warn!("the board does not know the new agents yet: they are being looked at"),
        }
        Ok(())
    }

    /// Ends draining when nobody has asked for it to go on.
    pub(super) async fn end_draining(self: Arc<Self>) {
        let mut until = self.drained_until.subscribe();
        loop {
            let end = *until.borrow_and_update();
            let over = async {
                match end {
                    Some(end) => sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = until.changed() => if changed.is_err() { return },
                () = over => {
                    tracing::info!("nobody waits for the sessions to end any more: tasks are claimed again");
                    self.drained_until.send_replace(None);
                    self.controller.drain(None).await;
                }
            }
        }
    }
}

impl Host for Steering {
    fn config_file(&self) -> String {
        let file = self.current.borrow().file.clone();
        file.map_or_else(String::new, |f| f.display().to_string())
    }

    fn reload(&self) -> mozi_api::BoxFuture<'_, Result<Reloaded, Unreadable>> {
        Box::pin(self.take_up())
    }

    fn drain(&self, span: Duration) -> mozi_api::BoxFuture<'_, bool> {
        Box::pin(async move {
            let end = (!span.is_zero()).then(|| Instant::now() + span);
            let before = self.drained_until.send_replace(end);
            if before.is_some() == end.is_some() {
                return true;
            }
            let why = end.map(|_| DRAINING.to_owned());
            timeout(RUNNER_WITHIN, self.controller.drain(why)).await.unwrap_or(false)
        })
    }
}

/// The file as it is now, if the server could be started with it.
fn read(named: Option<&Path>, old: &Config) -> Result<Config, Unreadable> {
    let new = match Config::read(named) {
        Ok(new) => new,
        Err(Unread::Mistakes(mistakes)) => return Err(wrong(&mistakes)),
        Err(Unread::Failed(failure)) => return Err(unreadable(failure.what.clone())),
    };
    // An editor that is just writing it anew, or a mistake: hardly the wish to have no agents.
    if let (Some(file), None) = (&old.file, &new.file) {
        return Err(unreadable(format!("{} is not there any more", file.display())));
    }
    let whole = |failure: Failure| {
        let line = new.lines.of("server.listen").and_then(|l| u64::try_from(l).ok());
        let mistakes = vec![ConfigMistake { line, column: None, text: failure.what.clone() }];
        Unreadable { text: failure.what, mistakes }
    };
    new.check_listen(new.server.listen).map_err(whole)?;
    if let Some(tls) = &new.server.tls {
        tls::load(tls).map_err(whole)?;
    }
    Ok(new)
}

fn unreadable(text: String) -> Unreadable {
    let mistakes = vec![ConfigMistake { line: None, column: None, text: text.clone() }];
    Unreadable { text, mistakes }
}

fn wrong(mistakes: &[Mistake]) -> Unreadable {
    let number = |n: usize| u64::try_from(n).ok();
    Unreadable {
        text: crate::config::refused(mistakes).what,
        mistakes: mistakes
            .iter()
            .map(|m| ConfigMistake { line: number(m.line), column: number(m.column), text: m.text.clone() })
            .collect(),
    }
}

/// What came of a reload, for the log.
pub(super) fn told(read: &Result<Reloaded, Unreadable>) -> String {
    match read {
        Ok(reloaded) => lines(reloaded).join("\n"),
        Err(why) => format!("{}\nnothing of it is taken: the board goes on as before", why.text),
    }
}

/// What a reload has changed, in sentences.
pub(crate) fn lines(reloaded: &Reloaded) -> Vec<String> {
    let Reloaded { file, added, removed, changed, needs_restart } = reloaded;
    let mut lines = Vec::new();
    let mut tell = |what: &str, keys: &[String]| {
        if !keys.is_empty() {
            lines.push(format!("{what}: {}", keys.join(", ")));
        }
    };
    tell("new", added);
    tell("gone (what runs of it runs to its end)", removed);
    tell("changed, for what starts from now on", changed);
    tell("needs a restart", needs_restart);
    let head = if lines.is_empty() { "is read again: nothing is different" } else { "is taken up" };
    let file = if file.is_empty() {
        env::config_file().map_or_else(String::new, |f| f.display().to_string())
    } else {
        file.clone()
    };
    lines.insert(0, format!("{file} {head}"));
    lines
}
