//! Reviews: by people and by reviewer agents.

use serde_json::json;

use crate::support::{Board, Setup, kill, supervisor_of, wait_for};

/// An executor that keeps each prompt and delivers.
const EXECUTOR: &str = r#"cat > "$TEST_DIR/prompt.$MOZI_ATTEMPT.tmp"; mv "$TEST_DIR/prompt.$MOZI_ATTEMPT.tmp" "$TEST_DIR/prompt.$MOZI_ATTEMPT"
set -eu
mozi report working
mozi output add --title "result $MOZI_ATTEMPT" --content "attempt $MOZI_ATTEMPT"
mozi report review
"#;

fn quick() -> serde_json::Value {
    json!({ "backoff_initial": "10ms", "backoff_max": "10ms" })
}

fn boards(reviewer: &str) -> Board {
    let mut settings = quick();
    settings["review"] = json!("rev");
    Setup::agents(&[("exe", EXECUTOR, ""), ("rev", reviewer, "")]).settings(settings).start()
}

#[test]
fn a_person_sends_it_back_and_the_next_prompt_says_why() {
    let board = Setup::agents(&[("exe", EXECUTOR, "")]).settings(quick()).start();
    let id = board.add(&json!({ "title": "a result", "agent": "exe" }));
    board.until(&id, "review");
    let no_remark = board.api(
        "POST",
        &format!("/api/projects/default/tasks/{id}/status"),
        &json!({ "status": "pending" }),
    );
    assert_eq!((no_remark.status, &no_remark.body["code"]), (422, &json!("invalid_body")));
    board.ok(&["task", "reject", &id, "-m", "the title is missing \"quotes\""]);
    board.until_that(&id, "in review again", |t| t["status"] == "review" && t["attempt_number"] == 2);
    assert!(board.file("prompt.2").contains("the title is missing \"quotes\""));
    let stale = board.api(
        "POST",
        &format!("/api/projects/default/tasks/{id}/status"),
        &json!({ "status": "done", "attempt_number": 1 }),
    );
    assert_eq!((stale.status, &stale.body["code"]), (409, &json!("transition_refused")));
    board.ok(&["task", "approve", &id]);
    assert_eq!(board.task(&id)["status"], "done");
    board.finish();
}

