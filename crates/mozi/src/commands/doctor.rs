//! `mozi doctor`: what is wrong, and the way out of each.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use mozi_board::Clock;
use mozi_store::Store;
use serde::Serialize;

use crate::{
    config::{Config, env},
    context::{ServerFile, token_file},
    error::{Exit, Failure, Result, plain},
    output::{Out, Paint},
    serve::{data_dir, lock, runner_config},
};

mod outputs;

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Ok,
    Note,
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
struct Finding {
    check: &'static str,
    level: Level,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    way_out: Option<String>,
}

/// Everything that was found.
#[derive(Debug, Default, Serialize)]
struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, check: &'static str, level: Level, text: impl Into<String>, way_out: Option<&str>) {
        self.findings.push(Finding { check, level, text: text.into(), way_out: way_out.map(str::to_owned) });
    }
    fn ok(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, Level::Ok, text, None);
    }
    fn note(&mut self, check: &'static str, text: impl Into<String>, way_out: &str) {
        self.add(check, Level::Note, text, Some(way_out));
    }
    fn wrong(&mut self, check: &'static str, text: impl Into<String>, way_out: &str) {
        self.add(check, Level::Wrong, text, Some(way_out));
    }
}

pub(crate) async fn run(
    out: Out,
    data: Option<PathBuf>,
    config: Option<&Path>,
    all_outputs: bool,
) -> Result<()> {
    let mut report = Report::default();
    let data = data_dir(data)?;
    let config = configuration(&mut report, config);
    if folder(&mut report, &data) {
        secrets(&mut report, &data);
        exclusion(&mut report, &data);
        database(&mut report, &data, all_outputs).await;
        server(&mut report, &data);
    }
    if let Some(config) = &config {
        agents(&mut report, &data, config).await?;
    }
    surroundings(&mut report);
    let wrong = report.findings.iter().filter(|f| f.level == Level::Wrong).count();
    if out.json() {
        out.value(&report)?;
    } else {
        for f in &report.findings {
            let (paint, mark) = match f.level {
                Level::Ok => (Paint::Good, "ok   "),
                Level::Note => (Paint::Wait, "note "),
                Level::Wrong => (Paint::Bad, "wrong"),
            };
            out.line(format!("{}  {:<9} {}", out.paint(paint, mark), f.check, f.text))?;
            if let Some(way) = &f.way_out {
                out.line(out.paint(Paint::Dim, &format!("                 {way}")))?;
            }
        }
        out.line(match wrong {
            0 => "nothing is wrong".to_owned(),
            1 => "one thing is wrong".to_owned(),
            n => format!("{n} things are wrong"),
        })?;
    }
    if wrong == 0 { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
}

fn configuration(report: &mut Report, named: Option<&Path>) -> Option<Config> {
    match Config::load(named) {
        Ok(config) => {
            match &config.file {
                Some(file) => report.ok("config", format!("{} is understood", file.display())),
                None => report.note("config", "there is no mozi.toml: no agents", "`mozi init` writes one"),
            }
            if let Err(e) = config.check_listen(config.server.listen) {
                report.wrong("config", e.what, e.hint.as_deref().unwrap_or_default());
            }
            Some(config)
        }
        Err(e) => {
            report.wrong("config", e.what, "correct the file; `mozi serve` does not start with it");
            None
        }
    }
}

/// Whether there is a data folder to look into.
fn folder(report: &mut Report, data: &Path) -> bool {
    let metadata = match std::fs::metadata(data) {
        Ok(m) if m.is_dir() => m,
        Ok(_) => {
            report.wrong("data", format!("{} is no folder", data.display()), "--data names another one");
            return false;
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            report.note(
                "data",
                format!("{} is not there yet", data.display()),
                "the first `mozi serve` makes it",
            );
            return false;
        }
        Err(e) => {
            let text = format!("{} cannot be looked at: {}", data.display(), plain(&e));
            report.wrong("data", text, "run this as the user that runs `mozi serve`");
            return false;
        }
    };
    if crate::serve::is_open_to_others(&metadata) {
        report.wrong(
            "data",
            format!("{} is open to other users of this machine", data.display()),
            &format!("chmod 700 {}", data.display()),
        );
    }
    match tempfile::Builder::new().prefix(".doctor-").tempfile_in(data) {
        Ok(_) => report.ok("data", format!("{} can be written to", data.display())),
        Err(e) => {
            let owner = metadata.uid();
            let text = format!(
                "{} cannot be written to: {} (it belongs to user {owner})",
                data.display(),
                plain(&e)
            );
            report.wrong(
                "data",
                text,
                "run this as the user that runs `mozi serve`, or make room on the disk",
            );
        }
    }
    true
}

fn secrets(report: &mut Report, data: &Path) {
    for file in [token_file(data), data.join("runner.token")] {
        let Ok(metadata) = std::fs::metadata(&file) else { continue };
        if crate::serve::is_open_to_others(&metadata) {
            let way = format!("chmod 600 {}; then revoke the token, if others were there", file.display());
            report.wrong("secrets", format!("{} can be read by others", file.display()), &way);
        } else {
            report.ok("secrets", format!("{} is for its owner alone", file.display()));
        }
    }
}

/// Whether a lock of one process keeps another one out, which some network file systems do not keep.
fn exclusion(report: &mut Report, data: &Path) {
    let held = tempfile::Builder::new().prefix(".doctor-lock-").tempfile_in(data);
    let Ok(file) = held else { return };
    if file.as_file().try_lock().is_err() {
        report.wrong("locks", "a new file could not be locked", LOCKS);
        return;
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "only another process can tell whether locks exclude processes"
    )]
    let mut other = std::process::Command::new("/proc/self/exe");
    match other.arg("lock-probe").arg(file.path()).status() {
        Ok(status) if status.success() => {
            report.ok("locks", "locks in the data folder exclude other processes");
        }
        Ok(_) => report.wrong("locks", "locks in the data folder do not exclude other processes", LOCKS),
        Err(e) => report.wrong("locks", format!("could not be tried: {}", plain(&e)), "try again"),
    }
}

