//! Every rule about the code itself is a test.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn metadata() -> Value {
    let out = command(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// What a crate depends on when it is built for use: (name → names).
fn edges(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| {
            let normal = p["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"].is_null());
            let names = normal.map(|d| d["name"].as_str().unwrap().to_owned()).collect();
            (p["name"].as_str().unwrap().to_owned(), names)
        })
        .collect()
}

/// Everything that a crate brings along.
fn closure(edges: &BTreeMap<String, BTreeSet<String>>, of: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut next = vec![of.to_owned()];
    while let Some(name) = next.pop() {
        for d in edges.get(&name).into_iter().flatten() {
            if seen.insert(d.clone()) {
                next.push(d.clone());
            }
        }
    }
    seen
}

#[test]
fn who_may_know_whom() {
    let edges = edges(&metadata());
    let allowed: &[(&str, &[&str])] = &[
        ("mozi-core", &[]),
        ("mozi-supervise", &[]),
        ("mozi-api", &["mozi-core"]),
        ("mozi-store", &["mozi-core"]),
        ("mozi-board", &["mozi-core", "mozi-api", "mozi-store"]),
        ("mozi-runner", &["mozi-core", "mozi-api", "mozi-supervise"]),
        ("mozi", &["mozi-core", "mozi-api", "mozi-store", "mozi-board", "mozi-runner", "mozi-supervise"]),
        ("mozi-testing", &["mozi-core", "mozi-api"]),
    ];
    for (name, deps) in edges.iter().filter(|(n, _)| n.starts_with("mozi")) {
        let may: &[&str] =
            allowed.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("a new crate {name}")).1;
        for d in deps.iter().filter(|d| d.starts_with("mozi")) {
            assert!(may.contains(&d.as_str()), "{name} must not know {d}");
        }
    }
    let forbidden: &[(&str, &[&str])] = &[
        (
            "mozi-core",
            &["tokio", "rusqlite", "serde", "rand", "getrandom", "jiff", "chrono", "libc", "rustix"],
        ),
        ("mozi-supervise", &["tokio", "tracing", "clap", "rustix"]),
        ("mozi-store", &["axum", "hyper", "http"]),
        ("mozi-api", &["axum", "rusqlite"]),
        ("mozi-board", &["rusqlite"]),
        ("mozi-runner", &["axum", "rusqlite"]),
    ];
    for (name, names) in forbidden {
        let direct = &edges[*name];
        for d in *names {
            assert!(!direct.contains(*d), "{name} must not use {d}");
        }
    }
    for d in ["tokio", "clap", "tracing", "hyper"] {
        assert!(!closure(&edges, "mozi-supervise").contains(d), "mozi-supervise must not bring {d} along");
    }
    for (name, deps) in edges.iter().filter(|(n, _)| n.starts_with("mozi")) {
        assert!(!deps.contains("rusqlite") || name == "mozi-store", "only mozi-store knows SQL, not {name}");
        assert!(
            !deps.contains("libc") || name == "mozi-supervise",
            "only mozi-supervise calls libc, not {name}"
        );
    }
}

#[test]
fn one_tls_stack_and_known_licences() {
    let metadata = metadata();
    let fine = [
        "Apache-2.0",
        "MIT",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "Unicode-3.0",
        "Unlicense",
        "BSL-1.0",
        "MPL-2.0",
        "CC0-1.0",
        "0BSD",
        "CDLA-Permissive-2.0",
    ];
    for p in metadata["packages"].as_array().unwrap() {
        let name = p["name"].as_str().unwrap();
        assert!(!["openssl-sys", "native-tls", "sqlx-core"].contains(&name), "{name} is not wanted here");
        let licence = p["license"].as_str().unwrap_or_else(|| panic!("{name} names no licence"));
        let known = licence.split(['/', '(', ')', ' ']).any(|word| fine.contains(&word));
        assert!(known, "{name} is under {licence}");
    }
}

/// Growth of the dependencies is a conscious commit: the number stands in a file.
#[test]
fn the_number_of_packages_is_held() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let n = lock.lines().filter(|l| *l == "[[package]]").count();
    let file = root().join("crates/mozi/tests/it/packages.txt");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, format!("{n}\n")).unwrap();
    }
    let held: usize = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    assert_eq!(n, held, "Cargo.lock has {n} packages, {} says {held}: UPDATE=1 sets it", file.display());
    assert!(n <= 300, "{n} packages are more than a build on two cores bears");
}

fn files(below: &str, ending: &str) -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, ending: &str, out: &mut Vec<(PathBuf, String)>) {
        for e in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = e.path();
            if path.is_dir()
                && !["target", ".git", "node_modules"].contains(&e.file_name().to_string_lossy().as_ref())
            {
                walk(&path, ending, out);
            } else if path.to_string_lossy().ends_with(ending) {
                out.push((path.clone(), fs::read_to_string(&path).unwrap_or_default()));
            }
        }
    }
    let mut out = Vec::new();
    walk(&root().join(below), ending, &mut out);
    assert!(!out.is_empty(), "no {ending} below {below}");
    out
}