#[test]
fn a_reviewer_rejects_once_and_then_approves() {
    let board = boards(
        r#"cat > "$TEST_DIR/review.$MOZI_ATTEMPT.tmp"; mv "$TEST_DIR/review.$MOZI_ATTEMPT.tmp" "$TEST_DIR/review.$MOZI_ATTEMPT"
set -eu
mozi report working
if [ "$MOZI_ATTEMPT" = 2 ]; then mozi report reject --detail "too short"; else mozi report approve --detail "good"; fi
"#,
    );
    let id = board.add(&json!({ "title": "a result", "agent": "exe" }));
    let task = board.until(&id, "done");
    let roles: Vec<_> =
        task["attempts"].as_array().unwrap().iter().map(|a| a["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["executor", "reviewer", "executor", "reviewer"]);
    assert!(board.file("review.2").contains("result 1"), "the reviewer's prompt holds the outputs");
    assert!(board.file("prompt.3").contains("too short"));
    board.finish();
}

#[test]
fn a_reviewer_that_says_nothing_is_given_up_and_a_person_decides() {
    let board = boards("cat > /dev/null; exit 0");
    let id = board.add(&json!({ "title": "a result", "agent": "exe" }));
    let task = board.until_that(&id, "given up", |t| {
        t["events"].as_array().unwrap().iter().any(|e| e["detail"]["code"] == "reviewer_given_up")
    });
    assert_eq!(task["status"], "review");
    let outcomes: Vec<_> =
        task["attempts"].as_array().unwrap().iter().map(|a| a["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["completed", "no_verdict", "no_verdict"]);
    assert_eq!(task["waiting_for"][0]["kind"], "review");
    board.ok(&["task", "approve", &id]);
    board.finish();
}

#[test]
fn a_killed_reviewer_is_repeated() {
    let board = boards(
        "cat > /dev/null; set -eu; mozi report working\n\
         if [ \"$MOZI_ATTEMPT\" = 2 ]; then kill -9 $$; fi\nmozi report approve\n",
    );
    let id = board.add(&json!({ "title": "a result", "agent": "exe" }));
    let task = board.until(&id, "done");
    assert_eq!(task["attempts"][1]["outcome"], "crashed");
    assert_eq!(task["attempts"][1]["signal"], 9);
    board.finish();
}

#[test]
fn nobody_reviews_what_is_their_own() {
    let board = boards("cat > /dev/null; mozi report approve");
    let id = board.add(&json!({ "title": "a result", "agent": "exe", "review": "exe" }));
    let task = board.until(&id, "review");
    assert!(task["events"].to_string().contains("reviewer_given_up"), "{task:#}");
    board.until_outcome(&id, 1, "completed");
    assert_eq!(board.task(&id)["attempts"].as_array().unwrap().len(), 1);
    board.finish();
}

#[test]
fn reviewers_may_send_back_only_so_often() {
    let board = boards("cat > /dev/null; mozi report reject --detail again");
    board.api("PATCH", "/api/projects/default", &json!({ "settings": { "max_review_rounds": 2 } }));
    let id = board.add(&json!({ "title": "a result", "agent": "exe" }));
    let task = board.until(&id, "blocked");
    let reviews = task["attempts"].as_array().unwrap().iter().filter(|a| a["role"] == "reviewer").count();
    assert_eq!(reviews, 2, "{task:#}");
    board.finish();
}

#[test]
fn a_person_is_faster_than_the_reviewer() {
    let board = boards("cat > /dev/null; mozi report working; echo up > \"$TEST_DIR/up\"; sleep 1000");
    let id = board.add(&json!({ "title": "a result", "agent": "exe" }));
    board.file("up");
    board.ok(&["task", "approve", &id]);
    let task = board.until_outcome(&id, 2, "cancelled");
    assert_eq!(task["status"], "done");
    board.finish();
}

#[test]
fn no_claim_before_a_lingering_attempt_is_closed() {
    let script = format!("{EXECUTOR}[ \"$MOZI_ATTEMPT\" = 1 ] && sleep 1000\n");
    let board = Setup::agents(&[("exe", &script, "grace = \"1500ms\"")]).settings(quick()).start();
    let id = board.add(&json!({ "title": "a result", "agent": "exe" }));
    board.until(&id, "review");
    board.status(&id, &json!({ "status": "pending", "detail": "better" }));
    let task = board.task(&id);
    assert_eq!(task["status"], "pending");
    assert_eq!(task["waiting_for"][0]["kind"], "attempt_ending", "{task:#}");
    let task = board.until_that(&id, "in its second attempt", |t| t["attempt_number"] == 2);
    assert_eq!(task["attempts"][0]["outcome"], "completed");
    assert_eq!(task["attempts"][0]["reason"], "lingered");
    assert!(task["attempts"][0]["completed_at"].as_str() <= task["attempts"][1]["started_at"].as_str());
    board.until(&id, "review");
    board.finish();
}

#[test]
fn a_cancelled_task_ends_its_agent_and_nothing_of_it_writes_any_more() {
    let script = "cat > /dev/null; set -eu; mozi report working; echo \"$MOZI_TOKEN\" > \"$TEST_DIR/token\"\n\
                  setsid nohup sleep 1000 > /dev/null 2>&1 &\nsleep 1000\n";
    let board = Setup::agents(&[("exe", script, "")]).start();
    let id = board.add(&json!({ "title": "a result", "agent": "exe" }));
    let token = board.file("token");
    let session = board.task(&id)["attempts"][0]["session_id"].as_str().unwrap().to_owned();
    let supervisor = wait_for("its supervisor", || supervisor_of(&session));
    // The agent is held so that the attempt is still open when its token is tried.
    kill(supervisor, 19);
    board.ok(&["task", "cancel", &id]);
    for (call, body) in [
        ("status", json!({ "status": "review" })),
        ("outputs", json!({ "type": "other", "title": "t", "content": "x" })),
        ("comments", json!({ "body": "x" })),
    ] {
        let path = format!("/api/projects/default/tasks/{id}/{call}");
        let refused = board.api_as(&token, "POST", &path, &body);
        assert_eq!((refused.status, &refused.body["code"]), (409, &json!("attempt_closed")), "{call}");
    }
    kill(supervisor, 18);
    let task = board.until_outcome(&id, 1, "cancelled");
    assert_eq!(task["status"], "cancelled");
    assert_eq!(task["outputs"], json!([]));
    board.finish();
}
