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
        assert!(matches!(e, OpenError::Newer { found: 7, .. }), "{e:?}");
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
    assert!(matches!(e, OpenError::Older { found: 0, .. }), "{e:?}");
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

/// A board as version 1 wrote it: five tasks, seven attempts, comments, outputs, a revoked token.
fn version_1(folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("mozi.db");
    std::fs::write(&path, include_bytes!("../fixtures/v1.db")).unwrap();
    path
}

#[test]
fn a_database_of_version_1_is_brought_up_to_date_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = version_1(folder.path());
    let before = mozi_store::contents(&path).unwrap();
    assert_eq!((before.format, before.projects, before.tasks, before.attempts), (1, 2, 5, 7));
    let refused = Store::open_read_only(&path).unwrap_err();
    assert!(matches!(refused, OpenError::Older { found: 1, .. }), "{refused:?}");
    let format = mozi_store::format_of(&path).unwrap().unwrap();
    assert_eq!(format.found, 1);

    drop(Store::open(Options::new(&path, "another")).unwrap());
    let after_it = mozi_store::contents(&path).unwrap();
    assert_eq!(mozi_store::Contents { format: 1, ..after_it.clone() }, before);
    assert_eq!(after_it.format, format.known);
    let store = Store::open_read_only(&path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(store.check(after(0))).unwrap(), Vec::<String>::new());
    let of_app = runtime.block_on(store.events(Some(&crate::support::id("app")), 0, 500)).unwrap();
    assert!(of_app.events.len() > 20, "{}", of_app.events.len());
    // Whoever had a token is a user now, and may what they might.
    let users = runtime.block_on(store.users()).unwrap();
    let users: Vec<_> = users.iter().map(|u| (u.name.as_str(), u.role, u.project.clone())).collect();
    assert_eq!(users, [("owner", mozi_core::UserRole::Admin, None)]);
}

/// An older version that is started on the migrated database refuses it; but whoever still has it open goes on.
#[test]
fn what_version_1_asks_is_still_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = version_1(folder.path());
    drop(Store::open(Options::new(&path, "x")).unwrap());
    let old = Connection::open_in_memory().unwrap();
    old.execute_batch(include_str!("../../migrations/sqlite/0001_init.sql")).unwrap();
    let db = Connection::open(&path).unwrap();
    let mut tables = old
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .unwrap();
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap();
    assert!(tables.len() > 12, "{tables:?}");
    for table in tables {
        let mut columns = old.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).unwrap();
        let columns: Vec<String> =
            columns.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap();
        db.prepare(&format!("SELECT {} FROM {table}", columns.join(", "))).unwrap();
    }
}

#[test]
fn a_copy_is_made_while_the_board_works_and_never_over_another_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let d = Disk::new();
    d.done(board(after(0), project("app", vec![])));
    let path = d.folder.path().join("mozi.db");
    let target = d.folder.path().join("copy.db");
    mozi_store::copy(&path, &target).unwrap();
    d.done(board(after(1), project("later", vec![])));
    assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(mozi_store::unsound(&target).unwrap(), Vec::<String>::new());
    let copied = mozi_store::contents(&target).unwrap();
    assert_eq!((copied.projects, copied.last_seq), (1, 1));
    let whole = std::fs::read(&target).unwrap();
    let again = mozi_store::copy(&path, &target).unwrap_err();
    assert!(matches!(again, mozi_store::CopyError::Target { .. }), "{again:?}");
    assert_eq!(std::fs::read(&target).unwrap(), whole, "the file that was there is as it was");
    let nowhere = mozi_store::copy(&d.folder.path().join("none.db"), &d.folder.path().join("x")).unwrap_err();
    assert!(matches!(nowhere, mozi_store::CopyError::Failed { .. }), "{nowhere:?}");
    assert!(!d.folder.path().join("x").exists());
}
