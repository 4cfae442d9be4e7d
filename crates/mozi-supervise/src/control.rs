//! `control.sock`: how a runner talks to a supervisor.
//!
//! A Unix stream socket; both sides send JSON objects, one a line, at most [`LINE_LIMIT`] bytes.
//!
//! - On connecting, the supervisor sends an [`Answer`] marked `news` with the [`Status`] and the highest message number done.
//! - The client sends a [`Message`]: `{"n":1,"kind":"stop","by":"ann","why":"…"}`; each gets one [`Answer`] with the same
//!   `n`, in order. A message whose number is not above the highest done is not done again (`repeated`), so what was
//!   sent before a connection broke can be sent anew. A message without a number is always done. Numbers are for the
//!   one runner of the session; it goes on from `done` after its own restart.
//! - At every change of phase the supervisor sends an [`Answer`] marked `news`, with the status.
//! - While at least one connection is open, a runner counts as connected: only then does the stall clock run.
//! - End of file tells that the supervisor is gone; at its regular end `exit.json` is there by then.

use serde::{Deserialize, Serialize};

use crate::status::Status;

mod client;
pub(crate) mod server;

pub use client::{Control, ControlError};

/// No line of the protocol is longer.
pub const LINE_LIMIT: usize = 64 * 1024;

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its number; without one it is done each time it comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// What is asked.
    #[serde(flatten)]
    pub request: Request,
}

/// What can be asked of a supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Request {
    /// End the session: SIGTERM, grace, SIGKILL. The first cause stands; a later stop can only shorten the grace.
    Stop {
        /// Who asks.
        by: String,
        /// Why.
        #[serde(default)]
        why: String,
        /// Instead of the grace in the spec.
        #[serde(default)]
        grace_ms: Option<u64>,
    },
    /// The agent has given its verdict: it may go on for `grace_ms`, counted from the verdict. Then it is stopped with
    /// [`StopOrder::GRACE`](crate::StopOrder::GRACE).
    VerdictGiven {
        /// How long ago the verdict was given.
        #[serde(default)]
        since_ms_ago: u64,
        /// How long it may go on.
        grace_ms: u64,
    },
    /// The agent was heard of elsewhere: the stall clock begins anew.
    SignOfLife,
    /// Send the status.
    Status,
    /// A person's word that what cannot be killed (phase `stuck`) is not Mozi's: write `exit.json` all the same.
    Abandon {
        /// Who says so.
        by: String,
        /// Why.
        #[serde(default)]
        why: String,
    },
    /// A word of a later version: answered with an error, nothing else happens.
    #[serde(other)]
    Unknown,
}

/// What a supervisor sends.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The number of the message answered, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// Sent by the supervisor of itself: the greeting, a change of phase.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub news: bool,
    /// The highest message number done.
    #[serde(default)]
    pub done: u64,
    /// The message's number had been done before: it was not done again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// Why the message was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The status, in the greeting, in news and where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Box<Status>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &Message, text: &str) {
        assert_eq!(serde_json::to_string(message).unwrap(), text);
        assert_eq!(serde_json::from_str::<Message>(text).unwrap(), *message);
    }

    #[test]
    fn the_words_on_the_wire() {
        let stop = Request::Stop { by: "ann".to_owned(), why: "enough".to_owned(), grace_ms: Some(5) };
        check(
            &Message { n: Some(1), request: stop },
            r#"{"n":1,"kind":"stop","by":"ann","why":"enough","grace_ms":5}"#,
        );
        let verdict = Request::VerdictGiven { since_ms_ago: 7, grace_ms: 9 };
        check(
            &Message { n: Some(2), request: verdict },
            r#"{"n":2,"kind":"verdict_given","since_ms_ago":7,"grace_ms":9}"#,
        );
        check(&Message { n: None, request: Request::SignOfLife }, r#"{"kind":"sign_of_life"}"#);
        check(&Message { n: None, request: Request::Status }, r#"{"kind":"status"}"#);
    }

    #[test]
    fn a_later_word_is_read_as_unknown() {
        let message: Message = serde_json::from_str(r#"{"n":3,"kind":"dance","tempo":120}"#).unwrap();
        assert_eq!(message, Message { n: Some(3), request: Request::Unknown });
    }
}
