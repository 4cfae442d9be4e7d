//! One tail of the event log feeds all streams of events.
//!
//! The tail reads what was committed once and serialises each event once; watchers get shared bytes through a ring.
//! A watcher that is too slow for the ring, or begins further back, reads pages from the store until it has caught
//! up. While nobody watches the tail rests, and begins again behind what was committed when the first watcher came:
//! what it passes over is in the watcher's first page, so nothing is lost.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use mozi_core::{Event, ProjectId};
use mozi_store::{Committed, ReadError, Store};
use tokio::{
    sync::{Notify, broadcast, watch},
    time::Instant,
};

use crate::task::Running;

/// How many batches a watcher may lag behind before it has to read pages.
const RING: usize = 256;
/// Events in one batch or page.
pub(crate) const PAGE: usize = 500;

/// Where events come faster than this per read, the tail waits a little and sends more at once: each batch wakes
/// every watcher, and a hundred of them would take the machine from those who report.
const CROWD: usize = 8;
/// How long it then waits. Events that come one by one are sent at once.
const GATHER: Duration = Duration::from_millis(20);

/// Events of one read, as the streams send them.
#[derive(Debug)]
pub(crate) struct Batch {
    /// In the stream over all projects.
    all: Vec<Frame>,
    all_bytes: Bytes,
    /// By project; few in one batch.
    projects: Vec<(ProjectId, Vec<Frame>, Bytes)>,
}

/// Where an event ends in the bytes of its batch.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// Its number in the stream.
    position: u64,
    end: usize,
}

/// One stream's part of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// Its oldest event.
    pub(crate) first: u64,
    /// Its newest event.
    pub(crate) position: u64,
    /// What to send.
    pub(crate) bytes: Bytes,
}

impl Batch {
    /// Serialises events, each once.
    pub(crate) fn new(events: &[(u64, Event)]) -> Self {
        let mut all = Builder::default();
        let mut projects: Vec<(ProjectId, Builder)> = Vec::new();
        for (seq, event) in events {
            let tail = tail_of(event);
            all.push(*seq, &cursor(*seq), &tail);
            if let Some(project) = &event.project {
                let mut known = projects.iter_mut().find(|(p, _)| p == project);
                if known.is_none() {
                    projects.push((project.clone(), Builder::default()));
                    known = projects.last_mut();
                }
                if let Some((_, builder)) = known {
                    builder.push(event.id, &event.id.to_string(), &tail);
                }
            }
        }
        let projects = projects.into_iter().map(|(p, b)| (p, b.frames, b.bytes.freeze())).collect();
        Self { all: all.frames, all_bytes: all.bytes.freeze(), projects }
    }

    /// What of it a stream has not seen yet.
    pub(crate) fn after(&self, project: Option<&ProjectId>, seen: u64) -> Option<Piece> {
        let (frames, bytes) = match project {
            None => (&self.all, &self.all_bytes),
            Some(p) => self.projects.iter().find(|(q, _, _)| q == p).map(|(_, f, b)| (f, b))?,
        };
        let last = frames.last().filter(|f| f.position > seen)?;
        let from = frames.iter().take_while(|f| f.position <= seen).last().map_or(0, |f| f.end);
        let first = frames.iter().map(|f| f.position).find(|p| *p > seen)?;
        Some(Piece { first, position: last.position, bytes: bytes.slice(from..) })
    }
}

#[derive(Debug, Default)]
struct Builder {
    frames: Vec<Frame>,
    bytes: BytesMut,
}

impl Builder {
    fn push(&mut self, position: u64, id: &str, tail: &[u8]) {
        self.bytes.extend_from_slice(b"id: ");
        self.bytes.extend_from_slice(id.as_bytes());
        self.bytes.extend_from_slice(tail);
        self.frames.push(Frame { position, end: self.bytes.len() });
    }
}

/// An event without its id line.
fn tail_of(event: &Event) -> Vec<u8> {
    let shown = mozi_api::event::Event::from(event);
    let mut tail = Vec::with_capacity(512);
    tail.extend_from_slice(b"\nevent: ");
    tail.extend_from_slice(shown.event_type.as_bytes());
    tail.extend_from_slice(b"\ndata: ");
    // JSON has no line breaks of its own; only a key that is no text could fail, and there is none.
    if let Err(e) = serde_json::to_writer(&mut tail, &shown) {
        tracing::error!("could not write event {}: {e}", event.id);
    }
    tail.extend_from_slice(b"\n\n");
    tail
}

