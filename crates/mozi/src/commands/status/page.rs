//! The page: sections that have something to say, and below each item what to do about it.

use mozi_api::{
    agent::Agent,
    status::{BoardStatus, EndedLine, Listed, RunningLine, TaskLine, WaitingGroup},
    wire::{ProjectId, Time},
};
use mozi_core::Status;

use crate::output::{Out, Paint, Table, ago, clip, local, money, one_line, paint_of, span, wrap};

/// How many lines of a question are shown.
const QUESTION: usize = 3;
/// Where nothing limits the width, lines are still no longer than one reads.
const WIDE: usize = 100;

pub(super) struct Page<'a> {
    out: Out,
    status: &'a BoardStatus,
    /// The project that commands mean where they name none.
    usual: &'a str,
    lines: Vec<String>,
}

impl<'a> Page<'a> {
    pub(super) fn new(out: Out, status: &'a BoardStatus, usual: &'a str) -> Self {
        Self { out, status, usual, lines: Vec::new() }
    }

    pub(super) fn lines(mut self) -> Vec<String> {
        self.desk();
        self.running();
        self.ended();
        self.stuck();
        self.queue();
        self.sums();
        self.lines
    }

    fn width(&self) -> usize {
        self.out.width().unwrap_or(WIDE)
    }

    /// The project's own, as short as a command takes it.
    fn name(&self, project: &ProjectId, task: impl std::fmt::Display) -> String {
        if project.as_str() == self.usual { task.to_string() } else { format!("{project}/{task}") }
    }

    fn head(&mut self, title: &str, about: &str) {
        if !self.lines.is_empty() {
            self.lines.push(String::new());
        }
        let title = self.out.paint(Paint::Strong, title);
        self.lines.push(format!("{title} {}", self.out.paint(Paint::Dim, about)).trim_end().to_owned());
    }

    fn below(&mut self, text: &str, paint: Paint) {
        self.lines.push(format!("      {}", self.out.paint(paint, text)));
    }

    fn more<T>(&mut self, list: &Listed<T>, command: &str) {
        let left = list.total.saturating_sub(list.items.len() as u64);
        if left > 0 {
            let least = if list.exact { "" } else { "at least " };
            self.below(&format!("and {least}{left} more: {command}"), Paint::Dim);
        }
    }

    /// What waits for a person.
    fn desk(&mut self) {
        let s = self.status;
        let total = s.reviews.total + s.blocked.total;
        if total == 0 {
            return;
        }
        let exact = s.reviews.exact && s.blocked.exact;
        self.head("Waits for you", &count(total, exact));
        let mut table = Table::bare(&["ID", "STATUS", "TITLE", "AGE"]);
        let items: Vec<&TaskLine> = s.blocked.items.iter().chain(&s.reviews.items).collect();
        for t in &items {
            table.row(vec![
                self.name(&t.project_id, &t.task_id),
                t.status.to_string(),
                t.title.clone(),
                ago(t.updated_at, s.at),
            ]);
        }
        let rows = table.lines_within(self.out, 2);
        for (row, t) in rows.into_iter().zip(items) {
            self.lines.push(format!("  {row}"));
            self.question(t);
            let id = self.name(&t.project_id, &t.task_id);
            let step = match (t.status.0, t.kind.as_deref()) {
                (Status::Review, _) => format!("mozi task approve {id}   or: mozi task reject {id} -m \"…\""),
                (_, Some("needs_input")) => format!("mozi task answer {id} \"…\""),
                _ => format!("mozi task release {id}   or: mozi task cancel {id}"),
            };
            self.below(&step, Paint::Dim);
        }
        let list =
            if self.status.project_id.is_some() { "mozi task list --mine" } else { "mozi status -n 100" };
        let shown = (self.status.reviews.items.len() + self.status.blocked.items.len()) as u64;
        self.more(&Listed { items: Vec::<()>::new(), total: total - shown.min(total), exact }, list);
    }

