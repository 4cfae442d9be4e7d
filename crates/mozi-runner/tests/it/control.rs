//! Another configuration while the runner is at work, and claiming nothing more.

use crate::help::{Place, alive, task};

#[tokio::test]
async fn an_agent_that_came_by_a_reload_is_claimed_for_and_one_that_went_is_not() {
    let mut p = Place::new("an_agent_that_came_by_a_reload");
    let go = p.file("go");
    p.agent("old", &format!("cat > /dev/null; until [ -e {} ]; do sleep 0.05; done; exit 4", go.display()));
    let mut with_new = p.config.clone();
    p.board.put(task("old"));
    let (runner, controller) = p.run_controlled();
    let (old, pid) = p.board.running().await;
    // Its agent is taken away and another one is there: it works on, and only the other one is asked for.
    p.agent("new", "cat > /dev/null; exit 5");
    with_new.agents = p.config.agents.clone();
    with_new.agents.remove(&"old".parse().unwrap());
    with_new.max_sessions = 2;
    assert!(controller.reconfigure(with_new).await);
    let hello = p.board.with(|s| s.hellos.last().unwrap().clone());
    assert_eq!(hello.agents.iter().map(|a| a.id.to_string()).collect::<Vec<_>>(), ["new"]);
    assert_eq!(hello.max_sessions, 2);
    assert!(alive(pid));
    p.board.put(task("new"));
    let (_, end) = p.board.an_end().await;
    assert_eq!(end.exit_code, Some(5));
    let polled = p.board.with(|s| s.polls.last().unwrap().agents.clone());
    assert_eq!(polled.iter().map(ToString::to_string).collect::<Vec<_>>(), ["new"]);
    std::fs::write(&go, "").unwrap();
    assert_eq!(p.board.end_of(old).await.exit_code, Some(4));
    runner.stop().await;
}

#[tokio::test]
async fn nothing_is_claimed_while_it_drains_and_what_runs_goes_on() {
    let mut p = Place::new("nothing_is_claimed_while_it_drains");
    let go = p.file("go");
    p.agent("a", &format!("cat > /dev/null; until [ -e {} ]; do sleep 0.05; done", go.display()));
    p.board.put(task("a"));
    let (runner, controller) = p.run_controlled();
    let (first, _) = p.board.running().await;
    assert!(controller.drain(Some("it is to be stopped".into())).await);
    let hello = p.board.with(|s| s.hellos.last().unwrap().clone());
    assert_eq!(hello.agents[0].held_back.as_deref(), Some("it is to be stopped"));
    p.board.put(task("a"));
    std::fs::write(&go, "").unwrap();
    p.board.end_of(first).await;
    assert_eq!(p.board.with(|s| s.queue.len()), 1, "nobody has claimed it");
    let polled = p.board.wait("a poll after the hello", |s| s.polls.last().cloned()).await;
    assert!(polled.agents.is_empty());
    assert!(controller.drain(None).await);
    p.board.wait("the second task", |s| (s.ends.len() == 2).then_some(())).await;
    runner.stop().await;
    assert!(!controller.drain(None).await, "nobody is there any more");
}
