//! `mozi logs`

use mozi_api::{
    files::LogStream,
    query::{Expand, LogQuery},
};

use crate::{
    cli::LogsArgs,
    context::Context,
    error::{Failure, Result},
};

pub(crate) async fn run(context: &Context, args: LogsArgs) -> Result<()> {
    let stream = if args.stderr { LogStream::Stderr } else { LogStream::Stdout };
    let query = LogQuery { stream: Some(stream.into()), from: None, follow: args.follow.then_some(true) };
    let mut bytes = match newest_attempt(context, &args).await {
        Ok((key, number)) => {
            context.ask(context.client.attempt_log(&key.project, &key.task, number, &query)).await?
        }
        // Not a task: perhaps the beginning of a session's id.
        Err(no_task) if args.attempt.is_none() && no_task.code.as_deref() == Some("not_found") => {
            let Ok(session) = context.session(&args.id).await else { return Err(no_task) };
            context.ask(context.client.session_log(session, &query)).await?
        }
        Err(e) => return Err(e),
    };
    while let Some(piece) = context.ask(bytes.next()).await? {
        context.out.bytes(&piece)?;
    }
    Ok(())
}

async fn newest_attempt(context: &Context, args: &LogsArgs) -> Result<(mozi_core::TaskKey, u32)> {
    let key = context.key(&args.id).await?;
    if let Some(number) = args.attempt {
        return Ok((key, number));
    }
    let task = context.task(&key, Expand::default()).await?;
    match task.attempt_number {
        Some(number) => Ok((key, number)),
        None => {
            Err(Failure::new(format!("{}/{} has no attempt yet: there is no log", key.project, key.task))
                .hint(format!("`mozi why {}` says what it waits for", args.id)))
        }
    }
}
