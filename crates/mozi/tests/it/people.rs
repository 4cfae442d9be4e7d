//! People and their tokens, with the command line as they use it.

use serde_json::{Value, json};

use crate::support::Setup;

#[test]
fn a_token_may_what_its_user_may_and_ends_with_them() {
    let board = Setup::agents(&[]).start();
    let said = board.ok(&["user", "add", "ann", "--role", "operator", "--expires", "90d"]);
    assert!(said.starts_with("added ann, operator; until "), "{said}");
    let again = board.mozi(&["user", "add", "ann", "--role", "viewer"]);
    assert_eq!(again.status.code(), Some(1), "who is there is not overwritten");
    board.ok(&["user", "add", "bo", "--role", "viewer", "-p", "default"]);

    let ask = ["token", "create", "--name", "ci", "--user", "ann", "--expires", "12h"];
    let ci = board.ok(&ask).trim().to_owned();
    let too_much =
        board.mozi(&["token", "create", "--name", "x", "--user", "bo", "--role", "admin", "--json"]);
    assert_eq!(too_much.status.code(), Some(1), "nobody gets more than their user may");
    let bos = board.ok(&["token", "create", "--name", "phone", "--user", "bo"]).trim().to_owned();
    let nobody = board.mozi(&["token", "create", "--name", "x", "--user", "nobody"]);
    assert_eq!(nobody.status.code(), Some(1), "a user that is not there");

    // Ann works, and does not rule; bo looks.
    let task = json!({ "title": "hers" });
    assert_eq!(board.api_as(&ci, "POST", "/api/projects/default/tasks", &task).status, 201);
    assert_eq!(board.api_as(&ci, "GET", "/api/users", &Value::Null).status, 403);
    assert_eq!(board.api_as(&bos, "GET", "/api/projects/default/tasks", &Value::Null).status, 200);
    assert_eq!(board.api_as(&bos, "POST", "/api/projects/default/tasks", &task).status, 403);

    let list: Value = serde_json::from_str(&board.ok(&["token", "list", "--json"])).unwrap();
    let of = |name: &str| list.as_array().unwrap().iter().find(|t| t["name"] == name).unwrap().clone();
    let (hers, his) = (of("ci"), of("phone"));
    assert_eq!(
        (&hers["user"], &hers["role"], &hers["state"]),
        (&json!("ann"), &json!("operator"), &json!("valid"))
    );
    assert!(hers["expires_at"].is_string() && hers["last_used_at"].is_string(), "{hers}");
    assert_eq!((&his["role"], &his["project_id"]), (&json!("viewer"), &json!("default")));
    let table = board.ok(&["token", "list"]);
    for word in ["USER", "ROLE", "PROJECT", "EXPIRES", "LAST USED", "STATE", "ann", "operator", "valid"] {
        assert!(table.contains(word), "{word}:\n{table}");
    }

    let said = board.ok(&["user", "disable", "ann"]);
    assert_eq!(said.trim(), "ann is disabled");
    assert_eq!(board.api_as(&ci, "GET", "/api/projects", &Value::Null).status, 401);
    assert!(board.ok(&["token", "list"]).contains("user disabled"));
    assert!(board.ok(&["user", "list"]).contains("disabled "));
    board.ok(&["user", "enable", "ann"]);
    assert_eq!(board.api_as(&ci, "GET", "/api/projects", &Value::Null).status, 200);
    board.finish();
}

#[test]
fn wrong_words_change_nothing() {
    let board = Setup::agents(&[]).start();
    // All but the last use, which asking itself is.
    let users = || {
        let mut page = board.get("/api/users");
        page["items"].as_array_mut().unwrap().iter_mut().for_each(|u| u["last_used_at"] = Value::Null);
        page
    };
    let before = users();
    for (wrong, code, says) in [
        (["user", "add", "ann", "--expires", "soon"], 2, "--expires takes 90d"),
        (["user", "add", "ann", "--expires", "2020-01-01"], 1, "past"),
        (["user", "add", "ann", "--role", "king"], 2, "possible values: admin"),
        (["user", "add", "ann", "-p", "nowhere"], 1, "nowhere"),
        (["user", "add", "two words", "--role", "viewer"], 1, "name"),
    ] {
        let out = board.mozi(&wrong);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{wrong:?}: {said}");
        assert!(said.contains(says), "{wrong:?}: {said}");
    }
    assert_eq!(users(), before);
    board.finish();
}
