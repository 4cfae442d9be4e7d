//! Bodies that are refused, and in which words.

use mozi_api::{
    BadBody, Problem,
    body::{parse, parse_lenient, parse_or_default},
    project::{CreateProject, PatchProject},
    report::{NewComment, NewOutput, StatusReport},
    session::{StartSession, StopSession},
    task::{CreateTask, PatchTask, PutDependency},
};
use serde::de::DeserializeOwned;

#[track_caller]
fn refused<T: DeserializeOwned + std::fmt::Debug>(body: &str, field: &str, why: &str) {
    match parse::<T>(body.as_bytes()) {
        Err(BadBody::Wrong(invalid)) => {
            assert_eq!((invalid.field.as_str(), invalid.why.as_str()), (field, why), "{body}");
        }
        other => panic!("{body}: {other:?}"),
    }
}

#[track_caller]
fn not_json<T: DeserializeOwned + std::fmt::Debug>(body: &[u8], part: &str) {
    match parse::<T>(body) {
        Err(BadBody::NotJson(why)) => assert!(why.contains(part), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_json_is_400() {
    not_json::<CreateTask>(b"", "EOF");
    not_json::<CreateTask>(b"title=x", "expected");
    not_json::<CreateTask>(b"[1", "EOF");
    not_json::<CreateTask>(b"{\"title\": \"x\"", "EOF");
    not_json::<CreateTask>(b"{\"title\": \"x\"} {}", "trailing characters");
    not_json::<CreateTask>(b"{\"title\": \"x\xff\"}", "invalid UTF-8 at byte 12");
    not_json::<CreateTask>(b"{\"title\": \"x\x00\"}", "control character");
    not_json::<CreateTask>(br#"{"title": "\ud800"}"#, "hex escape");
    not_json::<CreateTask>(br#"{"title": NaN}"#, "expected");
    let deep = format!("{{\"title\": \"x\", \"metadata\": {}1{}}}", "{\"a\":".repeat(200), "}".repeat(200));
    not_json::<CreateTask>(deep.as_bytes(), "recursion limit exceeded");
    // Ignored fields are read as strictly as all others.
    let (mut lenient, sound) = (br#"{"body": "x", "more": ""#.to_vec(), br#"{"body": "x", "more": "ok"}"#);
    lenient.extend([0xff, b'"', b'}']);
    assert!(matches!(parse_lenient::<NewComment>(&lenient), Err(BadBody::NotJson(_))));
    assert!(parse_lenient::<NewComment>(sound).is_ok());
    // What is ignored is not kept, however deep it goes.
    let deep = format!("{{\"body\": \"x\", \"more\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse_lenient::<NewComment>(deep.as_bytes()).is_ok_and(|(_, warnings)| warnings.len() == 1));
}

#[test]
fn what_is_json_but_wrong_names_the_field() {
    refused::<CreateTask>("[\"x\"]", "body", "must be an object, not a list");
    refused::<StopSession>(" [] ", "body", "must be an object, not a list");
    refused::<CreateTask>("null", "body", "must be an object, not null");
    refused::<PatchProject>(r#"{"settings": []}"#, "settings", "must be an object, not a list");
    refused::<PatchProject>(r#"{"settings": null}"#, "settings", "must be an object, not null");
    refused::<CreateTask>("3", "body", "must be an object, not 3");
    refused::<CreateTask>("{}", "title", "is missing");
    refused::<CreateTask>(r#"{"title": 5}"#, "title", "must be a text, not 5");
    refused::<CreateTask>(r#"{"title": null}"#, "title", "must be a text, not null");
    refused::<CreateTask>(r#"{"title": ["x"]}"#, "title", "must be a text, not a list");
    refused::<CreateTask>(r#"{"title": "x", "held": "yes"}"#, "held", "must be true or false, not \"yes\"");
    refused::<CreateTask>(r#"{"title": "x", "title": "y"}"#, "title", "is given twice");
    refused::<CreateTask>(
        r#"{"title": "x", "metadata": {"a": {"b": 1, "b": 2}}}"#,
        "metadata.a",
        "has the name \"b\" twice",
    );
    refused::<CreateTask>(
        r#"{"title": "x", "labels": {"a": "1", "a": "2"}}"#,
        "labels",
        "has the name \"a\" twice",
    );
    refused::<CreateTask>(r#"{"title": "x", "metadata": []}"#, "metadata", "must be an object, not a list");
}

#[test]
fn unknown_fields_are_refused_by_name_with_the_nearest_known_one() {
    refused::<CreateTask>(
        r#"{"title": "x", "depend_on": []}"#,
        "depend_on",
        "is not known; did you mean `depends_on`?",
    );
    refused::<CreateTask>(r#"{"titel": "x"}"#, "titel", "is not known; did you mean `title`?");
    refused::<StopSession>(r#"{"xyzzy": 1}"#, "xyzzy", "is not known; known are detail");
    refused::<CreateProject>(
        r#"{"project_id": "p", "settings": {"max_attempt": 3}}"#,
        "settings.max_attempt",
        "is not known; did you mean `max_attempts`?",
    );
    refused::<CreateTask>(
        r#"{"title": "x", "depends_on": ["1", {"task_id": "2", "untill": "done"}]}"#,
        "depends_on[1].untill",
        "is not known; did you mean `until`?",
    );
    refused::<PatchTask>(
        r#"{"status": "done"}"#,
        "status",
        "is not known; known are title, description, task_type, priority, must_haves, agent, not_before, timeout_seconds, max_attempts, review, labels, metadata",
    );
}

#[test]
fn numbers_out_of_range_name_the_range() {
    let whole = "must be a whole number from 0 to 4294967295, not ";
    refused::<CreateTask>(r#"{"title": "x", "max_attempts": -1}"#, "max_attempts", &format!("{whole}-1"));
    refused::<CreateTask>(
        r#"{"title": "x", "max_attempts": 4294967296}"#,
        "max_attempts",
        &format!("{whole}4294967296"),
    );
    refused::<CreateTask>(
        r#"{"title": "x", "timeout_seconds": 1.5}"#,
        "timeout_seconds",
        &format!("{whole}1.5"),
    );
    refused::<CreateTask>(
        r#"{"title": "x", "timeout_seconds": "60"}"#,
        "timeout_seconds",
        &format!("{whole}\"60\""),
    );
    refused::<CreateTask>(
        r#"{"title": "x", "priority": 9223372036854775808}"#,
        "priority",
        "must be a whole number from -9223372036854775808 to 9223372036854775807, not 9223372036854775808",
    );
    refused::<CreateTask>(r#"{"title": "x", "priority": 1e999}"#, "priority", "is a number out of range");
    refused::<StatusReport>(
        r#"{"status": "done", "attempt_number": -3}"#,
        "attempt_number",
        &format!("{whole}-3"),
    );
}

#[test]
fn closed_lists_are_named() {
    refused::<StatusReport>(
        r#"{"status": "finished"}"#,
        "status",
        "is one of pending, claimed, working, review, done, failed, blocked, cancelled, not \"finished\"",
    );
    refused::<NewOutput>(
        r#"{"type": "poem", "title": "x", "content": "x"}"#,
        "type",
        "is one of code, document, data, config, other, not \"poem\"",
    );
    refused::<NewOutput>(
        r#"{"type": 1, "title": "x"}"#,
        "type",
        "must be one of code, document, data, config, other, not 1",
    );
    refused::<PutDependency>(r#"{"until": "soon"}"#, "until", "is one of done, review, ended, not \"soon\"");
    refused::<StartSession>(
        r#"{"agent": "a", "prompt": "raw"}"#,
        "prompt",
        "is one of wrapped, verbatim, not \"raw\"",
    );
    refused::<PatchProject>(
        r#"{"settings": {"dispatch": "now"}}"#,
        "settings.dispatch",
        "is one of auto, manual, not \"now\"",
    );
    refused::<PatchProject>(
        r#"{"settings": {"review": "who ever"}}"#,
        "settings.review",
        "is human, none or an agent's id, not \"who ever\"",
    );
}

#[test]
fn ids_keep_to_their_grammar() {
    let why = "is not an id: an id begins with a letter or digit and goes on with up to 126 letters, digits, '.', '_' or '-'";
    for bad in ["", "-x", "a b", "a/b", "../x", "ä", "$(x)"] {
        let body = serde_json::json!({ "project_id": bad }).to_string();
        refused::<CreateProject>(&body, "project_id", &format!("{bad:?} {why}"));
    }
    refused::<CreateTask>(
        r#"{"title": "x", "depends_on": ["a b"]}"#,
        "depends_on[0]",
        &format!("\"a b\" {why}"),
    );
    refused::<CreateTask>(
        r#"{"title": "x", "depends_on": [{"task_id": "a b"}]}"#,
        "depends_on[0].task_id",
        &format!("\"a b\" {why}"),
    );
    refused::<CreateTask>(
        r#"{"title": "x", "depends_on": [7]}"#,
        "depends_on[0]",
        "must be a task's id or an object {task_id, until}, not 7",
    );
    assert!(
        parse::<CreateProject>(format!(r#"{{"project_id": "a{}"}}"#, "b".repeat(126)).as_bytes()).is_ok()
    );
    assert!(
        parse::<CreateProject>(format!(r#"{{"project_id": "a{}"}}"#, "b".repeat(127)).as_bytes()).is_err()
    );
}

#[test]
fn no_text_holds_a_nul() {
    let nul = "must not contain NUL characters";
    refused::<CreateTask>(r#"{"title": "x\u0000y"}"#, "title", nul);
    refused::<CreateTask>(r#"{"title": "x", "must_haves": ["a", "\u0000"]}"#, "must_haves[1]", nul);
    refused::<CreateTask>(r#"{"title": "x", "metadata": {"a": [{"b": "\u0000"}]}}"#, "metadata.a[0].b", nul);
    refused::<CreateTask>(r#"{"title": "x", "metadata": {"a\u0000": 1}}"#, "metadata.a", nul);
    let lenient = parse_lenient::<NewComment>(br#"{"body": "x", "else": "\u0000"}"#);
    assert!(matches!(lenient, Err(BadBody::Wrong(i)) if i.field == "else"));
    // An escaped backslash before the letters is no NUL.
    let task = parse::<CreateTask>(br#"{"title": "x\\u0000"}"#).expect("no NUL in it");
    assert_eq!(task.title, "x\\u0000");
}

#[test]
fn the_contracts_bodies_ignore_what_they_do_not_know_with_a_warning() {
    let body =
        br#"{"status": "review", "agent": "a", "progress": 0.5, "extra": {"status": "x"}, "detail": null}"#;
    let (report, warnings) = parse_lenient::<StatusReport>(body).expect("a lenient body");
    assert_eq!(report.status.as_str(), "review");
    assert_eq!(report.detail, None);
    assert_eq!(
        warnings,
        [
            "the field \"progress\" is not known and was ignored",
            "the field \"extra\" is not known and was ignored"
        ]
    );
    // What is known is checked as everywhere.
    let bad = parse_lenient::<StatusReport>(br#"{"status": "review", "detail": 5, "x": 1}"#);
    assert!(
        matches!(bad, Err(BadBody::Wrong(i)) if i.to_string() == "`detail` must be a text, not 5"),
        "a number"
    );
    let twice = parse_lenient::<StatusReport>(br#"{"status": "review", "status": "done"}"#);
    assert!(matches!(twice, Err(BadBody::Wrong(i)) if i.to_string() == "`status` is given twice"));
    let missing = parse_lenient::<NewComment>(br#"{"text": "x"}"#);
    assert!(matches!(missing, Err(BadBody::Wrong(i)) if i.to_string() == "`body` is missing"));
    let many: String = (0..500).map(|i| ["\"f", &i.to_string(), "\": 1, "].concat()).collect();
    let (_, warnings) =
        parse_lenient::<NewComment>(format!("{{{many}\"body\": \"x\"}}").as_bytes()).expect("lenient");
    assert_eq!(warnings.len(), 20);
}

#[test]
fn must_haves_are_a_list_or_one_text() {
    let read = |body: &str| {
        let task = parse::<CreateTask>(body.as_bytes()).expect("a good body");
        task.must_haves.map(|m| m.0)
    };
    assert_eq!(read(r#"{"title": "x", "must_haves": "one"}"#), Some(vec!["one".to_owned()]));
    assert_eq!(read(r#"{"title": "x", "must_haves": ""}"#), Some(vec![]));
    assert_eq!(
        read(r#"{"title": "x", "must_haves": ["a", "b"]}"#),
        Some(vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(read(r#"{"title": "x"}"#), None);
    refused::<CreateTask>(
        r#"{"title": "x", "must_haves": {"a": 1}}"#,
        "must_haves",
        "must be a list of texts or one text, not an object",
    );
    refused::<CreateTask>(r#"{"title": "x", "must_haves": [1]}"#, "must_haves[0]", "must be a text, not 1");
}

#[test]
fn a_patch_tells_absent_from_null() {
    let patch = parse::<PatchTask>(br#"{"agent": null, "review": "none", "timeout_seconds": null}"#)
        .expect("a patch");
    assert_eq!(patch.agent, Some(None));
    assert_eq!(patch.description, None);
    let patch = patch.into_patch().expect("good labels");
    assert_eq!(patch.agent, Some(None));
    assert_eq!(patch.timeout, Some(None));
    assert_eq!(patch.review, Some(Some(mozi_core::project::Review::None)));
    assert_eq!(patch.title, None);
    refused::<PatchTask>(r#"{"title": null}"#, "title", "must be a text, not null");
    refused::<PatchProject>(r#"{"archived": null}"#, "archived", "must be true or false, not null");
    let project =
        parse::<PatchProject>(br#"{"name": null, "settings": {"max_sessions": null}}"#).expect("a patch");
    assert_eq!(project.name, Some(None));
    assert_eq!(project.settings.into_changes(), [mozi_core::command::SettingChange::MaxSessions(None)]);
}

#[test]
fn labels_are_texts() {
    let task = parse::<CreateTask>(br#"{"title": "x", "labels": {"a": 1}}"#).expect("an object");
    let project: mozi_core::ProjectId = "p".parse().expect("an id");
    let error = task.into_new_task(project, String::new()).expect_err("a label that is a number");
    assert_eq!(error.to_string(), "`labels.a` must be a text");
}

#[test]
fn a_body_may_be_left_out_where_all_of_it_may() {
    assert_eq!(parse_or_default::<StopSession>(b" \n"), Ok(StopSession::default()));
    assert_eq!(
        parse_or_default::<StopSession>(br#"{"detail": "x"}"#),
        Ok(StopSession { detail: Some("x".to_owned()) })
    );
    assert!(matches!(parse_or_default::<StopSession>(b"x"), Err(BadBody::NotJson(_))));
}

#[test]
fn a_refused_body_becomes_a_problem() {
    let problem = |body: &[u8]| Problem::from(parse::<CreateTask>(body).expect_err("a bad body"));
    let wrong = problem(br#"{"title": 1}"#);
    assert_eq!((wrong.status, wrong.code.as_str()), (422, "invalid_body"));
    assert_eq!(wrong.detail, "`title` must be a text, not 1");
    assert_eq!(wrong.more.get("field").and_then(|f| f.as_str()), Some("title"));
    let not = problem(b"{");
    assert_eq!((not.status, not.code.as_str()), (400, "invalid_body"));
    assert!(not.detail.starts_with("the body is not JSON: "), "{}", not.detail);
}

#[test]
fn the_same_body_in_another_order_is_the_same_task() {
    let read = |body: &[u8]| parse::<CreateTask>(body).expect("a good body").canonical();
    let a = read(br#"{"title": "x", "task_id": "7", "labels": {"b": "1", "a": "2"}, "must_haves": "m"}"#);
    let b = read(br#"{ "must_haves": ["m"], "labels": {"a": "2", "b": "1"}, "task_id": "7", "title": "x", "agent": null }"#);
    assert_eq!(a, b);
    assert_ne!(
        a,
        read(br#"{"title": "y", "task_id": "7", "labels": {"b": "1", "a": "2"}, "must_haves": "m"}"#)
    );
}
