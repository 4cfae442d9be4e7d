//! Queries of addresses, read strictly and written by the client.

use std::{fmt::Display, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use utoipa::IntoParams;

use crate::{
    body::{Invalid, unknown},
    files::LogStreamWord,
    page::{DEFAULT_LIMIT, MAX_LIMIT},
    wire::{AgentId, BadText, Role, Status},
};

/// What stands for itself in a query or a part of a path.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as a part of a path or query.
pub fn escape(text: &str) -> impl Display + '_ {
    utf8_percent_encode(text, ESCAPED)
}

/// The pairs of a query. What is not taken by the end is refused by name.
#[derive(Debug, Clone)]
pub struct Query {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl Query {
    /// Reads the part after the `?`; an empty one holds nothing.
    ///
    /// # Errors
    /// When a part is no UTF-8 or holds a NUL.
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let decode = |part: &str| {
            let spaced = part.replace('+', " ");
            let text = percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned);
            text.ok()
                .filter(|t| !t.contains('\0'))
                .ok_or_else(|| Invalid::new("query", "is not UTF-8 without NUL"))
        };
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode(name)?, decode(value)?))
        };
        let pairs = raw.split('&').filter(|p| !p.is_empty()).map(pair).collect::<Result<_, _>>()?;
        Ok(Self { pairs, known: Vec::new() })
    }

    /// All values of a name.
    pub fn all(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let (taken, left) = std::mem::take(&mut self.pairs).into_iter().partition(|(n, _)| n == name);
        self.pairs = left;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, v)| v).collect()
    }

    /// The value of a name.
    ///
    /// # Errors
    /// When it is given twice or is empty.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, Invalid> {
        let mut values = self.all(name);
        let value = values.pop();
        match &value {
            _ if !values.is_empty() => Err(Invalid::new(name, "is given twice")),
            Some(text) if text.is_empty() => Err(Invalid::new(name, "is empty: leave it out")),
            _ => Ok(value),
        }
    }

    /// The value of a name, parsed.
    ///
    /// # Errors
    /// When it is given twice or does not parse.
    pub fn value<T: FromStr<Err = BadText>>(&mut self, name: &'static str) -> Result<Option<T>, Invalid> {
        let text = self.text(name)?;
        text.map(|t| t.parse().map_err(|e: BadText| Invalid::new(name, e.0))).transpose()
    }

    /// A whole number from `min` to `max`.
    ///
    /// # Errors
    /// When it is given twice or is no such number.
    pub fn number(&mut self, name: &'static str, min: u64, max: u64) -> Result<Option<u64>, Invalid> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let number = text.parse().ok().filter(|n| (min..=max).contains(n));
        number
            .map(Some)
            .ok_or_else(|| Invalid::new(name, format!("must be a whole number from {min} to {max}")))
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// When it is given twice or is neither.
    pub fn flag(&mut self, name: &'static str) -> Result<Option<bool>, Invalid> {
        match self.text(name)?.as_deref() {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => Err(Invalid::new(name, "must be true or false")),
        }
    }

    /// Refuses what nobody asked for.
    ///
    /// # Errors
    /// The first name that is not known, with the nearest known one.
    pub fn finish(self) -> Result<(), Invalid> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => Err(Invalid::new(name.clone(), unknown(name, &self.known))),
        }
    }

    pub(crate) fn limit(&mut self) -> Result<u32, Invalid> {
        let limit = self.number("limit", 1, MAX_LIMIT.into())?;
        Ok(limit.and_then(|n| u32::try_from(n).ok()).unwrap_or(DEFAULT_LIMIT))
    }
}

/// Writes a query, with its `?` if there is anything.
#[derive(Debug, Default)]
pub(crate) struct Writer(String);

impl Writer {
    pub(crate) fn put(mut self, name: &str, value: Option<impl Display>) -> Self {
        if let Some(value) = value {
            self.0.push(if self.0.is_empty() { '?' } else { '&' });
            self.0.push_str(name);
            self.0.push('=');
            self.0.extend(utf8_percent_encode(&value.to_string(), ESCAPED));
        }
        self
    }
    pub(crate) fn into_query(self) -> String {
        self.0
    }
}

/// Refuses any query, for calls that take none.
///
/// # Errors
/// The first name.
pub fn none(raw: &str) -> Result<(), Invalid> {
    Query::parse(raw)?.finish()
}

/// How a list of tasks is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SortBy {
    /// The latest change first.
    Updated,
    /// The newest first.
    Created,
    /// The most urgent first.
    Priority,
}

crate::wire::named! {
    Sort = SortBy, "How a list of tasks is sorted." {
        Updated => "updated", Created => "created", Priority => "priority",
    }
}

