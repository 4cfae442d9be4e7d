//! Who may do what: every route with every credential.

use http::Method;
use mozi_api::LogStream;
use mozi_board::{Access, AttemptAccess, Decided, RunnerAccess, declared, hash_token};
use mozi_core::{Command, UserRole, token::Holder};
use serde_json::{Value, json};

use crate::support::{ADMIN, Claimed, OPERATOR, RUNNER, TestBoard, VIEWER, sha256_of};

#[test]
fn the_table_of_rights() {
    let line = |(method, path, a): (Method, &str, Access)| {
        let mut who = Vec::new();
        if a.open {
            who.push("anybody".to_owned());
        }
        who.extend(a.user.map(|r| format!("{r}+")));
        match a.attempt {
            AttemptAccess::None => {}
            AttemptAccess::Own => who.push("attempt: own task".to_owned()),
            AttemptAccess::Related => who.push("attempt: own and related tasks".to_owned()),
            AttemptAccess::Project => who.push("attempt: subtasks".to_owned()),
        }
        match a.runner {
            RunnerAccess::None => {}
            RunnerAccess::Own => who.push("runner: itself".to_owned()),
            RunnerAccess::Read => who.push("runner: reads".to_owned()),
        }
        if a.anonymous {
            who.push("nobody, where that is allowed, of a task at work".to_owned());
        }
        format!("{:6} {path:56} {}\n", method.as_str(), who.join(", "))
    };
    insta::assert_snapshot!(declared().into_iter().map(line).collect::<String>());
}

/// A board with one of everything.
struct Scene {
    board: TestBoard,
    run: Claimed,
    stranger: Claimed,
    closed: Claimed,
    /// Waits for nothing, is claimed by nobody.
    idle: String,
}

const OTHER_RUNNER: &str = "mozi_r_elsewhere";

async fn scene() -> Scene {
    let board = TestBoard::new().await;
    board.hello().await;
    let closed = board.claimed(&json!({})).await;
    board
        .post(&closed.at("/status"), &closed.token, &json!({ "status": "failed", "detail": "no" }))
        .await
        .expect(200);
    board.end(&closed.session, &json!({ "cause": "itself", "exit_code": 0 })).await;
    let run = board.claimed(&json!({})).await;
    let stranger = board.claimed(&json!({})).await;
    board.started(&run).await;
    let output = json!({ "type": "data", "title": "t", "content": "abc" });
    board.post(&run.at("/outputs"), &run.token, &output).await.expect(201);
    board.files.write(&run.session, LogStream::Stdout, b"hello\n", false);
    let idle =
        board.post("/api/projects/default/tasks", OPERATOR, &json!({ "title": "x" })).await.expect(201);
    let idle = idle["task_id"].as_str().unwrap().to_owned();
    let path = format!("/api/projects/default/tasks/{idle}/dependencies/{}", stranger.task);
    board.send(&Method::PUT, &path, OPERATOR, &json!({})).await.expect(200);
    let holder = Holder::Runner("elsewhere".parse().unwrap());
    let hash = hash_token(OTHER_RUNNER);
    let name = "elsewhere".to_owned();
    board.board(Command::CreateToken { name, hash, holder, project: None, expires_at: None }).await;
    people(&board).await;
    Scene { board, run, stranger, closed, idle }
}

