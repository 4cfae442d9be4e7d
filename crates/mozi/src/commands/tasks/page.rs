//! A task as a page to read: what was asked for, how it stands, what was tried and said, what came of it.

use mozi_api::{attempt::Attempt, comment::Comment, event::Event, output::Output, task::Task};
use mozi_core::Reason;

use super::show::{next_steps, sentence};
use crate::output::{Out, Paint, bytes, local, money, paint_of, seconds, text_lines, wrap};

/// Where nothing limits the width, lines are still no longer than one reads.
const WIDE: usize = 100;
/// A paragraph is shown in so many lines at most: what is longer is no page any more.
const LONG: usize = 200;

/// The page, line by line. `name` is how commands name the task.
pub(super) fn lines(out: Out, task: &Task, name: &str) -> Vec<String> {
    let mut page = Page { out, lines: Vec::new(), width: out.width().unwrap_or(WIDE).min(160) };
    page.head(task);
    page.standing(task, name);
    page.asked(task);
    page.attempts(task, name);
    page.outputs(task, name);
    page.comments(task.comments.as_deref().unwrap_or_default());
    page.lines
}

struct Page {
    out: Out,
    lines: Vec<String>,
    width: usize,
}

impl Page {
    fn line(&mut self, text: String) {
        self.lines.push(text);
    }

    fn section(&mut self, title: &str) {
        let title = self.out.paint(Paint::Strong, title);
        self.lines.extend([String::new(), title]);
    }

    /// A text of somebody's own lines, wrapped behind `indent` columns.
    fn text(&mut self, text: &str, indent: usize, paint: Option<Paint>) {
        let gap = " ".repeat(indent);
        for line in text_lines(text, self.width.saturating_sub(indent), LONG) {
            let line = paint.map_or_else(|| line.clone(), |p| self.out.paint(p, &line));
            self.lines.push(format!("{gap}{line}").trim_end().to_owned());
        }
    }

    fn head(&mut self, task: &Task) {
        let status = self.out.paint(paint_of(task.status.as_str()), task.status.as_str());
        let name = format!("{}/{}", task.project_id, task.task_id);
        self.line(format!("{}  {status}", self.out.paint(Paint::Strong, &name)));
        self.text(&task.title, 0, Some(Paint::Strong));
        let mut facts = vec![
            task.agent.as_ref().map_or_else(|| "the project's agent".to_owned(), |a| format!("agent {a}")),
            task.task_type.clone(),
            format!("priority {}", task.priority),
        ];
        facts.extend(task.review.as_ref().map(|r| format!("review {r}")));
        facts.extend(task.parent.as_ref().map(|p| format!("part of {p}")));
        facts.extend(task.timeout_seconds.map(|s| format!("{} an attempt", crate::output::span(s))));
        facts.extend(
            task.max_attempts.map(|n| format!("at most {n} attempt{}", if n == 1 { "" } else { "s" })),
        );
        facts.extend(task.labels.iter().map(|(k, v)| format!("{k}={v}")));
        let by = &task.created_by;
        let by = by.name.as_deref().or(by.id.as_deref()).unwrap_or(&by.kind);
        facts.push(format!("added {} by {by}", local(&task.created_at.to_string())));
        self.text(&facts.join(" · "), 0, Some(Paint::Dim));
    }

    /// How it stands, what it waits for and what can be done.
    fn standing(&mut self, task: &Task, name: &str) {
        let mut said = Vec::new();
        said.extend(task.kind.as_ref().filter(|k| *k != "needs_input").map(|k| k.replace('_', " ")));
        said.extend(task.detail.clone());
        let steps = next_steps(task, name);
        if said.is_empty() && task.waiting_for.is_empty() && steps.is_empty() {
            return;
        }
        self.line(String::new());
        if !said.is_empty() {
            self.text(&said.join(": "), 2, Some(paint_of(task.status.as_str())));
        }
        for wait in &task.waiting_for {
            // The same words stand above.
            if wait.kind == "person" && task.detail.is_some() {
                continue;
            }
            self.text(&format!("waits for {}", sentence(wait)), 2, None);
        }
        for step in steps {
            self.text(&step, 4, Some(Paint::Dim));
        }
    }

    fn asked(&mut self, task: &Task) {
        if let Some(description) = &task.description {
            self.line(String::new());
            self.text(description, 0, None);
        }
        if !task.must_haves.is_empty() {
            self.section("Must");
            for must in &task.must_haves {
                self.item("- ", must);
            }
        }
        if !task.depends_on.is_empty() {
            self.section("After");
            for d in &task.depends_on {
                let status = self.out.paint(paint_of(d.status.as_str()), d.status.as_str());
                let met = if d.met { "" } else { ", waited for" };
                self.line(format!("  {} until {}: {status}{met}", d.task_id, d.until));
            }
        }
    }

    /// A text behind a mark, wrapped beside it.
    fn item(&mut self, mark: &str, text: &str) {
        let lines = text_lines(text, self.width.saturating_sub(4), LONG);
        for (i, line) in lines.into_iter().enumerate() {
            self.lines.push(format!("  {}{line}", if i == 0 { mark } else { "  " }).trim_end().to_owned());
        }
    }

