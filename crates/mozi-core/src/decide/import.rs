//! Many tasks at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{About, Desk, create};
use crate::{
    change::{Change, Reply},
    command::{BadLine, IMPORT_TASKS, ImportLine, ImportTasks},
    event::EventKind,
    id::{TaskId, TaskKey},
    limits,
    project::{Project, Review},
    refusal::Refusal,
    state::KnownTask,
    task::{Status, Task, TaskState},
};

/// How many tasks of a circle are named.
const NAMED: usize = 10;

pub(super) fn tasks(d: &mut Desk<'_>, import: &ImportTasks) -> Result<Reply, Refusal> {
    d.person(Some(&import.project))?;
    let project = d.project(&import.project)?.clone();
    if project.archived {
        return Err(Refusal::ProjectArchived { project: project.id.to_string() });
    }
    if import.lines.len().saturating_add(import.bad.len()) > IMPORT_TASKS {
        return Err(Refusal::invalid("body", format!("holds more than {IMPORT_TASKS} tasks")));
    }
    let mut checked = Checked::new(import, std::mem::take(&mut d.state.known_tasks));
    checked.look();
    if !checked.bad.is_empty() {
        return Err(Refusal::bad_lines(checked.bad));
    }
    let existing = import.lines.len().saturating_sub(checked.new.len());
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let (created, existing) = (count(checked.new.len()), count(existing));
    let free = std::mem::take(&mut d.state.free_ids);
    warn(d, &project, &checked);
    if !import.check_only {
        write(d, &project, &checked, free)?;
    }
    let warnings = std::mem::take(&mut d.warnings);
    Ok(Reply::Imported { created, existing, warnings })
}

/// The lines, looked over.
struct Checked<'a> {
    import: &'a ImportTasks,
    known: BTreeMap<TaskId, KnownTask>,
    /// Where each id that is named stands among the lines.
    named: HashMap<&'a TaskId, usize>,
    /// The places of those that are not there yet, in order.
    new: Vec<usize>,
    bad: Vec<BadLine>,
}

impl<'a> Checked<'a> {
    fn new(import: &'a ImportTasks, known: BTreeMap<TaskId, KnownTask>) -> Self {
        Self { import, known, named: HashMap::new(), new: Vec::new(), bad: import.bad.clone() }
    }

    fn blame(&mut self, line: &ImportLine, field: &str, why: impl Into<String>) {
        let (field, why) = (field.to_owned(), why.into());
        self.bad.push(BadLine { line: line.line, task: line.task.id.clone(), field, why });
    }

    fn look(&mut self) {
        for (at, line) in self.import.lines.iter().enumerate() {
            if let Some(id) = &line.task.id {
                if let Some(first) = self.named.get(id).and_then(|first| self.import.lines.get(*first)) {
                    let why = format!("{id} stands in line {} already", first.line);
                    self.blame(line, "task_id", why);
                    continue;
                }
                self.named.insert(id, at);
            }
            self.line(at, line);
        }
        self.circles();
        self.bad.sort_by_key(|b| b.line);
    }

    fn line(&mut self, at: usize, line: &'a ImportLine) {
        let new = &line.task;
        if let Some(known) = new.id.as_ref().and_then(|id| self.known.get(id)) {
            if known.fingerprint != new.fingerprint {
                self.blame(line, "task_id", "is the id of a task that exists, with another content");
            }
            return;
        }
        self.new.push(at);
        if let Err(e) = limits::spec(&new.spec) {
            let (field, why) = if let Refusal::Invalid { field, why } = e {
                (field, why)
            } else {
                ("line".into(), e.to_string())
            };
            self.blame(line, &field, why);
            return;
        }
        if new.depends_on.len() > limits::DEPENDENCIES {
            self.blame(line, "depends_on", format!("has more than {} entries", limits::DEPENDENCIES));
            return;
        }
        let mut seen = BTreeSet::new();
        for (on, _) in &new.depends_on {
            if new.id.as_ref() == Some(on) {
                self.blame(line, "depends_on", "names the task itself");
                return;
            }
            if !seen.insert(on) {
                self.blame(line, "depends_on", format!("names task {on} twice"));
                return;
            }
        }
    }

    /// What the lines say of each other: looked at when all ids are known.
    fn circles(&mut self) {
        let mut wrong = Vec::new();
        // A line that could not be read may be the one that is meant.
        let unread: BTreeSet<&TaskId> = self.import.bad.iter().filter_map(|b| b.task.as_ref()).collect();
        let blind = self.import.bad.iter().any(|b| b.task.is_none());
        let there = |id: &TaskId| {
            blind || self.named.contains_key(id) || self.known.contains_key(id) || unread.contains(id)
        };
        for line in self.new.iter().filter_map(|at| self.import.lines.get(*at)) {
            let missing = |id: &TaskId| format!("names task {id}, which is neither on the board nor in here");
            if let Some(parent) = line.task.spec.parent.as_ref().filter(|p| !there(p)) {
                wrong.push((line, "parent", missing(parent)));
            }
            wrong.extend(
                line.task
                    .depends_on
                    .iter()
                    .filter(|(on, _)| !there(on))
                    .map(|(on, _)| (line, "depends_on", missing(on))),
            );
        }
        for (line, field, why) in wrong {
            self.blame(line, field, why);
        }
        for (at, why) in self.waits_in_circles() {
            if let Some(line) = self.import.lines.get(at) {
                self.blame(line, "depends_on", why);
            }
        }
    }

