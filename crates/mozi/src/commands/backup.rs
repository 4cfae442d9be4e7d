//! `mozi backup`, `mozi restore`

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mozi_core::{Command, Request, command::Credential};
use serde_json::json;

use super::house::{Owner, offline};
use crate::{
    agent_context,
    cli::{BackupArgs, Global, RestoreArgs},
    config::{Config, env},
    context::Context,
    error::{Failure, Result},
    house::{archive::Manifest, give_name, restore},
    output::{Out, bytes, local, note, watched},
};

/// `mozi backup FILE`
pub(crate) async fn backup(global: &Global, args: BackupArgs) -> Result<()> {
    agent_context::person_only(global.as_person, "`backup`")?;
    let out = Out::new(global.json);
    let to = std::path::absolute(&args.file).map_err(|e| Failure::io("find", &args.file, &e))?;
    if to.is_dir() {
        return Err(Failure::new(format!("{} is a folder", to.display())).hint("name a file in it"));
    }
    if !args.force && to.symlink_metadata().is_ok() {
        return Err(taken(&to));
    }
    let folder = to.parent().unwrap_or_else(|| Path::new("/")).to_path_buf();
    let full = |e: &std::io::Error| {
        Failure::io("write", &to, e).hint(format!(
            "no backup was made: {} must be writable and have room for all outputs and a copy of the database",
            folder.display()
        ))
    };
    // Written beside and renamed when it is whole: a full disk or a lost board leaves no half file. Readable by its
    // owner alone from the beginning.
    let mut file =
        tempfile::Builder::new().prefix(".mozi-backup-").tempfile_in(&folder).map_err(|e| full(&e))?;
    let mut held = None;
    match Owner::of(global, args.data.as_deref())? {
        Owner::Board => {
            let context = Context::open(global)?;
            let mut pieces = context.ask(context.client.backup()).await?;
            let mut progress = Progress::new();
            while let Some(piece) = context.ask(pieces.next()).await? {
                file.as_file_mut().write_all(&piece).map_err(|e| full(&e))?;
                progress.more(piece.len());
            }
            progress.end();
        }
        Owner::Nobody(data) => {
            let config = Config::load(args.config.as_deref())?;
            let kept = offline(&data, config).await?;
            let buffered = std::io::BufWriter::with_capacity(1 << 20, file.as_file_mut());
            kept.keeper.write_to(buffered).map_err(|e| {
                let hint = format!("no backup was made; {} must be writable and have room", folder.display());
                if e.hint.is_some() { e } else { e.hint(hint) }
            })?;
            held = Some(kept);
        }
    }
    file.as_file().sync_all().map_err(|e| full(&e))?;
    // Read again from the disk: what is not whole gets no name.
    let written = file.path().to_path_buf();
    let looked = tokio::task::spawn_blocking(move || restore::look(&written)).await;
    let manifest = looked
        .map_err(|e| Failure::new(format!("could not look at the backup: {e}")))?
        .map_err(|e| {
            Failure::new(format!("no backup was made: {}", e.what))
                .hint("try again; the log of the board may say why")
        })?
        .manifest;
    let size = file.as_file().metadata().map_or(0, |m| m.len());
    give_name(file, &to, args.force)
        .map_err(|e| if e.kind() == std::io::ErrorKind::AlreadyExists { taken(&to) } else { full(&e) })?;
    if let Some(kept) = held {
        told(&kept, size, &manifest).await;
    }
    if out.json() {
        out.value(&json!({ "file": to, "size_bytes": size, "manifest": without_files(&manifest) }))?;
    } else {
        out.line(format!("saved {} ({})", to.display(), bytes(size)))?;
        out.line(format!("  {}", summary(&manifest)))?;
    }
    damaged(&manifest)
}

fn taken(to: &Path) -> Failure {
    Failure::new(format!("{} is there already", to.display()))
        .hint("name another file, or --force to replace it once the new one is whole")
        .code("exists")
}

/// Everything but the long list.
fn without_files(manifest: &Manifest) -> serde_json::Value {
    let mut value = json!(manifest);
    if let Some(map) = value.as_object_mut() {
        map.remove("files");
    }
    value
}

fn summary(m: &Manifest) -> String {
    let n = |n: u64, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    format!(
        "board {} of {}: {}, {}, {}, {}",
        m.head.board_id,
        local(&m.head.made_at),
        n(m.projects, "project", "projects"),
        n(m.tasks, "task", "tasks"),
        n(m.attempts, "attempt", "attempts"),
        n(m.outputs, "output", "outputs"),
    )
}

