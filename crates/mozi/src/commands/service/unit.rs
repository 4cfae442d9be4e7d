//! A unit of this user's systemd: its text, its name, and how systemd is asked.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::{
    config::env,
    error::{Failure, Result, plain},
};

/// The first line of a unit that is Mozi's to change.
const MARK: &str =
    "# Written by `mozi up`, which also changes it. Take this line out, and the file is yours.";

/// Variables of the shell that agents need and systemd does not know.
const CARRIED: &[&str] = &[
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// What a unit runs.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// `mozi.service`, or one with the data folder's name for a second board.
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) text: String,
}

impl Unit {
    /// The unit for a server with these words after `mozi serve`.
    pub(super) fn of(exe: &Path, data: &Path, words: &[String]) -> Result<Self> {
        let folder = env::user_config_dir().ok_or_else(|| {
            Failure::new("no folder for units is known: neither HOME nor XDG_CONFIG_HOME is set")
        })?;
        let name = name_for(data);
        let file = folder.join("systemd").join("user").join(&name);
        let carried: Vec<(&str, String)> =
            CARRIED.iter().filter_map(|name| Some((*name, env::var(name)?))).collect();
        Ok(Self { name, file, text: text(exe, data, words, &carried) })
    }

    /// Puts the file there; whether it is another one than before. One that a person has made their own stays.
    pub(super) fn write(&self) -> Result<bool> {
        match std::fs::read_to_string(&self.file) {
            Ok(there) if there == self.text || !there.starts_with(MARK) => return Ok(false),
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::io("read", &self.file, &e));
            }
            _ => {}
        }
        let folder = self.file.parent().unwrap_or_else(|| Path::new("/"));
        std::fs::create_dir_all(folder).map_err(|e| Failure::io("make the folder", folder, &e))?;
        mozi_supervise::durable_write(&self.file, self.text.as_bytes())
            .map_err(|e| Failure::new(format!("could not {e}")))?;
        Ok(true)
    }

    /// Whether systemd has it at work.
    pub(super) fn is_active(&self) -> bool {
        matches!(self.property("ActiveState").as_deref(), Some("active" | "reloading" | "activating"))
    }

    pub(super) fn property(&self, name: &str) -> Option<String> {
        let out = systemctl(&["show", "--property", name, "--value", &self.name]).ok()?;
        Some(out.trim().to_owned())
    }

    /// The last lines of its log.
    pub(super) fn log(&self) -> String {
        let unit = format!("--user-unit={}", self.name);
        let out = run("journalctl", &["--user", &unit, "--no-pager", "--lines=15", "--output=cat"]);
        out.map(|o| String::from_utf8_lossy(&o.stdout).trim_end().to_owned()).unwrap_or_default()
    }
}

/// The name of the unit for a data folder: `mozi.service` for the one that is there without saying anything.
pub(super) fn name_for(data: &Path) -> String {
    if env::default_data_dir().is_some_and(|default| default == data) {
        return "mozi.service".to_owned();
    }
    // As systemd writes paths in names: `/` is `-`, and what is no letter or digit is its number.
    let path = data.to_string_lossy();
    let mut name = String::from("mozi-");
    for (i, byte) in path.trim_matches('/').bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if i > 0 => name.push('.'),
            b if b.is_ascii_alphanumeric() || b == b'_' => name.push(char::from(b)),
            b => name.extend(["\\x".to_owned(), format!("{b:02x}")]),
        }
    }
    name + ".service"
}

/// The text of the unit. What it must not do is end agents: they have supervisors of their own, which outlive it.
pub(super) fn text(exe: &Path, data: &Path, words: &[String], carried: &[(&str, String)]) -> String {
    let exe = quoted(&exe.to_string_lossy(), true);
    let words: Vec<String> = words.iter().map(|w| quoted(w, true)).collect();
    let words = words.join(" ");
    let data = quoted(&data.to_string_lossy(), true);
    let variable = |(name, value): &(&str, String)| {
        let set = quoted(&format!("{name}={value}"), false);
        format!("Environment={set}\n")
    };
    let environment = carried.iter().map(variable).collect::<Vec<_>>().concat();
    format!(
        "{MARK}
[Unit]
Description=Mozi, a board that puts AI agents to work
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart={exe} serve {words}
ExecReload={exe} reload --data {data}
{environment}# Keys and other variables for agents may stand there, one NAME=value a line.
EnvironmentFile=-%E/mozi/env
Restart=on-failure
RestartSec=3
TimeoutStartSec=10min
TimeoutStopSec=60
# An end or a restart ends the server alone: agents at work go on.
KillMode=process
SendSIGHUP=no
# An agent that takes too much memory does not take the board with it.
OOMPolicy=continue
# Agents live in the unit's group, beside the server.
Delegate=yes
DelegateSubgroup=board
# Agents and the server see the same /tmp, before and after a restart.
PrivateTmp=no

[Install]
WantedBy=default.target
"
    )
}

