//! Databases of this version, of others, and of nobody.

use mozi_store::{OpenError, Options, Store};
use rusqlite::Connection;

use crate::support::{Disk, after, board, project};

fn schema(db: &Connection) -> String {
    let mut statement = db
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type DESC, name")
        .unwrap();
    let all = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    all.map(|sql| sql.unwrap() + ";\n").collect()
}

/// What all migrations together give is written down; `UPDATE=1` writes it anew.
#[test]
fn the_schema_is_the_one_written_down() {
    let d = Disk::new();
    let found = schema(&Connection::open(d.folder.path().join("mozi.db")).unwrap());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite/schema.sql");
    #[expect(clippy::disallowed_methods, reason = "how golden files are renewed")]
    let update = std::env::var_os("UPDATE").is_some();
    if update {
        std::fs::write(path, &found).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    assert!(
        found == written,
        "migrations/sqlite/schema.sql is not what the migrations give: run with UPDATE=1"
    );
}

#[test]
fn a_board_keeps_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mozi.db");
    let first = Store::open(Options::new(&path, "first")).unwrap();
    assert_eq!(first.board_id(), "first");
    drop(first);
    assert_eq!(Store::open(Options::new(&path, "second")).unwrap().board_id(), "first");
    assert_eq!(Store::open_read_only(&path).unwrap().board_id(), "first");
}

#[test]
fn a_database_of_a_newer_version_is_refused_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mozi.db");
    drop(Store::open(Options::new(&path, "x")).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
    for refused in [Store::open(Options::new(&path, "x")), Store::open_read_only(&path)] {
        let e = refused.unwrap_err();
        assert!(matches!(e, OpenError::Newer { found: 7, known: 2, .. }), "{e:?}");
        assert!(e.to_string().contains("mozi.db"), "{e}");
    }
    let version: u32 =
        Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |r| r.get(0)).unwrap();
    assert_eq!(version, 7, "it is left as it was");
}

#[test]
fn an_older_one_is_not_read_as_if_it_were_new() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mozi.db");
    drop(Store::open(Options::new(&path, "x")).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 0).unwrap();
    let e = Store::open_read_only(&path).unwrap_err();
    assert!(matches!(e, OpenError::Older { found: 0, known: 2, .. }), "{e:?}");
}

#[test]
fn what_is_no_board_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mozi.db");
    let open = || Store::open(Options::new(&path, "x"));
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(open().unwrap_err(), OpenError::Corrupt { .. }));
    std::fs::write(&path, "this is a text and no database at all, whatever its name may say").unwrap();
    assert!(matches!(open().unwrap_err(), OpenError::Corrupt { .. }), "{:?}", open().unwrap_err());
    let nowhere = Store::open(Options::new(folder.path().join("no/where.db"), "x")).unwrap_err();
    assert!(matches!(nowhere, OpenError::Io { .. }), "{nowhere:?}");
    let nothing = Store::open_read_only(&folder.path().join("nothing.db")).unwrap_err();
    assert!(matches!(nothing, OpenError::Io { .. }), "{nothing:?}");
    assert!(!folder.path().join("nothing.db").exists());
}

#[test]
fn a_board_that_is_only_looked_at_takes_nothing() {
    let d = Disk::new();
    d.done(board(after(0), project("app", vec![])));
    let looked = Store::open_read_only(&d.folder.path().join("mozi.db")).unwrap();
    assert!(d.ask(looked.project(&crate::support::id("app"))).unwrap().is_some());
    assert_eq!(d.ask(looked.check(after(0))).unwrap(), Vec::<String>::new());
    let answer = d.ask(looked.submit(board(after(1), project("more", vec![])), None));
    assert!(matches!(answer, Err(mozi_store::SubmitError::Unavailable(_))), "{answer:?}");
    assert_eq!(looked.subscribe().borrow().seq, 1);
}

#[test]
fn the_file_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let d = Disk::new();
    d.done(board(after(0), project("app", vec![])));
    for name in ["mozi.db", "mozi.db-wal", "mozi.db-shm"] {
        let mode = std::fs::metadata(d.folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn columns_of_the_contract_keep_their_names() {
    let d = Disk::new();
    let db = Connection::open(d.folder.path().join("mozi.db")).unwrap();
    for sql in [
        "SELECT task_id, attempt_number, agent, outcome, exit_code, metadata, completed_at FROM task_attempts",
        "SELECT task_id, agent, event_type, detail FROM events",
        "SELECT agent, type, title, content, summary FROM outputs",
        "SELECT author, body FROM comments",
    ] {
        db.prepare(sql).unwrap();
    }
}
