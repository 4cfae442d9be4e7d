//! What the prompt of a task is made from.

use mozi_core::{Event, Status, TaskKey};

use super::{Answer, Snapshot};
use crate::{
    PromptMaterial, Upstream,
    sqlite::{
        load::{self, all, select},
        rows::{self, Sql},
    },
};

/// The largest content, in bytes, and the most outputs, that a reviewer's page may show in full.
const SHOWN_BYTES: u64 = 8 * 1024;
const SHOWN: usize = 20;

impl Snapshot<'_> {
    pub(crate) fn prompt_material(&self, key: &TaskKey) -> Answer<Option<PromptMaterial>> {
        let (Some(task), Some(project)) = (load::task(self.db, key)?, load::project(self.db, &key.project)?)
        else {
            return Ok(None);
        };
        let mut dependencies = Vec::new();
        for dependency in load::dependencies(self.db, key)? {
            let on = TaskKey::new(key.project.clone(), dependency.on.clone());
            if let Some(task) = load::task(self.db, &on)? {
                let outputs = self.outputs(&on)?;
                dependencies.push(Upstream { dependency, task, outputs });
            }
        }
        let parent = match &task.spec.parent {
            Some(parent) => load::task(self.db, &TaskKey::new(key.project.clone(), parent.clone()))?,
            None => None,
        };
        let (mut attempts, mut outputs, mut comments) =
            (self.attempts(key)?, self.outputs(key)?, self.comments(key)?);
        attempts.reverse();
        outputs.reverse();
        comments.reverse();
        if task.state.status == Status::Review {
            for output in outputs.iter_mut().take(SHOWN).filter(|o| o.size_bytes <= SHOWN_BYTES) {
                if let Some(whole) = self.output(key, output.id)? {
                    *output = whole;
                }
            }
        }
        let remarks = self.remarks(key)?;
        Ok(Some(PromptMaterial { task, project, dependencies, parent, attempts, outputs, comments, remarks }))
    }

    fn remarks(&self, key: &TaskKey) -> Sql<Vec<Event>> {
        all(
            self.db,
            select!(
                rows::EVENT,
                "events WHERE project_id = ?1 AND task_id = ?2 AND (event_type = 'review_given'
                 OR event_type = 'status_changed' AND detail ->> '$.detail' IS NOT NULL
                 OR event_type = 'notice' AND detail ->> '$.code' = 'outbox_refused') ORDER BY id DESC"
            ),
            [key.project.as_str(), key.task.as_str()],
            |row| rows::event(row).map(|(_, e)| e),
        )
    }
}