/// Users and tokens of every kind that is worth less than it says.
async fn people(board: &TestBoard) {
    let user = async |name: &str, role: UserRole, project: Option<&str>| {
        let body = json!({ "name": name, "role": role.as_str(), "project_id": project });
        board.post("/api/users", ADMIN, &body).await.expect(201);
    };
    let token =
        async |token: &str, user: &str, role: UserRole, project: Option<&str>, expires_at: Option<_>| {
            let command = Command::CreateToken {
                name: token.to_owned(),
                hash: hash_token(token),
                holder: Holder::User { user: user.to_owned(), role },
                project: project.map(|p| p.parse().unwrap()),
                expires_at,
            };
            board.board(command).await;
        };
    user("bob", UserRole::Operator, None).await;
    for role in UserRole::ALL.iter().copied() {
        token(&format!("mozi_u_elsewhere_{role}"), "ann", role, Some("other"), None).await;
        let name = format!("here-{role}");
        user(&name, role, Some("default")).await;
        token(&format!("mozi_u_here_{role}"), &name, role, None, None).await;
    }
    let soon = board.clock.now().plus(std::time::Duration::from_secs(1));
    token("mozi_u_expired", "ann", UserRole::Admin, None, Some(soon)).await;
    token("mozi_u_revoked", "ann", UserRole::Admin, None, None).await;
    board.ask(&Method::DELETE, "/api/tokens/mozi_u_revoked").token(ADMIN).send().await.expect(200);
    let at = mozi_api::wire::Time(soon).to_string();
    for (name, patch) in [
        ("lowered", json!({ "role": "viewer" })),
        ("user_expired", json!({ "expires_at": at })),
        ("disabled", json!({ "disabled": true })),
    ] {
        user(name, UserRole::Admin, None).await;
        token(&format!("mozi_u_{name}"), name, UserRole::Admin, None, None).await;
        let path = format!("/api/users/{name}");
        board.send(&Method::PATCH, &path, ADMIN, &patch).await.expect(200);
    }
    board.later(std::time::Duration::from_secs(2));
}

impl Scene {
    /// A path of the table about the attempt at work, and a body that the route takes.
    fn filled(&self, method: &Method, path: &str) -> (String, Value) {
        let task = if path.contains("dependencies") || *method == Method::PATCH {
            &self.idle
        } else {
            &self.run.task
        };
        let filled = path
            .replace("{p}", "default")
            .replace("{t}", task)
            .replace("{n}", "1")
            .replace("{id}", "1")
            .replace("{other}", &self.stranger.task)
            .replace("{sid}", &self.run.session)
            .replace("{a}", "coder")
            .replace("{r}", "local")
            .replace("{name}", VIEWER)
            .replace("{u}", "bob");
        let body = match (method.as_str(), path.rsplit('/').next().unwrap()) {
            ("POST", "projects") => json!({ "project_id": "new" }),
            ("PATCH", "{p}") => json!({ "name": "n" }),
            ("POST", "tasks") => json!({ "title": "t" }),
            ("PATCH", "{t}") => json!({ "title": "changed" }),
            ("POST", "import") => json!({ "title": "one line" }),
            ("POST", "status") => json!({ "status": "working" }),
            ("POST", "outputs") => json!({ "type": "code", "title": "t", "content": "c" }),
            ("POST", "comments") => json!({ "body": "b" }),
            ("POST", "sessions") => json!({ "agent": "other", "message": "m" }),
            ("PUT", "drain") => json!({ "seconds": 0 }),
            ("POST", "tokens" | "users") => json!({ "name": "new" }),
            ("PATCH", "{u}") => json!({ "role": "viewer" }),
            ("POST", "hello") => json!({
                "max_sessions": 1, "boot_id": "b1", "pid_namespace": "n1", "version": "0.1.0", "agents": []
            }),
            ("POST", "poll") => json!({ "agents": ["coder"], "offers": [{
                "session_id": "00000000-0000-4000-8000-000000000001", "token_sha256": sha256_of("mozi_a_new")
            }] }),
            ("POST", "take") => json!({ "token_sha256": sha256_of("mozi_a_new") }),
            ("POST", "started") => json!({ "pid": 1 }),
            ("POST", "note") => json!({ "note": "ending" }),
            ("POST", "end") => json!({ "cause": "itself", "exit_code": 1 }),
            ("POST", "notice") => json!({ "code": "c", "text": "t" }),
            ("POST", "stop" | "pause" | "resume" | "goodbye" | "reload") | ("PUT" | "DELETE", _) => json!({}),
            ("GET", _) => Value::Null,
            other => panic!("no body for {other:?} of {path}"),
        };
        (filled, body)
    }

