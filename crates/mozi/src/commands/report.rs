//! What agents say from inside their sessions: `mozi report`, `mozi output add`, `mozi comment`.
//!
//! What they say is not lost while the board is down: it waits in the session's outbox, is delivered in order by the
//! next such command or by the runner, and the command succeeds. The key that makes a repetition harmless is made
//! before the first try.

use std::path::{Path, PathBuf};

use mozi_api::{
    Client, Problem,
    client::Upload,
    report::{CommentReply, NewComment, NewOutput, OutputReply, OutputUpload, StatusReply, StatusReport},
};
use mozi_core::{OutputType, TaskKey};
use mozi_runner::{
    Secret,
    outbox::{Entry, Outbox, PATIENCE, Submitted},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{tasks::Several, words};
use crate::{
    cli::{Global, OutputAdd, OutputKind, ReportArgs, ReportStatus},
    config::env,
    context::{Context, from_client},
    error::{Failure, Result},
    output::{Out, bytes},
};

/// The largest content that goes into the body; larger ones go as files.
const INLINE: usize = 256 * 1024;

/// The session that this runs in, as its environment says.
struct Session {
    url: String,
    token: String,
    key: TaskKey,
    id: Option<String>,
    outbox: Option<PathBuf>,
}

impl Session {
    fn read(global: &Global) -> Result<Self> {
        let url = global.url.clone().or_else(|| env::var("MOZI_URL"));
        let token = global.token.clone().or_else(|| env::var("MOZI_TOKEN"));
        let project = global.project.clone().or_else(|| env::var("MOZI_PROJECT"));
        let (Some(url), Some(token), Some(project), Some(task)) =
            (url, token, project, env::var("MOZI_TASK"))
        else {
            return Err(Failure::new("this is for agents: no session is in the environment").hint(
                "agents find MOZI_URL, MOZI_TOKEN, MOZI_PROJECT and MOZI_TASK there; people use `mozi task`",
            ));
        };
        let key = TaskKey::new(
            project.parse().map_err(|e| Failure::usage(format!("MOZI_PROJECT: {e}")))?,
            task.parse().map_err(|e| Failure::usage(format!("MOZI_TASK: {e}")))?,
        );
        Ok(Self { url, token, key, id: env::var("MOZI_SESSION_ID"), outbox: env::path("MOZI_OUTBOX") })
    }

    fn path(&self, noun: &str) -> String {
        format!("/api/projects/{}/tasks/{}/{noun}", self.key.project, self.key.task)
    }

    /// Sends it, or keeps it if the board does not answer. None = kept.
    async fn submit<T: DeserializeOwned>(
        &self,
        path: String,
        content_type: String,
        body: Vec<u8>,
    ) -> Result<Option<T>> {
        let client = Client::new(&self.url, None).map_err(|e| from_client(&e))?;
        let key = mozi_runner::fresh_key();
        let key = key.map_err(|e| Failure::new(format!("could not get random bytes: {e}")))?;
        let entry = Entry {
            method: "POST".to_owned(),
            path,
            token: Secret::new(self.token.clone()),
            content_type,
            idempotency_key: key,
            body,
        };
        // The runner looks for the fallback there, wherever below the agent may be.
        let here = env::path("MOZI_WORKSPACE").or_else(|| std::env::current_dir().ok());
        let here = here.unwrap_or_else(|| PathBuf::from("."));
        let id = self.id.as_deref().unwrap_or("none");
        let kept = Outbox::for_agent(self.outbox.as_deref(), &here, id);
        let outbox = kept.map_err(|e| Failure::new(format!("could not open the outbox: {e}")))?;
        let submitted = outbox.submit(&client, entry, PATIENCE).await;
        match submitted.map_err(|e| Failure::new(format!("could not report: {e}")))? {
            Submitted::Answered(answer) if answer.is_success() => {
                let read = serde_json::from_slice(&answer.body);
                read.map(Some).map_err(|e| Failure::new(format!("the board's answer is none: {e}")))
            }
            Submitted::Answered(answer) => {
                let text = || String::from_utf8_lossy(&answer.body).chars().take(500).collect::<String>();
                let problem =
                    answer.problem().unwrap_or_else(|| Problem::new(answer.status, "refused", text()));
                Err(refused(&problem))
            }
            Submitted::Kept { behind, why } => {
                let others = if behind == 0 { String::new() } else { format!(", behind {behind} others") };
                crate::output::note(format!(
                    "the board does not answer ({why}): kept{others}, and delivered as soon as it does; go on with your work"
                ));
                Ok(None)
            }
        }
    }
}

/// A refusal with what an agent can do about it.
fn refused(problem: &Problem) -> Failure {
    let failure = from_client(&mozi_api::ClientError::Problem(Box::new(problem.clone())));
    match problem.code.as_str() {
        "output_required" => failure.hint("mozi output add --title \"…\" --file F, then report again"),
        "attempt_closed" => failure.hint("the task is not yours any more: stop working on it"),
        "unauthenticated" => {
            failure.hint("MOZI_TOKEN is not this attempt's token: use the environment as it was given")
        }
        _ => failure,
    }
}

fn json(body: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(body).map_err(|e| Failure::new(format!("could not write JSON: {e}")))
}

/// `mozi report STATUS`
pub(crate) async fn status(global: &Global, args: ReportArgs) -> Result<()> {
    let session = Session::read(global)?;
    let detail = args.detail.as_deref().map(words::text).transpose()?;
    if args.status == ReportStatus::Reject && detail.as_deref().is_none_or(|d| d.trim().is_empty()) {
        return Err(Failure::usage("a reviewer that sends a result back says why").hint("add --detail \"…\""));
    }
    let status = args.status.status().parse::<mozi_api::wire::Status>();
    let mut body = StatusReport::of(status.map_err(|e| Failure::usage(format!("status {e}")))?.0);
    body.detail = detail;
    body.kind = args.kind.map(|k| k.as_str().to_owned());
    let reply: Option<StatusReply> =
        session.submit(session.path("status"), "application/json".to_owned(), json(&body)?).await?;
    said(global, reply, |r| (format!("task {} is {} now", r.task_id, r.status), r.warnings.clone()))
}

/// `mozi output add`
pub(crate) async fn output(global: &Global, args: OutputAdd) -> Result<()> {
    let session = Session::read(global)?;
    let kind = match args.kind {
        OutputKind::Code => OutputType::Code,
        OutputKind::Document => OutputType::Document,
        OutputKind::Data => OutputType::Data,
        OutputKind::Config => OutputType::Config,
        OutputKind::Other => OutputType::Other,
    };
    let (content, file_name) = match (&args.file, args.content.as_deref()) {
        (Some(file), _) => (read(file)?, Some(name_of(file))),
        (None, Some("-")) => (words::stdin_bytes()?, None),
        (None, Some(text)) => (text.as_bytes().to_vec(), None),
        (None, None) => return Err(Failure::usage("--file or --content is needed")),
    };
    let small = String::from_utf8(content).map_err(std::string::FromUtf8Error::into_bytes);
    let (content_type, body) = match (small, file_name) {
        (Ok(text), None) if text.len() <= INLINE && !text.contains('\0') => {
            let body = NewOutput {
                agent: None,
                output_type: kind.into(),
                title: args.title,
                summary: args.summary,
                content: Some(text),
                content_path: None,
            };
            ("application/json".to_owned(), json(&body)?)
        }
        (content, name) => {
            let bytes = content.map_or_else(|bytes| bytes, String::into_bytes);
            let about = OutputUpload {
                output_type: kind.into(),
                title: args.title,
                summary: args.summary,
                agent: None,
                file: (),
            };
            let file_name = name.unwrap_or_else(|| "content".to_owned());
            let (content_type, body) = Upload { about, file_name, bytes: bytes.into() }.encode();
            (content_type, body.to_vec())
        }
    };
    let reply: Option<OutputReply> = session.submit(session.path("outputs"), content_type, body).await?;
    said(global, reply, |r| {
        (format!("output {} added ({})", r.output_id, bytes(r.size_bytes)), r.warnings.clone())
    })
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|e| Failure::io("read", file, &e))
}

