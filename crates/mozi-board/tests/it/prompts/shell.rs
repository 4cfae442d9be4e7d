//! The commands of a prompt, run by a real shell with a real curl, for a task whose every text is hostile.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    thread::JoinHandle,
};

use mozi_api::prompt::{PromptValues, WorkspaceState};
use mozi_board::prompt::Callback;
use mozi_core::{Role, project::Language};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    board::{self, FENCES, For, HOSTILE, rendered},
    markdown::{Piece, pieces},
    pages::LANGUAGES,
};

/// A folder that a careless command trips over.
const FOLDER: &str = "it's a $(touch pwned) folder";

/// One request, as it arrived.
#[derive(Debug, PartialEq)]
struct Request {
    line: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// Takes one request for each answer, then ends.
fn listen(answers: Vec<&'static str>) -> (String, JoinHandle<Vec<Request>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut got = Vec::new();
        for status in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(&stream);
            let mut line = String::new();
            let _n = lines.read_line(&mut line).unwrap();
            let mut headers = BTreeMap::new();
            loop {
                let mut header = String::new();
                let _n = lines.read_line(&mut header).unwrap();
                let Some((name, value)) = header.trim_end().split_once(": ") else { break };
                let _old = headers.insert(name.to_ascii_lowercase(), value.to_owned());
            }
            let length = headers.get("content-length").map_or(0, |n| n.parse().unwrap());
            let mut body = vec![0; length];
            lines.read_exact(&mut body).unwrap();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
            (&stream).write_all(answer.as_bytes()).unwrap();
            got.push(Request {
                line: line.trim_end().to_owned(),
                headers,
                body: String::from_utf8(body).unwrap(),
            });
        }
        got
    });
    (url, thread)
}

/// A prompt's commands, and a place to run them in.
struct Agent {
    dir: TempDir,
    text: String,
    env: Vec<(&'static str, String)>,
}

impl Agent {
    fn new(role: Role, callback: Callback, lang: Language, url: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join(FOLDER);
        fs::create_dir(&home).unwrap();
        let mozi = home.join("mozi");
        // Says on standard output what it was called with: arguments, the environment's part, standard input.
        fs::write(&mozi, "#!/bin/bash\nprintf '<%s>' \"$@\"; echo; printf '%s\\n' \"$MOZI_URL|$MOZI_TOKEN|$MOZI_PROJECT|$MOZI_TASK|$MOZI_SESSION_ID|$MOZI_OUTBOX\"\nfor a in \"$@\"; do [ \"$a\" = - ] && cat; done\ntrue\n").unwrap();
        fs::set_permissions(&mozi, fs::Permissions::from_mode(0o700)).unwrap();
        let mut m = board::hostile();
        m.project.settings.agents_may_create = true;
        let text =
            rendered(m, For { role, ..For::executor(6, callback, lang) }).parts.filled(&PromptValues {
                token: "mozi_a_secret",
                workspace: home.to_str().unwrap(),
                outbox: home.join("outbox").to_str().unwrap(),
                mozi: mozi.to_str().unwrap(),
                url,
                session_id: "6b1c7a52-0000-4000-8000-000000000000",
                state: WorkspaceState::Kept,
                source: None,
            });
        // A proxy that nobody answers at: loopback must not be asked for through it.
        let mut env = vec![("http_proxy", "http://127.0.0.1:9".to_owned())];
        if callback == Callback::Env {
            env.push(("NO_PROXY", "127.0.0.1,localhost,::1".to_owned()));
            env.push(("MOZI_URL", url.to_owned()));
            env.push(("MOZI_TOKEN", "mozi_a_secret".to_owned()));
        }
        Self { dir, text, env }
    }

    fn home(&self) -> std::path::PathBuf {
        self.dir.path().join(FOLDER)
    }

    /// The blocks to be run, in order.
    fn blocks(&self) -> Vec<String> {
        pieces(&self.text)
            .into_iter()
            .filter_map(|p| match p {
                Piece::Block { info: "bash" | "sh", body } => Some(body.to_owned()),
                _ => None,
            })
            .collect()
    }

    #[track_caller]
    fn run(&self, block: &str) -> String {
        #[expect(clippy::disallowed_methods, reason = "plays an agent's shell")]
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &format!("PATH=\"$PWD:$PATH\"\n{block}")])
            .current_dir(self.home());
        for name in
            ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY", "HTTP_PROXY"]
        {
            bash.env_remove(name);
        }
        for name in ["URL", "TOKEN", "PROJECT", "TASK", "ATTEMPT", "SESSION_ID", "OUTBOX"] {
            bash.env_remove(format!("MOZI_{name}"));
        }
        // What curl is told by a person's own settings must not decide a test.
        bash.env("HOME", self.home())
            .env("CURL_HOME", self.home())
            .envs(self.env.iter().map(|(k, v)| (*k, v)));
        let Output { status, stdout, stderr } = bash.output().unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{block}\n{stdout}\n{stderr}");
        assert!(!Path::new(&self.home()).join("pwned").exists(), "{block} ran what a text said");
        stdout.into_owned()
    }
}

