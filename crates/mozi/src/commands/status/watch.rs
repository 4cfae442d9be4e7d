//! The page, drawn anew as things happen: events say when to look, a clock moves the durations.

use std::{io, time::Duration};

use mozi_api::{
    sse::EventStream,
    status::{BoardStatus, StatusQuery},
};
use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};

use crate::{
    cli::Global,
    context::Context,
    error::{Exit, Failure, Result},
    output::{Out, Paint, clip},
};

/// However much happens, it is not looked more often.
const RATE: Duration = Duration::from_millis(250);
/// The durations move.
const TICK: Duration = Duration::from_secs(1);
/// Signs of life in logs make no event: so often they are asked for.
const REFRESH: Duration = Duration::from_secs(5);

/// The screen of the terminal, taken over; given back when this goes.
struct Screen {
    before: Option<Termios>,
}

impl Screen {
    fn take() -> Result<Self> {
        let before = termios::tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            // What is typed would stand in the page.
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
            let _set = termios::tcsetattr(io::stdin(), OptionalActions::Now, &quiet);
        }
        Out::new(false).bytes(b"\x1b[?1049h\x1b[?25l\x1b[2J")?;
        Ok(Self { before })
    }

    /// One write: a page is never seen half drawn.
    fn draw(lines: &[String]) -> Result<()> {
        let mut frame = String::from("\u{1b}[?2026h\u{1b}[H");
        for (i, line) in lines.iter().enumerate() {
            if i > 0 {
                frame.push_str("\r\n");
            }
            frame.push_str(line);
            frame.push_str("\u{1b}[K");
        }
        frame.push_str("\u{1b}[J\u{1b}[?2026l");
        Out::new(false).bytes(frame.as_bytes())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _set = termios::tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
        drop(Out::new(false).bytes(b"\x1b[?25h\x1b[?1049l"));
    }
}

/// What is known, and since when.
struct Known {
    status: BoardStatus,
    /// When it was asked for, here.
    at: Instant,
}

pub(super) async fn run(global: &Global, query: &StatusQuery) -> Result<()> {
    if Out::new(false).width().is_none() {
        return Err(Failure::usage("--watch draws on a terminal, and the output is none").hint(
            "`mozi status --json` is for programs; `mozi events -f --json` tells what happens as it does",
        ));
    }
    let mut context = Context::open(global)?;
    // The first look tells of a wrong token or project before the screen is taken.
    let mut known = look(&context, query).await?;
    let mut stream = follow(&context, &known);
    let failed =
        |e: io::Error| Failure::new(format!("could not listen for signals: {}", crate::error::plain(&e)));
    let mut resized = signal(SignalKind::window_change()).map_err(failed)?;
    let mut continued =
        signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw())).map_err(failed)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hung_up = signal(SignalKind::hangup()).map_err(failed)?;
    let _screen = Screen::take()?;
    let mut away: Option<String> = None;
    let usual = Context::usual_project();
    // When to look next; an event moves it nearer.
    let mut next_look = known.at + REFRESH;
    loop {
        Screen::draw(&page(&usual, &known, away.as_deref()))?;
        let now = Instant::now();
        tokio::select! {
            _ = interrupted.recv() => return Ok(()),
            _ = terminated.recv() => return Ok(()),
            _ = hung_up.recv() => return Err(Failure::silent(Exit::Done)),
            _ = resized.recv() => continue,
            _ = continued.recv() => continue,
            () = sleep_until((now + TICK).min(next_look)) => {}
            event = stream.next(), if away.is_none() => {
                if event.is_err() {
                    away = Some(String::new());
                }
                next_look = next_look.min(known.at + RATE);
                if next_look > Instant::now() {
                    // What happens until then is seen by the same look.
                    sleep_until(next_look).await;
                }
            }
        }
        if Instant::now() < next_look {
            continue;
        }
        match look(&context, query).await {
            Ok(fresh) => {
                if away.take().is_some() {
                    stream = follow(&context, &fresh);
                }
                known = fresh;
                next_look = known.at + REFRESH;
            }
            Err(e) if matches!(e.exit, Exit::NoBoard) => {
                away = Some(e.what);
                next_look = Instant::now() + TICK;
                // A board that was started anew may have another address.
                if let Ok(anew) = Context::open(global) {
                    context = anew;
                }
            }
            Err(e) => return Err(e),
        }
    }
}

async fn look(context: &Context, query: &StatusQuery) -> Result<Known> {
    let at = Instant::now();
    let status = context.ask(context.client.status(query)).await?;
    Ok(Known { status, at })
}

fn follow(context: &Context, known: &Known) -> EventStream {
    let project = known.status.project_id.as_ref().map(|p| &p.0);
    // A break is told on the page, not bridged in silence.
    context.client.event_stream(project, Some(known.status.cursor.clone())).with_patience(Duration::ZERO)
}

fn page(usual: &str, known: &Known, away: Option<&str>) -> Vec<String> {
    let out = Out::new(false);
    let mut status = known.status.clone();
    // The board's clock, carried on by ours.
    status.at = mozi_api::wire::Time(status.at.0.plus(known.at.elapsed()));
    let mut lines = super::page::Page::new(out, &status, usual).lines();
    let width = out.width().unwrap_or(80);
    let height = out.height().unwrap_or(24).max(2);
    let foot = match away {
        Some(why) => {
            let why = if why.is_empty() { "the board ended the connection" } else { why };
            out.paint(Paint::Bad, &clip(&format!("trying again: {why}"), width))
        }
        None => out.paint(
            Paint::Dim,
            &clip(&format!("{}  Ctrl-C ends", crate::output::local(&status.at.to_string())), width),
        ),
    };
    let room = height.saturating_sub(2);
    if lines.len() > room {
        let left = lines.len() - room.saturating_sub(1);
        lines.truncate(room.saturating_sub(1));
        lines.push(out.paint(Paint::Dim, &format!("… {left} more lines")));
    }
    lines.push(String::new());
    lines.push(foot);
    lines
}
