//! What the documents tell people to type is typed.
//!
//! Every block marked `sh` is run against a board with agents; every block marked `toml` is read as a configuration;
//! every `mozi …` in a sentence must be a command that there is. `<!-- test: … -->` before a block is what has to be
//! done first to make it true, in the same shell. Blocks that begin with `#!` are programs and are tried where their
//! own tests are.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::support::{Board, Setup, WORKING};

const PRELUDE: &str = include_str!("documents/prelude.sh");

/// A block of a document: in which line it begins, its language, its text, and what must be done before it.
struct Block {
    line: usize,
    language: String,
    text: String,
    before: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut before = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if let Some(todo) = line.strip_prefix("<!-- test: ").and_then(|l| l.strip_suffix(" -->")) {
            before.push(todo.to_owned());
        } else if let Some(language) = line.trim_start().strip_prefix("```") {
            let inside: Vec<_> =
                lines.by_ref().map(|(_, l)| l).take_while(|l| !l.trim_start().starts_with("```")).collect();
            found.push(Block {
                line: at + 1,
                language: language.to_owned(),
                text: inside.join("\n"),
                before: std::mem::take(&mut before),
            });
        }
    }
    found
}

/// Agents by the names that the documents use. None of them needs a model.
fn world() -> Board {
    let work = format!(
        "{WORKING}mozi output add --title Result --type document --content \"what was asked for\"\nmozi report review\n"
    );
    let review = "set -eu\nmozi report working\nmozi report approve --detail fine\n";
    let board = Setup::agents(&[
        ("coder", &work, ""),
        ("writer", &work, ""),
        ("claude", &work, ""),
        ("codex", &work, ""),
        ("critic", review, "roles = [\"reviewer\"]"),
        ("shell", "echo hello\n", "verdict = \"exit\""),
        // At its task what the document says is typed.
        ("puppet", "env | grep ^MOZI_ > \"$TEST_DIR/agent.env.new\"\nmv \"$TEST_DIR/agent.env.new\" \"$TEST_DIR/agent.env\"\nexec sleep 60\n", ""),
    ])
    .start();
    for (link, to) in [(".local/share/mozi", "data"), (".config/mozi", "")] {
        let link = board.path(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(board.path(to), link).unwrap();
    }
    fs::create_dir(board.path("here")).unwrap();
    board.post("/api/projects", &serde_json::json!({ "project_id": "app" }));
    for name in ["report.md", "notes.md", "prompt.md"] {
        fs::write(board.path("here").join(name), "a few words\n").unwrap();
    }
    fs::write(board.path("prelude.sh"), PRELUDE).unwrap();
    board
}

/// Types what a document says, block by block, on one board.
#[track_caller]
fn check(document: &str) {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let blocks = blocks(&text);
    let board = world();
    for block in blocks.iter().filter(|b| b.language == "sh" && !b.text.starts_with("#!")) {
        let before = block.before.join("\n");
        let script = format!(". \"$TEST_DIR/prelude.sh\"\nset -euo pipefail\n{before}\n{}\n", block.text);
        fs::write(board.path("block.sh"), &script).unwrap();
        let mut shell = crate::support::command("bash");
        let ran = shell
            .arg(board.path("block.sh"))
            .current_dir(board.path("here"))
            .env("MOZI", &board.binary)
            .env("MOZI_CONFIG", board.path("mozi.toml"))
            .env("MOZI_DATA", board.data())
            .env("HOME", board.dir.path())
            .env("TEST_DIR", board.dir.path())
            .env("TEST_MARK", &board.mark)
            .env("EDITOR", "true")
            .env("LANG", "C.UTF-8")
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{document}:{}: {}\n{}\n--- said\n{}{}",
            block.line,
            ran.status,
            block.text,
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr),
        );
    }
    for block in blocks.iter().filter(|b| b.language == "toml") {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mozi.toml");
        fs::write(&file, &block.text).unwrap();
        let read = board.mozi(&["config", "check", file.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&read.stderr);
        assert!(read.status.success(), "{document}:{}: {said}", block.line);
    }
    for command in spoken(&text) {
        let words: Vec<_> = command.split_whitespace().skip(1).collect();
        let known = (0..=words.len()).rev().any(|n| {
            let path: Vec<_> = words.iter().take(n).copied().take_while(|w| is_verb(w)).collect();
            path.len() == words.iter().take_while(|w| is_verb(w)).count().min(2)
                && board.mozi(&[&path[..], &["--help"]].concat()).status.success()
        });
        assert!(known, "{document} speaks of `{command}`, which there is not");
    }
}

/// `mozi …` in the sentences of a document.
fn spoken(text: &str) -> BTreeSet<String> {
    let outside: String = text.split("```").step_by(2).collect();
    let codes = outside.split('`').skip(1).step_by(2);
    codes.filter(|c| c.starts_with("mozi ") && !c.contains('\n')).map(str::to_owned).collect()
}

/// A word that can be the name of a command, not its argument or a flag.
fn is_verb(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase())
}

macro_rules! documents {
    ($($name:ident: $file:literal),+ $(,)?) => {
        $(#[test] fn $name() { check($file); })+

        #[test]
        fn every_document_is_typed() {
            let known: BTreeSet<_> = [$($file),+].map(str::to_owned).into();
            let docs = fs::read_dir(root().join("docs")).unwrap().flatten();
            let docs = docs.map(|e| format!("docs/{}", e.file_name().to_string_lossy()));
            let all = docs.chain(["README.md".to_owned(), "README.zh-CN.md".to_owned()]);
            let all: BTreeSet<_> = all.filter(|f| f.ends_with(".md")).collect();
            assert_eq!(all, known, "a document that no test types, or a test of a document that is gone");
        }
    };
}

documents! {
    the_readme: "README.md",
    the_readme_in_chinese: "README.zh-CN.md",
    agents: "docs/agents.md",
    configuration: "docs/configuration.md",
    concepts: "docs/concepts.md",
    guarantees: "docs/guarantees.md",
    http: "docs/http.md",
    hooks: "docs/hooks.md",
    import_export: "docs/import-export.md",
    migration: "docs/migration.md",
    migration_in_chinese: "docs/migration.zh-CN.md",
    operating: "docs/operating.md",
    performance: "docs/performance.md",
    prompts: "docs/prompts.md",
    reference: "docs/reference.md",
    statuses: "docs/statuses.md",
    writing_an_agent: "docs/writing-an-agent.md",
}
