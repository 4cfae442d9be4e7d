//! Queries of addresses.

use mozi_api::{
    files::LogStream,
    query::{
        CleanQuery, EventsQuery, Expand, LogQuery, PageQuery, PromptQuery, SessionsQuery, SortBy, TasksQuery,
        escape, none,
    },
};

fn bare(encoded: &str) -> &str {
    encoded.strip_prefix('?').unwrap_or(encoded)
}

#[test]
fn queries_come_back_as_they_went() {
    let tasks = TasksQuery {
        status: vec![mozi_core::Status::Pending.into(), mozi_core::Status::Review.into()],
        agent: Some("coder".parse().expect("an id")),
        task_type: Some("a b+c&d=e%".to_owned()),
        label: Some("size=grün".to_owned()),
        q: Some("100% \"done\"?".to_owned()),
        sort: Some(SortBy::Priority.into()),
        limit: Some(7),
        cursor: Some("AbC=".to_owned()),
    };
    assert_eq!(TasksQuery::parse(bare(&tasks.encode())), Ok(tasks.clone()));
    assert_eq!(tasks.label_pair(), Some(("size", Some("grün"))));
    assert_eq!(TasksQuery::default().encode(), "");
    let events = EventsQuery { after: Some("12".to_owned()), limit: Some(500) };
    assert_eq!(EventsQuery::parse(bare(&events.encode())), Ok(events.clone()));
    assert_eq!(events.after_id(), Ok(12));
    let log = LogQuery { stream: Some(LogStream::Stderr.into()), from: Some(9), follow: Some(true) };
    assert_eq!(log.encode(), "?stream=stderr&from=9&follow=true");
    assert_eq!(LogQuery::parse(bare(&log.encode())), Ok(log));
    for expand in
        [Expand::default(), Expand::ALL, Expand { comments: true, events: true, ..Expand::default() }]
    {
        assert_eq!(Expand::parse(bare(&expand.encode())), Ok(expand));
    }
    let prefix = Some("6f".to_owned());
    let sessions = SessionsQuery { active: Some(true), prefix, limit: Some(50), cursor: None };
    assert_eq!(SessionsQuery::parse(bare(&sessions.encode())), Ok(sessions));
    let prompt = PromptQuery { role: Some(mozi_core::Role::Reviewer.into()) };
    assert_eq!(PromptQuery::parse(bare(&prompt.encode())), Ok(prompt));
    let clean = CleanQuery { force: Some(true) };
    assert_eq!(CleanQuery::parse(bare(&clean.encode())), Ok(clean));
}

#[test]
fn pages_have_their_sizes() {
    assert_eq!(PageQuery::parse(""), Ok(PageQuery { limit: Some(50), cursor: None }));
    assert_eq!(PageQuery::parse("limit=500").map(|p| p.limit), Ok(Some(500)));
    for bad in ["limit=0", "limit=501", "limit=-1", "limit=x", "limit=99999999999999999999"] {
        let error = PageQuery::parse(bad).expect_err(bad);
        assert_eq!(error.to_string(), "`limit` must be a whole number from 1 to 500", "{bad}");
    }
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let why = |r: Result<TasksQuery, mozi_api::Invalid>| r.expect_err("a bad query").to_string();
    assert_eq!(why(TasksQuery::parse("statuss=done")), "`statuss` is not known; did you mean `status`?");
    assert_eq!(why(TasksQuery::parse("limit=5&limit=6")), "`limit` is given twice");
    assert_eq!(
        why(TasksQuery::parse("sort=age")),
        "`sort` is one of updated, created, priority, not \"age\""
    );
    assert_eq!(
        why(TasksQuery::parse("status=done,gone")),
        "`status` is one of pending, claimed, working, review, done, failed, blocked, cancelled, not \"gone\""
    );
    assert_eq!(
        none("x=1").expect_err("none is taken").to_string(),
        "`x` is not known: nothing is taken here"
    );
    assert_eq!(
        Expand::parse("expand=everything").expect_err("bad").to_string(),
        "`expand` takes outputs, comments, attempts, events or all"
    );
    assert_eq!(
        LogQuery::parse("follow=maybe").expect_err("bad").to_string(),
        "`follow` must be true or false"
    );
    assert_eq!(
        LogQuery::parse("from=-1").expect_err("bad").to_string(),
        "`from` must be a whole number from 0 to 9223372036854775807"
    );
    assert!(TasksQuery::parse("q=%ff").is_err(), "no UTF-8");
    assert!(TasksQuery::parse("q=%00").is_err(), "a NUL");
    assert_eq!(
        EventsQuery::parse("after=x").and_then(|q| q.after_id()).expect_err("bad").to_string(),
        "`after` must be the id of an event"
    );
}

#[test]
fn several_statuses_are_joined_or_repeated() {
    let both = TasksQuery::parse("status=pending,review").expect("a list");
    assert_eq!(TasksQuery::parse("status=pending&status=review"), Ok(both.clone()));
    assert_eq!(both.status.len(), 2);
    assert_eq!(TasksQuery::parse("status=").map(|q| q.status.len()), Ok(0));
}

#[test]
fn parts_of_a_path_are_escaped() {
    assert_eq!(escape("a b/../c?d#e").to_string(), "a%20b%2F..%2Fc%3Fd%23e");
}