const LOCKS: &str =
    "the folder lies on a file system without locks: use a local one, else an agent could be started twice";

async fn database(report: &mut Report, data: &Path, all_outputs: bool) {
    let path = data.join("mozi.db");
    if !path.exists() {
        report.note("database", "there is none yet", "the first `mozi serve` makes it");
        return;
    }
    let opened = tokio::task::spawn_blocking(move || Store::open_read_only(&path)).await;
    let store = match opened {
        Ok(Ok(store)) => store,
        Ok(Err(e)) => {
            report.wrong(
                "database",
                format!("could not {e}"),
                "restore the data folder from a backup, or use the version that wrote it",
            );
            return;
        }
        Err(e) => {
            report.wrong("database", e.to_string(), "try again");
            return;
        }
    };
    outputs::check(report, data, &store, all_outputs).await;
    match store.check(Clock::system().now()).await {
        Ok(broken) if broken.is_empty() => {
            report.ok("database", format!("board {}", store.board_id()));
            report.ok(
                "rules",
                "every task has something that moves it on, and no task has two attempts at once",
            );
        }
        Ok(broken) => {
            for violation in broken {
                report.wrong(
                    "rules",
                    violation,
                    "this is a defect of Mozi: keep the data folder and report it",
                );
            }
        }
        Err(e) => report.wrong(
            "database",
            format!("could not {e}"),
            "try again; if it stays, restore from a backup",
        ),
    }
}

fn server(report: &mut Report, data: &Path) {
    let holder = lock::holder(data);
    if let Some(danger) = holder.and_then(crate::serve::manager::danger) {
        report.wrong("service", danger.what, &danger.way_out);
    }
    match (holder, ServerFile::read(data)) {
        (Some(pid), Some(server)) => report.ok("server", format!("runs at {} (pid {pid})", server.url)),
        (Some(pid), None) => report.ok("server", format!("is starting (pid {pid})")),
        (None, _) => {
            report.note(
                "server",
                "does not run",
                "`mozi serve` starts it; agents at work are taken up again",
            );
        }
    }
}

async fn agents(report: &mut Report, data: &Path, config: &Config) -> Result<()> {
    let runner = runner_config(data, config, "http://127.0.0.1", false)?;
    for (agent, why) in mozi_runner::probe::obstacles(&runner).await {
        match why {
            None => report.ok("agent", format!("{agent} can be started")),
            Some(why) => {
                report.wrong(
                    "agent",
                    format!("{agent} cannot be started: {why}"),
                    "correct its table in mozi.toml, or install what is missing",
                );
            }
        }
    }
    Ok(())
}

fn surroundings(report: &mut Report) {
    let proxied =
        ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].iter().find(|n| env::var(n).is_some());
    let exempt = env::var("no_proxy").or_else(|| env::var("NO_PROXY")).unwrap_or_default();
    let loopback = exempt.split(',').any(|h| matches!(h.trim(), "*" | "127.0.0.1" | "localhost"));
    if let Some(name) = proxied.filter(|_| !loopback) {
        report.note(
            "proxy",
            format!("{name} is set, and NO_PROXY does not name 127.0.0.1"),
            "agents get NO_PROXY with loopback; your own curl needs --noproxy '*'",
        );
    }
    if let Some(mark) = env::agent_mark() {
        report.note(
            "marks",
            format!("{mark} is set: this runs inside another agent's shell"),
            "Mozi keeps such marks from its agents; a long-lived `mozi serve` is better started outside",
        );
    }
}
