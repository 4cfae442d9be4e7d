//! The status table: which moves exist, and who may make them.

use crate::task::Status::{self, Blocked, Cancelled, Claimed, Done, Failed, Pending, Review, Working};

/// Who may make a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mover {
    /// The open attempt in role executor, by its token.
    Executor,
    /// The open attempt in role reviewer, by its token.
    Reviewer,
    /// A user with the role admin or operator.
    Person,
    /// Mozi itself.
    Board,
}

impl Mover {
    /// Every mover.
    pub const ALL: &'static [Self] = &[Self::Executor, Self::Reviewer, Self::Person, Self::Board];
    /// The word that stands for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Executor => "executor",
            Self::Reviewer => "reviewer",
            Self::Person => "person",
            Self::Board => "board",
        }
    }
}

/// A move of the table.
#[derive(Debug, Clone, Copy)]
pub struct Transition {
    /// From these statuses …
    pub from: &'static [Status],
    /// … to this one …
    pub to: Status,
    /// … by these.
    pub who: &'static [Mover],
    /// When, for people.
    pub when: &'static str,
}

use Mover::{Board, Executor, Person, Reviewer};

/// All moves that there are. Everything else is refused.
pub const TRANSITIONS: &[Transition] = &[
    Transition { from: &[Pending], to: Claimed, who: &[Board], when: "a runner claims it" },
    Transition { from: &[Claimed], to: Working, who: &[Executor], when: "it reported in" },
    Transition { from: &[Claimed, Working], to: Review, who: &[Executor], when: "verdict" },
    Transition {
        from: &[Claimed, Working],
        to: Review,
        who: &[Board],
        when: "closed without a verdict but with a result to look at, or exit 0 where that is the verdict",
    },
    Transition { from: &[Claimed, Working], to: Failed, who: &[Executor], when: "verdict; a person decides" },
    Transition {
        from: &[Claimed, Working],
        to: Blocked,
        who: &[Executor],
        when: "verdict; a person decides",
    },
    Transition {
        from: &[Claimed, Working],
        to: Cancelled,
        who: &[Executor],
        when: "verdict; a person decides",
    },
    Transition {
        from: &[Claimed, Working],
        to: Pending,
        who: &[Board],
        when: "closed without a verdict and may be repeated",
    },
    Transition {
        from: &[Claimed, Working],
        to: Failed,
        who: &[Board],
        when: "closed without a verdict and the budget is used up",
    },
    Transition {
        from: &[Claimed, Working],
        to: Blocked,
        who: &[Board],
        when: "closed without a verdict and a person has to decide",
    },
    Transition {
        from: &[Claimed, Working, Pending, Review],
        to: Blocked,
        who: &[Person],
        when: "held; an open attempt is revoked and stopped",
    },
    Transition {
        from: &[Claimed, Working, Pending, Review, Blocked],
        to: Cancelled,
        who: &[Person],
        when: "called off; an open attempt is revoked and stopped",
    },
    Transition { from: &[Review], to: Done, who: &[Person, Reviewer], when: "approved" },
    Transition { from: &[Review], to: Done, who: &[Board], when: "at once, where review = none" },
    Transition { from: &[Review], to: Pending, who: &[Person, Reviewer], when: "sent back with a remark" },
    Transition {
        from: &[Review],
        to: Blocked,
        who: &[Board],
        when: "in place of pending, when reviewers have sent it back too often",
    },
    Transition {
        from: &[Pending, Blocked, Failed, Cancelled],
        to: Done,
        who: &[Person],
        when: "done by hand, or accepted as it is; with a detail",
    },
    Transition {
        from: &[Blocked, Failed, Cancelled],
        to: Pending,
        who: &[Person],
        when: "released, answered, retried, reopened",
    },
];

/// Whether `who` may move a task from `from` to `to`.
pub fn permits(from: Status, to: Status, who: Mover) -> bool {
    TRANSITIONS.iter().any(|t| t.to == to && t.from.contains(&from) && t.who.contains(&who))
}

/// Where `who` may move a task that is in `from`.
pub fn allowed(from: Status, who: Mover) -> Vec<Status> {
    Status::ALL.iter().copied().filter(|to| permits(from, *to, who)).collect()
}
