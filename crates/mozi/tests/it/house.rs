//! Keeping house: copies before a change of the database's format, backups, what is kept how long.

use std::{fs, path::PathBuf};

use crate::support::{Board, Setup};

const VERSION_1: &[u8] = include_bytes!("../../../mozi-store/tests/fixtures/v1.db");

/// A board that does not run, with the database of an earlier version in its data folder.
fn of_version_1() -> Board {
    let mut board = Setup::agents(&[]).start();
    board.down(15);
    for name in ["mozi.db", "mozi.db-wal", "mozi.db-shm"] {
        drop(fs::remove_file(board.data().join(name)));
    }
    fs::write(board.data().join("mozi.db"), VERSION_1).unwrap();
    board
}

fn backups(board: &Board) -> Vec<PathBuf> {
    let entries = fs::read_dir(board.data().join("backups")).into_iter().flatten();
    entries.map(|e| e.unwrap().path()).collect()
}

#[test]
fn an_older_database_is_copied_before_it_is_changed() {
    let mut board = of_version_1();
    board.up();
    let copies = backups(&board);
    let [copy] = copies.as_slice() else { panic!("{copies:?}") };
    assert!(board.log().contains(&copy.display().to_string()), "{}", board.log());
    assert_eq!(format_of(copy), 1);
    let tasks = board.get("/api/projects/default/tasks");
    assert_eq!(tasks["items"].as_array().unwrap().len(), 4, "{tasks:#}");
    assert_eq!(board.get("/api/projects/app/tasks/1")["status"], "done");
    board.down(15);
    board.up();
    assert_eq!(backups(&board).len(), 1, "nothing is to be changed a second time");
    board.finish();
}

#[test]
fn without_the_copy_nothing_is_changed() {
    let mut board = of_version_1();
    fs::write(board.data().join("backups"), "in the way").unwrap();
    let out = board.mozi(&["serve", "--listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("without a copy of it") && said.contains("make room"), "{said}");
    assert_eq!(fs::read(board.data().join("mozi.db")).unwrap(), VERSION_1, "not a byte of it was changed");
    fs::remove_file(board.data().join("backups")).unwrap();
    board.up();
    assert_eq!(backups(&board).len(), 1);
    board.finish();
}

/// The number that `SQLite` keeps for its user, from the header of the file.
fn format_of(path: &std::path::Path) -> u32 {
    let bytes = fs::read(path).unwrap();
    u32::from_be_bytes(bytes[60..64].try_into().unwrap())
}
