//! The only place with an opinion: what a command changes, or why it is refused.

use crate::{
    change::{Decision, Reply},
    command::{Command, Credential, Request},
    id::{AttemptNumber, TaskKey},
    refusal::Refusal,
    state::State,
};

use desk::{About, Desk, Move};

mod adopt;
mod agents;
pub mod anonymous;
mod claim;
mod config;
mod create;
mod deliver;
mod depend;
mod desk;
mod due;
mod edit;
pub mod end;
pub mod house;
mod import;
mod projects;
mod report;
mod rest;
mod review;
mod sessions;
mod tokens;
mod users;
mod version;

/// Decides `request` on `state`, which holds what [`Request::needs`] named.
///
/// # Errors
/// A [`Refusal`] when the rules do not allow it; then nothing is to be written.
pub fn decide(state: State, request: &Request) -> Result<Decision, Refusal> {
    let mut desk = Desk::new(state, request);
    if request.credential == Credential::Anonymous {
        anonymous::admit(&mut desk)?;
    }
    let reply = carry_out(&mut desk, &request.command)?;
    Ok(Decision { reply, changes: desk.finish() })
}

fn carry_out(d: &mut Desk<'_>, command: &Command) -> Result<Reply, Refusal> {
    match command {
        Command::CreateProject { id, name, settings } => projects::create(d, id, name.as_deref(), settings),
        Command::SetProject { id, name, settings, archived } => {
            projects::set(d, id, name.as_ref(), settings, *archived)
        }
        Command::CreateTask(new) => create::create(d, new),
        Command::AdoptProject(staged) => adopt::adopt(d, staged),
        Command::ImportTasks(import) => import::tasks(d, import),
        Command::EditTask { key, patch } => edit::edit(d, key, patch),
        Command::SetDependency { key, on, until } => depend::set(d, key, on, *until),
        Command::RemoveDependency { key, on } => depend::remove(d, key, on),
        Command::Report(report) => report::report(d, report),
        Command::AddOutput(output) => deliver::output(d, output),
        Command::AddComment { key, author, body } => deliver::comment(d, key, author.as_deref(), body),
        Command::Claim(c) => claim::claim(d, c),
        Command::StartSession(s) => claim::start_by_name(d, s),
        Command::TakeSession { session_id, token_hash } => sessions::take(d, *session_id, *token_hash),
        Command::Started { session_id, pid, workspace } => {
            sessions::started(d, *session_id, *pid, workspace.as_ref())
        }
        Command::NoteSession { session_id, note } => sessions::note(d, *session_id, note),
        Command::End(end) => end::end(d, end),
        Command::StopSession { session_id, why } => sessions::stop(d, *session_id, why.as_deref()),
        Command::CleanSession { session_id, force } => sessions::clean(d, *session_id, *force),
        Command::Hello(hello) => agents::hello(d, hello),
        Command::Goodbye { runner_id } => agents::goodbye(d, runner_id),
        Command::BoardStarted => agents::board_started(d),
        Command::PauseAgent { agent, detail } => agents::pause(d, agent, detail.as_deref()),
        Command::ResumeAgent { agent } => agents::resume(d, agent),
        Command::CreateUser(new) => users::create(d, new),
        Command::SetUser { name, patch } => users::set(d, name, patch),
        Command::CreateToken { name, hash, holder, project, expires_at } => {
            tokens::create(d, name, *hash, holder, project.as_ref(), *expires_at)
        }
        Command::ConfigRead(read) => config::read(d, read),
        Command::RevokeToken { name } => tokens::revoke(d, name),
        Command::Seen => Ok(Reply::Done),
        Command::Notice { key, attempt_number, agent, code, text, more } => {
            deliver::notice(d, key.as_ref(), *attempt_number, agent.as_ref(), code, text, more)
        }
        Command::BackupMade { size_bytes, blobs, damaged } => {
            house::backup_made(d, *size_bytes, *blobs, *damaged)
        }
        Command::KeptHouse { because, removed } => house::kept_house(d, because, removed),
        Command::ExpireLogs { sessions } => house::expire_logs(d, sessions),
        Command::SnapshotTasks { project, tasks } => house::snapshot(d, project, tasks),
        Command::ForgetEvents { project, up_to } => house::forget(d, project, *up_to),
        Command::Due => due::due(d),
        Command::Rest => rest::look(d),
        Command::IfVersion { versions, command } => version::if_version(d, versions, command),
    }
}

/// The answer to a status report.
fn status_reply(
    d: &mut Desk<'_>,
    key: &TaskKey,
    attempt: Option<AttemptNumber>,
    event_id: Option<u64>,
) -> Result<Reply, Refusal> {
    let last = d.project(&key.project)?.last_event;
    let warnings = std::mem::take(&mut d.warnings);
    let task = Box::new(d.task(key)?.clone());
    let attempt_number = attempt.or_else(|| Some(task.state.last_attempt).filter(|n| *n > 0));
    Ok(Reply::Status { task, attempt_number, event_id: event_id.unwrap_or(last), warnings })
}