/// The opaque cursor of the stream over all projects.
pub(crate) fn cursor(seq: u64) -> String {
    format!("s{seq:x}")
}

/// The number that a cursor stands for.
pub(crate) fn from_cursor(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix('s')?, 16).ok()
}

/// Where watchers subscribe. The tail ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Fanout {
    shared: Arc<Shared>,
    commits: watch::Receiver<Committed>,
    _tail: Running,
}

#[derive(Debug)]
struct Shared {
    ring: broadcast::Sender<Arc<Batch>>,
    rest: Mutex<Rest>,
    wake: Notify,
}

/// Whether the tail rests, and behind which event it begins again.
#[derive(Debug)]
struct Rest {
    resting: bool,
    from: u64,
}

impl Shared {
    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fanout {
    /// Starts the tail behind the events up to `seen`.
    pub(crate) fn start(store: Store, seen: u64) -> Self {
        let rest = Mutex::new(Rest { resting: false, from: seen });
        let shared = Arc::new(Shared { ring: broadcast::Sender::new(RING), rest, wake: Notify::new() });
        let commits = store.subscribe();
        let tail = Running::spawn("event tail", tail(store, seen, Arc::clone(&shared)));
        Self { shared, commits, _tail: tail }
    }

    /// Batches from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Arc<Batch>> {
        let mut rest = self.shared.rest();
        if rest.resting {
            *rest = Rest { resting: false, from: self.commits.borrow().seq };
            self.shared.wake.notify_one();
        }
        self.shared.ring.subscribe()
    }
}

async fn tail(store: Store, mut seen: u64, shared: Arc<Shared>) {
    let mut commits = store.subscribe();
    loop {
        let newest = commits.borrow_and_update().seq;
        let mut crowded = false;
        while seen < newest {
            match store.all_events(seen, PAGE).await {
                Ok(events) => {
                    let Some((last, _)) = events.last() else { break };
                    seen = *last;
                    crowded = events.len() > CROWD;
                    // Without a receiver it is not needed.
                    drop(shared.ring.send(Arc::new(Batch::new(&events))));
                }
                Err(ReadError::Unavailable(e)) => {
                    tracing::error!("could not read events: {e}");
                    break;
                }
                Err(_) => tokio::task::yield_now().await,
            }
        }
        let resting = {
            let mut rest = shared.rest();
            rest.resting = shared.ring.receiver_count() == 0;
            rest.resting
        };
        if resting {
            shared.wake.notified().await;
            seen = shared.rest().from;
        } else if commits.changed().await.is_err() {
            return;
        } else if crowded {
            tokio::time::sleep_until(Instant::now() + GATHER).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use mozi_core::{Actor, EventKind, Timestamp};

    use super::*;

    fn event(project: &str, id: u64) -> Event {
        Event {
            id,
            project: Some(project.parse().unwrap()),
            task: None,
            attempt_number: None,
            agent: None,
            actor: Actor::board(),
            kind: EventKind::AgentResumed,
            at: Timestamp::from_micros(0),
        }
    }

    #[test]
    fn each_stream_gets_what_it_has_not_seen() {
        let batch = Batch::new(&[(7, event("a", 3)), (8, event("b", 1)), (9, event("a", 4))]);
        let ids = |project: Option<&str>, seen| {
            let project = project.map(|p| p.parse().unwrap());
            batch.after(project.as_ref(), seen).map(|p| {
                let text = String::from_utf8(p.bytes.to_vec()).unwrap();
                let ids: Vec<_> =
                    text.lines().filter_map(|l| l.strip_prefix("id: ")).map(str::to_owned).collect();
                (p.position, ids.join(" "))
            })
        };
        assert_eq!(ids(None, 0), Some((9, "s7 s8 s9".into())));
        assert_eq!(ids(None, 7), Some((9, "s8 s9".into())));
        assert_eq!(ids(None, 9), None);
        assert_eq!(ids(Some("A"), 0), Some((4, "3 4".into())));
        assert_eq!(ids(Some("a"), 3), Some((4, "4".into())));
        assert_eq!(ids(Some("b"), 0), Some((1, "1".into())));
        assert_eq!(ids(Some("c"), 0), None);
    }

    #[test]
    fn cursors_are_read_back() {
        assert_eq!(from_cursor(&cursor(0x1234_5678_9abc)), Some(0x1234_5678_9abc));
        assert_eq!(from_cursor("17"), None);
        assert_eq!(from_cursor("sxyz"), None);
    }
}
