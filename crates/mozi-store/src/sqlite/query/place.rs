//! Where in a list a page begins, and how that is told to whoever turns the page.
//!
//! Whatever happens to other tasks meanwhile, a task that is there all the time is on just one page of a list by creation
//! or priority: its place does not move. In a list by the last change it does: what has changed while the pages were
//! turned comes once more behind the last one, so that nothing is missed.

use mozi_core::Timestamp;

use crate::{ReadError, TaskSort};

/// Where a task stands in a list: the number sorted by, a second one, and its place in the order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(pub(super) i64, pub(super) i64, pub(super) i64);

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At the beginning.
    Start,
    /// Behind this one. In a list by the last change with the one that was the first of all.
    Behind(Rank, Rank),
    /// Back again: what has changed since, behind this one in the order in which it changed.
    Changed(Rank),
}

const fn mark(sort: TaskSort) -> &'static str {
    match sort {
        TaskSort::Updated => "u",
        TaskSort::Created => "c",
        TaskSort::Priority => "p",
    }
}

/// What marks the pages of what has changed since.
const CHANGED: &str = "v";

impl Place {
    pub(super) fn read(sort: TaskSort, cursor: Option<&str>) -> Result<Self, ReadError> {
        let Some(text) = cursor else { return Ok(Self::Start) };
        let bad = || ReadError::BadCursor(text.to_owned());
        let number = |hex: &str| {
            // Not what `from_str_radix` takes besides: a sign.
            let digits = hex.bytes().all(|b| b.is_ascii_hexdigit());
            digits.then(|| u64::from_str_radix(hex, 16).ok().map(u64::cast_signed)).flatten().ok_or_else(bad)
        };
        let ranks =
            |numbers: &str| match numbers.split('.').map(number).collect::<Result<Vec<_>, _>>()?.as_slice() {
                [one, two, id] => Ok((Rank(*one, *two, *id), Rank(*one, *two, *id))),
                [one, two, id, first, first_id] => Ok((Rank(*one, *two, *id), Rank(*first, 0, *first_id))),
                _ => Err(bad()),
            };
        match (sort, text.strip_prefix(CHANGED), text.strip_prefix(mark(sort))) {
            (TaskSort::Updated, Some(numbers), _) => Ok(Self::Changed(ranks(numbers)?.0)),
            (_, _, Some(numbers)) => {
                let (after, first) = ranks(numbers)?;
                Ok(Self::Behind(after, first))
            }
            _ => Err(bad()),
        }
    }

    /// Opaque to whoever gets it.
    pub(super) fn cursor(self, sort: TaskSort) -> Option<String> {
        let three = |Rank(a, b, c): Rank| format!("{a:x}.{b:x}.{c:x}");
        match self {
            Self::Start => None,
            Self::Behind(after, Rank(first, _, id)) if sort == TaskSort::Updated => {
                Some(format!("{}{}.{first:x}.{id:x}", mark(sort), three(after)))
            }
            Self::Behind(after, _) => Some(format!("{}{}", mark(sort), three(after))),
            Self::Changed(after) => Some(format!("{CHANGED}{}", three(after))),
        }
    }
}

/// Where a list of sessions goes on: behind this one.
pub(super) fn session_cursor(at: Timestamp, id: &str) -> String {
    format!("s{:x}.{id}", at.as_micros())
}

/// The beginning and the id of the session behind which a list goes on.
pub(super) fn read_session_cursor(text: &str) -> Result<(i64, String), ReadError> {
    let bad = || ReadError::BadCursor(text.to_owned());
    let (at, id) = text.strip_prefix('s').and_then(|t| t.split_once('.')).ok_or_else(bad)?;
    let at = u64::from_str_radix(at, 16).map_err(|_| bad())?.cast_signed();
    let id: uuid::Uuid = id.parse().map_err(|_| bad())?;
    Ok((at, id.to_string()))
}