fn curls(blocks: &[String]) -> usize {
    blocks.iter().map(|b| b.lines().filter(|l| l.starts_with("curl ")).count()).sum()
}

const WITHOUT_ENV: [Callback; 3] = [Callback::Header, Callback::Url, Callback::Anonymous];

/// All that stands in a page for an agent without environment, run as it stands.
#[test]
fn every_curl_of_a_page_arrives_as_it_should() {
    for (lang, callback) in LANGUAGES.iter().flat_map(|l| WITHOUT_ENV.map(|c| (*l, c))) {
        let probe = Agent::new(Role::Executor, callback, lang, "http://127.0.0.1:9");
        let count = curls(&probe.blocks());
        let (url, listener) = listen(vec!["200 OK"; count]);
        let agent = Agent::new(Role::Executor, callback, lang, &url);
        for block in agent.blocks() {
            // The numbers that the reader is told to put there.
            let block = block
                .replace("TASK/outputs/OUTPUT", "3/outputs/1")
                .replace("--file FILE", "--file f")
                .replace("--file 文件", "--file f");
            let said = agent.run(&block);
            let curls = curls(std::slice::from_ref(&block));
            assert_eq!(said.matches("HTTP 200").count(), curls, "{block}: {said}");
        }
        let mut got = listener.join().unwrap();
        let base = if callback == Callback::Url { "/t/mozi_a_secret" } else { "" };
        let lines: Vec<String> = got.iter().map(|r| r.line.replacen(base, "", 1)).collect();
        let all = [
            "GET /api/projects/app/tasks/3/outputs/1/content HTTP/1.1",
            "POST /api/projects/app/tasks/7/status HTTP/1.1",
            "POST /api/projects/app/tasks/7/outputs HTTP/1.1",
            "POST /api/projects/app/tasks/7/status HTTP/1.1",
            "POST /api/projects/app/tasks/7/status HTTP/1.1",
            "GET /api/projects/app/tasks/7?expand=all HTTP/1.1",
            "POST /api/projects/app/tasks/7/comments HTTP/1.1",
            "POST /api/projects/app/tasks HTTP/1.1",
        ];
        // Without a token there are the contract's four calls and no others.
        let nameless = callback == Callback::Anonymous;
        assert_eq!(lines, if nameless { &all[1..7] } else { &all[..] });
        assert!(got.iter().all(|r| r.line.contains(&format!(" {base}/api/"))), "{lines:?}");
        let token = (callback == Callback::Header).then_some("Bearer mozi_a_secret");
        assert_eq!(agent.text.contains("mozi_a_secret"), !nameless);
        for r in &mut got {
            assert_eq!(r.headers.get("authorization").map(String::as_str), token);
            if r.line.starts_with("POST") {
                assert_eq!(r.headers.get("content-type").map(String::as_str), Some("application/json"));
                let body: Value = serde_json::from_str(&r.body).unwrap_or_else(|e| panic!("{e}: {}", r.body));
                assert!(body.is_object());
                let who = if r.line.contains("/comments") { "author" } else { "agent" };
                assert_eq!(body.get(who).map(|w| w == "coder"), nameless.then_some(true), "{body}");
                r.body = r.body.replace(&format!(", \"{who}\": \"coder\""), "");
            }
        }
        if nameless {
            got.insert(0, Request { line: String::new(), headers: BTreeMap::new(), body: String::new() });
        }
        let statuses: Vec<Value> =
            [1, 3, 4].iter().map(|i| serde_json::from_str(&got[*i].body).unwrap()).collect();
        assert_eq!(statuses[0], json!({"status": "working"}));
        assert_eq!(statuses[1], json!({"status": "review"}));
        assert_eq!(statuses[2]["status"], "failed");
        assert!(statuses[2]["detail"].as_str().is_some_and(|d| !d.is_empty()));
        assert!(got[2].headers.contains_key("idempotency-key"), "an output that is sent twice is one output");
    }
}

/// An agent that puts its own words where the page says, whatever they are.
#[test]
fn an_agents_own_words_arrive_unchanged() {
    let words = format!("{HOSTILE}\n{FENCES}\r\n\t\u{7f} 'q' \"Q\" $HOME `id` \\n !! \u{1f600}");
    let (url, listener) = listen(vec!["201 Created"]);
    let agent = Agent::new(Role::Executor, Callback::Header, Language::En, &url);
    let block = agent.blocks().into_iter().find(|b| b.contains("/outputs'")).unwrap();
    let own = serde_json::to_string(&words).unwrap();
    let block = block.replace("\"Result\"", &own).replace("\"The text itself\"", &own);
    let said = agent.run(&block);
    assert!(said.ends_with("HTTP 201\n"), "{said}");
    let got = listener.join().unwrap();
    let body: Value = serde_json::from_str(&got[0].body).unwrap();
    assert_eq!(
        (body["title"].as_str(), body["content"].as_str()),
        (Some(words.as_str()), Some(words.as_str()))
    );

    // With `mozi` the text itself goes through the here-document.
    let agent = Agent::new(Role::Executor, Callback::Env, Language::En, "http://127.0.0.1:9");
    let block = agent.blocks().into_iter().find(|b| b.contains("output add")).unwrap();
    let words = words.replace("\nEND\n", "\n END\n");
    let said = agent.run(&block.replace("The text itself. Nothing in it needs escaping.", &words));
    assert!(said.ends_with(&format!("{words}\n")), "{said}");
    fs::write(agent.home().join("FILE"), &words).unwrap();
    let said = agent.run("mozi output add --title \"$(cat FILE)\" --file FILE");
    assert!(said.contains(&format!("<{words}>")), "{said}");
}

