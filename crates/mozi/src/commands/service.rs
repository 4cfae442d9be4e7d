//! `mozi up`, `down`, `stop`, `reload`: the server as a service of this user.

use std::path::{Path, PathBuf};

use mozi_api::{ClientError, query::SessionsQuery, server::Reloaded, session::Session};
use serde_json::{Value, json};

use crate::{
    agent_context,
    cli::{DownArgs, Global, ReloadArgs, StopArgs, UpArgs},
    config::{Config, env},
    context::{Context, ServerFile},
    error::{Exit, Failure, Result},
    output::{Out, note},
    serve::{data_dir, lock, reloaded_lines},
};

mod detached;
mod drain;
mod end;
mod unit;

/// Who may do this: it decides over everybody's board.
fn person_only(global: &Global, what: &str) -> Result<()> {
    agent_context::person_only(global.as_person, what)
}

/// The board of a data folder; without one, as every other command finds it.
fn board_of(global: &Global, data: Option<&Path>) -> Result<Context> {
    let Some(data) = data else { return Context::open(global) };
    let server = ServerFile::read(data).filter(|_| lock::holder(data).is_some()).ok_or_else(|| {
        Failure::new(format!("no board runs for {}", data.display()))
            .hint("`mozi up` starts one")
            .exit(Exit::NoBoard)
            .code("no_board")
    })?;
    Context::of_folder(global, data, server, global.token.clone())
}

/// `mozi reload`
pub(crate) async fn reload(global: &Global, args: ReloadArgs) -> Result<()> {
    person_only(global, "`reload`")?;
    let data = args.data.map(|data| data_dir(Some(data))).transpose()?;
    let context = board_of(global, data.as_deref())?;
    let out = context.out;
    let reloaded: Reloaded = match context.client.reload_config().await {
        Ok(reloaded) => reloaded,
        Err(e @ ClientError::Problem(_)) if e.code() == Some("config_refused") => {
            let hint = "nothing of it is taken: the board goes on as before";
            return Err(context.failure(&e).hint(hint));
        }
        Err(e) => return Err(context.failure(&e)),
    };
    if out.json() {
        return out.value(&reloaded);
    }
    for line in reloaded_lines(&reloaded) {
        out.line(line)?;
    }
    if !reloaded.needs_restart.is_empty() {
        note("a restart leaves agents at work: mozi stop, then mozi up");
    }
    Ok(())
}

/// `mozi stop`
pub(crate) async fn stop(global: &Global, args: StopArgs) -> Result<()> {
    person_only(global, "`stop`")?;
    let (out, data) = (Out::new(global.json), data_dir(args.data)?);
    let Some(pid) = running(&data)? else { return is_not_there(out, &data) };
    if args.drain {
        drain::wait(&board_of(global, Some(&data))?).await?;
    }
    let left = at_work(global, &data).await;
    end::server(pid, &data).await?;
    stopped(out, &data, &left, None)
}

/// `mozi down`
pub(crate) async fn down(global: &Global, args: DownArgs) -> Result<()> {
    person_only(global, "`down`")?;
    let (out, data) = (Out::new(global.json), data_dir(args.data)?);
    let left = at_work(global, &data).await;
    let name = unit::name_for(&data);
    let is_unit = unit::has_systemd().is_ok() && unit::is_there(&name);
    if is_unit {
        unit::systemctl(&["disable", "--quiet", "--now", &name])?;
    }
    match running(&data)? {
        Some(pid) => end::server(pid, &data).await?,
        None if !is_unit => return is_not_there(out, &data),
        None => {}
    }
    stopped(out, &data, &left, is_unit.then_some(name.as_str()))
}

fn is_not_there(out: Out, data: &Path) -> Result<()> {
    if out.json() {
        return out.value(&json!({ "running": false, "stopped": false, "data": data }));
    }
    out.line(format!("no board runs for {}", data.display()))
}

fn stopped(out: Out, data: &Path, left: &[Session], unit: Option<&str>) -> Result<()> {
    if out.json() {
        let left: Vec<Value> = left.iter().map(|s| json!(s)).collect();
        return out.value(&json!({ "running": false, "stopped": true, "data": data, "at_work": left }));
    }
    out.line("the board is stopped")?;
    if let Some(unit) = unit {
        out.line(format!("{unit} is not started at login any more; `mozi up` brings it back"))?;
    }
    match left {
        [] => Ok(()),
        [one] => out.line(format!("one agent stays at work: {}; the next start takes it up", who(one))),
        many => {
            let names: Vec<String> = many.iter().take(5).map(who).collect();
            let more = if many.len() > names.len() { ", …" } else { "" };
            out.line(format!(
                "{} agents stay at work: {}{more}; the next start takes them up",
                many.len(),
                names.join(", ")
            ))
        }
    }
}

/// An agent at work, for people.
fn who(session: &Session) -> String {
    match (&session.project_id, &session.task_id) {
        (Some(project), Some(task)) => format!("{} at {project}/{task}", session.agent),
        _ => format!("{} without a task", session.agent),
    }
}

