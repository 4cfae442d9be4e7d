//! Agents that know no token: told an address that holds it, or known by their name alone. They do what their prompt
//! says, with curl and nothing else.

use serde_json::json;

use crate::support::{Board, Setup};

/// Runs the commands of its prompt in order, as they stand, and keeps what it was told and what it has.
const OBEDIENT: &str = r#"set -euo pipefail
cat > "$TEST_DIR/prompt.$1"
env | grep -E '^(MOZI_TOKEN|MOZI_URL|NO_PROXY|no_proxy)=' > "$TEST_DIR/env.$1"
awk '/^```bash/ { inside = 1; n++; next } /^```/ { inside = 0 } inside { print > ("step" n) }' "$TEST_DIR/prompt.$1"
for step in step1 step2 step3; do
  # The second is the output; the third says that it is finished.
  bash "$step" >> "$TEST_DIR/said.$1"
done
"#;

fn board(callback: &str, more: &str) -> Board {
    let table = format!("callback = \"{callback}\"\n{more}");
    let mut setup = Setup::agents(&[("coder", OBEDIENT, &table)]);
    setup.config = setup.config.replace("coder.sh\"]", "coder.sh\", \"{attempt}\"]");
    setup.config += "[server]\nanonymous = \"callbacks\"\n";
    setup.env.push(("http_proxy".to_owned(), "http://127.0.0.1:9".to_owned()));
    setup.env.push(("MOZI_LOG".to_owned(), "debug".to_owned()));
    setup.start()
}

#[test]
fn an_agent_without_a_token_does_its_task() {
    let board = board("anonymous", "aliases = [\"开发者\"]\n");
    let id = board.add(&json!({ "title": "By name alone", "agent": "coder" }));
    // Its report is there before curl has said so.
    let task = board.until_outcome(&id, 1, "completed");
    assert!(!board.file("prompt.1").contains("mozi_a_") && !board.file("prompt.1").contains("Authorization"));
    assert!(!board.file("env.1").contains("mozi_a_"), "{}", board.file("env.1"));
    assert_eq!(board.file("said.1").matches("HTTP 20").count(), 3, "{}", board.file("said.1"));
    assert_eq!(
        (&task["outputs"][0]["title"], &task["outputs"][0]["agent"]),
        (&json!("Result"), &json!("coder"))
    );
    let reported =
        task["events"].as_array().unwrap().iter().filter(|e| e["actor"]["kind"] == "anonymous").count();
    assert_eq!(reported, 3);
    assert_eq!(task["attempts"][0]["verdict"], "review");

    // What it delivers again at its next attempt, under the same key, is the next attempt's.
    board.ok(&["task", "reject", &id, "-m", "once more"]);
    let task = board.until_outcome(&id, 2, "completed");
    assert_eq!(task["outputs"].as_array().unwrap().len(), 2);
    // Nobody is at work: nobody is heard.
    let late = json!({ "status": "failed", "agent": "coder", "detail": "late" });
    let said = board.api_as("", "POST", &format!("/api/projects/default/tasks/{id}/status"), &late);
    assert_eq!((said.status, &said.body["code"]), (401, &json!("unauthenticated")));
    board.finish();
}

#[test]
fn an_agent_with_its_token_in_the_address_does_its_task() {
    let board = board("url", "");
    let id = board.add(&json!({ "title": "By its address", "agent": "coder" }));
    let task = board.until_outcome(&id, 1, "completed");
    assert!(board.file("prompt.1").contains("/t/mozi_a_"));
    assert!(!board.file("prompt.1").contains("Authorization"));
    let env = board.file("env.1");
    assert!(!env.contains("MOZI_TOKEN") && env.contains("/t/mozi_a_"), "{env}");
    for name in ["NO_PROXY", "no_proxy"] {
        assert!(env.contains(&format!("{name}=127.0.0.1,localhost,::1")), "{env}");
    }
    assert_eq!(board.file("said.1").matches("HTTP 20").count(), 3, "{}", board.file("said.1"));
    assert_eq!(task["outputs"][0]["attempt_number"], 1);
    assert!(task["events"].as_array().unwrap().iter().all(|e| e["actor"]["kind"] != "anonymous"));
    // Neither the log nor what people are shown tells it on.
    let log = board.log();
    assert!(log.contains("/status") && !log.contains("mozi_a_"), "{log}");
    let preview = board.ok(&["task", "prompt", &id]);
    assert!(!preview.contains("mozi_a_") || preview.contains("/t/mozi_a_****"), "{preview}");
    // A proxy in the environment is nothing to the command line.
    let out = board.mozi_command(&["task", "list"]).env("HTTP_PROXY", "http://127.0.0.1:9").output().unwrap();
    assert!(out.status.success(), "{out:?}");
    board.finish();
}
