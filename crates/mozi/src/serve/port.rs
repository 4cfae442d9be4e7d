//! Who listens on a port of this machine, as `/proc` tells.

use std::fs;

/// The process that listens on this TCP port, and its name; none where that cannot be seen.
pub(super) fn holder(port: u16) -> Option<(u32, String)> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|text| {
            let inodes = text.lines().filter_map(|line| listening(line, port));
            inodes.map(|inode| format!("socket:[{inode}]")).collect::<Vec<_>>()
        })
        .collect();
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let mut open = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        let holds = open.any(|fd| {
            fs::read_link(fd.path()).is_ok_and(|to| sockets.iter().any(|s| to.as_os_str() == s.as_str()))
        });
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        holds.then(|| (pid, name.trim().to_owned()))
    })
}

/// The inode of a line of the table that is a socket in state LISTEN (0A) on this port.
fn listening(line: &str, port: u16) -> Option<&str> {
    let mut words = line.split_whitespace();
    let local = words.nth(1)?;
    let state = words.nth(1)?;
    let at = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    (state == "0A" && at == port).then(|| words.nth(5)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(holder(port).map(|(pid, _)| pid), Some(std::process::id()));
        drop(listener);
        assert_eq!(holder(port), None);
    }
}