/// A word of a line of a unit; of a command, where `$` begins a variable.
fn quoted(word: &str, of_a_command: bool) -> String {
    let escaped: String = word
        .chars()
        .map(|c| match c {
            '%' => "%%".to_owned(),
            '$' if of_a_command => "$$".to_owned(),
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\n' => "\\n".to_owned(),
            c => c.to_string(),
        })
        .collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@+,%$".contains(c);
    if escaped.chars().all(plain) { escaped } else { format!("\"{escaped}\"") }
}

/// Whether systemd knows a unit of this name.
pub(super) fn is_there(name: &str) -> bool {
    let state = systemctl(&["show", "--property", "LoadState", "--value", name]);
    state.is_ok_and(|s| s.trim() == "loaded")
}

/// Whether this user has a systemd to be asked; else why not.
pub(super) fn has_systemd() -> std::result::Result<(), String> {
    match systemctl(&["show", "--property", "Version", "--value"]) {
        Ok(version) if !version.trim().is_empty() => Ok(()),
        Ok(_) => Err("systemd --user does not answer".to_owned()),
        Err(e) if e.what.starts_with("could not run") => Err("there is no systemctl".to_owned()),
        Err(_) => Err("this user has none".to_owned()),
    }
}

/// `systemctl --user …`; its output.
pub(super) fn systemctl(words: &[&str]) -> Result<String> {
    let mut all = vec!["--user", "--no-ask-password"];
    all.extend_from_slice(words);
    let out = run("systemctl", &all)?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    let said = said.trim().lines().next().unwrap_or("it says nothing").to_owned();
    Err(Failure::new(format!("systemctl --user {}: {said}", words.join(" "))))
}

fn run(program: &str, words: &[&str]) -> Result<Output> {
    #[expect(
        clippy::disallowed_methods,
        reason = "systemd is asked by its own programs, which end by themselves"
    )]
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null());
    // Where one has come by `su` or ssh without a session, the user's systemd may be there all the same.
    if env::path("XDG_RUNTIME_DIR").is_none() {
        let folder = PathBuf::from(format!("/run/user/{}", rustix::process::getuid().as_raw()));
        if folder.is_dir() {
            command.env("XDG_RUNTIME_DIR", folder);
        }
    }
    command.output().map_err(|e| Failure::new(format!("could not run {program}: {}", plain(&e))))
}

/// Whether this user's services go on when the last session ends.
pub(super) fn lingers() -> bool {
    let user = env::var("USER").or_else(|| env::var("LOGNAME")).unwrap_or_default();
    Path::new("/var/lib/systemd/linger").join(user).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_says_what_keeps_agents_alive_and_takes_any_path() {
        let words = ["--data".to_owned(), "/home/a b/100%/$x".to_owned()];
        let unit = text(
            Path::new("/opt/my mozi/mozi"),
            Path::new("/d"),
            &words,
            &[("PATH", "/bin:/usr/bin".into())],
        );
        for line in [
            "Type=notify",
            "KillMode=process",
            "Delegate=yes",
            "DelegateSubgroup=board",
            "OOMPolicy=continue",
            "SendSIGHUP=no",
            "PrivateTmp=no",
            "ExecStart=\"/opt/my mozi/mozi\" serve --data \"/home/a b/100%%/$$x\"",
            "ExecReload=\"/opt/my mozi/mozi\" reload --data /d",
            "Environment=PATH=/bin:/usr/bin",
        ] {
            assert!(unit.lines().any(|l| l == line), "{line}\n{unit}");
        }
        assert!(unit.starts_with(MARK));
    }

    #[test]
    fn a_second_board_has_a_unit_of_its_own() {
        assert_eq!(name_for(Path::new("/srv/my-board/d.1")), "mozi-srv-my\\x2dboard-d.1.service");
    }
}