    /// The first line of each circle, and the circle in words. Who waits for nobody of those that are left goes, until
    /// nobody does; whoever is left waits for a circle or is in one.
    fn waits_in_circles(&self) -> Vec<(usize, String)> {
        let waits_for = |at: usize| {
            let deps = self.import.lines.get(at).map(|l| l.task.depends_on.as_slice()).unwrap_or_default();
            deps.iter().filter_map(|(on, _)| self.named.get(on).copied()).filter(move |on| *on != at)
        };
        let mut left: BTreeMap<usize, usize> = BTreeMap::new();
        let mut waiting: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut free = Vec::new();
        for at in &self.new {
            let mut count = 0_usize;
            // What is on the board already waits for nothing in here.
            for on in waits_for(*at).filter(|on| self.new.binary_search(on).is_ok()) {
                waiting.entry(on).or_default().push(*at);
                count = count.saturating_add(1);
            }
            if count == 0 {
                free.push(*at);
            } else {
                left.insert(*at, count);
            }
        }
        while let Some(at) = free.pop() {
            for other in waiting.remove(&at).unwrap_or_default() {
                if let Some(count) = left.get_mut(&other) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        left.remove(&other);
                        free.push(other);
                    }
                }
            }
        }
        let mut circles = Vec::new();
        let mut walked = BTreeSet::new();
        for start in left.keys() {
            let mut path = Vec::new();
            let mut at = *start;
            while walked.insert(at) {
                path.push(at);
                let Some(next) = waits_for(at).find(|on| left.contains_key(on)) else { break };
                at = next;
            }
            // Back at a place of this very walk: a circle. Else it ran into one that is told already.
            let Some(from) = path.iter().position(|p| *p == at) else { continue };
            let circle = path.get(from..).unwrap_or_default();
            let name = |at: &usize| {
                let id = self.import.lines.get(*at).and_then(|l| l.task.id.as_ref());
                id.map_or_else(String::new, ToString::to_string)
            };
            let mut names: Vec<String> = circle.iter().take(NAMED).map(name).collect();
            if circle.len() > NAMED {
                names.push(format!("{} more", circle.len().saturating_sub(NAMED)));
            }
            names.push(name(&at));
            circles.push((at, format!("makes a circle: {}", names.join(" waits for "))));
        }
        circles
    }
}

/// Who is not there, once each.
fn warn(d: &mut Desk<'_>, project: &Project, checked: &Checked<'_>) {
    let mut nobody = 0_usize;
    let mut missing: BTreeMap<_, usize> = BTreeMap::new();
    for line in checked.new.iter().filter_map(|at| checked.import.lines.get(*at)) {
        let spec = &line.task.spec;
        match spec.agent.as_ref().or(project.settings.default_agent.as_ref()) {
            None => nobody = nobody.saturating_add(1),
            Some(a) if !d.state.agents.get(a).is_some_and(|a| a.configured) => {
                let n = missing.entry(a.clone()).or_default();
                *n = n.saturating_add(1);
            }
            Some(_) => {}
        }
        if let Some(Review::Agent(a)) = &spec.review
            && !d.state.agents.get(a).is_some_and(|a| a.configured)
        {
            missing.entry(a.clone()).or_default();
        }
    }
    if nobody > 0 {
        d.warn(format!(
            "neither {nobody} of the tasks nor their project name an agent: nobody will start them"
        ));
    }
    for (agent, tasks) in missing {
        d.warn(if tasks == 0 {
            format!("no runner knows an agent {agent}, which is to review: a person decides until one does")
        } else {
            format!("no runner knows an agent {agent}: {tasks} of the tasks wait until one does")
        });
    }
}

fn write(
    d: &mut Desk<'_>,
    project: &Project,
    checked: &Checked<'_>,
    free: Vec<TaskId>,
) -> Result<(), Refusal> {
    let actor = d.actor();
    let mut free = free.into_iter().filter(|id| !checked.named.contains_key(id));
    let mut added = Vec::with_capacity(checked.new.len());
    for line in checked.new.iter().filter_map(|at| checked.import.lines.get(*at)) {
        let new = &line.task;
        let id = match &new.id {
            Some(id) => id.clone(),
            None => free.next().ok_or_else(|| Refusal::not_found("free task number"))?,
        };
        let key = TaskKey::new(project.id.clone(), id);
        // What is new itself has come nowhere yet.
        let is_met = |(on, until): &(TaskId, crate::task::Until)| {
            checked.known.get(on).is_some_and(|k| until.is_reached_by(k.status))
        };
        let unmet = new.depends_on.iter().filter(|dep| !is_met(dep)).count();
        let unmet = u32::try_from(unmet).unwrap_or(u32::MAX);
        let (status, kind) = create::beginning(new.held);
        let task = Task {
            key: key.clone(),
            spec: new.spec.clone(),
            state: TaskState::new(status, kind.clone(), new.not_before, unmet, 0),
            created_by: actor.clone(),
            created_at: d.now,
            updated_at: d.now,
            version: 1,
        };
        added.push((key, status, kind, new));
        d.write(Change::InsertTask { task: Box::new(task), fingerprint: new.fingerprint.clone() });
    }
    for (key, _, _, new) in &added {
        for (on, until) in &new.depends_on {
            d.write(Change::PutDependency { key: key.clone(), on: on.clone(), until: *until });
        }
    }
    for (key, status, kind, new) in added {
        count(d, project, &key, new.id.is_none(), status);
        let title = new.spec.title.clone();
        let not_before = new.not_before;
        d.emit(About::task(&key), actor.clone(), EventKind::TaskCreated { title, status, kind, not_before });
    }
    Ok(())
}

fn count(d: &mut Desk<'_>, project: &Project, key: &TaskKey, numbered: bool, status: Status) {
    if let Some(p) = d.change_project(&project.id) {
        p.counts.shift(None, Some(status));
        if let (true, Ok(n)) = (numbered, key.task.as_str().parse::<u64>()) {
            p.next_task = n.saturating_add(1);
        }
    }
}
