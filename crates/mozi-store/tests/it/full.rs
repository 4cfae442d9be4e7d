//! A full disk: what is answered agrees with what is there, and the board goes on when there is room.

use std::{path::Path, process::Stdio};

use mozi_core::TaskSpec;
use mozi_store::{Options, Store, SubmitError};

use crate::support::{after, board, comment, create, id, key, page, project};

/// Where the child finds its small disk.
const DISK: &str = "STORE_TEST_SMALL_DISK";

/// A disk of one megabyte in a mount namespace of its own, where the machine allows that to this user.
#[test]
fn on_a_full_disk_every_answer_is_true() {
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1m tmpfs \"$1\" 2>/dev/null || exit 99
        exec \"$0\" --exact full::on_a_small_disk --ignored --nocapture";
    #[expect(clippy::disallowed_methods, reason = "the small disk is a child's alone")]
    let mut unshare = std::process::Command::new("unshare");
    let ended = unshare
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(folder.path())
        .env(DISK, folder.path())
        .stdin(Stdio::null())
        .output();
    let Ok(ended) = ended else {
        eprintln!("not tested: this machine has no unshare");
        return;
    };
    let said = String::from_utf8_lossy(&ended.stdout);
    if said.contains("1 passed") {
        return;
    }
    let denied = !said.contains("running 1 test");
    assert!(denied, "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    eprintln!(
        "not tested: mounting is not permitted here ({})",
        String::from_utf8_lossy(&ended.stderr).trim()
    );
}

#[test]
#[ignore = "runs in a child that has a small disk"]
fn on_a_small_disk() {
    #[expect(clippy::disallowed_methods, reason = "how the child is told")]
    let folder = std::env::var_os(DISK).expect("the folder of the small disk");
    let path = Path::new(&folder).join("mozi.db");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(Options::new(&path, "x")).unwrap();
        store.submit(board(after(0), project("app", vec![])), None).await.unwrap();
        store.submit(board(after(0), create("1", TaskSpec::titled("x"))), None).await.unwrap();
        let large = "x".repeat(12_000);
        let mut set = tokio::task::JoinSet::new();
        for n in 0..64u32 {
            let (store, body) = (store.clone(), format!("{n} {large}"));
            set.spawn(
                async move { (n, store.submit(board(after(1), comment(key("1"), &body)), None).await) },
            );
        }
        let (mut done, mut unknown, mut full) = (Vec::new(), Vec::new(), 0);
        for (n, answer) in set.join_all().await {
            match answer {
                Ok(_) => done.push(n),
                Err(SubmitError::Full) => full += 1,
                Err(SubmitError::Unknown(_)) => unknown.push(n),
                Err(e) => panic!("{n}: {e}"),
            }
        }
        assert!(full > 0 && !done.is_empty(), "{} done, {full} did not fit", done.len());
        let there = async |store: &Store| -> Vec<u32> {
            let comments = page(store, &key("1")).await.comments;
            comments.iter().map(|c| c.body.split(' ').next().unwrap().parse().unwrap()).collect()
        };
        done.sort_unstable();
        let mut found = there(&store).await;
        found.retain(|n| !unknown.contains(n));
        found.sort_unstable();
        assert_eq!(done, found, "what was acknowledged, and nothing else");
        let page = store.events(Some(&id("app")), 0, 1000).await.unwrap();
        assert!(page.events.iter().map(|e| e.id).eq(1..=page.events.len() as u64));
        assert_eq!(store.check(after(2)).await.unwrap(), Vec::<String>::new());
        // And after a start, too.
        drop(store);
        let store = Store::open(Options::new(&path, "x")).unwrap();
        let mut again = there(&store).await;
        again.retain(|n| !unknown.contains(n));
        again.sort_unstable();
        assert_eq!(again, done);
    });
}