fn name_of(file: &Path) -> String {
    file.file_name().map_or_else(|| "file".to_owned(), |n| n.to_string_lossy().into_owned())
}

/// `mozi comment [ID] TEXT`
pub(crate) async fn comment(global: &Global, args: &[String]) -> Result<()> {
    let mut global = global.clone();
    let (id, text) = match args {
        [text] => (None, text),
        // A text may begin with a dash; this one is the flag behind a text that stands alone.
        [text, flag] if flag == "--json" => {
            global.json = true;
            (None, text)
        }
        [id, text, ..] => (Some(id), text),
        [] => return Err(Failure::usage("a text is needed")),
    };
    let own = env::var("MOZI_TASK");
    let body = NewComment { author: None, body: words::text(text)? };
    let inside = own.is_some() && env::var("MOZI_TOKEN").is_some_and(|t| t.starts_with("mozi_a_"));
    if inside && (id.is_none() || id == own.as_ref()) {
        let session = Session::read(&global)?;
        let reply: Option<CommentReply> =
            session.submit(session.path("comments"), "application/json".to_owned(), json(&body)?).await?;
        return said(&global, reply, |r| (format!("comment {} added", r.comment_id), r.warnings.clone()));
    }
    let Some(id) = id else {
        return Err(Failure::usage("which task? `mozi comment ID TEXT`"));
    };
    let context = Context::open(&global)?;
    let mut several = Several::default();
    let added = async {
        let key = context.key(id).await?;
        let reply = context.ask(context.client.add_comment(&key.project, &key.task, &body, None)).await?;
        let said = format!("comment {} added to {}/{}", reply.comment_id, key.project, key.task);
        Ok((reply, said))
    };
    several.add(&context, added.await)?;
    several.end(&context, 1)
}

fn said<T: Serialize>(
    global: &Global,
    reply: Option<T>,
    words: impl FnOnce(&T) -> (String, Vec<String>),
) -> Result<()> {
    let out = Out::new(global.json);
    let Some(reply) = reply else {
        return if global.json { out.value(&serde_json::json!({ "kept": true })) } else { Ok(()) };
    };
    let (line, warnings) = words(&reply);
    if global.json {
        return out.value(&reply);
    }
    out.line(line)?;
    for warning in warnings {
        crate::output::note(format!("note: {warning}"));
    }
    Ok(())
}
