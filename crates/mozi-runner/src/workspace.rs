//! Where agents work: `<data>/workspaces/<project>/<task>[/<n>]`, or a project's own folder.
//!
//! Mozi deletes only folders that it made and marked, and only while nothing of anybody is in them.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use mozi_api::prompt::WorkspaceState;
use mozi_core::{AttemptNumber, ProjectId, SessionId, TaskId};
use serde_json::json;

use crate::config::{ProjectConfig, WorkspaceMode};
use crate::error::FileError;

/// The file that says "Mozi made this folder".
pub(crate) const MARKER: &str = ".mozi-workspace";

/// The folder below `workspaces/` of sessions without a task. No project can have this name.
pub(crate) const WITHOUT_TASK: &str = "_sessions";

/// Where a session works, and how it found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Workspace {
    pub(crate) path: PathBuf,
    pub(crate) state: WorkspaceState,
}

/// The folder in which sessions of this project work in place, if they do: one at a time.
pub(crate) fn in_place(project: Option<&ProjectConfig>) -> Option<&Path> {
    project.filter(|p| p.workspace == WorkspaceMode::InPlace).and_then(|p| p.path.as_deref())
}

/// Finds or makes the folder for a session.
///
/// # Errors
/// If it cannot be made, or the project's folder is not there.
pub(crate) fn prepare(
    root: &Path,
    project: Option<&ProjectConfig>,
    at: Option<(&ProjectId, &TaskId, AttemptNumber)>,
    session: SessionId,
) -> Result<Workspace, FileError> {
    if let Some(path) = in_place(project) {
        let meta = fs::metadata(path).map_err(FileError::at("use", path))?;
        if !meta.is_dir() {
            return Err(FileError::at("use", path)(io::ErrorKind::NotADirectory.into()));
        }
        return Ok(Workspace { path: path.to_path_buf(), state: WorkspaceState::InPlace });
    }
    let path = match at {
        Some((project_id, task, number)) => {
            let mut path = root.join(project_id.as_str()).join(task.as_str());
            if project.is_some_and(|p| p.workspace == WorkspaceMode::PerAttempt) {
                path.push(number.to_string());
            }
            path
        }
        None => root.join(WITHOUT_TASK).join(session.to_string()),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(FileError::at("make", &path))?;
    let marker = path.join(MARKER);
    let used = fs::read_dir(&path)
        .map_err(FileError::at("read", &path))?
        .flatten()
        .any(|entry| entry.file_name() != MARKER && entry.file_name() != ".mozi");
    if !marker.exists() {
        let about = json!({
            "version": 1,
            "project_id": at.map(|(p, _, _)| p.as_str()),
            "task_id": at.map(|(_, t, _)| t.as_str()),
            "note": "made by Mozi; a folder without this file is never deleted by it",
        });
        fs::write(&marker, format!("{about}\n")).map_err(FileError::at("write", &marker))?;
    }
    Ok(Workspace { path, state: if used { WorkspaceState::Kept } else { WorkspaceState::New } })
}

/// Removes a marked folder below `root` in which nobody has left anything; any other stays.
pub(crate) fn remove_if_unused(root: &Path, path: &Path) {
    let ours = path.starts_with(root) && path != root && path.join(MARKER).is_file();
    let Ok(entries) = fs::read_dir(path) else { return };
    let unused = entries.flatten().all(|entry| entry.file_name() == MARKER);
    if ours && unused {
        // Whatever refuses here leaves an empty folder behind, no more.
        drop(fs::remove_file(path.join(MARKER)));
        drop(fs::remove_dir(path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> (ProjectId, TaskId) {
        ("app".parse().unwrap(), "7".parse().unwrap())
    }

    fn session() -> SessionId {
        SessionId(uuid::Uuid::from_u128(5))
    }

    #[test]
    fn a_task_keeps_its_folder_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (p, t) = key();
        let first = prepare(dir.path(), None, Some((&p, &t, 1)), session()).unwrap();
        assert_eq!((first.path.clone(), first.state), (dir.path().join("app/7"), WorkspaceState::New));
        assert_eq!(
            prepare(dir.path(), None, Some((&p, &t, 2)), session()).unwrap().state,
            WorkspaceState::New
        );
        fs::write(first.path.join("a"), "").unwrap();
        assert_eq!(
            prepare(dir.path(), None, Some((&p, &t, 3)), session()).unwrap().state,
            WorkspaceState::Kept
        );
    }

    #[test]
    fn per_attempt_in_place_and_without_a_task() {
        let dir = tempfile::tempdir().unwrap();
        let (p, t) = key();
        let per_attempt = ProjectConfig { path: None, workspace: WorkspaceMode::PerAttempt };
        let made = prepare(dir.path(), Some(&per_attempt), Some((&p, &t, 4)), session()).unwrap();
        assert_eq!(made.path, dir.path().join("app/7/4"));
        let place = ProjectConfig { path: Some(dir.path().join("src")), workspace: WorkspaceMode::InPlace };
        let missing =
            prepare(dir.path(), Some(&place), Some((&p, &t, 4)), session()).unwrap_err().to_string();
        assert!(missing.contains("src"), "{missing}");
        fs::create_dir(dir.path().join("src")).unwrap();
        let found = prepare(dir.path(), Some(&place), Some((&p, &t, 4)), session()).unwrap();
        assert_eq!(
            (found.path.as_path(), found.state),
            (dir.path().join("src").as_path(), WorkspaceState::InPlace)
        );
        assert!(!found.path.join(MARKER).exists(), "a person's folder is not marked");
        let without = prepare(dir.path(), None, None, session()).unwrap();
        assert!(without.path.starts_with(dir.path().join("_sessions")));
    }

    #[test]
    fn only_own_and_unused_folders_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let own = prepare(dir.path(), None, None, session()).unwrap().path;
        fs::write(own.join("work"), "").unwrap();
        remove_if_unused(dir.path(), &own);
        assert!(own.join("work").exists());
        fs::remove_file(own.join("work")).unwrap();
        remove_if_unused(dir.path(), &own);
        assert!(!own.exists());
        let foreign = dir.path().join("mine");
        fs::create_dir(&foreign).unwrap();
        remove_if_unused(dir.path(), &foreign);
        assert!(foreign.exists());
    }
}
