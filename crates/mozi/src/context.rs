//! Which board, as whom, which project: resolved once for every command that asks a board.

use std::path::{Path, PathBuf};

use mozi_api::{
    Client, ClientError, Transport,
    query::{Expand, PageQuery, SessionsQuery},
    task::Task,
};
use mozi_core::{AgentId, ProjectId, SessionId, TaskId, TaskKey};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::{
    agent_context,
    cli::Global,
    config::{Config, env},
    error::{Exit, Failure, Result},
    output::Out,
};

/// What `serve` leaves in its data folder so that the command line finds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServerFile {
    /// Where it listens.
    pub url: String,
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
}

impl ServerFile {
    pub(crate) fn path(data: &Path) -> PathBuf {
        data.join("server.json")
    }
    /// What the board of this data folder has left there, if anything.
    pub(crate) fn read(data: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path(data)).ok()?).ok()
    }
}

/// The file with the secret of the first token.
pub(crate) fn token_file(data: &Path) -> PathBuf {
    data.join("token")
}

/// The socket by which the command line asks the board of its machine.
pub(crate) fn socket_file(data: &Path) -> PathBuf {
    data.join("mozi.sock")
}

/// Whether a socket is there that lets us in: that of this user, and for root everybody's.
fn is_ours(socket: &Path) -> bool {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let own = rustix::process::geteuid();
    std::fs::metadata(socket)
        .is_ok_and(|m| m.file_type().is_socket() && (own.is_root() || m.uid() == own.as_raw()))
}

fn own_token(data: &Path) -> Option<String> {
    let text = std::fs::read_to_string(token_file(data)).ok()?;
    Some(text.trim().to_owned()).filter(|t| !t.is_empty())
}

/// A board and what to call it with.
pub(crate) struct Context {
    pub out: Out,
    pub client: Client,
    as_person: bool,
    named_project: Option<String>,
    project: OnceCell<ProjectId>,
    /// For messages: where the address came from.
    local: Option<ServerFile>,
}

/// How a board that has been here comes back.
const START: &str = "start it with `mozi up` (in the background) or `mozi serve`";

/// Whether there is a board's database in a data folder.
fn has_board(data: &Path) -> bool {
    data.join("mozi.db").exists()
}

impl Context {
    /// The board that is meant: named, else the one of this user's data folder.
    pub(crate) fn open(global: &Global) -> Result<Self> {
        let data = env::data_dir();
        let local = data.as_deref().and_then(ServerFile::read);
        let named_url = global.url.clone().or_else(|| env::var("MOZI_URL"));
        let token = global.token.clone().or_else(|| env::var("MOZI_TOKEN"));
        let (url, data) = match (named_url, local, data) {
            (None, Some(server), Some(data)) => return Self::of_folder(global, &data, server, token),
            (Some(url), local, data) => {
                (url.clone(), data.filter(|_| local.is_some_and(|server| same_address(&server.url, &url))))
            }
            (None, _, Some(data)) if has_board(&data) => {
                let what = format!("the board is not running; its data are in {}", data.display());
                return Err(Failure::new(what).hint(START).exit(Exit::NoBoard).code("board_stopped"));
            }
            (None, _, data) => {
                let place = data.map_or_else(String::new, |d| format!(" and {} names none", d.display()));
                return Err(Failure::new(format!(
                    "no board is known: neither --url nor MOZI_URL is set{place}"
                ))
                .hint("start one with `mozi serve`, or look around with `mozi demo`")
                .exit(Exit::NoBoard)
                .code("no_board"));
            }
        };
        // The local board's own token goes to the local board and nowhere else.
        let token = token.or_else(|| own_token(&data?));
        Self::by(global, Client::new(&url, token.as_deref()), None)
    }

    /// The board of a data folder: by its socket, which needs no token; by the network where that is not for us.
    pub(crate) fn of_folder(
        global: &Global,
        data: &Path,
        server: ServerFile,
        token: Option<String>,
    ) -> Result<Self> {
        let socket = socket_file(data);
        let client = if is_ours(&socket) {
            Client::over(Transport::unix(&socket), token.as_deref())
        } else {
            Client::new(&server.url, token.or_else(|| own_token(data)).as_deref())
        };
        Self::by(global, client, Some(server))
    }

