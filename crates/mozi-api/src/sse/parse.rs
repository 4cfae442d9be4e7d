//! The text of server-sent events.

use std::collections::VecDeque;

/// The longest message, bytes: a stream without line ends must not fill the memory.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Its `id`, if it has one.
    pub id: Option<String>,
    /// Its `event`, if it has one.
    pub event: Option<String>,
    /// Its `data`, lines joined.
    pub data: String,
}

/// A message that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of its event stream is longer than {MAX_MESSAGE} bytes")]
pub struct TooLong;

/// Makes messages out of bytes, however they are cut.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    /// The last byte ended a line by `\r`: a `\n` now belongs to it.
    after_cr: bool,
    /// Nothing was read yet: a byte order mark may stand here.
    begun: bool,
    id: Option<String>,
    event: Option<String>,
    data: Option<String>,
    ready: VecDeque<Message>,
}

impl Parser {
    /// More bytes.
    ///
    /// # Errors
    /// When a message is too long.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        for piece in bytes.split_inclusive(|b| matches!(b, b'\n' | b'\r')) {
            let (body, end) = match piece.split_last() {
                Some((end @ (b'\n' | b'\r'), body)) => (body, Some(*end)),
                _ => (piece, None),
            };
            let joined = std::mem::take(&mut self.after_cr) && end == Some(b'\n') && body.is_empty();
            if joined && self.line.is_empty() {
                continue;
            }
            self.line.extend_from_slice(body);
            let held = self.data.as_ref().map_or(0, String::len);
            if self.line.len().saturating_add(held) > MAX_MESSAGE {
                return Err(TooLong);
            }
            if let Some(end) = end {
                self.after_cr = end == b'\r';
                let line = std::mem::take(&mut self.line);
                self.take_line(&line);
            }
        }
        Ok(())
    }

    /// The next whole message.
    #[expect(clippy::should_implement_trait, reason = "none means not yet, not the end")]
    pub fn next(&mut self) -> Option<Message> {
        self.ready.pop_front()
    }

    /// The last id that was read: where whoever has taken all messages is.
    pub fn last_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn take_line(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = if std::mem::replace(&mut self.begun, true) {
            &*text
        } else {
            text.trim_start_matches('\u{feff}')
        };
        if text.is_empty() {
            let event = self.event.take();
            // As browsers do: what has no data is no message, but its id counts.
            if let Some(data) = self.data.take() {
                self.ready.push_back(Message { id: self.id.clone(), event, data });
            }
            return;
        }
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "event" => self.event = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
}