    /// What was tried, and what was decided on it, in order.
    fn attempts(&mut self, task: &Task, name: &str) {
        let attempts = task.attempts.as_deref().unwrap_or_default();
        let remarks: Vec<&Event> =
            task.events.iter().flatten().filter(|e| e.event_type == "review_given").collect();
        if attempts.is_empty() && remarks.is_empty() {
            return;
        }
        self.section("Attempts");
        let mut remarks = remarks.into_iter().peekable();
        for (i, a) in attempts.iter().enumerate() {
            self.attempt(a, name);
            self.said(a, task);
            // What was decided before the next one began.
            let next = attempts.get(i + 1).map(|n| n.started_at);
            while let Some(e) = remarks.next_if(|e| next.is_none_or(|at| e.at < at)) {
                self.remark(e);
            }
        }
        for e in remarks {
            self.remark(e);
        }
        let known: Vec<i64> = attempts.iter().filter_map(|a| a.usage.as_ref()?.cost_micro_usd).collect();
        if attempts.len() > 1 && !known.is_empty() {
            let told = if known.len() == attempts.len() {
                String::new()
            } else {
                format!(" as told by {} of {} attempts", known.len(), attempts.len())
            };
            let sum = known.iter().sum::<i64>();
            let line = format!("  together {}{told}", money(sum));
            self.line(self.out.paint(Paint::Dim, &line));
        }
    }

    fn attempt(&mut self, a: &Attempt, name: &str) {
        let started = a.started_at.to_string();
        let (state, paint) = match &a.outcome {
            Some(outcome) => (outcome.as_str(), paint_of(outcome)),
            None if a.revoked_at.is_some() => ("ending", paint_of("ending")),
            None => ("running", paint_of("running")),
        };
        let mut words = vec![format!("#{}", a.attempt_number), a.agent.to_string()];
        words.extend((a.role != "executor").then(|| a.role.clone()));
        words.push(self.out.paint(paint, state));
        words.extend(a.reason.as_ref().map(|r| format!("({})", r.replace('_', " "))));
        words.push(format!("· {}", local(&started)));
        let took = a.completed_at.and_then(|end| seconds(&started, &end.to_string()));
        words.extend(took.map(|t| format!("· {t}")));
        words.extend(a.verdict.as_ref().map(|v| format!("· said {v}")));
        words.extend(a.usage.as_ref().and_then(|u| u.cost_micro_usd).map(|c| format!("· {}", money(c))));
        self.line(format!("  {}", words.join(" ")));
        if let Some(why) = &a.revoked_why {
            self.text(why, 6, None);
        }
        let good = a.outcome.as_deref() == Some("completed");
        if let Some(reason) = a.reason.as_deref().filter(|_| !good).and_then(Reason::parse) {
            let advice = if crate::config::env::language() == mozi_core::project::Language::ZhCn {
                reason.advice().1
            } else {
                reason.advice().0
            };
            self.text(advice, 6, None);
        }
        if !good {
            let more = if a.outcome.is_some() { "" } else { " -f" };
            let stderr = a.log.stderr_bytes.is_some_and(|n| n > 0)
                && (a.outcome.is_some() || a.log.stdout_bytes == Some(0));
            let stream = if stderr { " --stderr" } else { "" };
            let log = format!("mozi logs {name} --attempt {}{stream}{more}", a.attempt_number);
            if a.log.state != "expired" {
                self.text(&log, 6, Some(Paint::Dim));
            }
        }
    }

    /// What it said with its verdict: a question stays to be read beside its answer.
    fn said(&mut self, a: &Attempt, task: &Task) {
        let number = u64::from(a.attempt_number);
        let said = task.events.iter().flatten().find(|e| {
            e.event_type == "status_changed"
                && e.detail.0.get("verdict_of").and_then(serde_json::Value::as_u64) == Some(number)
        });
        if let Some(words) = said.and_then(|e| e.text_of("detail")) {
            self.text(words, 6, None);
        }
    }

    fn remark(&mut self, e: &Event) {
        let who = e.agent.as_ref().map(ToString::to_string);
        let actor = &e.actor;
        let who = who
            .or_else(|| actor.name.clone())
            .or_else(|| actor.id.clone())
            .unwrap_or_else(|| actor.kind.clone());
        let verdict = e.text_of("verdict").unwrap_or_default();
        let (verdict, paint) = match verdict {
            "approve" | "approved" => ("accepted it", Paint::Good),
            "reject" | "rejected" => ("sent it back", Paint::Wait),
            other => (other, Paint::Dim),
        };
        let at = local(&e.at.to_string());
        self.line(format!("     {} {} · {at}", who, self.out.paint(paint, verdict)));
        if let Some(remark) = e.text_of("remark") {
            self.text(remark, 7, None);
        }
    }

    fn outputs(&mut self, task: &Task, name: &str) {
        let outputs: &[Output] = task.outputs.as_deref().unwrap_or_default();
        if outputs.is_empty() {
            return;
        }
        self.section("Outputs");
        for o in outputs {
            let file = o.file_name.as_ref().map_or_else(String::new, |f| format!(", {f}"));
            let from = o.attempt_number.map_or_else(String::new, |n| format!(", attempt {n}"));
            let about = format!("({}, {}{file}{from})", o.output_type, bytes(o.size_bytes));
            for (i, line) in
                wrap(&format!("{}  {} {about}", o.output_id, o.title), self.width.saturating_sub(2), LONG)
                    .into_iter()
                    .enumerate()
            {
                self.lines.push(format!("  {}{line}", if i == 0 { "" } else { "   " }));
            }
            if let Some(summary) = &o.summary {
                self.text(summary, 5, None);
            }
            self.text(&format!("mozi output show {name} {}", o.output_id), 5, Some(Paint::Dim));
        }
    }

    fn comments(&mut self, comments: &[Comment]) {
        if comments.is_empty() {
            return;
        }
        self.section("Comments");
        for c in comments {
            let from = c.attempt_number.map_or_else(String::new, |n| format!(", attempt {n}"));
            let head = format!("  {}{from} · {}", c.author, local(&c.created_at.to_string()));
            self.line(self.out.paint(Paint::Dim, &head));
            self.text(&c.body, 4, None);
        }
    }
}