/// Which tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TasksQuery {
    /// In one of these statuses, separated by commas.
    #[param(style = Form, explode = false)]
    pub status: Vec<Status>,
    /// Of this agent.
    pub agent: Option<AgentId>,
    /// Of this type.
    pub task_type: Option<String>,
    /// With this label: `NAME=VALUE`.
    #[param(pattern = "^[^=]+=")]
    pub label: Option<String>,
    /// With this text in id, title or description.
    pub q: Option<String>,
    /// How they are sorted; `updated` by default.
    pub sort: Option<Sort>,
    /// At most so many; 50 by default, at most 500.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl TasksQuery {
    /// Reads the part after the `?`.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let mut q = Query::parse(raw)?;
        let words = q.all("status");
        let status = words.iter().flat_map(|w| w.split(',')).map(str::trim).filter(|w| !w.is_empty());
        let read = Self {
            status: status
                .map(|w| w.parse().map_err(|e: BadText| Invalid::new("status", e.0)))
                .collect::<Result<_, _>>()?,
            agent: q.value("agent")?,
            task_type: q.text("task_type")?,
            label: q.text("label")?,
            q: q.text("q")?,
            sort: q.value("sort")?,
            limit: Some(q.limit()?),
            cursor: q.text("cursor")?,
        };
        q.finish()?;
        Ok(read)
    }
    /// The label asked for: its name and, if named, its value.
    pub fn label_pair(&self) -> Option<(&str, Option<&str>)> {
        let label = self.label.as_deref()?;
        Some(label.split_once('=').map_or((label, None), |(k, v)| (k, Some(v))))
    }
    /// As a query with its `?`.
    pub fn encode(&self) -> String {
        let status: Vec<_> = self.status.iter().map(|s| s.as_str()).collect();
        Writer::default()
            .put("status", (!status.is_empty()).then(|| status.join(",")))
            .put("agent", self.agent.as_ref())
            .put("task_type", self.task_type.as_ref())
            .put("label", self.label.as_ref())
            .put("q", self.q.as_ref())
            .put("sort", self.sort)
            .put("limit", self.limit)
            .put("cursor", self.cursor.as_ref())
            .0
    }
}

/// Which part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// At most so many; 50 by default, at most 500.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// Reads the part after the `?`.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let mut q = Query::parse(raw)?;
        let read = Self { limit: Some(q.limit()?), cursor: q.text("cursor")? };
        q.finish()?;
        Ok(read)
    }
    /// As a query with its `?`.
    pub fn encode(&self) -> String {
        Writer::default().put("limit", self.limit).put("cursor", self.cursor.as_ref()).0
    }
}

/// Which events.
#[derive(Debug, Clone, PartialEq, Eq, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// After this one: an event's id, or the cursor of the stream over all projects. Absent = from the beginning.
    pub after: Option<String>,
    /// At most so many on a page; 50 by default, at most 500.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

impl EventsQuery {
    /// Reads the part after the `?`.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let mut q = Query::parse(raw)?;
        let read = Self { after: q.text("after")?, limit: Some(q.limit()?) };
        q.finish()?;
        Ok(read)
    }
    /// The id in `after`, for a stream of one project; 0 = from the beginning.
    ///
    /// # Errors
    /// When it is no number.
    pub fn after_id(&self) -> Result<u64, Invalid> {
        let parse = |a: &String| a.parse().map_err(|_| Invalid::new("after", "must be the id of an event"));
        self.after.as_ref().map_or(Ok(0), parse)
    }
    /// As a query with its `?`.
    pub fn encode(&self) -> String {
        Writer::default().put("after", self.after.as_ref()).put("limit", self.limit).0
    }
}

/// How many tasks are taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// Only look whether they would be.
    pub dry_run: Option<bool>,
}

impl ImportQuery {
    /// Reads the part after the `?`.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let mut q = Query::parse(raw)?;
        let read = Self { dry_run: q.flag("dry_run")? };
        q.finish()?;
        Ok(read)
    }
    /// As a query with its `?`.
    pub fn encode(&self) -> String {
        Writer::default().put("dry_run", self.dry_run).0
    }
}

/// In which form a project is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExportFormat {
    /// Everything.
    Archive,
    /// Its tasks as new ones, one a line.
    Tasks,
}

crate::wire::named! {
    Format = ExportFormat, "In which form a project is exported." { Archive => "archive", Tasks => "tasks" }
}

/// What of a project is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// `archive` (default): everything; `tasks`: its tasks as new ones, one a line.
    pub format: Option<Format>,
}

impl ExportQuery {
    /// Reads the part after the `?`.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let mut q = Query::parse(raw)?;
        let read = Self { format: q.value("format")? };
        q.finish()?;
        Ok(read)
    }
    /// As a query with its `?`.
    pub fn encode(&self) -> String {
        Writer::default().put("format", self.format).0
    }
}

/// What to show with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expand {
    /// Its outputs.
    pub outputs: bool,
    /// Its comments.
    pub comments: bool,
    /// Its attempts.
    pub attempts: bool,
    /// Its events.
    pub events: bool,
}

