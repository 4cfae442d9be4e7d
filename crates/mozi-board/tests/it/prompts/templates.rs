//! A project's own templates: used when they work, told of when they do not.

use std::{fs, path::Path};

use mozi_board::prompt::{Callback, Rendered};
use mozi_core::{Role, project::Language};
use tempfile::TempDir;

use super::board::{self, For, rendered};

fn with(files: &[(&str, &[u8])], bootstrap: bool, role: Role) -> (TempDir, Rendered) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("app");
    fs::create_dir(&folder).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    let rendered = of(dir.path(), bootstrap, role);
    (dir, rendered)
}

fn of(dir: &Path, bootstrap: bool, role: Role) -> Rendered {
    let mut m = board::hostile();
    m.project.settings.bootstrap = bootstrap.then(|| "mine".into());
    rendered(m, For { role, prompts_dir: Some(dir), ..For::executor(6, Callback::Header, Language::En) })
}

fn built_in(role: Role) -> String {
    rendered(board::hostile(), For { role, ..For::executor(6, Callback::Header, Language::En) }).parts.text
}

#[test]
fn a_project_may_write_its_own() {
    let (_dir, r) = with(
        &[
            (
                "executor.md",
                b"Dear {{ agent }}: {{ task.title | code }}\n{% include 'rules.md' %}\n\n{{ call.status }}\n",
            ),
            ("rules.md", b"{% for m in task.must_haves %}{{ loop.index }}{% endfor %} {{ mark.workspace }}"),
        ],
        false,
        Role::Executor,
    );
    assert_eq!(r.notices, []);
    let text = r.parts.text;
    assert!(text.starts_with("Dear coder: ``It's \"so\" $(touch pwned)"), "{text}");
    assert!(text.contains("\n12 @@workspace-"), "{text}");
    assert!(text.contains("/tasks/7/status'"), "{text}");
    assert!(!text.contains("Step 1"), "{text}");
}

#[test]
fn a_project_may_change_a_part() {
    let own = b"{% extends 'builtin/executor.md' %}\n{% block opening %}\n# House rules\n{% endblock %}\n";
    let (_dir, r) = with(&[("executor.md", own)], false, Role::Executor);
    assert_eq!(r.notices, []);
    assert!(r.parts.text.starts_with("# House rules\n"), "{}", r.parts.text);
    assert!(r.parts.text.contains("### Step 4: report how it ended"));
    // The other role has none of its own.
    let (_dir, r) = with(&[("executor.md", own)], false, Role::Reviewer);
    assert_eq!((r.notices.as_slice(), r.parts.text), (&[][..], built_in(Role::Reviewer)));
}

/// What the guide shows can be used as it stands, and what it names is there.
#[test]
fn the_guide_shows_what_works() {
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/prompts.md")).unwrap();
    let examples: Vec<&str> =
        guide.split("```jinja\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let (_dir, r) =
            with(&[("executor.md", example.as_bytes()), ("rules.md", b"Be brief.")], false, Role::Executor);
        assert_eq!(r.notices, []);
        assert!(r.parts.text.contains("/tasks/7/status'"), "it says how to report: {}", r.parts.text);
    }
    let mut names = String::new();
    for (before, of) in
        [("| `role`", ""), ("| `project` |", "project."), ("| `call` |", "call."), ("| `mark` |", "mark.")]
    {
        let line = guide.lines().find(|l| l.starts_with(before)).unwrap();
        let line =
            if of.is_empty() { line.split('|').nth(1).unwrap() } else { line.split('|').nth(2).unwrap() };
        for name in line.split('`').skip(1).step_by(2).filter(|n| *n != "mozi" || of == "mark.") {
            names.extend(["{{ ", of, name, " }}\n"]);
        }
    }
    let (_dir, r) = with(&[("executor.md", names.as_bytes())], false, Role::Executor);
    assert_eq!(r.notices, [], "{names}");
}

#[test]
fn behind_a_bootstrap_stands_how_to_report() {
    let (_dir, r) = with(&[], true, Role::Executor);
    let part = r.parts.bootstrap.clone().unwrap();
    assert_eq!(part.name, "mine");
    assert!(part.operating_text.starts_with("## How to report\n"), "{}", part.operating_text);
    assert!(r.parts.text.ends_with(&part.operating_text));
    assert!(!part.operating_text.contains("pwned"), "no text of the task is needed to report");
    let block = b"Mine.\n{% block operating %}Call {{ call.url }}.{% endblock %}";
    let (_dir, r) = with(&[("executor.md", block)], true, Role::Executor);
    assert!(r.parts.bootstrap.unwrap().operating_text.starts_with("Call @@url-"));
    let (_dir, r) = with(&[("executor.md", b"Mine, and nothing about reports.")], true, Role::Executor);
    assert!(r.parts.bootstrap.unwrap().operating_text.starts_with("## How to report\n"));
}

