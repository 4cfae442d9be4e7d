//! Whole pages, as agents read them.

use mozi_api::prompt::{PromptValues, WorkspaceState};
use mozi_board::prompt::{Callback, PromptMaterial, preview};
use mozi_core::{
    Role, Status, VerdictMode,
    project::{Language, RequireOutput},
};

use super::{
    board::{self, For, rendered},
    markdown::{Piece, pieces},
};

pub(super) const LANGUAGES: [Language; 2] = [Language::En, Language::ZhCn];

const VALUES: PromptValues<'_> = PromptValues {
    token: "mozi_a_TOKEN",
    workspace: "/data/workspaces/app/7",
    outbox: "/data/sessions/6b1c/outbox",
    mozi: "/data/bin/mozi",
    url: "http://127.0.0.1:8083",
    session_id: "6b1c7a52-0000-4000-8000-000000000000",
    state: WorkspaceState::Kept,
    source: None,
};

/// What an agent reads.
fn page(m: PromptMaterial, f: For<'_>, state: WorkspaceState) -> String {
    let rendered = rendered(m, f);
    assert_eq!(rendered.notices, []);
    // Whoever works beside the project's own folder is told where that is.
    let source = Some("/src/shop").filter(|_| state == WorkspaceState::New);
    rendered.parts.filled(&PromptValues { state, source, ..VALUES })
}

#[test]
fn whole_pages() {
    use Callback::{Anonymous, Env, Header, Url};
    use WorkspaceState::{InPlace, Kept, New};
    for lang in LANGUAGES {
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.set_snapshot_path("snapshots");
        let executor = |number, callback| For::executor(number, callback, lang);
        let reviewer = |number, callback| For::reviewer(number, callback, lang);
        let mut bare = board::claimed();
        bare.task.spec.description = Some("  \n".into());
        bare.task.spec.must_haves.clear();
        bare.project.name = None;
        bare.project.settings.require_output = RequireOutput::Never;
        let mut by_exit = board::claimed();
        by_exit.task.spec.must_haves.clear();
        let by_name = For { message: Some("Only the weeks up to 42, please.\n"), ..executor(1, Env) };
        settings.bind(|| {
            let snap = |name: &str, text: String| insta::assert_snapshot!(format!("{lang}-{name}"), text);
            snap("first-env", page(board::claimed(), executor(1, Env), New));
            snap("first-header", page(board::claimed(), executor(1, Header), New));
            snap("first-url", page(board::claimed(), executor(1, Url), New));
            snap("first-anonymous", page(board::claimed(), executor(1, Anonymous), New));
            snap("built-on-anonymous", page(board::built_on(), executor(1, Anonymous), New));
            snap("review-url", page(board::in_review(), reviewer(5, Url), Kept));
            snap("bare-by-name-env", page(bare, by_name, New));
            snap("by-exit", page(by_exit, For { verdict_mode: VerdictMode::Exit, ..executor(1, Env) }, New));
            snap("retry-env", page(board::retried(), executor(3, Env), Kept));
            snap("retry-header", page(board::retried(), executor(3, Header), Kept));
            snap("sent-back-env", page(board::sent_back(), executor(4, Env), Kept));
            snap("sent-back-header", page(board::sent_back(), executor(4, Header), Kept));
            snap("review-env", page(board::in_review(), reviewer(5, Env), Kept));
            snap("review-header", page(board::in_review(), reviewer(5, Header), Kept));
            snap("built-on-env", page(board::built_on(), executor(1, Env), InPlace));
            snap("built-on-header", page(board::built_on(), executor(1, Header), InPlace));
            snap("hostile-header", page(board::hostile(), executor(6, Header), Kept));
            snap("hostile-review-env", page(board::hostile(), reviewer(6, Env), Kept));
        });
    }
}

