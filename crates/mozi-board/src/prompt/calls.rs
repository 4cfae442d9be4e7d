//! Shell commands that reach the board, ready to be copied.
//!
//! They are built here and not in templates, so that no template gets the quoting wrong. Ids need none by their
//! grammar; marks stand in single quotes, which whoever fills them in keeps right (see [`PromptParts::filled`](mozi_api::runner::PromptParts::filled)). An agent's own
//! words go into a here-document with a quoted end: the shell looks at nothing in it.

use mozi_api::runner::MarkKind;
use mozi_core::TaskKey;
use serde::Serialize;

use super::{Callback, Marks, PromptOptions};

/// Repeats for a minute while the board is away or busy, and shows the status beside the answer. Only options that old
/// versions of curl know too.
const CURL: &str =
    "curl -sS -m 30 --retry 9 --retry-max-time 60 --retry-connrefused -w '\\nHTTP %{http_code}\\n'";
/// No proxy is asked for loopback; where there is an environment, it says so already.
const NO_PROXY: &str = " --noproxy 127.0.0.1,localhost,::1";

/// The beginnings of commands; what follows is the body.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Calls {
    /// Reports a status.
    pub(super) status: String,
    /// Adds an output.
    pub(super) outputs: String,
    /// Adds a comment.
    comments: String,
    /// Reads the whole task.
    read: String,
    /// Fetches an output of any task that may be read: `TASK` and `OUTPUT` stand for its numbers.
    fetch: String,
    /// Creates a subtask.
    create: String,
    /// The address of the board.
    url: String,
    /// What `mozi` needs to know where the environment does not say it: names and values for `export`.
    exports: String,
    /// The program's path, quoted.
    program: String,
    /// Who reports, as a further field of a status or an output; nothing where a token says it.
    pub(super) by_agent: String,
    /// The same for a comment.
    by_author: String,
}

impl Calls {
    pub(super) fn new(key: &TaskKey, options: &PromptOptions<'_>, marks: &Marks) -> Self {
        let callback = options.callback.of(options.role);
        let mark = |kind| super::mark(marks, kind);
        let project = &key.project;
        let task = format!("api/projects/{project}/tasks/{}", key.task);
        // In the environment's form the shell sets the values in, so the quotes are double.
        let plain = mark(MarkKind::Url);
        let (url, bearer, q) = match callback {
            Callback::Env => {
                ("$MOZI_URL".to_owned(), "-H \"Authorization: Bearer $MOZI_TOKEN\" ".to_owned(), '"')
            }
            Callback::Header => {
                (plain, format!("-H 'Authorization: Bearer {}' ", mark(MarkKind::Token)), '\'')
            }
            Callback::Url => (format!("{plain}/t/{}", mark(MarkKind::Token)), String::new(), '\''),
            Callback::Anonymous => (plain, String::new(), '\''),
        };
        let curl = match callback {
            Callback::Env => CURL.to_owned(),
            Callback::Header | Callback::Url | Callback::Anonymous => format!("{CURL}{NO_PROXY}"),
        };
        let get = |options: &str, path: &str| {
            let header = if bearer.is_empty() { String::new() } else { format!("\n  {bearer}\\") };
            format!("{curl} {options}\\{header}\n  {q}{url}/{path}{q}")
        };
        let post = |headers: &str, path: &str| {
            format!(
                "{curl} \\\n  {bearer}-H 'Content-Type: application/json'{headers} \\\n  {q}{url}/{path}{q}"
            )
        };
        let by = |field: &str| match callback {
            Callback::Anonymous => format!(", \"{field}\": \"{}\"", options.agent),
            Callback::Env | Callback::Header | Callback::Url => String::new(),
        };
        let exports = format!(
            "MOZI_URL='{}' MOZI_TOKEN='{}' MOZI_PROJECT={project} MOZI_TASK={} \\\n  \
             MOZI_SESSION_ID={} MOZI_OUTBOX='{}'",
            mark(MarkKind::Url),
            mark(MarkKind::Token),
            key.task,
            mark(MarkKind::SessionId),
            mark(MarkKind::Outbox),
        );
        Self {
            status: post("", &format!("{task}/status")),
            outputs: post(" -H 'Idempotency-Key: output-1'", &format!("{task}/outputs")),
            comments: post(" -H 'Idempotency-Key: comment-1'", &format!("{task}/comments")),
            create: post(" -H 'Idempotency-Key: task-1'", &format!("api/projects/{project}/tasks")),
            read: get("", &format!("{task}?expand=all")),
            fetch: get("-o FILE ", &format!("api/projects/{project}/tasks/TASK/outputs/OUTPUT/content")),
            url,
            exports,
            program: format!("'{}'", mark(MarkKind::Mozi)),
            by_agent: by("agent"),
            by_author: by("author"),
        }
    }
}