    /// What it says that it needs, or what its agent said of the result.
    fn question(&mut self, t: &TaskLine) {
        let mut words: Vec<String> = Vec::new();
        if t.reviewer_given_up {
            words.push("its reviewer came to no verdict".to_owned());
        }
        words.extend(t.kind.iter().filter(|k| *k != "needs_input").map(|k| k.replace('_', " ")));
        words.extend(t.detail.iter().map(|d| one_line(d)));
        if words.is_empty() {
            return;
        }
        let lines = if t.status.0 == Status::Review { 1 } else { QUESTION };
        for line in wrap(&words.join(": "), self.width().saturating_sub(6), lines) {
            self.lines.push(format!("      {line}"));
        }
    }

    fn running(&mut self) {
        let s = self.status;
        if s.running.total == 0 {
            return;
        }
        self.head("Runs", &count(s.running.total, s.running.exact));
        let mut table = Table::new(&["ID", "STATE", "TITLE", "AGENT", "FOR", "LAST SIGN", "LEFT"]);
        for r in &s.running.items {
            table.row(self.running_row(r));
        }
        for row in table.lines_within(self.out, 2) {
            self.lines.push(format!("  {row}"));
        }
        self.more(&s.running, "mozi session list");
    }

    fn running_row(&self, r: &RunningLine) -> Vec<String> {
        let now = self.status.at;
        let dash = || "-".to_owned();
        let session = &r.session;
        let short = || session.session_id.to_string().chars().take(8).collect();
        let id = match (&session.project_id, &session.task_id) {
            (Some(p), Some(t)) => self.name(p, t),
            _ => short(),
        };
        let state = match (&r.task_status, session.status.as_str()) {
            (_, "stuck" | "ending") => session.status.clone(),
            (Some(_), _) if r.role.as_deref() == Some("reviewer") => "reviewing".to_owned(),
            (Some(status), _) => status.to_string(),
            (None, status) => status.to_owned(),
        };
        let left = r.deadline.map_or_else(dash, |at| if at > now { ago(now, at) } else { "over".to_owned() });
        vec![
            id,
            state,
            r.title.clone().unwrap_or_else(dash),
            session.agent.to_string(),
            ago(session.started_at, now),
            r.last_sign_at.map_or_else(dash, |at| format!("{} ago", ago(at, now))),
            left,
        ]
    }

    fn ended(&mut self) {
        let s = self.status;
        if s.ended.total == 0 {
            return;
        }
        let of =
            |word: &str| s.ended_counts.get(word).copied().filter(|n| *n > 0).map(|n| format!("{n} {word}"));
        let parts: Vec<String> = ["done", "failed", "cancelled"].into_iter().filter_map(of).collect();
        let least = if s.ended.exact { "" } else { "at least " };
        self.head(
            &format!("Ended since {}:", local(&s.since.to_string())),
            &format!("{least}{}", parts.join(", ")),
        );
        // A column of what nobody said is no column.
        let costs = s.ended.items.iter().any(|e| e.cost_micro_usd.is_some());
        let mut heads = vec!["ID", "STATUS", "TITLE", "AGENT", "WORKED", "ENDED"];
        if costs {
            heads.push("COST");
        }
        let mut table = Table::new(&heads);
        for e in &s.ended.items {
            let mut row = self.ended_row(e);
            if !costs {
                row.pop();
            }
            table.row(row);
        }
        let mut rows = table.lines_within(self.out, 2).into_iter();
        self.lines.extend(rows.next().map(|heads| format!("  {heads}")));
        for (row, e) in rows.zip(&s.ended.items) {
            self.lines.push(format!("  {row}"));
            if e.task.status.0 == Status::Failed {
                let why: Vec<String> = e.task.detail.iter().map(|d| one_line(d)).collect();
                let why =
                    if why.is_empty() { e.reason.iter().map(|r| r.replace('_', " ")).collect() } else { why };
                let room = self.width().saturating_sub(6);
                for line in wrap(&why.join(": "), room, 2) {
                    self.below(&line, Paint::Bad);
                }
                if let Some(last) = &e.last_error {
                    let last = clip(&format!("it wrote: {}", one_line(last)), room);
                    self.lines.push(format!("      {last}"));
                }
                let id = self.name(&e.task.project_id, &e.task.task_id);
                let look = match e.last_error {
                    Some(_) => format!("mozi logs {id} --stderr"),
                    None => format!("mozi task show {id}"),
                };
                self.below(&format!("{look}   or: mozi task retry {id}"), Paint::Dim);
            }
        }
        self.more(&s.ended, "mozi task list --status done,failed,cancelled");
    }

