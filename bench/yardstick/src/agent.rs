//! The cheapest agents: one that only says when it began, and one that lives a whole life over HTTP.
use std::{
    env,
    io::{Read, Write},
    net::TcpStream,
    time::{SystemTime, UNIX_EPOCH},
};

/// Appends `TASK NANOSECONDS` to the file that the first argument names: the agent's first instruction.
pub fn stamp(file: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let task = env::var("MOZI_TASK").unwrap_or_default();
    let mut f = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
    f.write_all(format!("{task} {now}\n").as_bytes()).unwrap();
}

/// working, an output, review: three calls on one connection.
pub fn life() {
    let v = |k: &str| env::var(k).unwrap();
    let (url, token, project, task) = (v("MOZI_URL"), v("MOZI_TOKEN"), v("MOZI_PROJECT"), v("MOZI_TASK"));
    let host = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut s = TcpStream::connect(&host).unwrap();
    s.set_nodelay(true).unwrap();
    for (call, body) in [
        ("status", r#"{"status":"working"}"#),
        ("outputs", r#"{"type":"document","title":"result","content":"done"}"#),
        ("status", r#"{"status":"review"}"#),
    ] {
        let request = format!(
            "POST /api/projects/{project}/tasks/{task}/{call} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        s.write_all(request.as_bytes()).unwrap();
        let mut have = vec![];
        let mut buf = [0u8; 8192];
        loop {
            let n = s.read(&mut buf).unwrap();
            assert!(n > 0, "closed");
            have.extend_from_slice(&buf[..n]);
            let Some(p) = have.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&have[..p]).to_lowercase();
            assert!(head.starts_with("http/1.1 2"), "{}", String::from_utf8_lossy(&have));
            let len: usize = head.lines().find_map(|l| l.strip_prefix("content-length:")).unwrap().trim().parse().unwrap();
            if have.len() >= p + 4 + len {
                break;
            }
        }
    }
}
