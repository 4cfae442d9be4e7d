//! `mozi output list | show | save`

use std::{io::Write as _, os::unix::fs::PermissionsExt as _, path::PathBuf};

use mozi_api::{client::ByteStream, output::Output, query::Expand};
use mozi_core::TaskKey;

use super::tasks::Several;
use crate::{
    cli::OutputCommand,
    context::Context,
    error::{Failure, Result},
    output::{Table, bytes, local},
};

pub(crate) async fn run(context: &Context, command: OutputCommand) -> Result<()> {
    match command {
        OutputCommand::List { ids } => {
            let mut several = Several::default();
            for id in &ids {
                let listed = async {
                    let key = context.key(id).await?;
                    let outputs = of(context, &key).await?;
                    let said = if context.out.json() { String::new() } else { table(context, &outputs) };
                    Ok((outputs, said))
                };
                several.add(context, listed.await)?;
            }
            several.end(context, ids.len())
        }
        OutputCommand::Show { id, output } => {
            let key = context.key(&id).await?;
            if context.out.json() {
                return context.out.value(&find(context, &key, output).await?);
            }
            let mut content = content(context, &key, output).await?;
            while let Some(piece) = context.ask(content.next()).await? {
                context.out.bytes(&piece)?;
            }
            Ok(())
        }
        OutputCommand::Save { id, output, output_file } => save(context, &id, output, output_file).await,
        // Carried out elsewhere: it is an agent's.
        OutputCommand::Add(_) => Err(Failure::usage("outputs are added from inside a session")),
    }
}

async fn save(context: &Context, id: &str, output: u64, to: Option<PathBuf>) -> Result<()> {
    let key = context.key(id).await?;
    let about = find(context, &key, output).await?;
    let own_name = about.file_name.as_deref().and_then(|n| std::path::Path::new(n).file_name());
    let to = to.unwrap_or_else(|| {
        own_name.map_or_else(|| PathBuf::from(format!("{}-{output}", key.task)), PathBuf::from)
    });
    let mut content = content(context, &key, output).await?;
    // Written beside and renamed when it is whole: a broken connection leaves no half file.
    let folder =
        to.parent().filter(|p| !p.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let failed = |e: std::io::Error| Failure::io("write", &to, &e);
    let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(failed)?;
    while let Some(piece) = context.ask(content.next()).await? {
        file.write_all(&piece).map_err(failed)?;
    }
    if to.exists() {
        return Err(Failure::new(format!("{} is there already", to.display())).hint("-o names another file"));
    }
    let saved = file.persist_noclobber(&to).map_err(|e| Failure::io("write", &to, &e.error))?;
    let size = saved.metadata().map_or(about.size_bytes, |m| m.len());
    saved
        .set_permissions(std::fs::Permissions::from_mode(0o644))
        .map_err(|e| Failure::io("write", &to, &e))?;
    if context.out.json() {
        return context
            .out
            .value(&serde_json::json!({ "file": to, "size_bytes": size, "sha256": about.sha256 }));
    }
    context.out.line(format!("saved {} ({})", to.display(), bytes(size)))
}

async fn content(context: &Context, key: &TaskKey, output: u64) -> Result<ByteStream> {
    let opened = context.ask(context.client.output_content(&key.project, &key.task, number(output)?)).await;
    opened.map_err(|e| match e.code.as_deref() {
        Some("not_found") => e.hint(format!("`mozi output list {}` shows its outputs", key.task)),
        _ => e,
    })
}

async fn of(context: &Context, key: &TaskKey) -> Result<Vec<Output>> {
    let task = context.task(key, Expand { outputs: true, ..Expand::default() }).await?;
    Ok(task.outputs.unwrap_or_default())
}

async fn find(context: &Context, key: &TaskKey, output: u64) -> Result<Output> {
    let all = of(context, key).await?;
    let count = all.len();
    all.into_iter().find(|o| u64::from(o.output_id) == output).ok_or_else(|| {
        Failure::new(format!("{}/{} has no output {output}: it has {count}", key.project, key.task))
            .hint(format!("`mozi output list {}` shows them", key.task))
            .code("not_found")
    })
}

fn number(output: u64) -> Result<u32> {
    u32::try_from(output).map_err(|_| Failure::usage(format!("{output} is no output's number")))
}

fn table(context: &Context, outputs: &[Output]) -> String {
    if outputs.is_empty() {
        return "no outputs yet".to_owned();
    }
    let mut table = Table::new(&["#", "TYPE", "SIZE", "AGENT", "ADDED", "TITLE"]);
    for o in outputs {
        table.row(vec![
            o.output_id.to_string(),
            o.output_type.to_string(),
            bytes(o.size_bytes),
            o.agent.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            local(&o.created_at.to_string()),
            o.title.clone(),
        ]);
    }
    table.lines(context.out).join("\n")
}
