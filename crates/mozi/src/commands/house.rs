//! `mozi gc`, and who owns the data folder: a server that runs, or whoever takes its lock.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use mozi_api::house::GcReport;
use mozi_board::{Blobs, Clock};
use mozi_store::{Format, Store};
use tokio::sync::watch;

use crate::{
    agent_context,
    cli::{GcArgs, Global},
    config::{Config, env},
    context::Context,
    error::{Failure, Result},
    house::{gc::Scope, keeper::Keeper},
    output::{Out, Table, bytes, note},
    serve::{data_dir, lock},
};

/// Who owns the data that is meant.
pub(crate) enum Owner {
    /// A board that runs, here or elsewhere: it is asked.
    Board,
    /// Nobody: whoever takes the lock of this folder.
    Nobody(PathBuf),
}

impl Owner {
    pub(crate) fn of(global: &Global, data: Option<&Path>) -> Result<Self> {
        let named = global.url.is_some() || env::var("MOZI_URL").is_some();
        if named && data.is_none() {
            return Ok(Self::Board);
        }
        let own = data_dir(data.map(Path::to_path_buf))?;
        match lock::holder(&own) {
            None => Ok(Self::Nobody(own)),
            // The one that a command finds by itself.
            Some(_) if data.is_none() => Ok(Self::Board),
            Some(pid) => Err(Failure::new(format!(
                "the data folder {} is in use by `mozi serve` (pid {pid}), which alone may change it",
                own.display()
            ))
            .hint("leave --data out to ask that board, or name it with --url")
            .code("in_use")),
        }
    }
}

/// A data folder without a server, held.
pub(crate) struct Offline {
    pub keeper: Keeper,
    pub store: Store,
    pub clock: Clock,
    _lock: lock::DataLock,
}

/// Takes the lock of a data folder and opens what is in it.
pub(crate) async fn offline(data: &Path, config: Config) -> Result<Offline> {
    let database = data.join("mozi.db");
    let missing = || {
        Failure::new(format!("there is no board in {}", data.display()))
            .hint("--data or MOZI_DATA names another folder")
            .code("no_board")
    };
    if !database.exists() {
        return Err(missing());
    }
    let lock = lock::take(data)?;
    crate::house::restore::is_unfinished(data)?;
    let could_not = |e: &dyn std::fmt::Display| Failure::new(format!("could not {e}"));
    match mozi_store::format_of(&database).map_err(|e| could_not(&e))? {
        None => return Err(missing()),
        Some(Format { found, known }) if found < known => {
            return Err(Failure::new(format!(
                "the database is of an older version (format {found}, this version writes {known})"
            ))
            .hint("start `mozi serve` once: it keeps a copy of the database and brings it up to date"));
        }
        Some(_) => {}
    }
    let options = mozi_store::Options::new(database, String::new());
    let opened = tokio::task::spawn_blocking(move || Store::open(options)).await;
    let store = opened.map_err(|e| could_not(&e))?.map_err(|e| could_not(&e))?;
    let blobs = Blobs::open(data).map_err(|e| could_not(&e))?;
    let (_, config) = watch::channel(Arc::new(config));
    let keeper = Keeper::new(data, store.clone(), blobs, config);
    Ok(Offline { keeper, store, clock: Clock::system(), _lock: lock })
}

/// `mozi gc [--dry-run]`
pub(crate) async fn gc(global: &Global, args: GcArgs) -> Result<()> {
    if !args.dry_run {
        agent_context::person_only(global.as_person, "`gc`")?;
    }
    let report = match Owner::of(global, args.data.as_deref())? {
        Owner::Board => {
            let context = Context::open(global)?;
            if args.dry_run {
                context.ask(context.client.gc_report()).await?
            } else {
                context.ask(context.client.gc()).await?
            }
        }
        Owner::Nobody(data) => {
            let config = Config::load(args.config.as_deref())?;
            let kept = offline(&data, config).await?;
            let report = kept.keeper.apply(Scope::All, args.dry_run).await?;
            if !args.dry_run {
                kept.keeper.tell("gc", report.removed()).await;
            }
            report
        }
    };
    show(Out::new(global.json), &report)
}

fn show(out: Out, report: &GcReport) -> Result<()> {
    if out.json() {
        return out.value(report);
    }
    let mut table = Table::new(&["WHAT", "COUNT", "SIZE"]);
    for line in &report.removed {
        let size = line.bytes.map_or_else(|| "-".to_owned(), bytes);
        table.row(vec![line.kind.clone(), line.count.to_string(), size]);
    }
    out.table(&table)?;
    let sum: u64 = report.removed.iter().filter_map(|l| l.bytes).sum();
    let anything = report.removed.iter().any(|l| l.count > 0);
    out.line(match (anything, report.dry_run) {
        (false, _) => "there is nothing to remove".to_owned(),
        (true, true) => format!("{} would be free; `mozi gc` removes this", bytes(sum)),
        (true, false) => format!("{} are free now", bytes(sum)),
    })?;
    for text in &report.notes {
        note(text);
    }
    Ok(())
}
