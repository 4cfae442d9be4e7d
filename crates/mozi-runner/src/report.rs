//! What the board is told of a live session: that it runs, and what holds up its end. Told in the background, newest
//! first; only that it ran at all is made sure of before its end is told.

use std::sync::Mutex;
use std::time::Duration;

use mozi_api::runner::{NoteKind, SessionNote, StartedSession};
use mozi_core::SessionId;
use mozi_core::session::HoldUp;
use mozi_supervise::SessionDir;
use tokio::sync::Notify;

use crate::shared::{Decided, Shared, sleep, until_decided};

/// A session that takes longer to end than this is shown as ending.
const ENDING_AFTER: Duration = Duration::from_secs(1);

/// What kind of thing holds up an end.
pub(crate) type Holding = HoldUp;

/// Reports of one session.
pub(crate) struct Report {
    session_id: SessionId,
    wanted: Mutex<Wanted>,
    changed: Notify,
    /// Held while something is on its way: what is sent twice arrives in order.
    sending: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Wanted {
    started: Option<StartedSession>,
    started_told: bool,
    may_have_run: bool,
    note: Option<SessionNote>,
    note_told: Option<SessionNote>,
}

impl Report {
    pub(crate) fn new(session_id: SessionId) -> Self {
        Self {
            session_id,
            wanted: Mutex::default(),
            changed: Notify::new(),
            sending: tokio::sync::Mutex::default(),
        }
    }

    /// Its agent runs, or has run.
    pub(crate) fn started(&self, pid: Option<u32>, dir: &SessionDir) {
        self.change(|wanted| {
            if wanted.started.is_some() {
                return false;
            }
            let workspace = dir.read_spec().ok().map(|spec| spec.cwd.to_string_lossy().into_owned());
            wanted.started = Some(StartedSession { pid, workspace });
            true
        });
    }

    /// There is a process for its agent, and no word yet on whether its program was executed.
    pub(crate) fn may_have_run(&self) {
        self.change(|wanted| {
            wanted.may_have_run = true;
            false
        });
    }

    /// Whether its agent runs, has run, or may have.
    pub(crate) fn has_started(&self) -> bool {
        self.wanted.lock().is_ok_and(|wanted| wanted.may_have_run || wanted.started.is_some())
    }

    /// Its agent has ended, the rest is being ended.
    pub(crate) fn ending(&self) {
        self.note(SessionNote { note: NoteKind::Ending.into(), by: None, detail: None });
    }

    /// This keeps it from ending.
    pub(crate) fn held_up(&self, by: Holding, detail: String) {
        let note = SessionNote { note: NoteKind::HeldUp.into(), by: Some(by.into()), detail: Some(detail) };
        if let (Ok(wanted), Some(detail)) = (self.wanted.lock(), &note.detail)
            && wanted.note.as_ref() != Some(&note)
        {
            tracing::warn!("the session cannot be ended yet: {detail}");
        }
        self.note(note);
    }

    /// Nothing keeps it from ending any more.
    pub(crate) fn free(&self) {
        let held = |wanted: &Wanted| wanted.note.as_ref().is_some_and(|note| note.note.0 == NoteKind::HeldUp);
        if self.wanted.lock().is_ok_and(|wanted| held(&wanted)) {
            self.note(SessionNote { note: NoteKind::Free.into(), by: None, detail: None });
        }
    }

    fn note(&self, note: SessionNote) {
        self.change(|wanted| {
            let new = wanted.note.as_ref() != Some(&note);
            wanted.note = Some(note);
            new
        });
    }

    fn change(&self, with: impl FnOnce(&mut Wanted) -> bool) {
        if self.wanted.lock().is_ok_and(|mut wanted| with(&mut wanted)) {
            self.changed.notify_one();
        }
    }

    /// Tells the board what is to be told, for as long as it is polled.
    #[expect(
        clippy::infinite_loop,
        reason = "it ends with the session's task, which polls it beside the session's life"
    )]
    pub(crate) async fn run(&self, shared: &Shared) {
        loop {
            self.changed.notified().await;
            self.tell_started(shared).await;
            let ending = |w: &Wanted| w.note.as_ref().is_some_and(|n| n.note.0 == NoteKind::Ending);
            if self.wanted.lock().is_ok_and(|wanted| ending(&wanted)) {
                // Nearly every session has ended for good by then: nobody needs to know of the instant before.
                sleep(ENDING_AFTER).await;
            }
            self.tell_note(shared).await;
        }
    }

    /// Returns when the board knows that the agent ran, if it did.
    pub(crate) async fn tell_started(&self, shared: &Shared) {
        let _sending = self.sending.lock().await;
        let wanted = self.wanted.lock().ok().and_then(|w| w.started.clone().filter(|_| !w.started_told));
        let Some(started) = wanted else { return };
        let (runner, id) = (&shared.id, self.session_id);
        let call = || shared.client.runner_started(runner, id, &started);
        if let Decided::Refused(error) = until_decided("tell the board that a session runs", call).await {
            tracing::warn!(session_id = %id, "the board does not take it that the session runs: {error}");
        }
        if let Ok(mut wanted) = self.wanted.lock() {
            wanted.started_told = true;
        }
    }

    async fn tell_note(&self, shared: &Shared) {
        let _sending = self.sending.lock().await;
        let wanted =
            self.wanted.lock().ok().and_then(|w| w.note.clone().filter(|n| w.note_told.as_ref() != Some(n)));
        let Some(note) = wanted else { return };
        let (runner, id) = (&shared.id, self.session_id);
        let call = || shared.client.runner_note(runner, id, &note);
        if let Decided::Refused(error) = until_decided("tell the board of a session", call).await {
            tracing::warn!(session_id = %id, "the board does not take the note: {error}");
        }
        if let Ok(mut wanted) = self.wanted.lock() {
            wanted.note_told = Some(note);
        }
    }
}
