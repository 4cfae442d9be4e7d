//! Reading streams of server-sent events, with resume.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::{
    client::{ByteStream, Client, ClientError},
    event::Event,
    query::EventsQuery,
    transport::empty,
};

pub use parse::{Message, Parser};

mod parse;

/// The board sends a comment every 15 s: after three of them without a sign it is gone.
const SILENCE: Duration = Duration::from_secs(45);
/// How long a broken stream is tried again, unless said otherwise.
const PATIENCE: Duration = Duration::from_mins(1);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// An event and where to go on after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEvent {
    /// The place after this event, for `after`.
    pub cursor: String,
    /// What happened.
    pub event: Event,
}

/// A stream of events. A broken connection is made anew behind the last event that was seen: none is lost, none comes
/// twice.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    path: String,
    after: Option<String>,
    patience: Duration,
    open: Option<(ByteStream, Parser)>,
    /// It was open at least once: from then on an absence is a break, not an error.
    was_open: bool,
}

impl EventStream {
    pub(crate) fn new(client: Client, path: String, after: Option<String>) -> Self {
        Self { client, path, after, patience: PATIENCE, open: None, was_open: false }
    }

    /// The same stream with another time for which a break is bridged; zero = a break is an error at once.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The place after the last event that was seen.
    pub fn cursor(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// The place where the stream is, for whoever begins with what comes next; waits for the board to say it.
    ///
    /// # Errors
    /// As for [`next`](Self::next), but a break is never bridged.
    pub async fn place(&mut self) -> Result<String, ClientError> {
        if let Some(after) = &self.after {
            return Ok(after.clone());
        }
        let mut stream = connect(&self.client, &self.path, None).await?;
        let mut parser = Parser::default();
        let address = self.client.address();
        // The board says it before anything else.
        let bad = |e: parse::TooLong| ClientError::Protocol { address: address.clone(), why: e.to_string() };
        let said = loop {
            match tokio::time::timeout(SILENCE, stream.next()).await {
                Err(_) => return Err(ClientError::Timeout { address, after: SILENCE }),
                Ok(Err(e)) => return Err(e),
                Ok(Ok(None)) => break None,
                Ok(Ok(Some(bytes))) => {
                    // What follows in the same breath is behind that place.
                    let mut rest = bytes.iter();
                    while parser.last_id().is_none()
                        && let Some(byte) = rest.next()
                    {
                        parser.feed(&[*byte]).map_err(bad)?;
                    }
                    let said = parser.last_id().map(str::to_owned);
                    parser.feed(rest.as_slice()).map_err(bad)?;
                    if said.is_some() {
                        break said;
                    }
                }
            }
        };
        let place = said.ok_or_else(|| {
            let why = "a stream does not begin with its place".to_owned();
            ClientError::Protocol { address, why }
        })?;
        (self.after, self.open) = (Some(place.clone()), Some((stream, parser)));
        self.was_open = true;
        Ok(place)
    }

    /// The next event; waits for it. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the board said no (410 = events that old are gone), or is away for too long.
    pub async fn next(&mut self) -> Result<StreamEvent, ClientError> {
        let mut away_since: Option<tokio::time::Instant> = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let broken = match self.read().await {
                Ok(Some(event)) => return Ok(event),
                // The board ended the stream, as it does when it stops or the reader was too slow.
                Ok(None) => None,
                Err(e) if self.was_open && e.is_passing() => Some(e),
                Err(e) => return Err(e),
            };
            self.open = None;
            let now = tokio::time::Instant::now();
            let since = *away_since.get_or_insert(now);
            if now.duration_since(since) >= self.patience {
                let address = self.client.address();
                return Err(
                    broken.unwrap_or(ClientError::Protocol { address, why: "it ends the stream".into() })
                );
            }
            // Nothing tells of a board that comes back: ask again, more and more rarely.
            tokio::time::sleep_until(now + pause).await;
            pause = pause.saturating_mul(2).min(LAST_PAUSE);
        }
    }

    async fn read(&mut self) -> Result<Option<StreamEvent>, ClientError> {
        loop {
            if self.open.is_none() {
                self.open = Some((
                    connect(&self.client, &self.path, self.after.as_deref()).await?,
                    Parser::default(),
                ));
                self.was_open = true;
            }
            let Some((stream, parser)) = &mut self.open else { return Ok(None) };
            while let Some(message) = parser.next() {
                if let Some(event) = self.client.event_of(message)? {
                    self.after = Some(event.cursor.clone());
                    return Ok(Some(event));
                }
            }
            let address = self.client.address();
            match tokio::time::timeout(SILENCE, stream.next()).await {
                Err(_) => return Err(ClientError::Timeout { address, after: SILENCE }),
                Ok(Err(e)) => return Err(e),
                Ok(Ok(None)) => return Ok(None),
                Ok(Ok(Some(bytes))) => {
                    parser.feed(&bytes).map_err(|e| ClientError::Protocol { address, why: e.to_string() })?;
                }
            }
        }
    }
}

async fn connect(client: &Client, path: &str, after: Option<&str>) -> Result<ByteStream, ClientError> {
    let query = EventsQuery { after: after.map(str::to_owned), limit: None };
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    if let Some(value) = after.and_then(|a| HeaderValue::from_str(a).ok()) {
        headers.insert(HeaderName::from_static("last-event-id"), value);
    }
    let path = format!("{path}{}", query.encode());
    let within = crate::client::DEFAULT_TIMEOUT;
    let answer = client.open(Method::GET, &path, &headers, empty(), within).await?;
    Ok(ByteStream::new(client.address(), answer))
}

impl Client {
    fn event_of(&self, message: Message) -> Result<Option<StreamEvent>, ClientError> {
        if message.data.is_empty() {
            return Ok(None);
        }
        let event: Event = serde_json::from_str(&message.data).map_err(|e| ClientError::Protocol {
            address: self.address(),
            why: format!("{e} in an event"),
        })?;
        Ok(Some(StreamEvent { cursor: message.id.unwrap_or_else(|| event.id.to_string()), event }))
    }
}