fn damaged(manifest: &Manifest) -> Result<()> {
    match manifest.damaged.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(Failure::new(format!(
            "{} of {} outputs that lie in files were missing or damaged when the backup was made, such as blob {first}",
            manifest.damaged.len(),
            manifest.blobs
        ))
        .hint("everything else is in it; `mozi doctor --all-outputs` names whose they are, an older backup may have them")
        .code("damaged_outputs")),
    }
}

/// Says how far it is, once a second, where somebody watches.
struct Progress {
    began: Instant,
    told: Instant,
    sum: u64,
    watched: bool,
}

impl Progress {
    fn new() -> Self {
        let now = Instant::now();
        Self { began: now, told: now, sum: 0, watched: watched() }
    }
    fn more(&mut self, n: usize) {
        self.sum = self.sum.saturating_add(n as u64);
        if self.watched && self.told.elapsed() >= Duration::from_secs(1) {
            self.told = Instant::now();
            note(format!("  {} so far", bytes(self.sum)));
        }
    }
    fn end(&self) {
        if self.watched && self.began.elapsed() >= Duration::from_secs(1) {
            note(format!("  {}: looking it over", bytes(self.sum)));
        }
    }
}

/// `mozi restore FILE [--verify]`
pub(crate) async fn restore(global: &Global, args: RestoreArgs) -> Result<()> {
    let out = Out::new(global.json);
    if args.verify {
        let opened = restore::verify(args.file.clone()).await?;
        let manifest = &opened.manifest;
        if out.json() {
            out.value(&json!({ "file": args.file, "whole": true, "manifest": without_files(manifest) }))?;
        } else {
            out.line(format!("{} is whole and can be restored", args.file.display()))?;
            out.line(format!("  {}", summary(manifest)))?;
            if manifest.open_attempts > 0 {
                out.line(format!("  {} of its attempts were at work", manifest.open_attempts))?;
            }
        }
        return damaged(manifest);
    }
    agent_context::person_only(global.as_person, "`restore`")?;
    let named = args.data.is_some();
    let data = crate::serve::data_dir(args.data)?;
    let config = args.config.or_else(env::config_file);
    let config: Option<PathBuf> = config.map(|file| std::path::absolute(&file).unwrap_or(file));
    let (opened, configuration) = restore::restore(&args.file, &data, config.as_deref()).await?;
    let manifest = &opened.manifest;
    if out.json() {
        out.value(&json!({
            "data": data, "manifest": without_files(manifest),
            "configuration": { "written": configuration.written, "kept": configuration.kept },
        }))?;
    } else {
        out.line(format!("restored into {}", data.display()))?;
        out.line(format!("  {}", summary(manifest)))?;
        for path in &configuration.written {
            out.line(format!("  wrote {}", path.display()))?;
        }
        for path in &configuration.kept {
            out.line(format!("  kept {}, which was there", path.display()))?;
        }
        if manifest.open_attempts > 0 {
            out.line(format!(
                "  {} of its attempts were at work: `mozi serve` ends what is left of them, but nothing that another data folder's agents do",
                manifest.open_attempts
            ))?;
        }
        let at = if named { format!(" --data {}", typed(&data)) } else { String::new() };
        note(format!(
            "start it with `mozi serve{at}`; it writes a new owner's token, tokens of before are valid too"
        ));
        if named {
            note(format!(
                "beside a board that runs, which has the port of mozi.toml: `mozi serve{at} --listen 127.0.0.1:0`, with --dry-run only to look"
            ));
        }
    }
    damaged(manifest)
}

/// A path as it is typed in a shell.
fn typed(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+,:@%=".contains(c));
    if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Tells of a backup that was made without a server.
async fn told(kept: &super::house::Offline, size_bytes: u64, manifest: &Manifest) {
    let (now, seed) = (kept.clock.now(), kept.clock.seed());
    let command =
        Command::BackupMade { size_bytes, blobs: manifest.blobs, damaged: manifest.damaged.len() as u64 };
    let request = Request { credential: Credential::Board, via: Some("cli".into()), now, seed, command };
    if let Err(e) = kept.store.submit(request, None).await {
        note(format!("the backup is made, but the board could not be told: could not {e}"));
    }
}
