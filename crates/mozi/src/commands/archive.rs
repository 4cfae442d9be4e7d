//! `mozi task import` and `mozi task export`

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    time::{Duration, Instant},
};

use mozi_api::{
    ClientError,
    import::{BadLine, ImportReply},
    query::ImportQuery,
    transport,
};
use mozi_core::ProjectId;

use crate::{
    context::Context,
    error::{Failure, Result},
    output::{self, bytes},
};

/// What takes longer says how far it is.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often.
const STEP: Duration = Duration::from_millis(250);

pub(super) async fn import(context: &Context, file: &Path, dry_run: bool) -> Result<()> {
    let project = context.project().await?;
    let (source, size) = open(file)?;
    lines(context, &project, source, size, dry_run).await
}

type Source = Box<dyn Read + Send>;

/// What is to be read, and how much it is where that is known.
fn open(file: &Path) -> Result<(Source, Option<u64>)> {
    if file == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let failed = |e: io::Error| Failure::io("read", file, &e);
    let opened = File::open(file).map_err(failed)?;
    let about = opened.metadata().map_err(failed)?;
    if about.is_dir() {
        return Err(Failure::new(format!("could not read {}: it is a folder", file.display())));
    }
    Ok((Box::new(opened), about.is_file().then_some(about.len())))
}

async fn lines(
    context: &Context,
    project: &ProjectId,
    source: Source,
    size: Option<u64>,
    dry_run: bool,
) -> Result<()> {
    // Whether it may at all is asked before anything large is sent.
    context.ask(context.client.project(project)).await?;
    let body = transport::reader(Progress::new(source, size), size);
    let query = ImportQuery { dry_run: dry_run.then_some(true) };
    let reply = context.client.import(project, body, query, None).await;
    let reply = reply.map_err(|e| bad_lines(context, &e).unwrap_or_else(|| context.failure(&e)))?;
    told(context, project, &reply)
}

fn told(context: &Context, project: &ProjectId, reply: &ImportReply) -> Result<()> {
    if context.out.json() {
        return context.out.value(reply);
    }
    let tasks = |n: u64| if n == 1 { "1 task".to_owned() } else { format!("{n} tasks") };
    let done = if reply.dry_run { "would add" } else { "added" };
    let there = match reply.existing {
        0 => String::new(),
        n => format!("; {} there already", if n == 1 { "1 is".into() } else { format!("{n} are") }),
    };
    context.out.line(format!("{done} {} to {project}{there}", tasks(reply.created)))?;
    for warning in &reply.warnings {
        output::note(format!("note: {warning}"));
    }
    Ok(())
}

/// All wrong lines, one under the other, where that is what the board says.
fn bad_lines(context: &Context, error: &ClientError) -> Option<Failure> {
    let problem = error.problem()?;
    let lines: Vec<BadLine> = serde_json::from_value(problem.more.get("lines")?.clone()).ok()?;
    let of = problem.more.get("wrong_lines").and_then(serde_json::Value::as_u64).unwrap_or(0);
    let mut failure = context.failure(error);
    failure.more = Some(serde_json::json!({ "lines": lines, "wrong_lines": of }));
    if !context.out.json() {
        for line in &lines {
            let task = line.task_id.as_ref().map_or_else(String::new, |t| format!(" ({t})"));
            output::note(format!("line {}{task}: `{}` {}", line.line, line.field, line.why));
        }
        let more = of.saturating_sub(lines.len() as u64);
        if more > 0 {
            output::note(format!("and {more} more"));
        }
        let lines_are = if of == 1 { "1 line is".to_owned() } else { format!("{of} lines are") };
        failure.what = format!("{lines_are} wrong, and nothing was added");
    }
    Some(failure.hint("`--dry-run` looks without adding anything"))
}

/// Says how much was sent, to a person who looks, once it takes longer.
struct Progress {
    source: Source,
    size: Option<u64>,
    sent: u64,
    began: Instant,
    said: Option<Instant>,
    watched: bool,
}

impl Progress {
    fn new(source: Source, size: Option<u64>) -> Self {
        let began = Instant::now();
        Self { source, size, sent: 0, began, said: None, watched: output::watched() }
    }

    fn say(&mut self, read: usize) {
        let now = Instant::now();
        let due = self.said.map_or(self.began + PATIENCE, |said| said + STEP);
        if !self.watched || (now < due && (read > 0 || self.said.is_none())) {
            return;
        }
        self.said = Some(now);
        let of = self.size.map_or_else(String::new, |size| format!(" of {}", bytes(size)));
        if read > 0 {
            output::progress(&format!("sent {}{of}", bytes(self.sent)));
        } else {
            output::progress("all is sent; the board writes it");
        }
    }
}

impl Read for Progress {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.sent += read as u64;
        self.say(read);
        Ok(read)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.said.is_some() {
            output::progress("");
        }
    }
}
