//! Logs, folders and repositories: what is found, what goes and what stays.

use super::*;

struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }
    fn root(&self) -> &Path {
        self.dir.path()
    }
    /// A folder as Mozi makes it.
    fn made(&self, below: &str) -> PathBuf {
        let path = self.root().join(below);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(MARKER), "{}").unwrap();
        path
    }
}

fn id(n: u128) -> SessionId {
    SessionId(uuid::Uuid::from_u128(n))
}

fn session(root: &Path, n: u128, ended: bool) -> SessionDir {
    let (dir, lock) = SessionDir::create(root, &id(n).to_string()).unwrap();
    drop(lock);
    fs::write(dir.stdout_path(), vec![b'x'; 10_000]).unwrap();
    fs::write(dir.stderr_path(), "").unwrap();
    if ended {
        fs::write(dir.exit_path(), "{}").unwrap();
    }
    dir
}

#[test]
fn only_logs_of_what_has_ended_are_listed_and_removed() {
    let scene = Scene::new();
    let (over, live) = (session(scene.root(), 1, true), session(scene.root(), 2, false));
    fs::create_dir(scene.root().join("not a session")).unwrap();
    let logs = ended_logs(scene.root());
    let [log] = logs.as_slice() else { panic!("{logs:?}") };
    assert_eq!(log.key, id(1));
    assert!(log.bytes >= 10_000, "{}", log.bytes);
    for n in [1, 2] {
        remove_logs(scene.root(), id(n)).unwrap();
    }
    assert!(!over.stdout_path().exists() && !over.stderr_path().exists() && over.exit_path().exists());
    assert!(live.stdout_path().exists());
    assert_eq!(ended_logs(scene.root()), []);
    remove_logs(scene.root(), id(1)).unwrap();
    remove_logs(scene.root(), id(77)).unwrap();
}

#[tokio::test]
async fn a_log_that_is_gone_is_not_an_empty_one() {
    use mozi_api::{FilesError, LogStream, SessionFiles};
    let scene = Scene::new();
    session(scene.root(), 1, true);
    let files = crate::files::Files { sessions: scene.root().to_path_buf() };
    let read = async || files.log(&id(1).to_string(), LogStream::Stderr, 0, 100).await;
    assert_eq!(read().await.unwrap().end, 0);
    remove_logs(scene.root(), id(1)).unwrap();
    assert!(matches!(read().await, Err(FilesError::NotFound)));
}

#[test]
fn folders_are_found_by_their_mark_alone() {
    let scene = Scene::new();
    let (task, attempt) = (scene.made("app/7"), scene.made("app/8/2"));
    let of_session = scene.made(&format!("{WITHOUT_TASK}/{}", id(3)));
    fs::create_dir_all(scene.root().join("app/9")).unwrap();
    std::os::unix::fs::symlink(&task, scene.root().join("app/10")).unwrap();
    let mut found = made_folders(scene.root());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let of = |project: &str, task: &str| MadeFor::Task(project.parse().unwrap(), task.parse().unwrap());
    let expected = [(of_session, MadeFor::Session(id(3))), (task, of("app", "7")), (attempt, of("app", "8"))];
    assert_eq!(found.into_iter().map(|f| (f.path, f.of)).collect::<Vec<_>>(), expected);
}

#[test]
fn only_what_mozi_made_and_marked_is_removed() {
    let scene = Scene::new();
    let made = scene.made("app/8/2");
    fs::write(made.join("work.txt"), "x").unwrap();
    let foreign = scene.root().join("app/mine");
    fs::create_dir_all(&foreign).unwrap();
    for wrong in [foreign.as_path(), scene.root(), Path::new("/tmp")] {
        let said = remove_folder(scene.root(), wrong).unwrap_err().to_string();
        assert!(said.contains("not made by Mozi"), "{said}");
    }
    remove_folder(scene.root(), &made).unwrap();
    assert!(!scene.root().join("app/8").exists(), "the empty folder above it has gone too");
    assert!(foreign.exists());
}

#[track_caller]
fn run_git(folder: &Path, arguments: &[&str]) {
    #[expect(clippy::disallowed_methods, reason = "a repository is made by git")]
    let mut git = std::process::Command::new("git");
    git.args(["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main"]);
    let out = git.args(arguments).current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(out.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn git_work_that_is_nowhere_else_keeps_its_folder() {
    let scene = Scene::new();
    let folder = scene.made("app/1");
    let says = |what: Option<&str>| {
        let why = unsaved_work(&folder);
        assert_eq!(why.is_some(), what.is_some(), "{why:?}");
        assert!(why.unwrap_or_default().contains(what.unwrap_or_default()));
    };
    says(None);
    let origin = scene.root().join("origin");
    fs::create_dir(&origin).unwrap();
    run_git(&origin, &["init", "-q", "--bare"]);
    let clone = folder.join("src/clone");
    fs::create_dir(folder.join("src")).unwrap();
    run_git(&folder.join("src"), &["clone", "-q", origin.to_str().unwrap(), "clone"]);
    says(None);
    fs::write(clone.join("a.txt"), "a").unwrap();
    says(Some("not committed"));
    run_git(&clone, &["add", "."]);
    run_git(&clone, &["commit", "-qm", "a"]);
    says(Some("on no remote"));
    run_git(&clone, &["push", "-q", "origin", "HEAD"]);
    says(None);
    fs::write(clone.join("a.txt"), "b").unwrap();
    run_git(&clone, &["stash", "-q"]);
    says(Some("stash"));
    run_git(&clone, &["stash", "drop", "-q"]);
    says(None);
    fs::write(clone.join(".git/config"), "[core\nbroken").unwrap();
    says(Some("does not say"));
}

#[test]
fn a_repository_without_a_work_tree_is_looked_at_too() {
    let scene = Scene::new();
    let folder = scene.made("app/1");
    let bare = folder.join("bare.git");
    fs::create_dir(&bare).unwrap();
    run_git(&bare, &["init", "-q", "--bare"]);
    assert_eq!(unsaved_work(&folder), None);
    let work = scene.root().join("work");
    run_git(scene.root(), &["clone", "-q", bare.to_str().unwrap(), "work"]);
    fs::write(work.join("a"), "a").unwrap();
    run_git(&work, &["add", "."]);
    run_git(&work, &["commit", "-qm", "a"]);
    run_git(&work, &["push", "-q", "origin", "HEAD"]);
    assert!(unsaved_work(&folder).unwrap().contains("on no remote"));
}