    fn by(
        global: &Global,
        client: std::result::Result<Client, ClientError>,
        local: Option<ServerFile>,
    ) -> Result<Self> {
        let client = client.map_err(|e| from_client(&e))?.with_via("cli");
        Ok(Self {
            out: Out::new(global.json),
            client: if global.as_person { client.as_person() } else { client },
            as_person: global.as_person,
            named_project: global.project.clone().or_else(|| env::var("MOZI_PROJECT")),
            project: OnceCell::new(),
            local,
        })
    }

    /// Refuses what only a person may decide.
    pub(crate) fn person_only(&self, decision: &str) -> Result<()> {
        agent_context::person_only(self.as_person, decision)
    }

    /// What went wrong with a call, in words.
    pub(crate) fn failure(&self, error: &ClientError) -> Failure {
        let failure = from_client(error);
        if failure.what.contains("certificate") {
            return failure.hint(
                "its certificate is not trusted here: SSL_CERT_FILE names a file of certificates that are",
            );
        }
        match (&self.local, error) {
            (Some(server), ClientError::Unreachable { .. } | ClientError::Timeout { .. }) => {
                let gone = !Path::new(&format!("/proc/{}", server.pid)).exists();
                let what = if gone {
                    format!("the board that was at {} (pid {}) is not running", server.url, server.pid)
                } else {
                    failure.what.clone()
                };
                Failure { what, ..failure }.hint(START)
            }
            _ => failure,
        }
    }

    /// Awaits a call and turns its error into words.
    pub(crate) async fn ask<T>(
        &self,
        call: impl Future<Output = std::result::Result<T, ClientError>>,
    ) -> Result<T> {
        call.await.map_err(|e| self.failure(&e))
    }

    /// The project that was named for this command, if one was.
    pub(crate) fn named_project(&self) -> Result<Option<ProjectId>> {
        self.named_project.as_deref().map(project_id).transpose()
    }

    /// The project that the next command means if it names none, as far as it is known without asking the board.
    pub(crate) fn usual_project() -> String {
        let here = || Config::load(None).ok().and_then(|config| project_of_folder(&config));
        let named = env::var("MOZI_PROJECT").or_else(|| here().map(|p| p.to_string()));
        named.unwrap_or_else(|| "default".to_owned())
    }

    /// The project that is meant: named, else by the current folder, else the only one, else `default`.
    pub(crate) async fn project(&self) -> Result<ProjectId> {
        self.project.get_or_try_init(|| self.find_project()).await.cloned()
    }

    async fn find_project(&self) -> Result<ProjectId> {
        if let Some(name) = &self.named_project {
            return name.parse().map_err(|e| Failure::usage(format!("project {e}")));
        }
        // A broken configuration is not this command's business.
        if let Some(id) = Config::load(None).ok().and_then(|config| project_of_folder(&config)) {
            return Ok(id);
        }
        let page = PageQuery { limit: Some(2), cursor: None };
        let projects = self.ask(self.client.projects(&page)).await?;
        match projects.items.as_slice() {
            [only] => Ok(only.project_id.0.clone()),
            _ => "default".parse().map_err(|e| Failure::new(format!("{e}"))),
        }
    }

    /// A task by its id, in the project that is meant; or by `PROJECT/ID`.
    pub(crate) async fn key(&self, text: &str) -> Result<TaskKey> {
        let (project, id) = match text.split_once('/') {
            Some((project, id)) => (project.parse().map_err(|e| Failure::usage(format!("project {e}")))?, id),
            None => (self.project().await?, text),
        };
        Ok(TaskKey::new(project, id.parse::<TaskId>().map_err(|e| Failure::usage(format!("task {e}")))?))
    }

    pub(crate) async fn task(&self, key: &TaskKey, expand: Expand) -> Result<Task> {
        self.ask(self.client.task(&key.project, &key.task, expand)).await
    }

    /// A session by any unique beginning of its id.
    pub(crate) async fn session(&self, text: &str) -> Result<SessionId> {
        if let Ok(id) = text.parse::<SessionId>() {
            return Ok(id);
        }
        let prefix = text.to_ascii_lowercase();
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
            return Err(Failure::usage(format!("{text:?} is not the beginning of a session's id")));
        }
        let query =
            SessionsQuery { prefix: Some(prefix.clone()), limit: Some(10), ..SessionsQuery::default() };
        let found = self.ask(self.client.sessions(&query)).await?.items;
        match found.as_slice() {
            [one] => Ok(one.session_id.0),
            [] => Err(Failure::new(format!("there is no session {prefix}…"))
                .hint("`mozi session list --all` shows all of them")
                .code("not_found")),
            many => {
                let ids: Vec<String> = many.iter().map(|s| s.session_id.to_string()).collect();
                Err(Failure::new(format!(
                    "{prefix} is the beginning of several sessions: {}",
                    ids.join(", ")
                )))
            }
        }
    }
}