/// The commands of a page for an agent with an environment: `mozi` first, curl for reference.
#[test]
fn every_command_with_an_environment_says_what_it_should() {
    for lang in LANGUAGES {
        let probe = Agent::new(Role::Executor, Callback::Env, lang, "http://127.0.0.1:9");
        let (url, listener) = listen(vec!["200 OK"; curls(&probe.blocks())]);
        let agent = Agent::new(Role::Executor, Callback::Env, lang, &url);
        let said: Vec<String> = agent.blocks().iter().map(|b| agent.run(b)).collect();
        assert!(said[0].starts_with("<report><working>\n"), "{}", said[0]);
        assert!(said[1].starts_with("<output><add><--type><document><--title><"), "{}", said[1]);
        assert!(said[1].contains("><--content><->\n"), "{}", said[1]);
        assert!(said[2].starts_with("<report><review>\n"), "{}", said[2]);
        assert!(said[3].starts_with("<report><failed><--detail><->\n"), "{}", said[3]);
        let got = listener.join().unwrap();
        let lines: Vec<&str> = got.iter().map(|r| r.line.as_str()).collect();
        assert_eq!(
            lines,
            [
                "POST /api/projects/app/tasks/7/status HTTP/1.1",
                "POST /api/projects/app/tasks/7/outputs HTTP/1.1",
                "POST /api/projects/app/tasks/7/comments HTTP/1.1",
                "GET /api/projects/app/tasks/7?expand=all HTTP/1.1",
            ]
        );
        assert!(
            got.iter().all(|r| r.headers.get("authorization").is_some_and(|a| a == "Bearer mozi_a_secret"))
        );
    }
}

#[test]
fn every_command_of_a_reviewer_says_what_it_should() {
    for lang in LANGUAGES {
        let agent = Agent::new(Role::Reviewer, Callback::Env, lang, "http://127.0.0.1:9");
        let said: Vec<String> = agent.blocks().iter().take(3).map(|b| agent.run(b)).collect();
        assert!(said[0].starts_with("<report><working>\n"), "{}", said[0]);
        assert!(said[1].starts_with("<report><approve>\n"), "{}", said[1]);
        assert!(said[2].starts_with("<report><reject><--detail><->\n"), "{}", said[2]);

        let probe = Agent::new(Role::Reviewer, Callback::Header, lang, "http://127.0.0.1:9");
        let (url, listener) = listen(vec!["200 OK"; curls(&probe.blocks())]);
        let agent = Agent::new(Role::Reviewer, Callback::Header, lang, &url);
        for block in agent.blocks() {
            let _said = agent.run(&block.replace("TASK/outputs/OUTPUT", "7/outputs/2"));
        }
        let got = listener.join().unwrap();
        let bodies: Vec<Value> = got.iter().filter_map(|r| serde_json::from_str(&r.body).ok()).collect();
        assert_eq!(bodies[0], json!({"status": "working"}));
        assert_eq!(bodies[1], json!({"status": "done"}));
        assert_eq!(bodies[2]["status"], "pending");
        assert!(bodies[2]["detail"].as_str().is_some_and(|d| !d.is_empty()));
    }
}

/// Without environment, the local program is told everything on the command line, in a folder of any name.
#[test]
fn the_local_program_is_told_everything() {
    let agent = Agent::new(Role::Executor, Callback::Header, Language::En, "http://127.0.0.1:8083");
    let block = agent.blocks().into_iter().find(|b| b.starts_with("export ")).unwrap();
    let said = agent.run(&block);
    let outbox = agent.home().join("outbox");
    let env = format!(
        "http://127.0.0.1:8083|mozi_a_secret|app|7|6b1c7a52-0000-4000-8000-000000000000|{}\n",
        outbox.display()
    );
    assert_eq!(
        said,
        format!(
            "<output><add><--type><document><--title><Result><--file><FILE>\n{env}<report><review>\n{env}"
        )
    );
}

/// While the board is away, or busy, a call is repeated by itself; a refusal is not.
#[test]
fn calls_are_repeated_while_the_board_is_busy() {
    let (url, listener) = listen(vec!["503 Service Unavailable", "200 OK", "409 Conflict"]);
    let agent = Agent::new(Role::Executor, Callback::Header, Language::En, &url);
    let block = &agent.blocks()[1];
    assert!(agent.run(block).ends_with("HTTP 200\n"));
    assert!(agent.run(block).ends_with("HTTP 409\n"), "the answer is shown, with its status");
    let got = listener.join().unwrap();
    assert_eq!(got[0].body, got[1].body, "the whole body is sent again");
}
