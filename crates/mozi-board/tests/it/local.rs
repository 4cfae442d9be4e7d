//! The socket of this machine: who is let in, as whom, and what is refused inside an agent.

use std::sync::{Arc, Mutex};

use http::{HeaderMap, Method};
use http_body_util::BodyExt as _;
use mozi_api::{Transport, transport::empty};
use mozi_board::{Doorkeeper, Limits, Peer, Sign, hash_token, openapi_json, serve_local};
use serde_json::{Value, json};
use tokio::net::UnixListener;

use crate::support::{ADMIN, OPERATOR, RUNNER, TestBoard};

struct Local {
    _board: TestBoard,
    way: Transport,
    /// What tells that whoever asks is inside an agent.
    sign: Arc<Mutex<Option<String>>>,
    met: Arc<Mutex<Vec<Peer>>>,
}

/// A board that lets in whom `admits` says.
async fn local(admits: bool) -> Local {
    let board = TestBoard::new().await;
    let path = board.dir.path().join("mozi.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (sign, met) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(Vec::new())));
    let (told, seen) = (Arc::clone(&sign), Arc::clone(&met));
    let meets = move |peer: Peer| {
        seen.lock().unwrap().push(peer);
        let told: Arc<Mutex<Option<String>>> = Arc::clone(&told);
        let sign: Sign = Arc::new(move || told.lock().unwrap().clone());
        admits.then_some(sign)
    };
    let doorkeeper = Doorkeeper { owner: hash_token(ADMIN), meets: Box::new(meets) };
    let served =
        serve_local(board.router.clone(), listener, doorkeeper, Limits::default(), std::future::pending());
    #[expect(clippy::disallowed_methods, reason = "a server in the background of a test")]
    drop(tokio::spawn(served));
    Local { _board: board, way: Transport::unix(&path), sign, met }
}

impl Local {
    fn inside(&self, why: Option<&str>) {
        *self.sign.lock().unwrap() = why.map(str::to_owned);
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&'static str, &str)]) -> (u16, Value) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let answer = self.way.send(method, path, map, empty()).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}

/// Method and path of every decision, as the document tells them.
fn decisions() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    let mut found = Vec::new();
    for (path, calls) in document["paths"].as_object().unwrap() {
        for (method, call) in calls.as_object().unwrap() {
            let headers = call["parameters"].as_array().into_iter().flatten();
            if headers.clone().any(|p| p["name"] == "Mozi-As-Person") {
                found.push((method.clone(), path.clone()));
            }
        }
    }
    found
}

#[tokio::test]
async fn who_shows_no_token_is_the_owner_by_the_socket() {
    let local = local(true).await;
    let (status, body) = local.ask("get", "/api/tokens", &[]).await;
    assert_eq!(status, 200, "{body}");
    let peer = local.met.lock().unwrap()[0];
    assert_eq!(peer.pid, Some(std::process::id()));
    let (status, body) = local.ask("post", "/api/agents/x/pause", &[]).await;
    assert_eq!((status, &body["code"]), (404, &json!("not_found")), "{body}");
    // A token that is shown is the one that counts.
    let wrong = [("authorization", "Bearer mozi_u_wrong")];
    assert_eq!(local.ask("get", "/api/tokens", &wrong).await.0, 401);
    let operator = format!("Bearer {OPERATOR}");
    assert_eq!(local.ask("get", "/api/tokens", &[("authorization", &operator)]).await.0, 403);
    let foreign = [("host", "evil.example")];
    assert_eq!(local.ask("get", "/api/tokens", &foreign).await.1["code"], "host_refused");
}

#[tokio::test]
async fn who_is_not_let_in_is_told_so() {
    let local = local(false).await;
    let admin = format!("Bearer {ADMIN}");
    let (status, body) = local.ask("get", "/api/projects", &[("authorization", &admin)]).await;
    assert_eq!((status, &body["code"]), (403, &json!("forbidden")), "{body}");
}

#[tokio::test]
async fn inside_an_agent_every_decision_is_refused_unless_it_is_said_to_be_meant() {
    let local = local(true).await;
    let decisions = decisions();
    let names: Vec<String> = decisions.iter().map(|(m, p)| format!("{m} {p}")).collect();
    for expected in ["post /api/projects/{p}/tasks/{t}/status", "post /api/tokens", "get /api/backup"] {
        assert!(names.iter().any(|n| n == expected), "{expected} is no decision: {names:?}");
    }
    let (operator, runner) = (format!("Bearer {OPERATOR}"), format!("Bearer {RUNNER}"));
    for (method, path) in &decisions {
        let path: String = path
            .split('/')
            .map(|part| if part.starts_with('{') { "x1" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let ask = async |headers: &[(&'static str, &str)]| {
            let (status, body) = local.ask(method, &path, headers).await;
            (status, body["code"].as_str().unwrap_or_default().to_owned())
        };
        local.inside(Some("MOZI_SESSION_ID is set"));
        assert_eq!(ask(&[]).await, (403, "agent_context".to_owned()), "{method} {path}");
        let shown = [("authorization", operator.as_str())];
        assert_eq!(ask(&shown).await, (403, "agent_context".to_owned()), "{method} {path} by a user's token");
        assert_ne!(ask(&[("mozi-as-person", "true")]).await.1, "agent_context", "{method} {path} meant");
        assert_eq!(ask(&[("mozi-as-person", "yes")]).await.1, "invalid_body", "{method} {path}");
        // Whose token is no person's makes no person's decision.
        let shown = [("authorization", runner.as_str())];
        assert_ne!(ask(&shown).await.1, "agent_context", "{method} {path} by a runner");
        local.inside(None);
        assert_ne!(ask(&[]).await.1, "agent_context", "{method} {path} outside");
    }
    local.inside(Some("MOZI_SESSION_ID is set"));
    assert_eq!(local.ask("get", "/api/projects", &[]).await.0, 200, "reading is no decision");
    let (_, clean) = local.ask("delete", "/api/sessions/x1?force=true", &[]).await;
    assert_eq!(clean["code"], "agent_context");
    let (_, clean) = local.ask("delete", "/api/sessions/x1", &[]).await;
    assert_ne!(clean["code"], "agent_context");
}