/// An agent's id as it was typed.
pub(crate) fn agent_id(text: &str) -> Result<AgentId> {
    text.parse().map_err(|e| Failure::usage(format!("agent {e}")))
}

/// A project's id as it was typed.
pub(crate) fn project_id(text: &str) -> Result<ProjectId> {
    text.parse().map_err(|e| Failure::usage(format!("project {e}")))
}

/// The project whose folder holds the current one; the innermost.
fn project_of_folder(config: &Config) -> Option<ProjectId> {
    let here = std::env::current_dir().ok()?;
    let holds = config.projects.iter().filter_map(|(id, p)| {
        let path = p.path.as_deref()?;
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        here.starts_with(&path).then(|| (path.components().count(), id.clone()))
    });
    holds.max_by_key(|(depth, _)| *depth).map(|(_, id)| id)
}

fn same_address(a: &str, b: &str) -> bool {
    let plain =
        |u: &str| u.trim_end_matches('/').replace("://localhost:", "://127.0.0.1:").to_ascii_lowercase();
    plain(a) == plain(b)
}

/// A failed call in words, with the way out.
pub(crate) fn from_client(error: &ClientError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        ClientError::Problem(p) => {
            let failure = failure.code(&p.code);
            match p.code.as_str() {
                "unauthenticated" => failure
                    .exit(Exit::NotAuthorised)
                    .hint("name a token with --token or MOZI_TOKEN; the board's first one is in the file `token` of its data folder"),
                "agent_context" => failure.hint(agent_context::HINT),
                "forbidden" | "host_refused" | "origin_refused" => failure.exit(Exit::NotAuthorised),
                "unavailable" | "rate_limited" => failure.hint("try again in a moment"),
                "storage_full" => failure.hint("make room on the board's disk"),
                "events_expired" => failure.hint("leave --after out to begin with what is there"),
                "not_found" => match elsewhere(&p.detail) {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                },
                "version_mismatch" => failure.hint("look at it as it is now, and change it again"),
                "not_claimable" => failure.hint("`mozi why` shows all that it waits for"),
                _ => failure,
            }
        }
        ClientError::Unreachable { .. } | ClientError::Timeout { .. } => failure
            .exit(Exit::NoBoard)
            .code("no_board")
            .hint("is `mozi serve` running there? --url names another board"),
        ClientError::Protocol { .. } => failure.exit(Exit::NoBoard).code("no_board"),
        ClientError::Unusable(_) => failure.exit(Exit::Usage),
    }
}

/// Where what was not found may be.
fn elsewhere(detail: &str) -> Option<&'static str> {
    let what = detail.strip_prefix("there is no ")?.split(' ').next()?;
    Some(match what {
        "task" => "`mozi task list` shows its tasks; -p or PROJECT/ID names one of another project",
        "project" => "`mozi project list` shows all of them",
        "agent" => "`mozi agent list` shows all of them",
        "attempt" => "`mozi attempt list` shows those that there are",
        "session" => "`mozi session list --all` shows all of them",
        "token" => "`mozi token list` shows all of them",
        _ => return None,
    })
}

/// The end of a project's events: the newest id.
pub(crate) async fn last_event(context: &Context, project: &ProjectId) -> Result<u64> {
    use mozi_api::query::EventsQuery;
    let newer_than = async |after: u64| {
        let query = EventsQuery { after: Some(after.to_string()), limit: Some(1) };
        match context.client.events(Some(project), &query).await {
            Ok(page) => Ok(!page.items.is_empty()),
            // What is gone is older than what is there.
            Err(e) if e.code() == Some("events_expired") => Ok(true),
            Err(e) => Err(context.failure(&e)),
        }
    };
    // Ids count without a gap, so the end is found by halving.
    let (mut low, mut high) = (0_u64, 1_u64);
    while newer_than(high - 1).await? {
        low = high;
        high = high.saturating_mul(2);
    }
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if newer_than(middle - 1).await? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
