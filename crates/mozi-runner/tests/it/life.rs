//! From a claim to the end of an agent that runs undisturbed.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use mozi_api::runner::{BootstrapParts, MarkKind, PromptParts};
use mozi_api::wire::Text;
use mozi_core::Reason;
use mozi_core::command::Cause;
use mozi_runner::config::{Bootstrap, ProjectConfig, PromptVia, RuntimeConfig, Verdict, WorkspaceMode};
use mozi_supervise::{Probe, Spec};
use serde_json::json;

use crate::board::Job;
use crate::help::{Place, alive, task, wait_for_file};

fn prompt(text: &str) -> PromptParts {
    let mark = |kind: MarkKind| (Text(kind), format!("@@{}@@", Text(kind)));
    PromptParts {
        text: text.into(),
        marks: MarkKind::ALL.iter().copied().map(mark).collect(),
        states: [("new".to_owned(), "It is empty.".to_owned())].into(),
        bootstrap: None,
    }
}

#[tokio::test]
async fn a_task_from_claim_to_end() {
    let mut p = Place::new("a_task_from_claim_to_end");
    let out = p.file("out");
    let script = format!(
        "cat > {0}.prompt; env > {0}.env; pwd; echo oops >&2; ls /proc/self/fd > {0}.fd; exit 3",
        out.display()
    );
    p.agent("coder", &script).env.insert("EXTRA".into(), "it's".into());
    p.config.base_env.push(("OPENCLAW_SHELL".into(), "exec".into()));
    p.config.base_env.push(("MOZI_TOKEN".into(), "mozi_u_admin".into()));
    p.board.put(Job {
        prompt: Some(prompt("do it at @@url@@ in '@@workspace@@'. @@workspace_state@@")),
        ..task("coder")
    });
    let runner = p.run();
    let (id, end) = p.board.an_end().await;
    let workspace = p.config.workspaces_dir().join("p/1");
    assert_eq!((end.cause.0, end.exit_code, end.signal), (Cause::Itself, Some(3), None));
    let tail = end.tail.unwrap();
    assert_eq!(tail.stdout, format!("{}\n", workspace.display()));
    assert_eq!((tail.stderr.as_str(), tail.stderr_bytes), ("oops\n", 5));
    assert!(end.resources.is_some());
    let given = std::fs::read_to_string(out.with_extension("prompt")).unwrap();
    assert_eq!(given, format!("do it at http://127.0.0.1:1 in '{}'. It is empty.", workspace.display()));
    let env = std::fs::read_to_string(out.with_extension("env")).unwrap();
    let env: Vec<_> = env.lines().filter(|l| !l.starts_with("MOZI_TOKEN=mozi_a_")).collect();
    for line in [
        "EXTRA=it's",
        "MOZI_URL=http://127.0.0.1:1",
        "MOZI_PROJECT=p",
        "MOZI_TASK=1",
        "MOZI_ATTEMPT=1",
        &format!("MOZI_SESSION_ID={id}"),
        &format!("MOZI_OUTBOX={}", p.dir(id).outbox_path().display()),
    ] {
        assert!(env.contains(&line), "{line} is missing in {env:#?}");
    }
    assert!(!env.iter().any(|l| l.contains("mozi_u_") || l.starts_with("OPENCLAW_SHELL")), "{env:#?}");
    let path = env.iter().find(|l| l.starts_with("PATH=")).unwrap();
    assert!(path.starts_with(&format!("PATH={}", p.config.data_dir.join("bin").display())), "{path}");
    let log = p.board.with(|s| s.log.clone());
    assert_eq!(log, ["hello", "claim", "started", "end itself"]);
    assert!(workspace.join(".mozi-workspace").is_file());
    let spec: Spec = p.dir(id).read_spec().unwrap();
    let text = serde_json::to_string(&spec).unwrap();
    assert!(!text.contains("mozi_a_") && !text.contains("it's"), "neither token nor environment: {text}");
    assert_eq!(p.dir(id).prompt_path().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    runner.stop().await;
    assert_eq!(p.board.with(|s| s.log.pop().unwrap()), "goodbye");
}

#[tokio::test]
async fn many_tasks_one_after_the_other_in_few_slots() {
    let mut p = Place::new("many_tasks");
    p.agent("coder", "exit 0");
    p.config.max_sessions = 2;
    for n in 0..12 {
        p.board.put(Job { task: Some(n.to_string()), ..task("coder") });
    }
    let runner = p.run();
    p.board.wait("twelve ends", |s| (s.ends.len() == 12).then_some(())).await;
    p.board.with(|s| {
        assert!(s.ends.iter().all(|(_, e)| e.cause.0 == Cause::Itself && e.exit_code == Some(0)));
        assert_eq!(s.log.iter().filter(|l| *l == "started").count(), 12);
        assert!(s.polls.iter().all(|poll| poll.offers.len() <= 2));
    });
    runner.stop().await;
}

#[tokio::test]
async fn a_program_that_is_not_there_holds_its_agent_back_until_it_is() {
    let mut p = Place::new("held_back");
    let program = p.config.config_dir.join("agent.sh");
    let command = vec!["./agent.sh".to_owned(), "{task_id}".to_owned(), "{prompt_file}".to_owned()];
    p.agent_of(
        "coder",
        RuntimeConfig::Command { command, prompt_via: PromptVia::File, verdict: Verdict::Exit },
    );
    p.board.put(Job { message: Some("hi".into()), ..task("coder") });
    let runner = p.run();
    let why = p.board.wait("a hello", |s| s.hellos.last()?.agents[0].held_back.clone()).await;
    assert!(why.contains("agent.sh is not there"), "{why}");
    p.board.wait("a poll", |s| s.polls.last().map(|poll| assert!(poll.agents.is_empty()))).await;
    let out = p.file("out");
    std::fs::write(&program, format!("#!/bin/bash\necho $1 $(cat $2) > {}\n", out.display())).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let (_, end) = p.board.an_end().await;
    assert_eq!(end.exit_code, Some(0), "{end:?}");
    assert_eq!(wait_for_file(&out).await, "1 hi\n");
    runner.stop().await;
}

#[tokio::test]
async fn what_cannot_be_executed_ends_as_a_failed_start_with_its_reason() {
    let mut p = Place::new("failed_start");
    let program = p.config.config_dir.join("broken");
    std::fs::write(&program, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let command = vec!["./broken".to_owned()];
    p.agent_of(
        "coder",
        RuntimeConfig::Command { command, prompt_via: PromptVia::None, verdict: Verdict::Report },
    );
    p.board.put(task("coder"));
    let runner = p.run();
    let (_, end) = p.board.an_end().await;
    assert_eq!((end.cause.0, end.exit_code), (Cause::SpawnError, None));
    assert_eq!(end.reason.map(|r| r.0), Some(Reason::ProgramNotFound), "{:?}", end.error);
    assert!(end.error.unwrap().contains("broken"));
    runner.stop().await;
}

#[tokio::test]
async fn a_dry_run_prepares_all_and_starts_nothing() {
    let mut p = Place::new("dry_run");
    p.agent("coder", "echo must not run");
    p.config.dry_run = true;
    p.board.put(Job { prompt: Some(prompt("the prompt")), ..task("coder") });
    let runner = p.run();
    let (id, end) = p.board.an_end().await;
    assert_eq!((end.cause.0, end.exit_code), (Cause::DryRun, None));
    assert_eq!(std::fs::read_to_string(p.dir(id).prompt_path()).unwrap(), "the prompt");
    assert_eq!(p.dir(id).read_spec().unwrap().runtime, "dry-run");
    assert!(p.board.with(|s| s.started.is_empty()));
    runner.stop().await;
}

#[tokio::test]
async fn a_bootstrap_builds_the_first_part_or_is_told() {
    let mut p = Place::new("bootstrap");
    p.agent("coder", "cat");
    let script = "read x; [ -n \"$MOZI_BOOTSTRAP_FAIL\" ] && exit 1; echo \"first of $x\"";
    let good = Bootstrap {
        command: ["bash", "-c", script].map(str::to_owned).to_vec(),
        timeout: Duration::from_secs(30),
    };
    let bad = Bootstrap { command: ["bash", "-c", "exit 7"].map(str::to_owned).to_vec(), ..good.clone() };
    p.config.bootstraps.insert("good".into(), good);
    p.config.bootstraps.insert("bad".into(), bad);
    for (n, name) in ["good", "bad", "missing"].into_iter().enumerate() {
        let bootstrap = BootstrapParts {
            name: name.into(),
            input: json!({ "n": n }),
            operating_text: "then @@url@@".into(),
        };
        let parts = PromptParts { bootstrap: Some(bootstrap), ..prompt("built in") };
        p.board.put(Job { task: Some(n.to_string()), prompt: Some(parts), ..task("coder") });
    }
    let runner = p.run();
    p.board.wait("three ends", |s| (s.ends.len() == 3).then_some(())).await;
    p.board.wait("two notices", |s| (s.notices.len() == 2).then_some(())).await;
    p.board.with(|s| {
        let mut texts: Vec<_> = s.ends.iter().map(|(_, e)| e.tail.as_ref().unwrap().stdout.clone()).collect();
        texts.sort();
        assert_eq!(texts, ["built in", "built in", "first of {\"n\":0}\n\nthen http://127.0.0.1:1"]);
        assert!(s.notices.iter().all(|n| n.code == "bootstrap_failed" && n.task_id.is_some()));
    });
    runner.stop().await;
}

#[tokio::test]
async fn in_a_projects_own_folder_one_after_the_other() {
    let mut p = Place::new("in_place");
    let folder = p.file("src");
    std::fs::create_dir(&folder).unwrap();
    let project = ProjectConfig { path: Some(folder.clone()), workspace: WorkspaceMode::InPlace };
    p.config.projects.insert("p".parse().unwrap(), project);
    p.agent("coder", "mkdir busy && until [ -e go ]; do read -t 0.05 < <(:); done; rmdir busy; pwd");
    // Both come with one answer, as from a board that does not know of folders.
    p.board.put(task("coder"));
    p.board.put(Job { task: Some("2".into()), ..task("coder") });
    let runner = p.run();
    let (_, first) = p.board.running().await;
    p.board.wait("two claims", |s| (s.open.len() == 2).then_some(())).await;
    let poll = p
        .board
        .wait("a poll that says so", |s| s.polls.last().filter(|l| !l.busy_projects.is_empty()).cloned())
        .await;
    assert_eq!((poll.busy_projects.len(), poll.in_place_projects.len()), (1, 1));
    assert!(alive(first) && p.board.with(|s| s.started.len()) == 1);
    std::fs::write(folder.join("go"), "").unwrap();
    p.board.wait("two ends", |s| (s.ends.len() == 2).then_some(())).await;
    p.board.with(|s| {
        for (_, end) in &s.ends {
            assert_eq!(end.tail.as_ref().unwrap().stdout, format!("{}\n", folder.display()), "{end:?}");
        }
    });
    assert!(!folder.join(".mozi-workspace").exists());
    runner.stop().await;
}

#[tokio::test]
async fn a_session_by_name_gets_its_message_and_is_cleaned_up() {
    let mut p = Place::new("by_name");
    p.agent("coder", "cat");
    let id = "7f0f7a52-4a43-4f0e-9b51-111111111111".parse().unwrap();
    p.board.order(id, Job { agent: "coder".into(), message: Some("say hello".into()), ..Job::default() });
    let runner = p.run();
    let end = p.board.end_of(id).await;
    assert_eq!(end.tail.unwrap().stdout, "say hello");
    let workspace = p.config.workspaces_dir().join("_sessions").join(id.to_string());
    assert!(matches!(p.dir(id).probe().unwrap(), Probe::Ended(_)) && workspace.is_dir());
    p.board.clean(id);
    p.board
        .wait("it to be cleaned", |s| s.notes.iter().find(|(_, n)| n.note.to_string() == "cleaned").map(drop))
        .await;
    assert!(!p.dir(id).path().exists() && !workspace.exists());
    runner.stop().await;
}
