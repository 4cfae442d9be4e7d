//! What to do with a session, from what its directory says, what the board says, and what this runner is at: a table.
//!
//! Directories are looked at first, the board is asked second. So a session that looks unstarted and open was open
//! after its directory was found missing, and only its starter could have made it since: that is this runner, which
//! leaves alone what it is starting itself.

/// What a session's directory says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dir {
    /// There is none.
    Missing,
    /// It belongs to another board, or a newer Mozi wrote it in a way that this one does not understand.
    Foreign,
    /// Somebody holds its lock.
    Running,
    /// Nobody holds its lock, and there is no `exit.json`.
    Dead,
    /// `exit.json` is there.
    Ended,
}

/// What the board says of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// It is not open.
    NotOpen,
    /// It was asked for by name and no runner has taken it up.
    Ordered,
    /// It is open.
    Open,
}

/// What this runner is at with the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// Nothing.
    Unknown,
    /// It has offered the id; the answer is still to come, or will be asked for again.
    Offered,
    /// It is starting it, following it or making an end of it.
    Busy,
    /// It has ended it since the look began.
    Over,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Leave,
    /// Follow it to its end, whatever is left of that, and tell the board.
    Adopt,
    /// It was never started, or its directory was removed: make it true that nothing of it lives, then say so.
    CloseNeverStarted,
    /// The board does not know it as open: stop it, sweep it, tell nobody.
    EndUnclaimed,
    /// Leave it and tell people.
    Report,
}

/// The table.
#[expect(clippy::match_same_arms, reason = "a table: each line says why")]
pub const fn reconcile(dir: Dir, board: Board, here: Here) -> Verdict {
    match (here, dir, board) {
        (Here::Offered | Here::Busy | Here::Over, _, _) => Verdict::Leave,
        (Here::Unknown, Dir::Foreign, _) => Verdict::Report,
        (Here::Unknown, Dir::Missing, Board::Open) => Verdict::CloseNeverStarted,
        // The order comes with the next poll, and is taken up then.
        (Here::Unknown, Dir::Missing, Board::Ordered | Board::NotOpen) => Verdict::Leave,
        // An order that nobody has taken up has no directory; if there is one, the answer to its taker was lost.
        (Here::Unknown, Dir::Running | Dir::Dead | Dir::Ended, Board::Open | Board::Ordered) => {
            Verdict::Adopt
        }
        (Here::Unknown, Dir::Running | Dir::Dead, Board::NotOpen) => Verdict::EndUnclaimed,
        (Here::Unknown, Dir::Ended, Board::NotOpen) => Verdict::Leave,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRS: [Dir; 5] = [Dir::Missing, Dir::Foreign, Dir::Running, Dir::Dead, Dir::Ended];
    const BOARDS: [Board; 3] = [Board::NotOpen, Board::Ordered, Board::Open];

    #[test]
    fn every_cell_of_a_session_that_is_not_ours_yet() {
        use Verdict::{Adopt, CloseNeverStarted, EndUnclaimed, Leave, Report};
        let expected = [
            // not open, ordered, open
            (Dir::Missing, [Leave, Leave, CloseNeverStarted]),
            (Dir::Foreign, [Report, Report, Report]),
            (Dir::Running, [EndUnclaimed, Adopt, Adopt]),
            (Dir::Dead, [EndUnclaimed, Adopt, Adopt]),
            (Dir::Ended, [Leave, Adopt, Adopt]),
        ];
        for (dir, row) in expected {
            for (board, verdict) in BOARDS.into_iter().zip(row) {
                assert_eq!(reconcile(dir, board, Here::Unknown), verdict, "{dir:?} {board:?}");
            }
        }
    }

    #[test]
    fn what_this_runner_is_at_is_left_alone_in_every_cell() {
        for here in [Here::Offered, Here::Busy, Here::Over] {
            for dir in DIRS {
                for board in BOARDS {
                    assert_eq!(reconcile(dir, board, here), Verdict::Leave, "{dir:?} {board:?} {here:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_said_to_be_never_started_where_there_is_a_directory() {
        for dir in DIRS.into_iter().filter(|dir| *dir != Dir::Missing) {
            for board in BOARDS {
                assert_ne!(reconcile(dir, board, Here::Unknown), Verdict::CloseNeverStarted);
            }
        }
    }
}