    async fn ask(&self, method: &Method, path: &str, token: &str) -> crate::support::Reply {
        let (path, body) = self.filled(method, path);
        let ask = self.board.ask(method, &path).token(token);
        let needs_body =
            !body.is_null() && !matches!(path.rsplit('/').next(), Some("resume" | "goodbye" | "reload"));
        if needs_body && *method != Method::DELETE { ask.json(&body).send().await } else { ask.send().await }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    UnknownUser,
    UnknownAttempt,
    UnknownRunner,
    User(UserRole),
    /// With this role, limited to a project that is not the one in question.
    Elsewhere(UserRole),
    /// With this role, limited to the project in question, by its user.
    Here(UserRole),
    /// An admin's token whose user is a viewer.
    Lowered,
    /// An admin's, at an end.
    Expired,
    /// An admin's, of a user at an end.
    UserExpired,
    /// An admin's, of a disabled user.
    Disabled,
    /// An admin's, taken back.
    Revoked,
    Own,
    Stranger,
    Closed,
    Runner,
    OtherRunner,
}

const EVERYBODY: [Who; 23] = [
    Who::Nobody,
    Who::UnknownUser,
    Who::UnknownAttempt,
    Who::UnknownRunner,
    Who::User(UserRole::Viewer),
    Who::User(UserRole::Operator),
    Who::User(UserRole::Admin),
    Who::Elsewhere(UserRole::Viewer),
    Who::Elsewhere(UserRole::Operator),
    Who::Elsewhere(UserRole::Admin),
    Who::Here(UserRole::Viewer),
    Who::Here(UserRole::Operator),
    Who::Here(UserRole::Admin),
    Who::Lowered,
    Who::Expired,
    Who::UserExpired,
    Who::Disabled,
    Who::Revoked,
    Who::Own,
    Who::Stranger,
    Who::Closed,
    Who::Runner,
    Who::OtherRunner,
];

impl Who {
    fn token(self, scene: &Scene) -> String {
        match self {
            Self::Nobody => "",
            Self::UnknownUser => "mozi_u_unknown",
            Self::UnknownAttempt => "mozi_a_unknown",
            Self::UnknownRunner => "mozi_r_unknown",
            Self::User(UserRole::Viewer) => VIEWER,
            Self::User(UserRole::Operator) => OPERATOR,
            Self::User(UserRole::Admin) => ADMIN,
            Self::Elsewhere(role) => return format!("mozi_u_elsewhere_{role}"),
            Self::Here(role) => return format!("mozi_u_here_{role}"),
            Self::Lowered => "mozi_u_lowered",
            Self::Expired => "mozi_u_expired",
            Self::UserExpired => "mozi_u_user_expired",
            Self::Disabled => "mozi_u_disabled",
            Self::Revoked => "mozi_u_revoked",
            Self::Own => &scene.run.token,
            Self::Stranger => &scene.stranger.token,
            Self::Closed => &scene.closed.token,
            Self::Runner => RUNNER,
            Self::OtherRunner => OTHER_RUNNER,
        }
        .to_owned()
    }