/// The process of the server of a data folder, if it runs.
fn running(data: &Path) -> Result<Option<u32>> {
    let Some(pid) = lock::holder(data) else { return Ok(None) };
    match ServerFile::read(data) {
        Some(server) if server.pid == pid => Ok(Some(pid)),
        _ => Err(Failure::new(format!(
            "process {pid} holds {}, but no server of it answers yet",
            data.display()
        ))
        .hint("it is starting, or another command is at work there: try again in a moment")),
    }
}

/// The live sessions, as far as the board can be asked: it may be the one that hangs.
async fn at_work(global: &Global, data: &Path) -> Vec<Session> {
    let Ok(context) = board_of(global, Some(data)) else { return Vec::new() };
    let query = SessionsQuery { active: Some(true), limit: Some(500), ..SessionsQuery::default() };
    let asked =
        tokio::time::timeout(std::time::Duration::from_secs(5), context.client.sessions(&query)).await;
    asked.ok().and_then(std::result::Result::ok).map(|page| page.items).unwrap_or_default()
}

/// What `mozi up` is to start.
struct Wanted {
    exe: PathBuf,
    data: PathBuf,
    /// The words after `mozi serve`.
    words: Vec<String>,
}

/// `mozi up`
pub(crate) fn up(global: &Global, args: &UpArgs) -> Result<()> {
    person_only(global, "`up`")?;
    let out = Out::new(global.json);
    let wanted = wanted(args)?;
    let systemd = if args.detach { Err(String::new()) } else { unit::has_systemd() };
    match systemd {
        Ok(()) => by_systemd(out, &wanted),
        Err(why) => {
            if let Some(pid) = lock::holder(&wanted.data) {
                return is_up(out, &wanted.data, pid, "otherwise", true);
            }
            if !why.is_empty() && !out.json() {
                note(format!(
                    "without systemd ({why}): the board does not come back by itself after a reboot"
                ));
            }
            let pid = detached::start(&wanted.exe, &wanted.data, &wanted.words)?;
            is_up(out, &wanted.data, pid, "detached", false)
        }
    }
}

fn wanted(args: &UpArgs) -> Result<Wanted> {
    let data = data_dir(args.data.clone())?;
    // A wrong file is told here, and not in a log.
    let config = Config::load(args.config.as_deref())?;
    config.check_listen(args.listen.unwrap_or(config.server.listen))?;
    let mut words = vec!["--data".to_owned(), text(&data)?];
    if let Some(file) = &config.file {
        words.extend(["--config".to_owned(), text(file)?]);
    }
    if let Some(listen) = args.listen {
        words.extend(["--listen".to_owned(), listen.to_string()]);
    }
    let exe = std::env::current_exe()
        .map_err(|e| Failure::new(format!("could not find this program: {}", crate::error::plain(&e))))?;
    Ok(Wanted { exe, data, words })
}

fn text(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(format!("{} is not UTF-8, which a unit cannot name", path.display())))
}

fn by_systemd(out: Out, wanted: &Wanted) -> Result<()> {
    let unit = unit::Unit::of(&wanted.exe, &wanted.data, &wanted.words)?;
    let active = unit.is_active();
    if !active && let Some(pid) = lock::holder(&wanted.data) {
        note("it was not started by systemd: `mozi stop`, then `mozi up` make it a service");
        return is_up(out, &wanted.data, pid, "otherwise", true);
    }
    let changed = unit.write()?;
    if changed {
        unit::systemctl(&["daemon-reload"])?;
    }
    unit::systemctl(&["enable", "--quiet", &unit.name])?;
    if !active || changed {
        // Where it failed before, it may begin anew.
        drop(unit::systemctl(&["reset-failed", &unit.name]));
        let verb = if active { "restart" } else { "start" };
        if let Err(e) = unit::systemctl(&[verb, &unit.name]) {
            let log = unit.log();
            let what = if log.is_empty() { e.what } else { format!("{}\n{log}", e.what) };
            return Err(
                Failure::new(what).hint(format!("journalctl --user -u {} has all of its log", unit.name))
            );
        }
    }
    let pid = unit.property("MainPID").and_then(|p| p.parse().ok()).unwrap_or(0);
    is_up(out, &wanted.data, pid, &unit.name, active && !changed)?;
    if !out.json() && !unit::lingers() {
        note("it ends with your last login, unless you say once: loginctl enable-linger");
    }
    Ok(())
}

/// Says that the board is up.
fn is_up(out: Out, data: &Path, pid: u32, by: &str, already: bool) -> Result<()> {
    let url = ServerFile::read(data).map(|s| s.url);
    if out.json() {
        let log = detached::log_file(data);
        let log = log.exists().then_some(log);
        return out.value(&json!({
            "up": true, "already": already, "url": url, "pid": pid, "data": data, "by": by, "log": log,
        }));
    }
    let at = url.map_or_else(|| "it is starting".to_owned(), |url| format!("at {url}"));
    let again = if already { "is up already" } else { "is up" };
    out.line(format!("the board {again} {at} (pid {pid})"))?;
    match by {
        "detached" => out.line(format!("its log: {}", detached::log_file(data).display())),
        "otherwise" => Ok(()),
        unit => out.line(format!("its log: journalctl --user -u {unit}")),
    }?;
    if !already && env::agent_mark().is_some() {
        note("this was started inside another agent's shell: its marks are kept from Mozi's agents");
    }
    Ok(())
}
