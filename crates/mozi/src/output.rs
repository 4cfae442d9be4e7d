//! Everything that the program prints: for people, tables that fit and times of their own zone; for machines, JSON.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::{
    config::env,
    error::{Exit, Failure, Result},
};

pub(crate) use table::Table;
pub(crate) use text::{bytes, clip, money, one_line, pad, text_lines, wrap};
pub(crate) use time::{ago, local, now, parse_past, parse_point, seconds, span};

mod table;
mod text;
mod time;

/// The hand that prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    json: bool,
    colour: bool,
    width: Option<usize>,
    height: Option<usize>,
}

/// What a piece of text is, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Good,
    Bad,
    Wait,
    Busy,
    Dim,
    Strong,
}

impl Out {
    pub(crate) fn new(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let colour =
            terminal && env::var("NO_COLOR").is_none() && env::var("TERM").as_deref() != Some("dumb");
        let size = terminal.then(|| rustix::termios::tcgetwinsize(io::stdout()).ok()).flatten();
        let width = size.map(|s| usize::from(s.ws_col)).filter(|w| *w > 0);
        let height = size.map(|s| usize::from(s.ws_row)).filter(|h| *h > 0);
        Self { json, colour, width, height }
    }

    pub(crate) fn json(self) -> bool {
        self.json
    }
    /// How wide the terminal is; none where the output is no terminal and nothing is cut.
    pub(crate) fn width(self) -> Option<usize> {
        self.width
    }

    /// How many lines the terminal has.
    pub(crate) fn height(self) -> Option<usize> {
        self.height
    }

    /// A line for people and machines alike.
    pub(crate) fn line(self, text: impl AsRef<str>) -> Result<()> {
        self.bytes(format!("{}\n", text.as_ref()).as_bytes())
    }

    /// Bytes as they are.
    #[expect(clippy::unused_self, reason = "who has no `Out` does not print")]
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            // Whoever read it has seen enough: `mozi events -f | head`.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(Failure::silent(Exit::Done)),
            Err(e) => Err(Failure::new(format!("could not write the output: {}", crate::error::plain(&e)))),
        }
    }

    /// A value for machines: indented on a terminal.
    pub(crate) fn value(self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value);
        self.line(text.map_err(|e| Failure::new(format!("could not write JSON: {e}")))?)
    }

    /// A value for machines on one line, of a stream of them.
    pub(crate) fn value_line(self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value);
        self.line(text.map_err(|e| Failure::new(format!("could not write JSON: {e}")))?)
    }

    /// A table for people.
    pub(crate) fn table(self, table: &Table) -> Result<()> {
        for line in table.lines(self) {
            self.line(line)?;
        }
        Ok(())
    }

    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Good => "32",
            Paint::Bad => "31",
            Paint::Wait => "33",
            Paint::Busy => "36",
            Paint::Dim => "2",
            Paint::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// The colour of a task's status or of an outcome.
pub(crate) fn paint_of(word: &str) -> Paint {
    match word {
        "done" | "completed" | "online" => Paint::Good,
        "failed" | "crashed" | "timed_out" | "stalled" | "lost" | "spawn_failed" | "over_budget"
        | "stuck" => Paint::Bad,
        "review" | "blocked" | "paused" | "no_verdict" => Paint::Wait,
        "claimed" | "working" | "starting" | "running" | "ending" => Paint::Busy,
        _ => Paint::Dim,
    }
}

/// A word to the person beside the output: what was done, what is waited for.
pub(crate) fn note(text: impl AsRef<str>) {
    let mut err = io::stderr().lock();
    // Nobody is left to be told when this fails.
    drop(writeln!(err, "{}", text.as_ref()));
}

/// A line to the person beside the output that the next one takes the place of; an empty one takes it away.
pub(crate) fn progress(text: &str) {
    let mut err = io::stderr().lock();
    drop(write!(err, "\r\u{1b}[K{text}").and_then(|()| err.flush()));
}

/// What went wrong, and what to do.
pub(crate) fn failure(failure: &Failure, json: bool) {
    if failure.quiet {
        return;
    }
    if json {
        let code = failure.code.as_deref().unwrap_or("failed");
        let mut error = serde_json::json!({ "code": code, "detail": failure.what, "hint": failure.hint });
        if let (Some(error), Some(serde_json::Value::Object(more))) = (error.as_object_mut(), &failure.more) {
            error.extend(more.clone());
        }
        let value = serde_json::json!({ "error": error });
        note(value.to_string());
        return;
    }
    note(format!("mozi: {}", failure.what));
    if let Some(hint) = &failure.hint {
        note(format!("      {hint}"));
    }
}

/// Whether a person looks at the error stream.
pub(crate) fn watched() -> bool {
    io::stderr().is_terminal()
}
