//! `mozi logs`

use mozi_api::{
    files::LogStream,
    query::{Expand, LogQuery},
};

use crate::{
    cli::LogsArgs,
    context::Context,
    error::{Failure, Result},
    output::Out,
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
    let begins = bytes.headers().get("mozi-log-offset").and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if let Some(gone) = begins.filter(|at| *at > 0) {
        crate::output::note(format!("(the first {gone} bytes of this log are not kept any more)"));
    }
    if !context.out.json() {
        while let Some(piece) = context.ask(bytes.next()).await? {
            context.out.bytes(&piece)?;
        }
        return Ok(());
    }
    let mut lines = Lines { stream: if args.stderr { "stderr" } else { "stdout" }, rest: Vec::new() };
    while let Some(piece) = context.ask(bytes.next()).await? {
        lines.print(context.out, &piece)?;
    }
    lines.end(context.out)
}

/// A line that never ends is cut here, in bytes.
const LONGEST: usize = 1024 * 1024;

/// For machines: one JSON object for each line.
struct Lines {
    stream: &'static str,
    rest: Vec<u8>,
}

impl Lines {
    fn print(&mut self, out: Out, piece: &[u8]) -> Result<()> {
        self.rest.extend_from_slice(piece);
        while let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.one(out, line.strip_suffix(b"\n").unwrap_or(&line))?;
        }
        if self.rest.len() > LONGEST {
            let line = std::mem::take(&mut self.rest);
            self.one(out, &line)?;
        }
        Ok(())
    }

    fn one(&self, out: Out, line: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(line);
        out.value_line(&serde_json::json!({ "stream": self.stream, "line": text }))
    }

    fn end(self, out: Out) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { self.one(out, &self.rest) }
    }
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
