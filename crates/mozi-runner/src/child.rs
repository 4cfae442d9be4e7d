//! Helper programs of a project: bootstraps and hooks. They get JSON, have little time, and leave nothing running.

use std::pin::Pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::config::RunnerConfig;

/// So much of a program's complaints is told.
const COMPLAINT_LIMIT: u64 = 2_000;

/// Runs a command in the configuration's folder with `input` on its standard input, and returns what it printed.
///
/// # Errors
/// Why it did not do its work, in words.
pub(crate) async fn run(
    config: &RunnerConfig,
    command: &[String],
    input: Vec<u8>,
    most: u64,
    limit: Duration,
) -> Result<Vec<u8>, String> {
    let (program, args) = command.split_first().ok_or("its command is empty")?;
    let mut child = tokio::process::Command::new(crate::runtime::program_path(&config.config_dir, program))
        .args(args)
        .current_dir(&config.config_dir)
        .env_clear()
        .envs(config.base_env.iter().filter(|(name, _)| !crate::is_outer_mark(name)).cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .process_group(0)
        .spawn()
        .map_err(|error| format!("could not start {program}: {error}"))?;
    let group = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let reaped = AtomicBool::new(false);
    let work = async {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A program that does not want to know is not in the wrong.
                drop(stdin.write_all(&input).await);
            }
        };
        let out = read(stdout.map(|s| Box::pin(s) as _), most.saturating_add(1));
        let err = read(stderr.map(|s| Box::pin(s) as _), COMPLAINT_LIMIT);
        let ((), out, err) = tokio::join!(feed, out, err);
        let (out, err) = (out?, err?);
        if u64::try_from(out.len()).unwrap_or(u64::MAX) > most {
            return Err(format!("it printed more than {most} bytes"));
        }
        let status = child.wait().await.map_err(|error| error.to_string())?;
        reaped.store(true, Ordering::Relaxed);
        if status.success() {
            Ok(out)
        } else {
            Err(format!("{status}: {}", String::from_utf8_lossy(&err).trim()))
        }
    };
    let result = tokio::time::timeout(limit, work).await;
    // Not yet waited for, so the number is still its own.
    if let Some(group) = group.filter(|_| !reaped.load(Ordering::Relaxed))
        && let Err(error) = kill_process_group(group, Signal::KILL)
    {
        tracing::debug!("could not end what {program} had started: {error}");
    }
    result.unwrap_or_else(|_| Err(format!("it took longer than {}", mozi_api::wire::show_duration(limit))))
}

async fn read(from: Option<Pin<Box<dyn AsyncRead + Send>>>, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(limit).read_to_end(&mut bytes).await.map_err(|error| error.to_string())?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    async fn check(script: &str, limit: Duration) -> Result<String, String> {
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
        run(&config, &command, b"{\"a\":1}".to_vec(), 1_000_000, limit)
            .await
            .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[tokio::test]
    async fn it_gets_json_and_gives_text() {
        let minute = Duration::from_mins(1);
        assert_eq!(check("read x; echo got $x", minute).await.unwrap(), "got {\"a\":1}\n");
        assert_eq!(check("echo no stdin read", minute).await.unwrap(), "no stdin read\n");
        assert!(check("echo because >&2; exit 3", minute).await.unwrap_err().contains("because"));
        assert!(check("head -c 2000000 /dev/zero", minute).await.unwrap_err().contains("more than"));
        assert!(check("exec no-such-program", minute).await.is_err());
    }

    #[tokio::test]
    async fn its_time_is_limited_with_all_that_it_started() {
        let mark = "43217.5";
        let slow = check(&format!("sleep {mark} & sleep {mark}"), Duration::from_millis(200)).await;
        assert!(slow.unwrap_err().contains("longer than"));
        let gone = || {
            let all = std::fs::read_dir("/proc").unwrap().flatten();
            let lines = all.filter_map(|p| std::fs::read(p.path().join("cmdline")).ok());
            lines.filter(|line| String::from_utf8_lossy(line).contains(mark)).count() == 0
        };
        mozi_testing::wait_until(Duration::from_secs(20), "its processes are gone", async || gone()).await;
    }
}