/// What to show with a task, as it stands in the address.
#[derive(Debug, Clone, PartialEq, Eq, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExpandQuery {
    /// Some of `outputs`, `comments`, `attempts`, `events`, separated by commas, or `all`.
    pub expand: Option<String>,
}

impl Expand {
    /// All of it.
    pub const ALL: Self = Self { outputs: true, comments: true, attempts: true, events: true };

    /// Reads the part after the `?`.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let mut q = Query::parse(raw)?;
        let mut expand = Self::default();
        for word in q.all("expand").iter().flat_map(|w| w.split(',')).map(str::trim) {
            match word {
                "" => {}
                "all" => expand = Self::ALL,
                "outputs" => expand.outputs = true,
                "comments" => expand.comments = true,
                "attempts" => expand.attempts = true,
                "events" => expand.events = true,
                _ => return Err(Invalid::new("expand", "takes outputs, comments, attempts, events or all")),
            }
        }
        q.finish()?;
        Ok(expand)
    }
    /// As a query with its `?`.
    pub fn encode(self) -> String {
        let words = [
            (self.outputs, "outputs"),
            (self.comments, "comments"),
            (self.attempts, "attempts"),
            (self.events, "events"),
        ];
        let chosen: Vec<_> = words.into_iter().filter_map(|(on, w)| on.then_some(w)).collect();
        let value = if self == Self::ALL { "all".to_owned() } else { chosen.join(",") };
        Writer::default().put("expand", (!value.is_empty()).then_some(value)).0
    }
}

/// Which part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// `stdout` by default.
    pub stream: Option<LogStreamWord>,
    /// From this byte on; 0 by default.
    pub from: Option<u64>,
    /// Go on until the session has ended.
    pub follow: Option<bool>,
}

impl LogQuery {
    /// Reads the part after the `?`.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let mut q = Query::parse(raw)?;
        let read = Self {
            stream: q.value("stream")?,
            from: q.number("from", 0, i64::MAX.unsigned_abs())?,
            follow: q.flag("follow")?,
        };
        q.finish()?;
        Ok(read)
    }
    /// As a query with its `?`.
    pub fn encode(&self) -> String {
        Writer::default().put("stream", self.stream).put("from", self.from).put("follow", self.follow).0
    }
}

/// Which sessions.
#[derive(Debug, Clone, PartialEq, Eq, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SessionsQuery {
    /// Only those that live (`true`) or have ended (`false`).
    pub active: Option<bool>,
    /// Only those whose id begins so.
    pub prefix: Option<String>,
    /// At most so many; 50 by default, at most 500.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before; not with `prefix`.
    pub cursor: Option<String>,
}

impl SessionsQuery {
    /// Reads the part after the `?`.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let mut q = Query::parse(raw)?;
        let read = Self {
            active: q.flag("active")?,
            prefix: q.text("prefix")?,
            limit: Some(q.limit()?),
            cursor: q.text("cursor")?,
        };
        q.finish()?;
        Ok(read)
    }
    /// As a query with its `?`.
    pub fn encode(&self) -> String {
        Writer::default()
            .put("active", self.active)
            .put("prefix", self.prefix.as_ref())
            .put("limit", self.limit)
            .put("cursor", self.cursor.as_ref())
            .0
    }
}

/// For which role a prompt is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PromptQuery {
    /// `executor` by default, `reviewer` for a task in review.
    pub role: Option<Role>,
}

impl PromptQuery {
    /// Reads the part after the `?`.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let mut q = Query::parse(raw)?;
        let read = Self { role: q.value("role")? };
        q.finish()?;
        Ok(read)
    }
    /// As a query with its `?`.
    pub fn encode(&self) -> String {
        Writer::default().put("role", self.role).0
    }
}

/// How long an answer may wait for the end of what is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// So many seconds, at most 300; the answer comes at the end, or is the state of then.
    #[param(minimum = 0, maximum = 300)]
    pub wait: Option<u64>,
}

impl WaitQuery {
    /// The longest wait, in seconds.
    pub const LONGEST: u64 = 300;

    /// Reads the part after the `?`.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let mut q = Query::parse(raw)?;
        let read = Self { wait: q.number("wait", 0, Self::LONGEST)? };
        q.finish()?;
        Ok(read)
    }
    /// As a query with its `?`.
    pub fn encode(&self) -> String {
        Writer::default().put("wait", self.wait).0
    }
}

/// How a session is cleaned up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CleanQuery {
    /// On my word: what is left of it is not Mozi's.
    pub force: Option<bool>,
}

impl CleanQuery {
    /// Reads the part after the `?`.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let mut q = Query::parse(raw)?;
        let read = Self { force: q.flag("force")? };
        q.finish()?;
        Ok(read)
    }
    /// As a query with its `?`.
    pub fn encode(self) -> String {
        Writer::default().put("force", self.force).0
    }
}