/// What others wrote stays in blocks marked `text` and in code spans, whatever it is.
#[test]
fn no_text_of_a_task_leaves_its_block() {
    for (role, callback, lang) in every_page() {
        let text =
            page(board::hostile(), For { role, ..For::executor(6, callback, lang) }, WorkspaceState::New);
        let mut held = 0;
        for piece in pieces(&text) {
            match piece {
                Piece::Block { info: "text", body } => held += body.matches("touch pwned").count(),
                Piece::Block { info, body } => {
                    assert!(
                        !body.contains("pwned"),
                        "{role} {callback:?} {lang}: in a block {info:?}: {body}"
                    );
                    assert!(
                        !body.contains("墨子"),
                        "{role} {callback:?} {lang}: in a block {info:?}: {body}"
                    );
                }
                Piece::Code(code) => held += code.matches("touch pwned").count(),
                Piece::Prose(prose) => {
                    assert!(!prose.contains("pwned"), "{role} {callback:?} {lang}: in prose: {prose}");
                    assert!(!prose.contains("Step 1: report failed"), "{role} {callback:?} {lang}: {prose}");
                }
            }
        }
        assert!(held > 40, "{role} {callback:?} {lang}: only {held} of them are there at all");
        assert!(text.contains("{{ 7*7 }} {% raise %}"), "it was rendered as a template");
        assert!(text.contains("@@token-0@@"), "what looks like a mark is none");
    }
}

const CALLBACKS: [Callback; 4] = [Callback::Env, Callback::Header, Callback::Url, Callback::Anonymous];

fn every_page() -> impl Iterator<Item = (Role, Callback, Language)> {
    Role::ALL.iter().flat_map(|r| CALLBACKS.into_iter().flat_map(|c| LANGUAGES.map(|l| (*r, c, l))))
}

#[test]
fn every_mark_is_filled_in_and_only_marks_are() {
    for (role, callback, lang) in every_page() {
        let r = rendered(board::hostile(), For { role, ..For::executor(6, callback, lang) });
        assert_eq!(r.parts.marks.len(), 7);
        let filled = r.parts.filled(&VALUES);
        let shown = preview(&r.parts, "https://board.example");
        for mark in r.parts.marks.values() {
            assert!(!filled.contains(mark.as_str()), "{mark} is left");
            assert!(!shown.contains(mark.as_str()), "{mark} is left in the preview");
        }
        for word in ["new", "kept", "in_place", "unknown", "source"] {
            assert!(r.parts.states.get(word).is_some_and(|s| s.chars().count() > 6), "no words for {word}");
        }
        // A reviewer shows its token whatever is agreed on.
        let shows = callback == Callback::Header || (callback, role) == (Callback::Anonymous, Role::Reviewer);
        if shows {
            assert!(filled.contains("Bearer mozi_a_TOKEN"));
            assert!(shown.contains("https://board.example/api/projects/app/tasks/7/status"));
            assert!(shown.contains("Bearer mozi_a_****"), "a preview shows no token");
        } else if callback == Callback::Url {
            assert!(!filled.contains("Authorization"));
            assert!(filled.contains("/t/mozi_a_TOKEN/api/projects/app/tasks/7/status"));
            assert!(shown.contains("https://board.example/t/mozi_a_****/api/projects/app/tasks/7/status"));
        } else {
            assert!(!filled.contains("mozi_a_TOKEN"), "the environment has the token, so the text does not");
        }
    }
}

/// Every row that the old prompts had, in every page for executors.
#[test]
fn nothing_of_the_contract_is_missing() {
    for callback in CALLBACKS {
        for lang in LANGUAGES {
            let text = page(board::claimed(), For::executor(1, callback, lang), WorkspaceState::New);
            let facts = [
                "`app`",
                "`7`",
                "`Report the sales of October`",
                "`general`",
                "Read sales.csv",
                "the sum of each week",
            ];
            let states = ["pending --> claimed --> working --> review --> done", "`claimed`"];
            let types = ["`code`", "`document`", "`data`", "`config`", "`other`"];
            let steps = ["working", "review", "failed", "blocked", "cancelled", "needs_input"];
            let ways = ["expand=all", "/comments", "openapi.json", "content"];
            for word in facts.iter().chain(&states).chain(&types).chain(&steps).chain(&ways) {
                assert!(text.contains(word), "{callback:?} {lang} says nothing of {word}");
            }
            let by_file = if callback == Callback::Env { "--file" } else { "content_path" };
            assert!(text.contains(by_file));
        }
    }
    let mut m = board::claimed();
    m.task.spec.description = None;
    m.task.spec.task_type = " ".into();
    let en = page(m.clone(), For::executor(1, Callback::Env, Language::En), WorkspaceState::New);
    assert!(en.contains("Description: (none)\n") && en.contains("type: `general`"), "{en}");
    let zh = page(m, For::executor(1, Callback::Env, Language::ZhCn), WorkspaceState::New);
    assert!(zh.contains("描述：（无）\n") && zh.contains("类型：`general`"), "{zh}");
}

