//! Tasks with a long past: the page stays readable, what matters most stays whole, and nothing is left out silently.

use mozi_board::prompt::{Callback, PromptMaterial};
use mozi_core::{
    EventKind, Outcome, Role, Status,
    attempt::{ReviewVerdict, Tail},
    project::Language,
};

use super::board::{self, For, rendered};

fn text(m: PromptMaterial, number: u32) -> String {
    rendered(m, For::executor(number, Callback::Header, Language::En)).parts.text
}

fn rejection(minutes: i64, words: &str) -> mozi_core::Event {
    let kind = EventKind::ReviewGiven { verdict: ReviewVerdict::Reject, remark: Some(words.into()) };
    board::event(minutes, board::person("lin"), None, kind)
}

#[test]
fn the_newest_remark_is_never_cut() {
    let whole = format!("begin {} end", "墨".repeat(21_000));
    let mut m = board::claimed();
    m.remarks = (0..40).rev().map(|i| rejection(i, &format!("old {i} {}", "x".repeat(5_000)))).collect();
    m.remarks.insert(0, rejection(99, &whole));
    let page = text(m, 50);
    assert!(page.contains(&whole), "it is not there in full");
    assert!(page.contains("(40 older entries are left out"), "{page}");
}

#[test]
fn remarks_come_before_everything_else() {
    let mut m = board::claimed();
    m.remarks = vec![rejection(1, "the old remark, in full")];
    m.comments = (0..200)
        .rev()
        .map(|i| board::comment(i, 10 + i64::from(i), "lin", &format!("comment {i} {}", "y".repeat(900))))
        .collect();
    let page = text(m, 2);
    assert!(page.contains("the old remark, in full"));
    assert!(page.contains("comment 199 ") && page.contains("comment 170 "));
    assert!(!page.contains("comment 3 "), "the oldest go first");
    assert!(page.contains("older entries are left out"));
    assert!(page.len() < 60_000, "{} bytes", page.len());
}

/// What a person says after the last attempt is its answer: whole, and before all other comments.
#[test]
fn an_answer_is_a_remark() {
    let answer = format!("begin {} end", "a".repeat(20_000));
    let mut m = board::claimed();
    let mut asked = board::attempt(1, Role::Executor, "coder", Some(Outcome::Completed));
    asked.verdict_at = Some(board::at(14));
    m.attempts = vec![asked];
    m.comments = (0..100).map(|i| board::comment(i, i64::from(i) % 14, "lin", &"y".repeat(900))).collect();
    m.comments.insert(0, board::comment(200, 16, "lin", &answer));
    let mut by_agent = board::comment(201, 17, "coder", &"b".repeat(20_000));
    by_agent.actor.kind = mozi_core::ActorKind::Attempt;
    m.comments.insert(0, by_agent);
    let page = text(m, 2);
    assert!(page.contains(&answer), "it is not there in full");
    assert!(page.contains("(11808 more bytes: read the whole task)"), "an agent's comment is cut");
}

#[test]
fn long_comments_and_logs_are_cut() {
    let mut m = board::claimed();
    m.comments = vec![board::comment(1, 1, "lin", &"z".repeat(100_000))];
    let mut a = board::attempt(1, Role::Executor, "coder", Some(Outcome::Crashed));
    let lines = (0..4_000).map(|i| format!("line {i}")).collect::<Vec<_>>().join("\n");
    a.tail = Some(Tail { stdout: lines.clone(), stderr: lines, ..Tail::default() });
    a.metadata = serde_json::json!({"error": "e".repeat(9_000)});
    m.attempts = vec![a];
    let page = text(m, 2);
    assert!(page.contains("(91808 more bytes: read the whole task)"), "{page}");
    assert!(page.contains("line 3999\n```") && !page.contains("line 3900\n"));
    assert!(page.matches('e').count() < 4_000);
    assert!(page.len() < 30_000, "{} bytes", page.len());
}

#[test]
fn long_lists_are_cut_and_say_so() {
    let mut m = board::built_on();
    let one = m.dependencies[0].clone();
    m.dependencies = vec![one.clone(); 400];
    m.dependencies[0].outputs = vec![one.outputs[0].clone(); 70];
    let mut a = board::attempt(1, Role::Executor, "coder", Some(Outcome::NoVerdict));
    a.verdict = None;
    m.attempts = vec![a];
    m.outputs = (1..=90).rev().map(|i| board::output(i, Some(1), &format!("part {i}"), None)).collect();
    let page = text(m.clone(), 2);
    assert!(page.contains("And 350 more tasks: read the whole task."));
    assert!(page.contains("- and 50 more\n"), "outputs of a dependency");
    assert!(page.contains("part 90`") && page.contains("- and 70 more\n"), "outputs of an attempt");
    m.task.state.status = Status::Review;
    m.outputs = (1..=130)
        .rev()
        .map(|i| board::output(i, Some(1), &format!("part {i}"), Some(&"c".repeat(4_000))))
        .collect();
    let page = rendered(m, For::reviewer(2, Callback::Env, Language::En)).parts.text;
    assert!(page.contains("And 30 more: read the whole task."));
    assert_eq!(page.matches(&"c".repeat(4_000)).count(), 8, "so many contents have room");
}

#[test]
fn what_is_no_text_is_not_shown() {
    let mut m = board::in_review();
    m.outputs = vec![board::output(1, Some(4), "binary", Some("a\0b"))];
    let mut broken = board::output(2, Some(4), "broken", None);
    broken.content = mozi_core::output::Content::Inline(vec![0xff, 0xfe]);
    broken.size_bytes = 2;
    m.outputs.push(broken);
    let page = rendered(m, For::reviewer(5, Callback::Env, Language::En)).parts.text;
    assert!(page.contains("`binary`") && page.contains("`broken`"));
    assert!(!page.contains('\0') && !page.contains('\u{fffd}'));
}
