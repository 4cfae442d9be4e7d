//! Helper programs of a project: bootstraps and hooks. They get JSON, have little time, and leave nothing running.

use std::collections::VecDeque;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::config::RunnerConfig;

/// So much of what a program printed last is told.
const LAST_WORDS: usize = 2_000;
/// So long what a program has left behind is looked for.
const PATIENCE: Duration = Duration::from_secs(5);
/// The variable that marks a helper and all that it starts.
const MARK: &str = "MOZI_HELPER_ID";

/// Ends what a run with this mark has left behind when it was cut off.
///
/// # Errors
/// What is left then, in words.
pub(crate) fn end_left(mark: &str) -> Result<(), String> {
    mozi_supervise::end_marked(MARK, mark, PATIENCE)
}

/// What a program's output is for. Beyond the limit it is ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Output {
    /// All of it is wanted, at most so many bytes.
    All(u64),
    /// Only its last words, for people; so many bytes are read and thrown away.
    LastWords(u64),
}

impl Output {
    const fn limit(self) -> u64 {
        match self {
            Self::All(limit) | Self::LastWords(limit) => limit,
        }
    }
}

/// Runs a command in the configuration's folder with `input` on its standard input, and returns what it printed, if
/// that is wanted. When this returns, all that it has started has been ended.
///
/// # Errors
/// Why it did not do its work, in words, with what it printed last.
pub(crate) async fn run(
    config: &RunnerConfig,
    command: &[String],
    mark: String,
    input: Vec<u8>,
    output: Output,
    limit: Duration,
) -> Result<Vec<u8>, String> {
    let (program, args) = command.split_first().ok_or("its command is empty")?;
    let mut child = tokio::process::Command::new(crate::runtime::program_path(&config.config_dir, program))
        .args(args)
        .current_dir(&config.config_dir)
        .env_clear()
        .envs(config.base_env.iter().filter(|(name, _)| !crate::is_outer_mark(name)).cloned())
        .env(MARK, &mark)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .process_group(0)
        .spawn()
        .map_err(|error| format!("could not start {program}: {error}"))?;
    let end = EndAll { mark, done: AtomicBool::new(false) };
    let (out, err) = (Heard::default(), Heard::default());
    let work = async {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A program that does not want to know is not in the wrong.
                drop(stdin.write_all(&input).await);
            }
            Ok(())
        };
        let hear_out = out.listen(stdout.map(|s| Box::pin(s) as _), output);
        let hear_err = err.listen(stderr.map(|s| Box::pin(s) as _), Output::LastWords(output.limit()));
        let status = async {
            let status = child.wait().await.map_err(|error| error.to_string())?;
            // What is left of it may hold its output open for ever.
            end.now().await?;
            Ok(status)
        };
        let ((), (), (), status) = tokio::try_join!(feed, hear_out, hear_err, status)?;
        if status.success() { Ok(()) } else { Err(status.to_string()) }
    };
    let result = tokio::time::timeout(limit, work).await;
    let left = end.now().await;
    let result = result
        .unwrap_or_else(|_| Err(format!("it took longer than {}", mozi_api::wire::show_duration(limit))));
    match (result, left) {
        (Ok(()), Ok(())) => Ok(out.whole()),
        (Ok(()), Err(left)) => Err(left),
        (Err(why), _) => Err(format!("{why}{}", last_words(&err, &out))),
    }
}

/// What it complained last, else what it said last.
fn last_words(err: &Heard, out: &Heard) -> String {
    let words = [err, out].map(Heard::last);
    words.into_iter().find(|w| !w.is_empty()).map(|w| format!(": {w}")).unwrap_or_default()
}

/// What was read of a stream so far.
#[derive(Debug, Default)]
struct Heard(Mutex<Read>);

#[derive(Debug, Default)]
struct Read {
    all: Vec<u8>,
    last: VecDeque<u8>,
    count: u64,
}