    /// The code with which this route refuses it; none = it is let in.
    fn refusal(self, method: &Method, path: &str, a: Access) -> Option<&'static str> {
        let in_project = path.contains("{p}");
        let runs = a.runner == RunnerAccess::Own;
        if a.open {
            return None;
        }
        let known = match self {
            Self::Nobody => return Some("unauthenticated"),
            Self::UnknownUser
            | Self::UnknownAttempt
            | Self::UnknownRunner
            | Self::Expired
            | Self::UserExpired
            | Self::Disabled
            | Self::Revoked => Some("unauthenticated"),
            _ => None,
        };
        // What the kind of the token alone is refused for.
        let kind = match self {
            Self::UnknownAttempt | Self::Own | Self::Stranger | Self::Closed => {
                (a.attempt == AttemptAccess::None).then_some("not_found")
            }
            Self::UnknownRunner | Self::Runner | Self::OtherRunner => {
                (a.runner == RunnerAccess::None).then_some("forbidden")
            }
            _ => runs.then_some("forbidden"),
        };
        kind.or(known).or_else(|| match self {
            Self::User(_) | Self::Lowered => {
                let role = if let Self::User(role) = self { role } else { UserRole::Viewer };
                a.user.is_some_and(|least| role < least).then_some("forbidden")
            }
            Self::Elsewhere(_) if in_project => Some("not_found"),
            Self::Elsewhere(role) | Self::Here(role) => {
                let low = a.user.is_some_and(|least| role < least);
                let reads = *method == Method::GET;
                match self {
                    // What is of no project, or of all, is not theirs.
                    _ if a.user == Some(UserRole::Admin) || path == "/api/events" => Some("forbidden"),
                    Self::Elsewhere(_) if path.contains("{sid}") => Some("not_found"),
                    // Lists show them what is their project's.
                    _ if reads => None,
                    Self::Here(_) if in_project || path.contains("{sid}") => low.then_some("forbidden"),
                    _ => Some("forbidden"),
                }
            }
            // The project does not allow it, whoever asks.
            Self::Own | Self::Stranger if a.attempt == AttemptAccess::Project => Some("forbidden"),
            Self::Closed if a.attempt == AttemptAccess::Project => Some("attempt_closed"),
            Self::Stranger | Self::Closed => Some("not_found"),
            Self::OtherRunner => runs.then_some("not_found"),
            _ => None,
        })
    }
}

#[tokio::test]
async fn every_route_with_every_credential() {
    let shared = scene().await;
    for (method, path, access) in declared() {
        for who in EVERYBODY {
            let what = format!("{method} {path} by {who:?}");
            if let Some(code) = who.refusal(&method, path, access) {
                let before = shared.board.store.last_seq().await.unwrap();
                let reply = shared.ask(&method, path, &who.token(&shared)).await;
                assert_eq!(reply.json()["code"], code, "{what}: {}", reply.text());
                assert_eq!(shared.board.store.last_seq().await.unwrap(), before, "{what} changed something");
                continue;
            }
            // Reads leave everything as it is; writes get a board of their own.
            let own;
            let scene = if method == Method::GET {
                &shared
            } else {
                own = scene().await;
                &own
            };
            let reply = scene.ask(&method, path, &who.token(scene)).await;
            let refused = matches!(reply.status.as_u16(), 400 | 401 | 403 | 404 | 405 | 415 | 422 | 500..);
            assert!(!refused, "{what}: {} {}", reply.status, reply.text());
        }
    }
}

#[tokio::test]
async fn a_closed_attempt_has_nothing_left_of_its_own_task_either() {
    let scene = scene().await;
    let Scene { board, closed, .. } = &scene;
    for path in [closed.at(""), closed.at("/attempts"), closed.at("/attempts/1/log"), closed.at("/prompt")] {
        board.get(&path, &closed.token).await.refused(409, "attempt_closed");
    }
    for (path, body) in [
        (closed.at("/status"), json!({ "status": "working" })),
        (closed.at("/outputs"), json!({ "type": "code", "title": "t", "content": "c" })),
        (closed.at("/outputs"), json!({ "type": "code", "title": "t", "content_path": "a.txt" })),
        (closed.at("/comments"), json!({ "body": "b" })),
    ] {
        board.post(&path, &closed.token, &body).await.refused(409, "attempt_closed");
    }
    assert!(board.files.opened.lock().unwrap().is_empty(), "nothing was opened for it");
}

