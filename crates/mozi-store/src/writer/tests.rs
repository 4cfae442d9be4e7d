//! The writer on a database that fails where it is told to: what is answered agrees with what is there afterwards.

use std::sync::{Arc, Mutex};

use mozi_core::{
    Change, Command, Needs, ProjectId, Reply, Request, State, Timestamp, command::Credential,
    memory::MemoryBoard,
};
use tokio::sync::{mpsc, oneshot};

use super::{Announce, Job, Shift};
use crate::{
    Answer, Committed, IdempotencyKey, SubmitError,
    backend::{Backend, CommitFault, Fault, Recalled},
};

/// What goes wrong, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The command for this project panics while it is written.
    Panic(&'static str),
    /// It is refused by the database, once or for ever; the transaction stays.
    Statement { project: &'static str, full: bool, times: u32 },
    /// It ends the whole transaction.
    LosesTransaction { project: &'static str, full: bool, times: u32 },
    /// The next commits fail, and it is not known whether they are there: they are, or not.
    Commit { there: bool, times: u32 },
    /// The next commits fail for want of room.
    CommitFull { times: u32 },
    /// Nothing works.
    Dead,
}

/// What is on disk, and how often a connection was opened anew.
#[derive(Debug, Default)]
struct Disk {
    board: MemoryBoard,
    reopened: u32,
    commits: u32,
}

struct Flaky {
    disk: Arc<Mutex<Disk>>,
    open: Option<MemoryBoard>,
    saved: Option<MemoryBoard>,
    troubles: Vec<Trouble>,
}

fn fault(full: bool) -> Fault {
    Fault { full, message: "it was told to".into() }
}

impl Flaky {
    fn board(&mut self) -> &mut MemoryBoard {
        self.open.as_mut().expect("a transaction")
    }
    fn dead(&self) -> Result<(), Fault> {
        if self.troubles.contains(&Trouble::Dead) { Err(fault(false)) } else { Ok(()) }
    }
}

/// Takes one of the times that are left.
fn once_more(times: &mut u32) -> bool {
    let more = *times > 0;
    *times = times.saturating_sub(1);
    more
}

impl Backend for Flaky {
    fn begin(&mut self) -> Result<(), Fault> {
        self.dead()?;
        assert!(self.open.is_none(), "no transaction is left open");
        self.open = Some(self.disk.lock().unwrap().board.clone());
        Ok(())
    }
    fn savepoint(&mut self) -> Result<(), Fault> {
        self.saved = Some(self.board().clone());
        Ok(())
    }
    fn release(&mut self) -> Result<(), Fault> {
        self.saved.take().map(|_| ()).ok_or_else(|| fault(false))
    }
    fn roll_back_to(&mut self) -> Result<(), Fault> {
        self.open = Some(self.saved.take().expect("a savepoint"));
        Ok(())
    }
    fn roll_back(&mut self) {
        self.open = None;
        self.saved = None;
    }
    fn commit(&mut self) -> Result<(), CommitFault> {
        assert!(self.saved.is_none(), "no savepoint is left open");
        for trouble in &mut self.troubles {
            if let Trouble::Commit { there, times } = trouble
                && once_more(times)
            {
                let board = self.open.take().expect("a transaction");
                if *there {
                    self.disk.lock().unwrap().board = board;
                }
                return Err(CommitFault::Unknown(fault(false)));
            }
            if let Trouble::CommitFull { times } = trouble
                && once_more(times)
            {
                return Err(CommitFault::Nothing(fault(true)));
            }
        }
        let mut disk = self.disk.lock().unwrap();
        disk.board = self.open.take().expect("a transaction");
        disk.commits += 1;
        Ok(())
    }
    fn in_transaction(&self) -> bool {
        self.open.is_some()
    }
    fn reopen(&mut self) -> Result<(), Fault> {
        self.disk.lock().unwrap().reopened += 1;
        self.dead()
    }
    fn load(&mut self, needs: &Needs) -> Result<State, Fault> {
        Ok(self.board().load(needs))
    }
    fn apply(&mut self, change: &Change) -> Result<(), Fault> {
        if let Change::InsertProject(p) = change {
            for trouble in &mut self.troubles {
                match trouble {
                    Trouble::Panic(project) if p.id == id(project) => panic!("as it was told"),
                    Trouble::Statement { project, full, times } if p.id == id(project) && *times > 0 => {
                        *times -= 1;
                        return Err(fault(*full));
                    }
                    Trouble::LosesTransaction { project, full, times }
                        if p.id == id(project) && *times > 0 =>
                    {
                        *times -= 1;
                        self.open = None;
                        self.saved = None;
                        return Err(fault(*full));
                    }
                    _ => {}
                }
            }
        }
        self.board().apply(change).map_err(|e| Fault { full: false, message: e.to_string() })
    }
    fn recall(&mut self, _: &IdempotencyKey, _: Timestamp) -> Result<Recalled, Fault> {
        Ok(Recalled::Nothing)
    }
    fn remember(&mut self, _: &IdempotencyKey, _: &Reply, _: Timestamp) -> Result<(), Fault> {
        Ok(())
    }
    fn last_seq(&mut self) -> Result<u64, Fault> {
        let board = self.open.clone().unwrap_or_else(|| self.disk.lock().unwrap().board.clone());
        Ok(board.events.len() as u64)
    }
}

mod full;

type Answered = Result<Answer, SubmitError>;

/// Has the writer carry out one batch of new projects; gives the answers, what is there then, and the announcement.
fn run(troubles: &[Trouble], projects: &[&str]) -> (Vec<Answered>, Disk, Committed) {
    let disk = Arc::new(Mutex::new(Disk::default()));
    let backend = Flaky { disk: Arc::clone(&disk), open: None, saved: None, troubles: troubles.to_vec() };
    let (announce, news) = Announce::from(Committed::default());
    let (queue, jobs) = mpsc::channel(100);
    let mut waiting = Vec::new();
    for project in projects {
        let (answer, answered) = oneshot::channel();
        let command = Command::CreateProject { id: id(project), name: None, settings: Vec::new() };
        let now = Timestamp::from_micros(1);
        let request = Request { credential: Credential::Board, via: None, now, seed: 0, command };
        assert!(queue.try_send(Job { request, key: None, answer }).is_ok());
        waiting.push(answered);
    }
    drop(queue);
    // All wait already: one batch.
    Shift { backend, announce }.work(jobs, 100);
    let answers = waiting.into_iter().map(|mut w| w.try_recv().expect("every command is answered")).collect();
    let disk = std::mem::take(&mut *disk.lock().unwrap());
    (answers, disk, *news.all.borrow())
}

fn id(text: &str) -> ProjectId {
    text.parse().unwrap()
}

/// The answers in words, and that those that say "done" or "refused" are true.
#[track_caller]
fn check(troubles: &[Trouble], projects: &[&str], expected: &[&str]) -> (Disk, Committed) {
    let (answers, disk, committed) = run(troubles, projects);
    let words: Vec<_> = answers
        .iter()
        .map(|a| match a {
            Ok(_) => "done",
            Err(SubmitError::Refused(_)) => "refused",
            Err(SubmitError::Busy) => "busy",
            Err(SubmitError::Full) => "full",
            Err(SubmitError::Unavailable(_)) => "unavailable",
            Err(SubmitError::Unknown(_)) => "unknown",
            Err(SubmitError::Panicked) => "panicked",
        })
        .collect();
    assert_eq!(words, expected);
    for (project, word) in projects.iter().zip(&words) {
        let there = disk.board.projects.contains_key(&id(project));
        match *word {
            "done" => assert!(there, "{project} was acknowledged"),
            "full" | "unavailable" | "panicked" => assert!(!there, "{project} was not carried out"),
            _ => {}
        }
    }
    if words.contains(&"done") {
        assert_eq!(committed.seq, disk.board.events.len() as u64);
    }
    (disk, committed)
}

#[test]
fn what_waits_is_committed_at_once() {
    let (disk, committed) = check(&[], &["a", "b", "c"], &["done", "done", "done"]);
    assert_eq!(disk.commits, 1);
    assert_eq!(committed, Committed { seq: 3, ready: 1, orders: 0 });
}

#[test]
fn a_refusal_undoes_nothing_of_others() {
    // The very same project is answered again; another spelling of its id is taken.
    let (disk, _) = check(&[], &["a", "A", "a", "b"], &["done", "refused", "done", "done"]);
    assert_eq!(disk.board.projects.len(), 2);
}

#[test]
fn a_panic_is_answered_and_the_writer_lives() {
    check(&[Trouble::Panic("b")], &["a", "b", "c"], &["done", "panicked", "done"]);
    check(&[Trouble::Panic("b")], &["b"], &["panicked"]);
}

#[test]
fn a_command_that_fails_is_tried_again_alone() {
    let b = |full, times| Trouble::Statement { project: "b", full, times };
    let (disk, _) = check(&[b(false, 1)], &["a", "b", "c"], &["done", "done", "done"]);
    assert_eq!(disk.commits, 2);
    check(&[b(true, 9)], &["a", "b", "c"], &["done", "full", "done"]);
    check(&[b(false, 9)], &["a", "b", "c"], &["done", "unavailable", "done"]);
    check(&[b(false, 1)], &["b"], &["done"]);
    check(&[b(false, 9)], &["b"], &["unavailable"]);
}

#[test]
fn a_lost_transaction_fails_the_batch_and_each_is_tried_again_alone() {
    let b = |full, times| Trouble::LosesTransaction { project: "b", full, times };
    let (disk, _) = check(&[b(true, 1)], &["a", "b", "c"], &["done", "done", "done"]);
    assert_eq!(disk.commits, 3);
    check(&[b(true, 9)], &["a", "b", "c"], &["done", "full", "done"]);
    check(&[b(false, 9)], &["a", "b", "c"], &["done", "unavailable", "done"]);
    check(&[b(false, 9)], &["b"], &["unavailable"]);
}

#[test]
fn a_failed_commit_is_answered_as_unknown() {
    for there in [true, false] {
        let (disk, _) = check(&[Trouble::Commit { there, times: 1 }], &["a", "b"], &["unknown", "unknown"]);
        assert_eq!(disk.reopened, 1);
        assert_eq!(disk.board.projects.len(), if there { 2 } else { 0 });
        check(&[Trouble::Commit { there, times: 1 }], &["a"], &["unknown"]);
    }
}

#[test]
fn a_commit_without_room_is_tried_again_one_by_one() {
    check(&[Trouble::CommitFull { times: 1 }], &["a", "b"], &["done", "done"]);
    check(&[Trouble::CommitFull { times: 2 }], &["a", "b"], &["full", "done"]);
    check(&[Trouble::CommitFull { times: 9 }], &["a", "b"], &["full", "full"]);
}

#[test]
fn a_dead_database_is_said() {
    check(&[Trouble::Dead], &["a", "b"], &["unavailable", "unavailable"]);
    check(&[Trouble::Dead], &["a"], &["unavailable"]);
}

#[test]
fn who_has_gone_has_not_asked() {
    let disk = Arc::new(Mutex::new(Disk::default()));
    let backend = Flaky { disk: Arc::clone(&disk), open: None, saved: None, troubles: Vec::new() };
    let (announce, _news) = Announce::from(Committed::default());
    let (queue, jobs) = mpsc::channel(1);
    let (answer, answered) = oneshot::channel();
    let command = Command::CreateProject { id: id("a"), name: None, settings: Vec::new() };
    let now = Timestamp::from_micros(1);
    let request = Request { credential: Credential::Board, via: None, now, seed: 0, command };
    drop(answered);
    assert!(queue.try_send(Job { request, key: None, answer }).is_ok());
    drop(queue);
    Shift { backend, announce }.work(jobs, 100);
    assert!(disk.lock().unwrap().board.projects.is_empty());
}