impl Heard {
    fn with<T>(&self, what: impl FnOnce(&mut Read) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn listen(
        &self,
        from: Option<Pin<Box<dyn AsyncRead + Send>>>,
        output: Output,
    ) -> Result<(), String> {
        let Some(mut from) = from else { return Ok(()) };
        let mut piece = vec![0; 16 * 1024];
        loop {
            let n = from.read(&mut piece).await.map_err(|error| error.to_string())?;
            let Some(bytes) = piece.get(..n).filter(|b| !b.is_empty()) else { return Ok(()) };
            let count = self.with(|read| {
                read.count += bytes.len() as u64;
                if matches!(output, Output::All(_)) {
                    read.all.extend_from_slice(bytes);
                }
                read.last.extend(bytes);
                let over = read.last.len().saturating_sub(LAST_WORDS);
                read.last.drain(..over);
                read.count
            });
            if count > output.limit() {
                return Err(format!("it printed more than {} bytes", output.limit()));
            }
        }
    }

    fn whole(&self) -> Vec<u8> {
        self.with(|read| std::mem::take(&mut read.all))
    }

    fn last(&self) -> String {
        let bytes: Vec<u8> = self.with(|read| read.last.iter().copied().collect());
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

/// Ends what a helper has started, also when whoever waits for it has gone away.
struct EndAll {
    mark: String,
    done: AtomicBool,
}

impl EndAll {
    async fn now(&self) -> Result<(), String> {
        if self.done.load(Ordering::Relaxed) {
            return Ok(());
        }
        let ended = self.begin(&tokio::runtime::Handle::current()).await;
        self.done.store(true, Ordering::Relaxed);
        ended.unwrap_or_else(|error| Err(error.to_string()))
    }

    fn begin(&self, runtime: &tokio::runtime::Handle) -> tokio::task::JoinHandle<Result<(), String>> {
        let mark = self.mark.clone();
        runtime.spawn_blocking(move || mozi_supervise::end_marked(MARK, &mark, PATIENCE))
    }
}

impl Drop for EndAll {
    fn drop(&mut self) {
        if !self.done.load(Ordering::Relaxed)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            // Whoever could be told has gone away.
            drop(self.begin(&runtime));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    async fn check(script: &str, output: Output, limit: Duration) -> Result<String, String> {
        let config = RunnerConfig {
            id: "local".parse().unwrap(),
            data_dir: "/".into(),
            config_dir: "/".into(),
            max_sessions: 1,
            agents: BTreeMap::new(),
            projects: BTreeMap::new(),
            bootstraps: BTreeMap::new(),
            hooks: Vec::new(),
            agent_url: String::new(),
            exe: "/proc/self/exe".into(),
            mozi_link: "/".into(),
            base_env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            dry_run: false,
            version: String::new(),
        };
        let command = ["bash", "-c", script].map(str::to_owned);
        let mark = crate::fresh_key().unwrap();
        run(&config, &command, mark, b"{\"a\":1}".to_vec(), output, limit)
            .await
            .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    const MINUTE: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn it_gets_json_and_gives_text() {
        let all = Output::All(1_000_000);
        assert_eq!(check("read x; echo got $x", all, MINUTE).await.unwrap(), "got {\"a\":1}\n");
        assert_eq!(check("echo no stdin read", all, MINUTE).await.unwrap(), "no stdin read\n");
        assert!(check("echo because >&2; exit 3", all, MINUTE).await.unwrap_err().contains("because"));
        assert!(check("head -c 2000000 /dev/zero", all, MINUTE).await.unwrap_err().contains("more than"));
        assert!(check("exec no-such-program", all, MINUTE).await.is_err());
        let loud = "head -c 900000 /dev/zero >&2; echo quiet";
        assert_eq!(check(loud, all, MINUTE).await.unwrap(), "quiet\n", "complaints hold nothing up");
    }

    #[tokio::test]
    async fn of_a_flood_the_last_words_are_kept() {
        let last = Output::LastWords(1_000_000);
        assert_eq!(check("seq 10000", last, MINUTE).await.unwrap(), "");
        let why = check("seq 10000; exit 3", last, MINUTE).await.unwrap_err();
        assert!(why.contains("exit status: 3") && why.ends_with("\n10000") && why.len() < 2_100, "{why}");
        let why = check("yes flood", last, MINUTE).await.unwrap_err();
        assert!(why.contains("more than 1000000 bytes"), "{why}");
    }

    /// Whoever has this text on its command line.
    fn alive(mark: &str) -> usize {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = all.filter_map(|p| std::fs::read(p.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(mark)).count()
    }

    #[tokio::test]
    async fn its_time_is_limited_with_all_that_it_started() {
        let mark = "43217.5";
        // In a session of its own, ignoring what can be ignored, with its output elsewhere.
        let hidden =
            format!("trap '' TERM HUP; setsid -f sleep {mark} > /dev/null 2>&1; echo here; sleep {mark}");
        let slow = check(&hidden, Output::All(100), Duration::from_millis(500)).await.unwrap_err();
        assert!(slow.contains("longer than") && slow.contains("here"), "{slow}");
        assert_eq!(alive(mark), 0);
    }

    #[tokio::test]
    async fn what_it_leaves_behind_when_it_ends_well_is_ended_too() {
        let mark = "43218.5";
        let behind = format!("setsid -f sleep {mark} > /dev/null 2>&1; echo done");
        assert_eq!(check(&behind, Output::All(100), MINUTE).await.unwrap(), "done\n");
        assert_eq!(alive(mark), 0);
    }
}
