//! The process is killed in the middle of its work: everything that was acknowledged is there.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Stdio,
};

use mozi_core::TaskSpec;
use mozi_store::{Options, Store};

use crate::support::{after, board, comment, create, id, key, page, project};

/// Where the child writes.
const FOLDER: &str = "STORE_TEST_CRASH_FOLDER";
/// Writers at once.
const WRITERS: u32 = 16;

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    // Several lives of one database: each begins with what the kill before has left.
    for life in 1..=4usize {
        #[expect(clippy::disallowed_methods, reason = "somebody has to be killed")]
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::writes_until_it_is_killed", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = Vec::new();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            if let Some(n) = line.strip_prefix("stored ") {
                said.push(n.to_owned());
            }
            if said.len() == 150 * life {
                child.kill().unwrap();
            }
        }
        #[expect(clippy::disallowed_methods, reason = "the child of this test alone")]
        let ended = child.wait().unwrap();
        assert!(!ended.success());
        assert!(said.len() >= 150 * life, "only {} in life {life}", said.len());
        acknowledged += said.len();
        let store = Store::open(Options::new(folder.path().join("mozi.db"), "x")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let there: std::collections::BTreeSet<_> =
            runtime.block_on(page(&store, &key("1"))).comments.into_iter().map(|c| c.body).collect();
        // The last line may have been cut off by the kill.
        said.retain(|n| n.ends_with('.'));
        let lost: Vec<_> = said.iter().filter(|n| !there.contains(*n)).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        assert!(there.len() + 8 >= acknowledged);
        assert_eq!(runtime.block_on(store.check(after(0))).unwrap(), Vec::<String>::new());
    }
}

#[test]
#[ignore = "runs in a child that is killed"]
fn writes_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "how the child is told")]
    let folder = std::env::var_os(FOLDER).expect("the folder to write in");
    let store = Store::open(Options::new(Path::new(&folder).join("mozi.db"), "x")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        store.submit(board(after(0), project("app", vec![])), None).await.unwrap();
        store.submit(board(after(0), create("1", TaskSpec::titled("x"))), None).await.unwrap();
        assert!(store.project(&id("app")).await.unwrap().is_some());
        let mut set = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let store = store.clone();
            set.spawn(async move {
                for n in 0..u32::MAX {
                    let text = format!("{}-{writer}-{n}.", std::process::id());
                    store.submit(board(after(1), comment(key("1"), &text)), None).await.unwrap();
                    let mut out = std::io::stdout().lock();
                    if writeln!(out, "stored {text}").is_err() {
                        return;
                    }
                }
            });
        }
        set.join_all().await;
    });
}
