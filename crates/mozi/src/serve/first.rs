//! What has to be there before the first request: the projects, and the secrets of the owner and of the runner.

use std::{
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use mozi_board::{Clock, hash_token, new_secret};
use mozi_core::{
    AgentId, Command, Identity, ProjectId, Refusal, Request, RunnerId, UserRole,
    command::{Credential, SettingChange},
    token::Holder,
};
use mozi_store::{Store, SubmitError};

use crate::{
    config::{Config, env},
    context::token_file,
    error::{Failure, Result},
};

/// The secrets in clear.
pub(super) struct Secrets {
    pub admin: String,
    pub runner: String,
}

pub(super) struct Start<'a> {
    pub store: &'a Store,
    pub clock: &'a Clock,
    pub data: &'a Path,
    pub config: &'a Config,
}

impl Start<'_> {
    pub(super) async fn run(&self) -> Result<Secrets> {
        let default = "default".parse::<ProjectId>().map_err(|e| Failure::new(e.to_string()))?;
        self.project(&default).await?;
        self.projects().await?;
        let user = env::var("USER").or_else(|| env::var("LOGNAME")).unwrap_or_else(|| "owner".to_owned());
        let admin = Holder::User { user, role: UserRole::Admin };
        let local = "local".parse::<RunnerId>().map_err(|e| Failure::new(e.to_string()))?;
        Ok(Secrets {
            admin: self.secret(&token_file(self.data), "mozi_u_", "owner", &admin).await?,
            runner: self
                .secret(&self.data.join("runner.token"), "mozi_r_", "runner-local", &Holder::Runner(local))
                .await?,
        })
    }

    /// The projects of the configuration, as far as they are not there yet.
    pub(super) async fn projects(&self) -> Result<()> {
        for id in self.config.projects.keys() {
            self.project(id).await?;
        }
        Ok(())
    }

    async fn submit(&self, command: Command) -> std::result::Result<(), SubmitError> {
        let (now, seed) = (self.clock.now(), self.clock.seed());
        let request = Request { credential: Credential::Board, via: None, now, seed, command };
        self.store.submit(request, None).await.map(drop)
    }

    /// A project, if it is not there yet. Where one agent is all there is, tasks without a name go to it.
    async fn project(&self, id: &ProjectId) -> Result<()> {
        let there = self.store.project(id).await.map_err(|e| Failure::new(format!("could not {e}")))?;
        if there.is_some() {
            return Ok(());
        }
        let mut settings = vec![SettingChange::Language(env::language())];
        let agents: Vec<&AgentId> = self.config.agents.keys().collect();
        if let [only] = agents.as_slice() {
            settings.push(SettingChange::DefaultAgent(Some((*only).clone())));
        }
        let made = self.submit(Command::CreateProject { id: id.clone(), name: None, settings }).await;
        made.map_err(|e| Failure::new(format!("could not make project {id}: {e}")))
    }

    /// The secret in a file of its own, made if need be. The file comes first: whenever this is interrupted, the next
    /// start goes on with the same secret.
    async fn secret(&self, file: &Path, prefix: &str, name: &str, holder: &Holder) -> Result<String> {
        let secret = match std::fs::read_to_string(file) {
            Ok(text) if text.trim().starts_with(prefix) => {
                keep_private(file)?;
                text.trim().to_owned()
            }
            Ok(_) => make_file(file, prefix)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => make_file(file, prefix)?,
            Err(e) => return Err(Failure::io("read", file, &e)),
        };
        let hash = hash_token(&secret);
        let known = self.store.identify(hash, self.clock.now()).await;
        if !matches!(known.map_err(|e| Failure::new(format!("could not {e}")))?, Identity::Unknown) {
            return Ok(secret);
        }
        // A lost file: what it held is worth nothing any more.
        for number in 1..=1_000_u32 {
            let name = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
            let made =
                Command::CreateToken { name, hash, holder: holder.clone(), project: None, expires_at: None };
            match self.submit(made).await {
                Ok(()) => return Ok(secret),
                Err(SubmitError::Refused(Refusal::DuplicateId { .. })) => {}
                Err(e) => return Err(Failure::new(format!("could not make a token: {e}"))),
            }
        }
        Err(Failure::new("could not make a token: its name is taken a thousand times"))
    }
}

fn make_file(file: &Path, prefix: &str) -> Result<String> {
    let secret = new_secret(prefix).map_err(|e| Failure::new(format!("could not get random bytes: {e}")))?;
    let failed = |e: std::io::Error| Failure::io("write", file, &e);
    // Born private: there is no moment in which others can read it.
    let beside = file.with_extension("new");
    match std::fs::remove_file(&beside) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let mut made =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(failed)?;
    made.write_all(format!("{secret}\n").as_bytes()).and_then(|()| made.sync_all()).map_err(failed)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "born private, which the durable-write helper does not promise"
    )]
    std::fs::rename(&beside, file).map_err(failed)?;
    let folder = file.parent().unwrap_or_else(|| Path::new("/"));
    std::fs::File::open(folder).and_then(|d| d.sync_all()).map_err(failed)?;
    Ok(secret)
}

/// Takes away what others may read of it.
fn keep_private(file: &Path) -> Result<()> {
    let failed = |e: std::io::Error| Failure::io("make private", file, &e);
    if !super::is_open_to_others(&std::fs::metadata(file).map_err(failed)?) {
        return Ok(());
    }
    tracing::warn!("{} could be read by others: that is changed now", file.display());
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).map_err(failed)
}
