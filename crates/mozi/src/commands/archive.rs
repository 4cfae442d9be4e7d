//! `mozi task import` and `mozi task export`

use std::{
    fs::File,
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mozi_api::{
    ClientError,
    import::{BadLine, ImportReply},
    query::{ExportFormat, ExportQuery, ImportQuery},
    transport,
};
use mozi_core::ProjectId;

use crate::{
    context::Context,
    error::{Failure, Result},
    house::{folder_of, give_name},
    output::{self, bytes},
};

/// What takes longer says how far it is.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often.
const STEP: Duration = Duration::from_millis(250);

pub(super) async fn import(context: &Context, file: &Path, dry_run: bool) -> Result<()> {
    let project = context.project().await?;
    let (source, size) = open(file)?;
    let failed = |e: io::Error| Failure::io("read", file, &e);
    // What it is, its content says.
    let mut beginning = Vec::new();
    let mut source = source;
    source.by_ref().take(512).read_to_end(&mut beginning).map_err(failed)?;
    let whole = mozi_board::is_tar(&beginning);
    if whole {
        context.person_only("`task import` of a whole project")?;
    } else {
        // Whether it may at all is asked before anything large is sent.
        context.ask(context.client.project(&project)).await?;
    }
    let source = Box::new(io::Cursor::new(beginning).chain(source));
    let body = transport::reader(Progress::new(source, size), size);
    let query = ImportQuery { dry_run: dry_run.then_some(true) };
    let reply = context.client.import(&project, body, query, None).await;
    let reply = reply.map_err(|e| bad_lines(context, &e).unwrap_or_else(|| explained(context, &e)))?;
    told(context, &project, &reply, whole)
}

fn explained(context: &Context, error: &ClientError) -> Failure {
    let failure = context.failure(error);
    match error.code() {
        Some("project_not_empty") => failure.hint("-p names another project; a new one is made"),
        _ => failure,
    }
}

/// Writes a project into a file: whole and synced, or not at all.
pub(super) async fn export(
    context: &Context,
    output: Option<PathBuf>,
    tasks_only: bool,
    force: bool,
) -> Result<()> {
    let project = context.project().await?;
    let ending = if tasks_only { "jsonl" } else { "mozi.tar" };
    let to = output.unwrap_or_else(|| PathBuf::from(format!("{project}.{ending}")));
    if to != Path::new("-") && !force && to.exists() {
        return Err(Failure::new(format!("{} is there already", to.display()))
            .hint("-o names another file, --force writes over it"));
    }
    let query = ExportQuery { format: tasks_only.then(|| ExportFormat::Tasks.into()) };
    let mut content = context.ask(context.client.export(&project, query)).await?;
    let size = content.headers().get("content-length").and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let mut progress = Meter::new("received", size);
    if to == Path::new("-") {
        while let Some(piece) = context.ask(content.next()).await? {
            progress.add(piece.len());
            context.out.bytes(&piece)?;
        }
        return progress.whole();
    }
    let failed = |e: io::Error| Failure::io("write", &to, &e);
    // Beside it, and renamed when it is whole and on the disk: for its owner alone, as it holds all that was said.
    let mut file = tempfile::NamedTempFile::new_in(folder_of(&to)).map_err(failed)?;
    while let Some(piece) = context.ask(content.next()).await? {
        progress.add(piece.len());
        file.write_all(&piece).map_err(failed)?;
    }
    let received = progress.sent;
    progress.whole()?;
    file.as_file().sync_all().map_err(failed)?;
    give_name(file, &to, force).map_err(failed)?;
    if context.out.json() {
        let value =
            serde_json::json!({ "project_id": project.to_string(), "file": to, "size_bytes": received });
        return context.out.value(&value);
    }
    context.out.line(format!("wrote {project} to {} ({})", to.display(), bytes(received)))
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

fn told(context: &Context, project: &ProjectId, reply: &ImportReply, whole: bool) -> Result<()> {
    if context.out.json() {
        return context.out.value(reply);
    }
    let tasks = |n: u64| if n == 1 { "1 task".to_owned() } else { format!("{n} tasks") };
    let done = match (whole, reply.dry_run) {
        (false, false) => "added",
        (false, true) => "would add",
        (true, false) => "took in",
        (true, true) => "would take in",
    };
    let there = match reply.existing {
        0 => String::new(),
        n => format!("; {} there already", if n == 1 { "1 is".into() } else { format!("{n} are") }),
    };
    let to = if whole { "as" } else { "to" };
    context.out.line(format!("{done} {} {to} {project}{there}", tasks(reply.created)))?;
    if reply.were_live > 0 {
        let hint = format!("mozi task list -p {project} --status blocked");
        output::note(format!(
            "note: {} at work where it comes from: blocked here until a person decides (`{hint}`)",
            if reply.were_live == 1 { "1 was".to_owned() } else { format!("{} were", reply.were_live) }
        ));
    }
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

/// Says how far it is, to a person who looks, once it takes longer.
struct Meter {
    word: &'static str,
    size: Option<u64>,
    sent: u64,
    began: Instant,
    said: Option<Instant>,
    watched: bool,
}

impl Meter {
    fn new(word: &'static str, size: Option<u64>) -> Self {
        Self { word, size, sent: 0, began: Instant::now(), said: None, watched: output::watched() }
    }

    fn add(&mut self, more: usize) {
        self.sent += more as u64;
        let now = Instant::now();
        let due = self.said.map_or(self.began + PATIENCE, |said| said + STEP);
        if self.watched && now >= due {
            self.said = Some(now);
            let of = self.size.map_or_else(String::new, |size| format!(" of {}", bytes(size)));
            output::progress(&format!("{} {}{of}", self.word, bytes(self.sent)));
        }
    }

    /// All has come that was announced.
    fn whole(self) -> Result<()> {
        match self.size {
            Some(size) if size != self.sent => Err(Failure::new(format!(
                "the export was cut off after {} of {}",
                bytes(self.sent),
                bytes(size)
            ))
            .hint("the board's log says why")),
            _ => Ok(()),
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.said.is_some() {
            output::progress("");
        }
    }
}

/// A source that says how much of it was sent.
struct Progress {
    source: Source,
    meter: Meter,
}

impl Progress {
    fn new(source: Source, size: Option<u64>) -> Self {
        Self { source, meter: Meter::new("sent", size) }
    }
}

impl Read for Progress {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.meter.add(read);
        if read == 0 && self.meter.said.is_some() {
            output::progress("all is sent; the board takes it in");
        }
        Ok(read)
    }
}
