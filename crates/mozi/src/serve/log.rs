//! What the server says to its log: on standard error, with every secret masked.

use std::io::{self, Write};

use tracing_subscriber::{
    EnvFilter, fmt::MakeWriter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use self::json::Json;
use crate::{
    cli::LogFormat,
    config::env,
    error::{Failure, Result},
};

mod json;

/// What is logged where `MOZI_LOG` says nothing.
const USUAL: &str = "warn,mozi=info";
/// The same for programs that collect it: a line for each request, too.
const FOR_PROGRAMS: &str = "warn,mozi=info,mozi_board::access=debug";

/// Begins to log. `MOZI_LOG` chooses what: `debug`, `mozi_runner=debug,warn` …
pub(crate) fn start(format: LogFormat) {
    let json = format == LogFormat::Json;
    let wanted = env::var("MOZI_LOG");
    let wanted = wanted.as_deref().unwrap_or(if json { FOR_PROGRAMS } else { USUAL });
    let filter = EnvFilter::try_new(wanted).unwrap_or_else(|_| EnvFilter::new("warn"));
    let begun = if json {
        tracing_subscriber::registry().with(filter).with(Json).try_init().is_ok()
    } else {
        let colour = crate::output::watched() && env::var("NO_COLOR").is_none();
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(colour)
            .with_target(false)
            .with_writer(Masked)
            .try_init()
            .is_ok()
    };
    if !begun {
        tracing::debug!("somebody else has begun to log already: a test, the demo");
    }
}

/// How the log is to be written: as the option says, else as `MOZI_LOG_FORMAT` does.
pub(crate) fn format(option: Option<LogFormat>) -> Result<LogFormat> {
    match (option, env::var("MOZI_LOG_FORMAT").as_deref()) {
        (Some(format), _) => Ok(format),
        (None, None | Some("text")) => Ok(LogFormat::Text),
        (None, Some("json")) => Ok(LogFormat::Json),
        (None, Some(other)) => Err(Failure::new(format!("MOZI_LOG_FORMAT is text or json, not {other:?}"))
            .hint("set it to one of them, or unset it")),
    }
}

/// Standard error without secrets.
#[derive(Debug, Clone, Copy)]
struct Masked;

impl<'a> MakeWriter<'a> for Masked {
    type Writer = Line;
    fn make_writer(&'a self) -> Line {
        Line(Vec::new())
    }
}

/// One message; written when it is whole, so that no secret is cut in two.
#[derive(Debug)]
struct Line(Vec<u8>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = masked(&String::from_utf8_lossy(&self.0));
        // Nobody is left to be told when this fails.
        drop(io::stderr().lock().write_all(text.as_bytes()));
    }
}

/// The text with the secret part of every token of Mozi taken out.
pub(crate) fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("mozi_") {
        out.push_str(before);
        out.push_str("mozi_");
        let mut letters = after.chars();
        let is_token = matches!(letters.next(), Some('u' | 'a' | 'r')) && letters.next() == Some('_');
        rest = after;
        if is_token {
            let (head, secret) = after.split_at_checked(2).unwrap_or((after, ""));
            let end = secret.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(secret.len());
            out.push_str(head);
            out.push_str("***");
            rest = secret.get(end..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_nothing_else() {
        assert_eq!(
            masked("Bearer mozi_a_0123abCD, mozi_u_x and mozi_runner"),
            "Bearer mozi_a_***, mozi_u_*** and mozi_runner"
        );
        assert_eq!(masked("mozi_"), "mozi_");
        assert_eq!(masked("plain 中文"), "plain 中文");
    }
}
