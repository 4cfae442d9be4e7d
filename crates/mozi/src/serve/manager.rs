//! Who stands over a server, and whether agents outlive its end there.

use std::{fs, process::Stdio};

use crate::agent_context::parent;

/// What would end agents together with the server, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Danger {
    /// What, and when.
    pub what: String,
    /// The way out.
    pub way_out: String,
}

/// What would end the agents of the server with this process id, if something would. Asks systemd: it may take a moment.
pub(crate) fn danger(pid: u32) -> Option<Danger> {
    if let Some(danger) = container(pid) {
        return Some(danger);
    }
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let place = place(&groups)?;
    if place.unit.starts_with("session-") {
        return kills_user_processes().then(|| Danger {
            what: "systemd ends all processes of this user at logout (KillUserProcesses=yes): agents too"
                .to_owned(),
            way_out: "`mozi up` runs the board as a service; `loginctl enable-linger` keeps it after logout"
                .to_owned(),
        });
    }
    let mode = kill_mode(&place)?;
    (mode != "process" && mode != "none").then(|| {
        let user = if place.user { "--user " } else { "" };
        Danger {
            what: format!(
                "{} ends every process in it when it is stopped or restarted (KillMode={mode}): agents at work too",
                place.unit
            ),
            way_out: format!(
                "set KillMode=process in it (systemctl {user}edit {}), or let `mozi up` write a unit",
                place.unit
            ),
        }
    })
}

/// The unit of systemd in which a process lives.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    unit: String,
    user: bool,
}

/// The innermost service, or the session, in a file of control groups.
fn place(groups: &str) -> Option<Place> {
    let path = groups.lines().find_map(|line| {
        let (head, path) = line.rsplit_once(':')?;
        (head == "0:" || head.ends_with("name=systemd")).then_some(path)
    })?;
    let user = path.contains("/user@");
    let unit = path.split('/').rev().find(|part| {
        part.ends_with(".service") && !part.starts_with("user@")
            || part.starts_with("session-") && part.contains(".scope")
    })?;
    Some(Place { unit: unit.to_owned(), user })
}

/// What the unit's manager says of it: that of the user or of the system, whichever knows it.
fn kill_mode(place: &Place) -> Option<String> {
    [place.user, !place.user].into_iter().find_map(|user| {
        let mut words = vec!["show", "--property", "LoadState,KillMode", &place.unit];
        if user {
            words.insert(0, "--user");
        }
        let said = ask("systemctl", &words)?;
        let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        // Of what it does not know it tells the defaults.
        (value("LoadState") == Some("loaded")).then(|| value("KillMode").map(str::to_owned))?
    })
}

fn kills_user_processes() -> bool {
    ask("loginctl", &["show-session", "--property", "KillUserProcesses", "--value"]).as_deref() == Some("yes")
}

fn ask(program: &str, words: &[&str]) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "systemd is asked by its own programs, which end by themselves"
    )]
    let mut command = std::process::Command::new(program);
    let out = command.args(words).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    (out.status.success() && !text.is_empty()).then_some(text)
}

/// Programs that are the first process of a container, and end with what they started.
const FIRST: &[&str] = &["tini", "dumb-init", "docker-init", "catatonit", "podman-init"];

/// The first process of a container: with its end the kernel ends everything in it.
fn container(pid: u32) -> Option<Danger> {
    let first = pid == 1
        || parent(pid) == Some(1)
            && fs::read_to_string("/proc/1/comm").is_ok_and(|name| FIRST.contains(&name.trim()));
    first.then(|| Danger {
        what: "this is the main process of a container: when it ends, the kernel ends everything in the container, agents too"
            .to_owned(),
        way_out: "stop it with `mozi stop --drain`, which waits for the agents; or let the container live longer than the board"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(groups: &str, expected: Option<(&str, bool)>) {
        let expected = expected.map(|(unit, user)| Place { unit: unit.to_owned(), user });
        assert_eq!(place(groups), expected, "{groups}");
    }

    #[test]
    fn the_innermost_unit_counts() {
        let user = "/user.slice/user-1000.slice/user@1000.service/app.slice/mozi.service/board";
        check(&format!("0::{user}\n"), Some(("mozi.service", true)));
        check("0::/system.slice/mozi.service\n", Some(("mozi.service", false)));
        check("1:name=systemd:/system.slice/cron.service\n0::/\n", Some(("cron.service", false)));
        check("0::/user.slice/user-0.slice/session-3.scope\n", Some(("session-3.scope", false)));
        check("0::/user.slice/user-1000.slice/user@1000.service/init.scope\n", None);
        check("0::/\n", None);
        check("", None);
    }

    #[test]
    fn the_first_process_of_a_container_is_told() {
        assert!(container(1).is_some_and(|d| d.what.contains("container")));
        assert_eq!(container(std::process::id()), None);
    }
}
