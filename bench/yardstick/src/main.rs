//! Physical anchors for Mozi: what this machine can do at best.
//! Every subcommand prints one line of `key=value` pairs; see ../README.md.
use std::{
    env, fs,
    io::Write,
    os::unix::fs::FileExt,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{params, Connection};

mod agent;
mod serve;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS task(
  id INTEGER PRIMARY KEY, project TEXT NOT NULL, title TEXT NOT NULL, status TEXT NOT NULL,
  priority INTEGER NOT NULL, attempt INTEGER NOT NULL DEFAULT 0, fence INTEGER NOT NULL DEFAULT 0,
  detail TEXT, updated_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS event(
  seq INTEGER PRIMARY KEY, task_id INTEGER NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL, at INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS event_task ON event(task_id, seq);
";

pub fn open(path: &str) -> Connection {
    let c = Connection::open(path).unwrap();
    c.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=5000; PRAGMA cache_size=-65536;")
        .unwrap();
    if let Ok(pages) = env::var("AUTOCHECKPOINT") {
        c.pragma_update(None, "wal_autocheckpoint", pages.parse::<i64>().unwrap()).unwrap();
    }
    c.set_prepared_statement_cache_capacity(64);
    c.execute_batch(SCHEMA).unwrap();
    c
}

fn wipe(path: &str) {
    for s in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{path}{s}"));
    }
}

pub fn seed_tasks(c: &mut Connection, n: i64, status: &str) {
    let tx = c.transaction().unwrap();
    {
        let mut s = tx
            .prepare("INSERT INTO task(project,title,status,priority,detail,updated_at) VALUES('p',?1,?2,?3,?4,?5)")
            .unwrap();
        for i in 0..n {
            s.execute(params![format!("task number {i}"), status, i % 10, "a realistic description of some eighty bytes so that rows are not tiny at all", i])
                .unwrap();
        }
    }
    tx.commit().unwrap();
}

/// One board command: a guarded update of the task row and its event.
pub fn apply(c: &Connection, id: i64, n: i64) {
    let k = c
        .prepare_cached("UPDATE task SET status='working', fence=fence+1, updated_at=?2 WHERE id=?1 AND status<>'done'")
        .unwrap()
        .execute(params![id, n])
        .unwrap();
    assert_eq!(k, 1);
    c.prepare_cached("INSERT INTO event(task_id,kind,detail,at) VALUES(?1,'status','{\"from\":\"claimed\",\"to\":\"working\",\"agent\":\"worker-1\"}',?2)")
        .unwrap()
        .execute(params![id, n])
        .unwrap();
}

fn pct(v: &mut [u64], p: f64) -> f64 {
    v.sort_unstable();
    v[((v.len() - 1) as f64 * p) as usize] as f64 / 1000.0
}

fn arg<T: std::str::FromStr>(i: usize, d: T) -> T {
    env::args().nth(i).and_then(|s| s.parse().ok()).unwrap_or(d)
}

fn bench_fsync(dir: &str, n: usize) {
    for mode in ["append", "overwrite"] {
        let p = Path::new(dir).join("fsync.bin");
        let f = fs::OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&p).unwrap();
        let buf = [7u8; 4096];
        if mode == "overwrite" {
            for i in 0..n {
                f.write_all_at(&buf, i as u64 * 4096).unwrap();
            }
            f.sync_all().unwrap();
        }
        let mut lat = Vec::with_capacity(n);
        let t0 = Instant::now();
        for i in 0..n {
            let t = Instant::now();
            f.write_all_at(&buf, i as u64 * 4096).unwrap();
            f.sync_data().unwrap();
            lat.push(t.elapsed().as_nanos() as u64);
        }
        let rate = n as f64 / t0.elapsed().as_secs_f64();
        println!("fsync mode={mode} per_s={rate:.0} p50_us={:.0} p99_us={:.0}", pct(&mut lat, 0.5), pct(&mut lat, 0.99));
        fs::remove_file(p).unwrap();
    }
}

fn bench_sqlite(dir: &str, batch: usize, secs: f64) {
    let path = format!("{dir}/commit.db");
    wipe(&path);
    let mut c = open(&path);
    seed_tasks(&mut c, 10_000, "claimed");
    let (mut cmds, mut i) = (0u64, 0i64);
    let mut lat = vec![];
    let t0 = Instant::now();
    while t0.elapsed().as_secs_f64() < secs {
        let t = Instant::now();
        c.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..batch {
            i = (i * 7 + 13) % 10_000;
            apply(&c, i + 1, cmds as i64);
            cmds += 1;
        }
        c.execute_batch("COMMIT").unwrap();
        lat.push(t.elapsed().as_nanos() as u64);
    }
    let el = t0.elapsed().as_secs_f64();
    println!(
        "sqlite batch={batch} commands_per_s={:.0} commits_per_s={:.0} commit_p50_us={:.0} commit_p99_us={:.0}",
        cmds as f64 / el,
        lat.len() as f64 / el,
        pct(&mut lat, 0.5),
        pct(&mut lat, 0.99)
    );
    drop(c);
    wipe(&path);
}

/// `clients` threads each wait for their own acknowledgement: what group commit gives without HTTP.
fn bench_group(dir: &str, clients: usize, secs: f64) {
    let path = format!("{dir}/group.db");
    wipe(&path);
    let mut c = open(&path);
    seed_tasks(&mut c, 10_000, "claimed");
    let (tx, rx) = std::sync::mpsc::channel::<(i64, thread::Thread, Arc<std::sync::atomic::AtomicBool>)>();
    let writer = thread::spawn(move || {
        let (mut commits, mut cmds) = (0u64, 0u64);
        let mut batch = vec![];
        while let Ok(first) = rx.recv() {
            batch.push(first);
            while batch.len() < 1000 {
                match rx.try_recv() {
                    Ok(m) => batch.push(m),
                    Err(_) => break,
                }
            }
            c.execute_batch("BEGIN IMMEDIATE").unwrap();
            for (id, _, _) in &batch {
                apply(&c, *id, cmds as i64);
                cmds += 1;
            }
            c.execute_batch("COMMIT").unwrap();
            commits += 1;
            for (_, t, done) in batch.drain(..) {
                done.store(true, std::sync::atomic::Ordering::Release);
                t.unpark();
            }
        }
        (commits, cmds)
    });
    let bar = Arc::new(Barrier::new(clients + 1));
    let hs: Vec<_> = (0..clients)
        .map(|k| {
            let (tx, bar) = (tx.clone(), bar.clone());
            thread::Builder::new()
                .stack_size(128 * 1024)
                .spawn(move || {
                    bar.wait();
                    let t0 = Instant::now();
                    let mut lat = vec![];
                    let mut i = k as i64;
                    while t0.elapsed().as_secs_f64() < secs {
                        i = (i * 7 + 13) % 10_000;
                        let t = Instant::now();
                        let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
                        tx.send((i + 1, thread::current(), done.clone())).unwrap();
                        while !done.load(std::sync::atomic::Ordering::Acquire) {
                            thread::park();
                        }
                        lat.push(t.elapsed().as_nanos() as u64);
                    }
                    lat
                })
                .unwrap()
        })
        .collect();
    bar.wait();
    let t0 = Instant::now();
    let mut lat: Vec<u64> = hs.into_iter().flat_map(|h| h.join().unwrap()).collect();
    let el = t0.elapsed().as_secs_f64();
    drop(tx);
    let (commits, cmds) = writer.join().unwrap();
    println!(
        "group clients={clients} commands_per_s={:.0} commits_per_s={:.0} mean_batch={:.1} ack_p50_us={:.0} ack_p99_us={:.0}",
        cmds as f64 / el,
        commits as f64 / el,
        cmds as f64 / commits as f64,
        pct(&mut lat, 0.5),
        pct(&mut lat, 0.99)
    );
    wipe(&path);
}

fn posix_spawn_true() {
    unsafe {
        let mut pid: libc::pid_t = 0;
        let prog = c"/bin/true".as_ptr();
        let argv = [prog as *mut libc::c_char, std::ptr::null_mut()];
        let envp = [std::ptr::null_mut::<libc::c_char>()];
        assert_eq!(libc::posix_spawn(&mut pid, prog, std::ptr::null(), std::ptr::null(), argv.as_ptr(), envp.as_ptr()), 0);
        let mut st = 0;
        assert_eq!(libc::waitpid(pid, &mut st, 0), pid);
    }
}

fn fork_true() {
    unsafe {
        let prog = c"/bin/true".as_ptr();
        let argv = [prog, std::ptr::null()];
        let envp = [std::ptr::null::<libc::c_char>()];
        let pid = libc::fork();
        if pid == 0 {
            libc::setsid();
            libc::execve(prog, argv.as_ptr(), envp.as_ptr());
            libc::_exit(127);
        }
        let mut st = 0;
        assert_eq!(libc::waitpid(pid, &mut st, 0), pid);
    }
}

fn bench_spawn(mode: &str, threads: usize, n: usize) {
    let t0 = Instant::now();
    let hs: Vec<_> = (0..threads)
        .map(|_| {
            let mode = mode.to_string();
            thread::spawn(move || {
                let mut lat = vec![];
                for _ in 0..n / threads {
                    let t = Instant::now();
                    match mode.as_str() {
                        "posix_spawn" => posix_spawn_true(),
                        "fork" => fork_true(),
                        // the supervisor's shape: this binary again, which starts /bin/true and waits for it
                        "supervised" => {
                            let st = Command::new("/proc/self/exe").args(["supervise", "/bin/true"]).stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
                            assert!(st.success());
                        }
                        _ => panic!("mode"),
                    }
                    lat.push(t.elapsed().as_nanos() as u64);
                }
                lat
            })
        })
        .collect();
    let mut lat: Vec<u64> = hs.into_iter().flat_map(|h| h.join().unwrap()).collect();
    let el = t0.elapsed().as_secs_f64();
    println!(
        "spawn mode={mode} threads={threads} per_s={:.0} p50_us={:.0} p99_us={:.0}",
        lat.len() as f64 / el,
        pct(&mut lat, 0.5),
        pct(&mut lat, 0.99)
    );
}

fn bench_history(dir: &str) {
    for &finished in &[1_000i64, 100_000, 1_000_000] {
        let path = format!("{dir}/history.db");
        wipe(&path);
        let mut c = open(&path);
        c.execute_batch("PRAGMA synchronous=OFF").unwrap();
        seed_tasks(&mut c, finished, "done");
        seed_tasks(&mut c, 6_000, "pending");
        c.execute_batch("PRAGMA synchronous=FULL; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
        for index in ["none", "full_status", "partial_pending"] {
            c.execute_batch("DROP INDEX IF EXISTS i_claim").unwrap();
            match index {
                "full_status" => c.execute_batch("CREATE INDEX i_claim ON task(status, priority, id)").unwrap(),
                "partial_pending" => c.execute_batch("CREATE INDEX i_claim ON task(priority, id) WHERE status='pending'").unwrap(),
                _ => {}
            }
            c.execute_batch("ANALYZE; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
            let n = if index == "none" { if finished >= 1_000_000 { 20 } else { 200 } } else { 1000 };
            let (mut sel, mut full) = (vec![], vec![]);
            for _ in 0..n {
                let t = Instant::now();
                let id: i64 = c
                    .prepare_cached("SELECT id FROM task WHERE status='pending' ORDER BY priority, id LIMIT 1")
                    .unwrap()
                    .query_row([], |r| r.get(0))
                    .unwrap();
                sel.push(t.elapsed().as_nanos() as u64);
                let t = Instant::now();
                c.execute_batch("BEGIN IMMEDIATE").unwrap();
                let got: i64 = c
                    .prepare_cached("UPDATE task SET status='claimed', fence=fence+1 WHERE id=(SELECT id FROM task WHERE status='pending' ORDER BY priority, id LIMIT 1) RETURNING id")
                    .unwrap()
                    .query_row([], |r| r.get(0))
                    .unwrap();
                assert_eq!(id, got);
                c.execute_batch("COMMIT").unwrap();
                full.push(t.elapsed().as_nanos() as u64);
            }
            println!(
                "history finished={finished} index={index} select_p50_us={:.1} select_p99_us={:.1} claim_commit_p50_us={:.0} claim_commit_p99_us={:.0}",
                pct(&mut sel, 0.5), pct(&mut sel, 0.99), pct(&mut full, 0.5), pct(&mut full, 0.99)
            );
        }
        // the board's list: 100 newest tasks of one project
        for index in ["none", "project_updated"] {
            if index != "none" {
                c.execute_batch("CREATE INDEX i_board ON task(project, updated_at DESC, id DESC)").unwrap();
            }
            let mut lat = vec![];
            for _ in 0..20 {
                let t = Instant::now();
                let mut s = c.prepare_cached("SELECT id,title,status,priority,attempt,detail,updated_at FROM task WHERE project='p' ORDER BY updated_at DESC, id DESC LIMIT 100").unwrap();
                let mut rows = s.query([]).unwrap();
                let mut k = 0;
                while let Some(r) = rows.next().unwrap() {
                    let _: String = r.get(1).unwrap();
                    k += 1;
                }
                assert_eq!(k, 100);
                lat.push(t.elapsed().as_nanos() as u64);
            }
            println!("board finished={finished} index={index} list100_p50_us={:.0} max_us={:.0}", pct(&mut lat, 0.5), pct(&mut lat, 1.0));
        }
        let mut lat = vec![];
        for _ in 0..20 {
            let t = Instant::now();
            let _: i64 = c.query_row("SELECT count(*) FROM (SELECT status FROM task WHERE project='p' GROUP BY status)", [], |r| r.get(0)).unwrap();
            lat.push(t.elapsed().as_nanos() as u64);
            if lat[0] > 200_000_000 && lat.len() > 3 { break; }
        }
        println!("board finished={finished} counts_by_status_p50_us={:.0}", pct(&mut lat, 0.5));
        println!("history finished={finished} db_bytes={}", fs::metadata(&path).unwrap().len());
        drop(c);
        wipe(&path);
    }
}

fn smaps(pid: u32) -> (u64, u64, u64) {
    let s = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let get = |k: &str| s.lines().find(|l| l.starts_with(k)).and_then(|l| l.split_whitespace().nth(1)).and_then(|v| v.parse().ok()).unwrap_or(0);
    (get("Rss:"), get("Pss:"), get("Private_Dirty:"))
}

/// Memory of `n` supervisors, each holding one sleeping child.
fn bench_supmem(n: usize) {
    let mut ch: Vec<_> = (0..n)
        .map(|_| Command::new("/proc/self/exe").args(["supervise", "/bin/sleep", "30"]).stdin(Stdio::null()).spawn().unwrap())
        .collect();
    thread::sleep(Duration::from_millis(800));
    let m: Vec<_> = ch.iter().map(|c| smaps(c.id())).collect();
    let avg = |f: fn(&(u64, u64, u64)) -> u64| m.iter().map(f).sum::<u64>() / n as u64;
    println!("supervisor n={n} rss_kib={} pss_kib={} private_dirty_kib={}", avg(|x| x.0), avg(|x| x.1), avg(|x| x.2));
    for c in &mut ch {
        let kids = fs::read_to_string(format!("/proc/{0}/task/{0}/children", c.id())).unwrap_or_default();
        for k in kids.split_whitespace() {
            unsafe { libc::kill(k.parse().unwrap(), libc::SIGKILL) };
        }
        let _ = c.wait();
    }
}

fn supervise() -> ! {
    unsafe { libc::setsid() };
    let a: Vec<String> = env::args().skip(2).collect();
    let st = Command::new(&a[0]).args(&a[1..]).stdout(Stdio::null()).status().unwrap();
    std::process::exit(st.code().unwrap_or(1));
}

fn main() {
    let dir = env::var("PERF_DIR").unwrap_or_else(|_| ".".into());
    match arg::<String>(1, String::new()).as_str() {
        "fsync" => bench_fsync(&dir, arg(2, 2000)),
        "sqlite" => bench_sqlite(&dir, arg(2, 1), arg(3, 3.0)),
        "group" => bench_group(&dir, arg(2, 64), arg(3, 3.0)),
        "spawn" => bench_spawn(&arg::<String>(2, "posix_spawn".into()), arg(3, 1), arg(4, 2000)),
        "history" => bench_history(&dir),
        "supmem" => bench_supmem(arg(2, 50)),
        "supervise" => supervise(),
        "stamp" => agent::stamp(&arg::<String>(2, "stamps".into())),
        "life" => agent::life(),
        "serve" => serve::run(arg(2, 18080), &format!("{dir}/serve.db")),
        "sse" => serve::sse_clients(arg(2, 18080), arg(3, 1000), arg(4, 20)),
        "load" => serve::load(arg(2, 18080), &arg::<String>(3, "status".into()), arg(4, 64), arg(5, 3.0)),
        "smaps" => {
            let m = smaps(arg(2, 1));
            println!("smaps rss_kib={} pss_kib={} private_dirty_kib={}", m.0, m.1, m.2);
        }
        _ => {
            writeln!(std::io::stderr(), "yardstick fsync|sqlite|group|spawn|history|supmem|serve|sse|load|smaps|stamp|life ...").unwrap();
            std::process::exit(2);
        }
    }
}
