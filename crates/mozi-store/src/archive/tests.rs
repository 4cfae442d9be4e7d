//! An archive holds every column that is not named here.

use rusqlite::Connection;

use super::TABLES;
use crate::sqlite::archive::beside;

/// What stays with the machine, belongs to a running agent, is counted anew, or names the project.
const LEFT: &[&str] = &[
    "projects.project_id",
    "projects.last_event",
    "projects.pending",
    "projects.claimed",
    "projects.working",
    "projects.review",
    "projects.done",
    "projects.failed",
    "projects.blocked",
    "projects.cancelled",
    "projects.first_event",
    "tasks.id",
    "tasks.project_id",
    "tasks.queue_role",
    "tasks.queue_agent",
    "tasks.queue_from",
    "task_texts.id",
    "dependencies.project_id",
    "task_attempts.id",
    "task_attempts.project_id",
    "task_attempts.boot_id",
    "task_attempts.pid_namespace",
    "task_attempts.token_hash",
    "task_attempts.lease_until",
    "attempt_usage.project_id",
    "outputs.id",
    "outputs.project_id",
    "comments.project_id",
    "events.seq",
    "events.project_id",
];

#[test]
fn no_column_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let db: Connection = beside(&folder.path().join("beside")).unwrap();
    let mut left = Vec::new();
    for table in TABLES {
        let mut from = 0;
        for (into, to) in table.into {
            let to = (*to).min(table.columns.len());
            let named = &table.columns[from..to];
            from = to;
            let mut columns = db.prepare("SELECT name FROM pragma_table_info(?1)").unwrap();
            let columns = columns.query_map([into], |row| row.get::<_, String>(0)).unwrap();
            let columns: Vec<String> = columns.map(Result::unwrap).collect();
            for (name, _) in named {
                assert!(columns.iter().any(|c| c == name), "{into} has no column {name}");
            }
            left.extend(
                columns
                    .into_iter()
                    .filter(|c| !named.iter().any(|(n, _)| n == c))
                    .map(|c| format!("{into}.{c}")),
            );
        }
    }
    assert_eq!(left, LEFT, "a new column is in the archive, or named here with the reason");
}