#[tokio::test]
async fn an_attempt_reads_what_is_near_to_its_task() {
    let board = TestBoard::new().await;
    board.hello().await;
    let tasks = "/api/projects/default/tasks";
    let make = async |body: Value| {
        board.post(tasks, OPERATOR, &body).await.expect(201)["task_id"].as_str().unwrap().to_owned()
    };
    let parent = make(json!({ "title": "parent" })).await;
    let before = make(json!({ "title": "before" })).await;
    let far = make(json!({ "title": "far" })).await;
    // Not claimable before its dependency has ended.
    board
        .post(&format!("{tasks}/{before}/status"), OPERATOR, &json!({ "status": "cancelled" }))
        .await
        .expect(200);
    let depends_on = json!([{ "task_id": before, "until": "ended" }]);
    let run = board.claimed(&json!({ "parent": parent, "depends_on": depends_on })).await;
    let child = make(json!({ "title": "child", "parent": run.task })).await;
    for near in [&parent, &before, &child] {
        let path = format!("{tasks}/{near}?expand=all");
        let seen = board.get(&path, &run.token).await.expect(200);
        assert!(seen["outputs"].is_array() && seen["comments"].is_array());
        assert!(seen["events"].is_null(), "the history of another's task is not its own");
        board.get(&format!("{tasks}/{near}?expand=events"), &run.token).await.refused(404, "not_found");
        board.get(&format!("{tasks}/{near}/attempts"), &run.token).await.refused(404, "not_found");
        let body = json!({ "body": "not mine" });
        board.post(&format!("{tasks}/{near}/comments"), &run.token, &body).await.refused(404, "not_found");
    }
    board.get(&format!("{tasks}/{far}"), &run.token).await.refused(404, "not_found");
}

#[tokio::test]
async fn names_and_pages_of_others_are_refused() {
    let board = TestBoard::new().await;
    let ask = |host: &'static str| board.ask(&Method::GET, "/api/projects").token(ADMIN).header("host", host);
    ask("evil.example").send().await.refused(403, "host_refused");
    ask("board.example:8083").send().await.expect(200);
    ask("mozi.lan").send().await.expect(200);
    ask("127.0.0.1:1").header("origin", "https://evil.example").send().await.refused(403, "origin_refused");
    ask("127.0.0.1:1").header("origin", "http://127.0.0.1:1").send().await.expect(200);
    ask("127.0.0.1:1").header("origin", "http://board.example:8083").send().await.expect(200);
    // Also where there is nothing, and where no token is needed.
    board.ask(&Method::GET, "/none").header("host", "evil.example").send().await.refused(403, "host_refused");
    board.ask(&Method::GET, "/docs").header("host", "evil.example").send().await.refused(403, "host_refused");
}

#[tokio::test]
async fn tokens_are_made_shown_once_and_taken_back() {
    let board = TestBoard::new().await;
    let body = json!({ "name": "laptop", "role": "viewer" });
    let made = board.post("/api/tokens", ADMIN, &body).await.expect(201);
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("mozi_u_") && token.len() > 40);
    assert_eq!(made["user"], "ann");
    board.get("/api/projects", token).await.expect(200);
    board.post("/api/projects", token, &json!({ "project_id": "x" })).await.refused(403, "forbidden");
    board.post("/api/tokens", ADMIN, &body).await.refused(409, "duplicate_id");
    let list = board.get("/api/tokens", ADMIN).await;
    assert!(list.text().contains("laptop") && !list.text().contains(token));
    board.ask(&Method::DELETE, "/api/tokens/laptop").token(ADMIN).send().await.expect(200);
    board.get("/api/projects", token).await.refused(401, "unauthenticated");

    let soon = json!({ "name": "soon", "expires_at": "2026-01-02T04:00:00Z" });
    let token =
        board.post("/api/tokens", ADMIN, &soon).await.expect(201)["token"].as_str().unwrap().to_owned();
    board.get("/api/projects", &token).await.expect(200);
    board.later(std::time::Duration::from_hours(1));
    board.get("/api/projects", &token).await.refused(401, "unauthenticated");
    assert_eq!(Access::OPEN.decided, Decided::Before);
}
