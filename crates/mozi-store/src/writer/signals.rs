//! Whom a commit may concern.

use mozi_core::Change;

/// Whether runners should look: for work, or for orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Signals {
    /// Something may have become claimable.
    pub(super) ready: bool,
    /// A runner may have to do something.
    pub(super) orders: bool,
}

impl Signals {
    pub(super) fn add(&mut self, other: Self) {
        self.ready |= other.ready;
        self.orders |= other.orders;
    }

    /// Too many hints cost a look, a missing one costs a wait: in doubt, one is given.
    pub(super) fn see(&mut self, change: &Change) {
        match change {
            Change::InsertProject(_)
            | Change::UpdateProject(_)
            | Change::Adopt { .. }
            | Change::PutAgent(_)
            | Change::PutRunner(_)
            | Change::ShiftUnmet { .. } => self.ready = true,
            Change::InsertTask { task, .. }
            | Change::UpdateTaskSpec(task)
            | Change::UpdateTaskState(task) => {
                // A reviewer given up has used up a claim's look at the queue: the next task has its turn.
                // What nobody has in hand may have been the last thing to do, whether it is in the queue or not.
                self.ready |= task.state.open.is_none() || task.state.reviewer_given_up;
            }
            Change::UpdateAttempt(a) => {
                self.ready |= !a.is_open();
                self.orders |= a.is_open() && (a.verdict.is_some() || a.revoked_at.is_some());
            }
            Change::PutSession(s) => {
                self.ready |= !s.is_open();
                self.orders |= s.stop_requested.is_some()
                    || s.forced
                    || s.clean_requested
                    || s.order.as_ref().is_some_and(|o| !o.taken);
            }
            Change::CountProject { .. }
            | Change::PutDependency { .. }
            | Change::DeleteDependency { .. }
            | Change::InsertAttempt(_)
            | Change::InsertUsage { .. }
            | Change::DeleteSession(_)
            | Change::InsertOutput(_)
            | Change::InsertComment(_)
            | Change::PutUser(_)
            | Change::PutToken(_)
            | Change::ExpireLog { .. }
            | Change::ForgetEvents { .. }
            | Change::InsertEvent(_)
            | Change::CountStream { .. }
            | Change::SetRest { .. } => {}
        }
    }
}
