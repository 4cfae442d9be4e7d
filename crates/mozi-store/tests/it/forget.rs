//! Old events of a real board go, and everything that is left is still told.

use mozi_core::{Command, EventKind, ProjectId, TaskId, Timestamp};
use mozi_store::{Forgettable, Options, Store};
use tokio::runtime::Runtime;

use crate::support::{board, id};

/// Long after everything that the board of the fixture has done.
fn later() -> Timestamp {
    Timestamp::from_micros(4_000_000_000_000_000)
}

struct Kept {
    _folder: tempfile::TempDir,
    store: Store,
    runtime: Runtime,
}

impl Kept {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mozi.db");
        std::fs::write(&path, include_bytes!("../fixtures/v1.db")).unwrap();
        let store = Store::open(Options::new(&path, "x")).unwrap();
        Self {
            _folder: folder,
            store,
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
        }
    }

    fn submit(&self, command: Command) -> Result<(), String> {
        self.runtime
            .block_on(self.store.submit(board(later(), command), None))
            .map(drop)
            .map_err(|e| e.to_string())
    }

    fn forgettable(&self, project: &ProjectId, before: Timestamp) -> Forgettable {
        self.runtime.block_on(self.store.forgettable(project, before)).unwrap().unwrap()
    }

    fn untold(&self, project: &ProjectId, up_to: u64) -> (Vec<TaskId>, u64) {
        self.runtime.block_on(self.store.untold(project, up_to, 100)).unwrap()
    }

    #[track_caller]
    fn check(&self) {
        assert_eq!(self.runtime.block_on(self.store.check(later())).unwrap(), Vec::<String>::new());
    }
}

#[test]
fn the_events_of_a_finished_task_go_and_its_state_is_still_told() {
    let k = Kept::new();
    let app: ProjectId = id("app");
    let last = k.runtime.block_on(k.store.project(&app)).unwrap().unwrap().last_event;
    let may = k.forgettable(&app, later());
    assert_eq!(may, Forgettable { first: 1, up_to: last - 1, held_by: None });
    assert_eq!(k.forgettable(&app, Timestamp::from_micros(0)).count(), 0, "nothing is as old as that");
    assert_eq!(k.untold(&app, may.up_to), (vec![id("1")], 1));
    let forget = Command::ForgetEvents { project: app.clone(), up_to: may.up_to };
    let refused = k.submit(forget.clone()).unwrap_err();
    assert!(refused.contains("snapshot"), "{refused}");

    let seqs = k.runtime.block_on(k.store.all_events(0, 500)).unwrap();
    let newest_gone = seqs
        .iter()
        .filter(|(_, e)| e.project.as_ref() == Some(&app) && e.id <= may.up_to)
        .map(|(n, _)| *n)
        .max();
    k.submit(Command::SnapshotTasks { project: app.clone(), tasks: vec![id("1")] }).unwrap();
    assert_eq!(k.untold(&app, may.up_to).0, Vec::<TaskId>::new());
    k.check();
    k.submit(forget).unwrap();
    k.check();
    let left = k.runtime.block_on(k.store.events(Some(&app), 0, 500)).unwrap();
    assert_eq!(left.oldest, last);
    assert_eq!(left.events.iter().map(|e| e.id).collect::<Vec<_>>(), [last, last + 1]);
    assert!(matches!(left.events[1].kind, EventKind::TaskSnapshot(_)));
    assert_eq!(k.runtime.block_on(k.store.oldest_seq()).unwrap(), newest_gone.unwrap() + 1);
    // The next event goes on counting.
    k.submit(Command::SetProject { id: app.clone(), name: None, settings: vec![], archived: Some(true) })
        .unwrap();
    let newest = k.runtime.block_on(k.store.project(&app)).unwrap().unwrap().last_event;
    assert_eq!(newest, last + 2);
    k.check();
}

#[test]
fn what_was_said_of_an_unfinished_task_stays() {
    let k = Kept::new();
    let project: ProjectId = id("default");
    let may = k.forgettable(&project, later());
    assert_eq!(may.held_by, Some(id("2")), "task 1 is done, 2 is in review, 3 and 4 are blocked");
    let events = k.runtime.block_on(k.store.events(Some(&project), 0, 500)).unwrap().events;
    let first_of_2 = events.iter().find(|e| e.task == Some(id("2"))).unwrap().id;
    assert_eq!(may.up_to, first_of_2 - 1);
}

#[test]
fn a_log_that_is_gone_is_said_to_be() {
    let k = Kept::new();
    let key = mozi_core::TaskKey::new(id("app"), id("1"));
    let view = |n| k.runtime.block_on(k.store.attempt_view(&key, n)).unwrap().unwrap();
    let (first, second) = (view(1), view(2));
    assert!(first.kept && second.kept);
    let ended = vec![first.attempt.session_id];
    assert_eq!(k.runtime.block_on(k.store.ended_of(ended.clone())).unwrap(), ended);
    assert_eq!(k.runtime.block_on(k.store.unknown_of(ended.clone())).unwrap(), []);
    let stranger = vec![mozi_core::SessionId(uuid::Uuid::from_u128(7))];
    assert_eq!(k.runtime.block_on(k.store.unknown_of(stranger.clone())).unwrap(), stranger);
    k.submit(Command::ExpireLogs { sessions: ended }).unwrap();
    assert!(!view(1).kept && view(2).kept);
    k.check();
}
