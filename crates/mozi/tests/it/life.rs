//! The main job: a task goes from the board through an agent's process to `done`.

use serde_json::{Value, json};

use crate::support::{Setup, WORKING, wait_for};

/// The contract's four calls, as agents of the old spawner make them: nothing but curl.
const BY_CURL: &str = r#"set -eu
base="$MOZI_URL/api/projects/$MOZI_PROJECT/tasks/$MOZI_TASK"
call() { curl -sS --noproxy '*' -o /dev/null -w '%{http_code}\n' -H "Authorization: Bearer $MOZI_TOKEN" -H 'Content-Type: application/json' "$@"; }
{
  call -X POST "$base/status" -d '{"status": "working", "agent": "curl", "detail": "on it"}'
  echo "made in a file" > made.txt
  call -X POST "$base/outputs" -d '{"agent": "curl", "type": "code", "title": "the code", "content": "fn main() {}", "summary": "a program"}'
  call -X POST "$base/outputs" -d '{"agent": "curl", "type": "document", "title": "the file", "content_path": "made.txt"}'
  call -X POST "$base/comments" -d '{"author": "curl", "body": "nearly there"}'
  call "$base?expand=all"
  call -X POST "$base/status" -d '{"status": "review", "agent": "curl"}'
} > "$TEST_DIR/codes.tmp"
mv "$TEST_DIR/codes.tmp" "$TEST_DIR/codes"
"#;