    fn ended_row(&self, e: &EndedLine) -> Vec<String> {
        let dash = || "-".to_owned();
        let cost = match (e.cost_micro_usd, e.cost_incomplete) {
            (Some(cost), false) => money(cost),
            (Some(cost), true) => format!("{}+", money(cost)),
            (None, _) => dash(),
        };
        vec![
            self.name(&e.task.project_id, &e.task.task_id),
            e.task.status.to_string(),
            e.task.title.clone(),
            e.agent.as_ref().map_or_else(dash, ToString::to_string),
            if e.agent.is_some() { span(e.worked_seconds) } else { dash() },
            local(&e.task.updated_at.to_string()),
            cost,
        ]
    }

    /// What does not go on by itself, and why.
    fn stuck(&mut self) {
        let s = self.status;
        let groups: Vec<&WaitingGroup> =
            s.waiting.iter().filter(|g| g.needs_somebody && !is_told(g)).collect();
        let held_up: Vec<&RunningLine> =
            s.running.items.iter().filter(|r| r.session.held_up.is_some()).collect();
        let before = self.lines.len();
        for runner in &s.runners {
            let since = local(&runner.seen_at.to_string());
            self.cause(&format!("runner {} is not there (since {since})", runner.runner_id), "mozi serve");
        }
        for agent in &s.agents {
            self.agent(agent);
        }
        for g in groups {
            let id = self.name(&g.project_id, &g.task_id);
            let step = match g.waiting_for.kind.as_str() {
                "no_agent" => format!("mozi task edit {id} -a AGENT"),
                "agent_unknown" => "mozi agent list".to_owned(),
                "agent_offline" => "mozi serve".to_owned(),
                "dependency" => {
                    let on = g.waiting_for.text_of("task_id").unwrap_or_default();
                    format!("mozi task retry {}", self.name(&g.project_id, on))
                }
                "manual" => format!("mozi session start AGENT --task {id}"),
                _ => format!("mozi why {id}"),
            };
            let verb = if g.tasks == 1 { "task waits" } else { "tasks wait" };
            let text = format!("{} {verb} for {}", count_word(g.tasks, g.exact), g.waiting_for.text);
            self.cause(&text, &step);
        }
        for r in held_up {
            let Some(h) = &r.session.held_up else { continue };
            let id: String = r.session.session_id.to_string().chars().take(8).collect();
            let text = format!("session {id} of {} cannot end: {}", r.session.agent, h.detail);
            self.cause(&text, &format!("mozi session show {id}"));
        }
        if self.lines.len() > before {
            let causes = self.lines.split_off(before);
            self.head("Stuck", "");
            self.lines.extend(causes);
        }
    }