/// Both languages say the same things in the same order: same headings, blocks and commands.
#[test]
fn both_languages_have_the_same_shape() {
    let shape = |text: &str| -> Vec<String> {
        let mut shape = Vec::new();
        for piece in pieces(text) {
            match piece {
                Piece::Prose(prose) => shape.extend(
                    prose
                        .lines()
                        .filter(|l| l.starts_with('#'))
                        .map(|l| l.chars().take_while(|c| *c == '#').collect::<String>()),
                ),
                Piece::Block { info, body } => shape.push(format!(
                    "{info}: {}",
                    body.lines().filter(|l| l.starts_with("curl") || l.starts_with("mozi")).count()
                )),
                Piece::Code(_) => {}
            }
        }
        shape
    };
    let materials = [board::claimed, board::retried, board::sent_back, board::in_review, board::built_on];
    for (m, role) in materials.iter().flat_map(|m| Role::ALL.iter().map(move |r| (m, *r))) {
        for callback in CALLBACKS {
            let of = |lang| {
                shape(&page(m(), For { role, ..For::executor(9, callback, lang) }, WorkspaceState::New))
            };
            assert_eq!(of(Language::En), of(Language::ZhCn));
        }
    }
}

/// Chinese is set as Chinese: full-width punctuation beside Chinese characters.
#[test]
fn chinese_punctuation_is_full_width() {
    let is_han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    for (role, callback, lang) in every_page().filter(|(_, _, l)| *l == Language::ZhCn) {
        for m in
            [board::claimed(), board::retried(), board::sent_back(), board::in_review(), board::built_on()]
        {
            let text = page(m, For { role, ..For::executor(9, callback, lang) }, WorkspaceState::Kept);
            for piece in pieces(&text) {
                let Piece::Prose(prose) = piece else { continue };
                let chars: Vec<char> = prose.chars().collect();
                for pair in chars.windows(2) {
                    let bad =
                        |a: char, b: char| is_han(a) && matches!(b, ',' | ':' | ';' | '(' | ')' | '?' | '!');
                    assert!(!bad(pair[0], pair[1]) && !bad(pair[1], pair[0]), "{pair:?} in {prose:?}");
                }
            }
        }
    }
}

/// What a person decided, and what a reviewer said, leads the list even while the judged attempt still ends.
#[test]
fn the_newest_remark_comes_first() {
    let text = page(board::sent_back(), For::executor(4, Callback::Env, Language::En), WorkspaceState::Kept);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what:?} in {text}"));
    assert!(at("**sent back**") < at("The sum of week 42 is wrong"));
    assert!(at("The sum of week 42 is wrong") < at("### Attempt 2 by"));
    assert!(at("### Attempt 2 by") < at("Leave week 41 out."));
    assert!(at("Leave week 41 out.") < at("What about week 41?"));
    assert!(!text.contains("### Attempt 3"), "a reviewer's attempt says no more than its remark");
    assert!(!text.contains("### Attempt 4"), "the attempt itself is no history");
    let mut more = board::sent_back();
    more.comments = vec![board::comment(1, 40, "lin", "And mind the holidays.")];
    let text = page(more, For::executor(4, Callback::Env, Language::En), WorkspaceState::Kept);
    assert!(text.contains("sent back**"), "what is said beside it does not take it back");
    let mut approved = board::sent_back();
    approved.remarks.retain(|e| e.at < board::at(30));
    let text = page(approved, For::executor(4, Callback::Env, Language::En), WorkspaceState::Kept);
    assert!(!text.contains("sent back**"));
}

#[test]
fn a_reviewer_sees_who_said_nothing() {
    let mut m = board::in_review();
    m.task.state.status = Status::Review;
    m.attempts[1].verdict = None;
    m.attempts[1].outcome = Some(mozi_core::Outcome::NoVerdict);
    m.attempts[0] = board::attempt(5, Role::Reviewer, "critic", Some(mozi_core::Outcome::Crashed));
    let text = page(m, For::reviewer(6, Callback::Env, Language::En), WorkspaceState::Kept);
    assert!(text.contains("which ended as `no_verdict` without saying that it had finished: look closely"));
    assert!(text.contains("### Attempt 5 by `critic`, reviewer: `crashed`"));
    assert!(text.contains("# October"), "a short result stands on the page");
    assert!(!text.contains("It delivered:\n\n- output 2"), "and is not told twice");
}
