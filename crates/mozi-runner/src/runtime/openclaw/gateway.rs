//! Where the Gateway is, and whether it takes runs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::text;

const DEFAULT_PORT: u16 = 18_789;
const PATIENCE: Duration = Duration::from_secs(2);

/// What keeps the Gateway from taking runs, if it is one of this machine.
pub(super) async fn obstacle(env: &BTreeMap<OsString, OsString>) -> Option<String> {
    let port = port(env)?;
    match tokio::time::timeout(PATIENCE, ask(port)).await {
        Ok(Ok(None)) => None,
        Ok(Ok(Some(answer))) => {
            Some(format!("the OpenClaw Gateway at 127.0.0.1:{port} is not ready ({answer})"))
        }
        Ok(Err(error)) => Some(format!(
            "no OpenClaw Gateway answers at 127.0.0.1:{port} ({error}): start it with `openclaw gateway`"
        )),
        Err(_) => Some(format!("the OpenClaw Gateway at 127.0.0.1:{port} does not answer")),
    }
}

/// The Gateway's port; none if it is elsewhere or its configuration is not readable for us.
fn port(env: &BTreeMap<OsString, OsString>) -> Option<u16> {
    if let Some(port) = text(env, "OPENCLAW_GATEWAY_PORT").and_then(|port| port.parse().ok()) {
        return Some(port);
    }
    let path = text(env, "OPENCLAW_CONFIG_PATH")
        .map(PathBuf::from)
        .or_else(|| text(env, "OPENCLAW_STATE_DIR").map(|dir| PathBuf::from(dir).join("openclaw.json")))
        .or_else(|| text(env, "HOME").map(|home| PathBuf::from(home).join(".openclaw/openclaw.json")))?;
    let Ok(file) = std::fs::read_to_string(path) else { return Some(DEFAULT_PORT) };
    let config: Value = json5::from_str(&file).ok()?;
    if config.pointer("/gateway/mode").and_then(Value::as_str) == Some("remote") {
        return None;
    }
    match config.pointer("/gateway/port").and_then(Value::as_u64) {
        Some(port) => u16::try_from(port).ok(),
        None => Some(DEFAULT_PORT),
    }
}

/// `GET /readyz`: none = it takes runs; else what it says.
async fn ask(port: u16) -> std::io::Result<Option<String>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(16 * 1024).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    Ok(match status {
        // What is no HTTP at all (TLS, say) is there; the program will say what is wrong.
        Some("200") | None => None,
        Some(status) => {
            let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
            Some(format!("{status} {}", body.chars().take(120).collect::<String>()))
        }
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        pairs.iter().map(|(n, v)| (n.into(), v.into())).collect()
    }

    #[test]
    fn where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("openclaw.json");
        let named = env(&[("OPENCLAW_CONFIG_PATH", file.to_str().unwrap())]);
        assert_eq!(port(&named), Some(DEFAULT_PORT));
        std::fs::write(&file, r#"{"gateway":{"port":4711}}"#).unwrap();
        assert_eq!(port(&named), Some(4711));
        std::fs::write(&file, r#"{"gateway":{"mode":"remote","port":4711}}"#).unwrap();
        assert_eq!(port(&named), None);
        std::fs::write(&file, "{ // comment\n gateway: { port: 4712, }, }").unwrap();
        assert_eq!(port(&named), Some(4712));
        std::fs::write(&file, "{{{").unwrap();
        assert_eq!(port(&named), None);
        assert_eq!(port(&env(&[("OPENCLAW_GATEWAY_PORT", "99")])), Some(99));
    }

    #[tokio::test]
    async fn ready_not_ready_and_away() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let environment = env(&[("OPENCLAW_GATEWAY_PORT", &port.to_string())]);
        let serve = async {
            for head in ["200 OK", "503 Service Unavailable"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 512];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                let body = r#"{"ready":false}"#;
                let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let ask = async {
            assert_eq!(obstacle(&environment).await, None);
            let why = obstacle(&environment).await.unwrap();
            assert!(why.contains("not ready (503") && why.contains(r#"{"ready":false}"#), "{why}");
        };
        tokio::join!(serve, ask);
        drop(listener);
        let why = obstacle(&environment).await.unwrap();
        assert!(why.contains("no OpenClaw Gateway answers"), "{why}");
    }
}
