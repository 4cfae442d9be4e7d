//! What the server says to its log: on standard error, with every secret masked.

use std::io::{self, Write};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::config::env;

/// Begins to log. `MOZI_LOG` chooses what: `debug`, `mozi_runner=debug,warn` …
pub(crate) fn start() {
    let wanted = env::var("MOZI_LOG").unwrap_or_else(|| "warn,mozi=info".to_owned());
    let filter = EnvFilter::try_new(&wanted).unwrap_or_else(|_| EnvFilter::new("warn"));
    let colour = crate::output::watched() && env::var("NO_COLOR").is_none();
    let logging = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colour)
        .with_target(false)
        .with_writer(Masked)
        .try_init();
    // Somebody else has begun already: a test, the demo.
    drop(logging);
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