#[test]
fn what_was_said_at_the_start_is_not_lost_behind_a_bootstrap() {
    let mut m = board::claimed();
    m.project.settings.bootstrap = Some("mine".into());
    let message = Some("Only week 40.");
    let r = rendered(m, For { message, ..For::executor(1, Callback::Env, Language::En) });
    let part = r.parts.bootstrap.unwrap();
    let begin = "Whoever started you adds:\n\n```text\nOnly week 40.\n```\n\n## How to report\n";
    assert!(part.operating_text.starts_with(begin), "{}", part.operating_text);
    assert_eq!(part.input["message"], "Only week 40.");
}

#[test]
fn a_bootstrap_is_told_everything() {
    let mut m = board::sent_back();
    m.project.settings.bootstrap = Some("mine".into());
    m.dependencies = board::built_on().dependencies;
    let r = rendered(m, For::executor(4, Callback::Env, Language::ZhCn));
    let input = r.parts.bootstrap.unwrap().input;
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("snapshots");
    settings
        .bind(|| insta::assert_snapshot!("bootstrap-input", serde_json::to_string_pretty(&input).unwrap()));
}

#[track_caller]
fn falls_back(files: &[(&str, &[u8])], why: &str) {
    let (dir, r) = with(files, false, Role::Executor);
    assert_eq!(r.parts.text, built_in(Role::Executor), "the built-in prompt is used");
    let [notice] = r.notices.as_slice() else { panic!("one notice, not {:?}", r.notices) };
    assert_eq!(notice.code, "prompt_template_failed");
    assert!(notice.text.contains(why), "{}", notice.text);
    let file = dir.path().join("app/executor.md");
    assert_eq!(notice.more.get("file").and_then(|f| f.as_str()), file.to_str());
    assert_eq!(notice.more.get("role").and_then(|f| f.as_str()), Some("executor"));
}

#[test]
fn what_fails_falls_back_and_says_why() {
    falls_back(&[("executor.md", b"line\n{% if %}")], "(in executor.md:2)");
    falls_back(&[("executor.md", b"{{ task.titel }}")], "undefined value");
    falls_back(&[("executor.md", b"{{ tasks }}")], "undefined value");
    falls_back(&[("executor.md", b"{{ task.title | shout }}")], "shout");
    falls_back(&[("executor.md", b"{% include 'rules.md' %}")], "rules.md");
    falls_back(
        &[("executor.md", b"{% include 'rules.md' %}"), ("rules.md", b"{{ nothing }}")],
        "undefined value",
    );
    falls_back(&[("executor.md", b"\xff\xfe")], "UTF-8");
    falls_back(&[("executor.md", &vec![b'x'; 300_000])], "larger than");
    falls_back(&[("executor.md", b" \n {# nothing #}\n")], "an empty prompt");
    falls_back(&[("executor.md", b"{% include 'executor.md' %}")], "recursion");
    let endless = b"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    falls_back(&[("executor.md", endless)], "fuel");
    let long = b"{% for a in range(9999) %}{{ 'x' * 999 }}{% endfor %}";
    falls_back(&[("executor.md", long)], "more than");
}

#[test]
fn no_template_leads_out_of_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("app")).unwrap();
    fs::write(dir.path().join("secret.md"), "secret").unwrap();
    for name in ["../secret.md", "/etc/hostname", ".hidden", "./rules.md"] {
        fs::write(dir.path().join("app/.hidden"), "secret").unwrap();
        fs::write(dir.path().join("app/rules.md"), "secret").unwrap();
        fs::write(dir.path().join("app/executor.md"), format!("{{% include '{name}' %}}")).unwrap();
        let r = of(dir.path(), false, Role::Executor);
        assert_eq!(r.notices.len(), 1, "{name} was read");
        assert_eq!(r.parts.text, built_in(Role::Executor));
    }
}

#[test]
fn what_cannot_be_read_is_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("app/executor.md")).unwrap();
    let r = of(dir.path(), false, Role::Executor);
    assert_eq!(r.notices.len(), 1);
    assert!(r.notices[0].text.contains("could not read"), "{}", r.notices[0].text);
    // No folder at all is the usual case.
    let r = of(&dir.path().join("none"), false, Role::Executor);
    assert_eq!(r.notices, []);
}