#[test]
fn sources_are_documented_and_of_a_size_to_be_read() {
    for (path, text) in files("crates", ".rs") {
        let test = path
            .components()
            .any(|c| ["tests", "benches"].contains(&c.as_os_str().to_string_lossy().as_ref()));
        let lines = text.lines().count();
        assert!(test || lines <= 700, "{} has {lines} lines: it asks to be two", path.display());
        assert!(text.starts_with("//!"), "{} does not say in its first line what it holds", path.display());
        let allows = text
            .lines()
            .filter(|l| l.trim_start().starts_with("#[allow(") || l.trim_start().starts_with("#![allow("));
        assert_eq!(allows.count(), 0, "{}: #[expect(…, reason)] in place of #[allow]", path.display());
        let unsafe_code = text
            .lines()
            .any(|l| l.contains("unsafe {") || l.contains("unsafe fn") || l.contains("unsafe extern"));
        let sys = path.ends_with("mozi-supervise/src/sys.rs");
        assert!(
            !unsafe_code || sys || path.ends_with("tests/it/tidy.rs"),
            "{}: unsafe stands in mozi-supervise/src/sys.rs only",
            path.display()
        );
    }
}

#[test]
fn the_documents_show_what_is_there() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let chinese = fs::read_to_string(root().join("README.zh-CN.md")).unwrap();
    for text in [&readme, &chinese] {
        let demo = text.find("cargo run --release -- demo").expect("the first command");
        let test = text.find("scripts/test").expect("the second command");
        assert!(demo < test);
    }
    let headings = |t: &str| t.lines().filter(|l| l.starts_with("## ")).count();
    assert_eq!(headings(&readme), headings(&chinese), "README.zh-CN.md is not in step");
    for name in [
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "deny.toml",
        ".ci/run",
    ] {
        assert!(root().join(name).exists(), "{name} is missing");
    }
    let ci = fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(ci.contains("scripts/test\n") && ci.contains("scripts/test-agents\n"), ".ci/run calls both");
}

/// Documents name tests as proof and link to each other: a name that is gone proves nothing.
#[test]
fn what_the_documents_name_and_link_to_is_there() {
    let code: String = files("crates", ".rs").into_iter().map(|(_, text)| text).collect();
    for (path, text) in files(".", ".md") {
        let here = path.parent().unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let outside = link.is_empty() || link.starts_with("http");
            assert!(outside || here.join(link).exists(), "{} links to {link}", path.display());
        }
        // Names of tests are long; words such as `task_id` are short.
        for name in text.split('`').skip(1).step_by(2).filter(|n| n.matches('_').count() >= 4) {
            let is_name = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            let there = code.contains(&format!("fn {name}("));
            assert!(!is_name || there, "{} names {name}", path.display());
        }
    }
}

/// The table in the documents is the table that decides.
#[test]
fn the_status_table_is_that_of_the_rules() {
    let mut table = String::from("| from | to | who | when |\n|---|---|---|---|\n");
    for t in mozi_core::transition::TRANSITIONS {
        let from: Vec<_> = t.from.iter().map(|s| s.as_str()).collect();
        let who: Vec<_> = t.who.iter().map(|w| w.as_str()).collect();
        table += &format!("| {} | {} | {} | {} |\n", from.join(", "), t.to, who.join(", "), t.when);
    }
    generated(
        "docs/statuses.md",
        "# Statuses and moves\n\nEvery move that there is; all else is refused with `transition_refused`.\n\n",
        &table,
    );
}

#[track_caller]
fn generated(name: &str, head: &str, body: &str) {
    let path = root().join(name);
    let wanted = format!("{head}{body}");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let is = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(is, wanted, "{name} is not current: UPDATE=1 cargo test -p mozi --test it tidy");
}

#[test]
fn the_repository_speaks_of_the_project_alone() {
    let words = ["/work/", "/root/", "/tmp/team", "TODO", "FIXME", "unimplemented!", "todo!("];
    for ending in [".rs", ".md", ".sh", ".toml", ".py", ".j2"] {
        for (path, text) in files(".", ending) {
            if path.ends_with("tests/it/tidy.rs")
                || path.ends_with("Cargo.toml")
                || path.ends_with("clippy.toml")
            {
                continue;
            }
            // A link of the kernel's, no folder of somebody's machine.
            let text = text.replace("/proc/self/root/", "");
            for word in words {
                assert!(!text.contains(word), "{} speaks of {word}", path.display());
            }
        }
    }
}