    fn agent(&mut self, agent: &Agent) {
        let waits = self.status.waiting.iter().filter(|g| {
            is_told(g) && g.waiting_for.text_of("agent").is_some_and(|a| a == agent.agent.to_string())
        });
        let (tasks, exact) = waits.fold((0, true), |(n, exact), g| (n + g.tasks, exact && g.exact));
        let queue = match tasks {
            0 => String::new(),
            1 => "; 1 task waits for it".to_owned(),
            n => format!("; {} tasks wait for it", count_word(n, exact)),
        };
        // One that nobody waits for is the doctor's business.
        if let Some(why) = agent.held_back.as_ref().filter(|_| tasks > 0) {
            self.cause(&format!("agent {} cannot be started: {why}{queue}", agent.agent), "mozi doctor");
        }
        if let Some(pause) = &agent.paused {
            let until = pause.until.map_or_else(String::new, |t| format!(" until {}", local(&t.to_string())));
            let mut why: Vec<String> = pause.reason.iter().map(|r| r.replace('_', " ")).collect();
            why.extend(pause.detail.iter().map(|d| one_line(d)));
            let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(": ")) };
            let text = format!("agent {} is paused{until}{why}{queue}", agent.agent);
            self.cause(&text, &format!("mozi agent resume {}", agent.agent));
        }
    }

    fn cause(&mut self, text: &str, step: &str) {
        for (i, line) in wrap(text, self.width().saturating_sub(6), QUESTION).into_iter().enumerate() {
            let gap = if i == 0 { "  " } else { "      " };
            self.lines.push(format!("{gap}{}", self.out.paint(paint_of("blocked"), &line)));
        }
        self.below(step, Paint::Dim);
    }

    /// What goes on by itself, in its time.
    fn queue(&mut self) {
        let s = self.status;
        let mut parts: Vec<String> = Vec::new();
        for g in s.waiting.iter().filter(|g| !g.needs_somebody && !is_told(g)) {
            parts.push(format!("{} for {}", count_word(g.tasks, g.exact), g.waiting_for.text));
        }
        if s.delayed.total > 0 {
            parts.push(self.delayed());
        }
        if parts.is_empty() {
            return;
        }
        self.head("Waits its turn", "");
        for part in parts {
            for line in wrap(&part, self.width().saturating_sub(2), 2) {
                self.lines.push(format!("  {line}"));
            }
        }
    }

    /// What waits for a time: the first by its name.
    fn delayed(&self) -> String {
        let d = &self.status.delayed;
        let at = d.next_at.filter(|t: &Time| *t > self.status.at);
        let at = at.map_or_else(|| "about now".to_owned(), |t| format!("at {}", local(&t.to_string())));
        let why =
            |t: &TaskLine| t.detail.as_ref().map_or_else(String::new, |d| format!(" ({})", one_line(d)));
        match &d.next {
            Some(t) if d.total == 1 => {
                let id = self.name(&t.project_id, &t.task_id);
                format!("{id}  {}: {at}{}", t.title, why(t))
            }
            Some(t) => {
                let id = self.name(&t.project_id, &t.task_id);
                format!("{} for their time, the first {at}: {id}  {}", count_word(d.total, d.exact), t.title)
            }
            None => format!("{} for their time", count_word(d.total, d.exact)),
        }
    }

    fn sums(&mut self) {
        let s = self.status;
        let words: Vec<String> = Status::ALL
            .iter()
            .filter_map(|w| s.counts.get(w.as_str()).filter(|n| **n > 0).map(|n| format!("{n} {w}")))
            .collect();
        let nothing = self.lines.is_empty();
        if words.is_empty() {
            if !nothing {
                self.lines.push(String::new());
            }
            self.lines.push("No tasks yet.".to_owned());
            self.below("mozi task add \"Fix the login page\" -a AGENT", Paint::Dim);
            return;
        }
        if nothing {
            self.lines.push("Nothing waits for you, nothing runs, nothing is stuck.".to_owned());
        }
        self.lines.push(String::new());
        let place = s.project_id.as_ref().map_or_else(String::new, |p| format!("{p}: "));
        let mut line = format!("{place}{}", words.join(" · "));
        if let Some(cost) = s.spent.cost_micro_usd {
            line.extend([" · spent ", &money(cost)]);
            if !s.spent.exact || s.spent.known < s.spent.attempts {
                let (known, of) = (s.spent.known.to_string(), s.spent.attempts.to_string());
                line.extend([" as told by ", &known, " of ", &of, " attempts"]);
            }
        }
        for line in wrap(&line, self.width(), 3) {
            let line = self.out.paint(Paint::Dim, &line);
            self.lines.push(line);
        }
    }
}

/// An agent that is told of by itself tells for its tasks too: said once, with how many wait.
fn is_told(group: &WaitingGroup) -> bool {
    matches!(group.waiting_for.kind.as_str(), "agent_paused" | "agent_held_back")
}

fn count(n: u64, exact: bool) -> String {
    format!("({})", count_word(n, exact))
}

fn count_word(n: u64, exact: bool) -> String {
    if exact { n.to_string() } else { format!("{n} or more") }
}