#[test]
fn the_contracts_calls_word_for_word() {
    let board = Setup::agents(&[("curl", BY_CURL, "")]).start();
    let id =
        board.add(&json!({ "title": "by the contract", "agent": "curl", "must_haves": ["it compiles"] }));
    let task = board.until(&id, "review");
    let codes = board.file("codes");
    assert_eq!(codes.split_whitespace().collect::<Vec<_>>(), ["200", "201", "201", "201", "200", "200"]);
    assert_eq!(task["task_type"], "general");
    assert_eq!(task["priority"], 5);
    let outputs = task["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 2, "{task:#}");
    assert_eq!(outputs[0]["agent"], "curl");
    assert_eq!(outputs[0]["type"], "code");
    assert_eq!(outputs[0]["summary"], "a program");
    let content =
        board.api("GET", &format!("/api/projects/default/tasks/{id}/outputs/2/content"), &Value::Null);
    assert_eq!(content.body, json!("made in a file\n"));
    assert_eq!(task["comments"][0]["author"], "curl");
    assert_eq!(task["comments"][0]["body"], "nearly there");
    board.until_outcome(&id, 1, "completed");
    assert_eq!(
        board.history(&id),
        [
            "task_created",
            "pending>claimed",
            "agent_started",
            "session_started",
            "claimed>working",
            "output_added",
            "output_added",
            "comment_added",
            "working>review",
            "agent_completed"
        ]
        .map(String::from)
    );
    board.status(&id, &json!({ "status": "done" }));
    assert_eq!(board.task(&id)["status"], "done");
    board.finish();
}

#[test]
fn a_whole_life_by_the_agents_own_command() {
    let script = format!(
        "{WORKING}echo 'a poem' > poem.txt\nmozi output add --title Poem --type document --summary short --file poem.txt\n\
         mozi output add --title Note --content 'by hand'\nmozi comment \"$MOZI_TASK\" 'all done'\nmozi report review --detail 'look at it'\n"
    );
    let board = Setup::agents(&[("poet", &script, "")]).start();
    let out = board.mozi(&["task", "add", "Write a poem", "-a", "poet", "--must", "it rhymes", "--wait"]);
    // A person has to look at it.
    assert_eq!(out.status.code(), Some(5), "{out:?}");
    let task = board.task("1");
    let titles: Vec<_> =
        task["outputs"].as_array().unwrap().iter().map(|o| o["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Poem", "Note"]);
    assert_eq!(board.ok(&["output", "show", "1", "1"]), "a poem\n");
    assert_eq!(
        (&task["comments"][0]["author"], &task["comments"][0]["body"]),
        (&json!("poet"), &json!("all done"))
    );
    board.until_outcome("1", 1, "completed");
    board.ok(&["task", "approve", "1"]);
    assert_eq!(board.task("1")["status"], "done");
    board.finish();
}

#[test]
fn an_exit_status_can_be_the_verdict() {
    let board = Setup::agents(&[
        ("good", "echo one; echo the last line", "verdict = \"exit\""),
        ("bad", "echo wrong >&2; exit 3", "verdict = \"exit\""),
    ])
    .settings(json!({ "review": "none", "backoff_initial": "10ms", "backoff_max": "10ms" }))
    .start();
    let good = board.add(&json!({ "title": "good", "agent": "good" }));
    let bad = board.add(&json!({ "title": "bad", "agent": "bad", "max_attempts": 2 }));
    let task = board.until(&good, "done");
    assert_eq!(task["outputs"].as_array().unwrap().len(), 1);
    let path = format!("/api/projects/default/tasks/{good}/outputs/1/content");
    let content = board.api("GET", &path, &Value::Null).body;
    assert!(content.as_str().unwrap().contains("the last line"), "{content}");
    let task = board.until(&bad, "failed");
    let attempts = task["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{task:#}");
    for a in attempts {
        assert_eq!((&a["outcome"], &a["exit_code"]), (&json!("crashed"), &json!(3)));
    }
    board.finish();
}

#[test]
fn the_same_verdict_twice_is_no_news_and_another_one_is_refused() {
    let script = r#"set -u
say() { curl -sS --noproxy '*' -o "$TEST_DIR/said.$1" -w '%{http_code}\n' -H "Authorization: Bearer $MOZI_TOKEN" -H 'Content-Type: application/json' -X POST "$MOZI_URL/api/projects/$MOZI_PROJECT/tasks/$MOZI_TASK/$3" -d "$2"; }
{ say a '{"status":"working"}' status; say b '{"status":"review"}' status
  say c '{"type":"other","title":"t","content":"x"}' outputs; say d '{"status":"review"}' status
  say e '{"status":"review"}' status; say f '{"status":"failed","detail":"no"}' status; say g '{"type":"other","title":"late","content":"x"}' outputs
} > "$TEST_DIR/tmp.$MOZI_TASK"; mv "$TEST_DIR/tmp.$MOZI_TASK" "$TEST_DIR/codes.$MOZI_TASK"
"#;
    let board = Setup::agents(&[("twice", script, "")]).start();
    let human = board.add(&json!({ "title": "reviewed", "agent": "twice" }));
    board.until_outcome(&human, 1, "completed");
    // Without an output `review` is refused; the same verdict again is answered; outputs are taken while it is there.
    let codes = board.file(&format!("codes.{human}"));
    assert_eq!(
        codes.split_whitespace().collect::<Vec<_>>(),
        ["200", "409", "201", "200", "200", "409", "201"]
    );
    assert!(board.file_json("said.b")["code"] == "output_required");
    let none = board.add(&json!({ "title": "unreviewed", "agent": "twice", "review": "none" }));
    board.until(&none, "done");
    board.until_outcome(&none, 1, "completed");
    let codes = board.file(&format!("codes.{none}"));
    assert_eq!(
        codes.split_whitespace().collect::<Vec<_>>(),
        ["200", "409", "201", "200", "200", "409", "409"]
    );
    assert_eq!(board.file_json("said.e")["status"], "done");
    assert_eq!(board.file_json("said.f")["code"], "verdict_given");
    assert_eq!(board.task(&none)["status"], "done");
    board.finish();
}

#[test]
fn what_waits_for_what_is_said_and_then_runs() {
    let script = format!("{WORKING}mozi output add --title r --content done\nmozi report review\n");
    let board = Setup::agents(&[("a", &script, "")]).settings(json!({ "review": "none" })).start();
    let first = board.add(&json!({ "title": "first", "agent": "a", "held": true }));
    let second = board.add(&json!({ "title": "second", "agent": "a", "depends_on": [first] }));
    let waits = board.task(&second)["waiting_for"].clone();
    assert_eq!(waits[0]["kind"], "dependency", "{waits:#}");
    let why = board.ok(&["why", &second]);
    assert!(why.contains(&first), "{why}");
    board.ok(&["task", "release", &first]);
    board.until(&second, "done");
    let unknown = board.post("/api/projects/default/tasks", &json!({ "title": "whose?", "agent": "nobody" }));
    assert!(unknown["warnings"].to_string().contains("nobody"), "{unknown:#}");
    assert_eq!(board.task(unknown["task_id"].as_str().unwrap())["waiting_for"][0]["kind"], "agent_unknown");
    board.finish();
}

#[test]
fn a_failed_attempt_is_repeated_with_what_went_wrong() {
    let script = r#"cat > "$TEST_DIR/prompt.$MOZI_ATTEMPT.tmp"; mv "$TEST_DIR/prompt.$MOZI_ATTEMPT.tmp" "$TEST_DIR/prompt.$MOZI_ATTEMPT"
set -eu
mozi report working
if [ "$MOZI_ATTEMPT" = 1 ]; then echo "the pump is broken" >&2; echo half > half.txt; exit 7; fi
mozi output add --title whole --content done
mozi report review
"#;
    let board = Setup::agents(&[("a", script, "")])
        .settings(json!({ "backoff_initial": "10ms", "backoff_max": "10ms" }))
        .start();
    let id = board.add(&json!({ "title": "twice", "agent": "a" }));
    board.until(&id, "review");
    let task = board.until_outcome(&id, 2, "completed");
    assert_eq!(task["attempts"][0]["outcome"], "crashed");
    assert_eq!(task["attempts"][0]["exit_code"], 7);
    let second = board.file("prompt.2");
    assert!(second.contains("crashed") && second.contains("the pump is broken"), "{second}");
    assert!(!board.file("prompt.1").contains("the pump is broken"));
    board.finish();
}

#[test]
fn an_agent_that_never_starts_is_held_back() {
    let mut setup = Setup::agents(&[]);
    setup.config += "[agents.ghost]\nruntime = \"command\"\ncommand = [\"/no/such/program\"]\n";
    let board = setup.start();
    let id = board.add(&json!({ "title": "for a ghost", "agent": "ghost" }));
    let task = board.until_that(&id, "held back", |t| t["waiting_for"][0]["kind"] == "agent_held_back");
    assert_eq!(task["attempts"], json!([]), "no attempt is burnt: {task:#}");
    board.finish();
}

#[test]
fn sessions_without_a_task() {
    let answers = ("a", "cat > \"$TEST_DIR/heard\"; echo answered", "");
    let board = Setup::agents(&[answers, ("b", "exit 3", "")]).start();
    let session =
        board.post("/api/sessions", &json!({ "agent": "a", "message": "hello\n", "prompt": "verbatim" }));
    let sid = session["session_id"].as_str().unwrap();
    assert_eq!(board.file("heard"), "hello");
    let ended = crate::support::wait_for("the session to end", || {
        let s = board.get(&format!("/api/sessions/{sid}"));
        (!s["completed_at"].is_null()).then_some(s)
    });
    assert_eq!(ended["status"], "completed");
    assert!(board.ok(&["session", "list", "--all"]).contains(&sid[..8]));
    let said = board.ok(&["session", "start", "a", "-m", "again\n", "--verbatim", "--wait"]);
    assert!(said.contains("started a: session") && said.contains("completed"), "{said}");
    let failed = board.mozi(&["session", "start", "b", "-m", "go", "--wait", "--json"]);
    assert_eq!(failed.status.code(), Some(5));
    let ended: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!(ended["status"], "crashed");
    board.ok(&["session", "clean", sid]);
    crate::support::wait_for("it to be forgotten", || {
        (board.api("GET", &format!("/api/sessions/{sid}"), &Value::Null).status == 404).then_some(())
    });
    board.finish();
}

#[test]
fn a_program_that_cannot_be_executed_is_never_said_to_run_and_pauses_its_agent() {
    let mut setup = Setup::agents(&[]);
    setup.config += "[agents.broken]\nruntime = \"command\"\ncommand = [\"{config_dir}/broken.sh\"]\n";
    setup.scripts.push(("broken.sh".into(), "#!/no/such/interpreter\n".into()));
    let board = setup.program("broken.sh").start();
    for _ in 0..3 {
        let session = board.post("/api/sessions", &json!({ "agent": "broken", "message": "x" }));
        let id = session["session_id"].as_str().unwrap().to_owned();
        let ended = wait_for("its end", || {
            let now = board.get(&format!("/api/sessions/{id}"));
            (!now["completed_at"].is_null()).then_some(now)
        });
        assert_eq!(ended["status"], "spawn_failed");
        assert_eq!(ended["pid"], Value::Null, "{ended:#}");
    }
    let agent = board.get("/api/agents/broken");
    assert!(!agent["paused"].is_null(), "three in a row pause it: {agent:#}");
    let events = board.get("/api/events?limit=500");
    let words: Vec<_> =
        events["items"].as_array().unwrap().iter().map(|e| e["event_type"].as_str().unwrap()).collect();
    assert!(!words.contains(&"session_started"), "{words:?}");
    assert_eq!(words.iter().filter(|w| **w == "session_ended").count(), 3);
    board.finish();
}
