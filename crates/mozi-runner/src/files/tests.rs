//! Logs and outputs as files: what is opened, and what is not.

use std::os::unix::fs::symlink;

use mozi_supervise::{SPEC_VERSION, Spec, StdinSource};
use serde_json::json;

use super::*;

struct Place {
    _root: tempfile::TempDir,
    files: Files,
    dir: SessionDir,
    id: String,
    workspace: PathBuf,
    other: PathBuf,
    outside: PathBuf,
}

fn place() -> Place {
    let root = tempfile::tempdir().unwrap();
    let id = "7f0f7a52-4a43-4f0e-9b51-111111111111".to_owned();
    let sessions = root.path().join("sessions");
    fs::create_dir(&sessions).unwrap();
    let (dir, _lock) = SessionDir::create(&sessions, &id).unwrap();
    let [workspace, other, outside] = ["ws", "roots", "outside"].map(|name| {
        let path = root.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("file"), name).unwrap();
        path
    });
    let data = RuntimeData { output_roots: vec![other.clone()], ..RuntimeData::default() };
    dir.write_spec(&Spec {
        version: SPEC_VERSION,
        board_id: "b".into(),
        session_id: id.clone(),
        project_id: None,
        task_id: None,
        attempt_number: None,
        agent: "a".into(),
        role: None,
        runtime: "command".into(),
        program: "true".into(),
        args: Vec::new(),
        argv0: None,
        cwd: workspace.clone(),
        stdin: StdinSource::Null,
        timeout_ms: None,
        stall_timeout_ms: None,
        grace_ms: 1,
        log_limit_bytes: 1,
        log_overflow: mozi_supervise::LogOverflow::End,
        created_at: String::new(),
        runtime_data: json!(data),
    })
    .unwrap();
    Place { files: Files { sessions }, _root: root, dir, id, workspace, other, outside }
}

impl Place {
    async fn open(&self, path: &str) -> Result<String, FilesError> {
        let mut text = String::new();
        let mut file = self.files.open_output(&self.id, path, 1000).await?;
        io::Read::read_to_string(&mut file, &mut text).unwrap();
        Ok(text)
    }
}

#[tokio::test]
async fn what_lies_beneath_is_opened() {
    let p = place();
    assert_eq!(p.open("file").await.unwrap(), "ws");
    assert_eq!(p.open(p.workspace.join("file").to_str().unwrap()).await.unwrap(), "ws");
    assert_eq!(p.open(p.other.join("file").to_str().unwrap()).await.unwrap(), "roots");
    fs::create_dir(p.workspace.join("d")).unwrap();
    symlink("../file", p.workspace.join("d/inner")).unwrap();
    assert_eq!(
        p.open("d/inner").await.unwrap(),
        "ws",
        "a link that stays beneath is a file of the workspace"
    );
}

#[tokio::test]
async fn no_way_leads_out() {
    let p = place();
    symlink(&p.outside, p.workspace.join("link")).unwrap();
    symlink("../outside/file", p.workspace.join("up")).unwrap();
    symlink("/proc/self/root/etc/passwd", p.workspace.join("magic")).unwrap();
    rustix::fs::mknodat(CWD, p.workspace.join("fifo"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
    let absolute = p.outside.join("file");
    let through = p.workspace.join("../outside/file");
    for path in [
        "../outside/file",
        "link/file",
        "up",
        "magic",
        "fifo",
        "",
        ".",
        "d/../../outside/file",
        "/etc/passwd",
        absolute.to_str().unwrap(),
        through.to_str().unwrap(),
        "missing",
    ] {
        let refused = p.open(path).await.unwrap_err();
        assert!(matches!(refused, FilesError::Refused(_)), "{path}: {refused:?}");
    }
    fs::write(p.workspace.join("large"), [0; 1001]).unwrap();
    assert!(matches!(p.open("large").await.unwrap_err(), FilesError::TooLarge { size: 1001, max: 1000 }));
}

#[tokio::test]
async fn only_a_sessions_id_is_a_session() {
    let p = place();
    for id in ["../sessions", "x", "7f0f7a52-4a43-4f0e-9b51-222222222222"] {
        assert!(matches!(p.files.prompt(id).await, Err(FilesError::NotFound)), "{id}");
        assert!(p.files.log(id, LogStream::Stdout, 0, 10).await.is_err(), "{id}");
    }
}

#[tokio::test]
async fn logs_by_offset_with_and_without_their_beginning() {
    let p = place();
    let empty = p.files.log(&p.id, LogStream::Stdout, 0, 10).await.unwrap();
    assert_eq!((empty.end, empty.live), (0, true), "no log yet");
    fs::write(p.dir.stdout_path(), "0123456789").unwrap();
    let chunk = p.files.log(&p.id, LogStream::Stdout, 4, 3).await.unwrap();
    assert_eq!((chunk.bytes.as_slice(), chunk.offset, chunk.end, chunk.live), (&b"456"[..], 4, 10, true));
    let behind = p.files.log(&p.id, LogStream::Stdout, 10, 3).await.unwrap();
    assert!(behind.bytes.is_empty());
    // The beginning of the other log was dropped: a hole.
    let file = File::create(p.dir.stderr_path()).unwrap();
    let hole = 1 << 20;
    file.write_at(b"tail", hole).unwrap();
    let chunk = p.files.log(&p.id, LogStream::Stderr, 0, 1 << 21).await.unwrap();
    assert!(chunk.offset > 0 && chunk.offset <= hole, "{}", chunk.offset);
    assert!(chunk.bytes.ends_with(b"tail"));
    fs::write(p.dir.exit_path(), "{}").unwrap();
    assert!(!p.files.log(&p.id, LogStream::Stdout, 0, 1).await.unwrap().live);
}

#[tokio::test]
async fn waiting_ends_with_growth_with_the_session_or_with_time() {
    let p = place();
    fs::write(p.dir.stdout_path(), "x").unwrap();
    let long = Duration::from_mins(1);
    p.files.wait_log(&p.id, LogStream::Stdout, 0, long).await;
    p.files.wait_log(&p.id, LogStream::Stdout, 1, Duration::from_millis(1)).await;
    let waiting = p.files.wait_log(&p.id, LogStream::Stdout, 1, long);
    let growing = async { fs::write(p.dir.stdout_path(), "xy").unwrap() };
    tokio::join!(waiting, growing);
    fs::write(p.dir.exit_path(), "{}").unwrap();
    p.files.wait_log(&p.id, LogStream::Stdout, 2, long).await;
}
