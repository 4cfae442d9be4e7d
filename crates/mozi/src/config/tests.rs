//! Reading mozi.toml: every key, every mistake.

use super::*;

fn parse(text: &str) -> Config {
    Config::parse(Path::new("/etc/mozi/mozi.toml"), text).unwrap_or_else(|m| panic!("{m:#?}"))
}

#[track_caller]
fn mistakes(text: &str) -> String {
    let all = Config::parse(Path::new("mozi.toml"), text).expect_err("should be refused");
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_empty_file_is_a_board_without_agents() {
    let config = parse("");
    assert_eq!(config.server.listen.to_string(), DEFAULT_LISTEN);
    assert_eq!((config.max_sessions, config.agents.len()), (8, 0));
}

#[test]
fn every_key_of_the_manual_is_read() {
    let config = parse(
        r#"
        [server]
        listen = "[::1]:9000"
        public_url = "https://mozi.example.org/"
        agent_url = ""
        allowed_hosts = ["box"]
        tls_cert = "cert.pem"
        tls_key = "/keys/key.pem"
        insecure_listen = false
        anonymous = "callbacks"
        [runner]
        max_sessions = 3
        [agent_defaults]
        inherit_env = "minimal"
        env = { A = "1", B = "1" }
        timeout = "3h"
        [agents.coder]
        runtime = "openclaw"
        openclaw_agent = "dev"
        aliases = ["开发者", "Dev Bot"]
        callback = "anonymous"
        output_roots = []
        timeout = "0"
        [agents.shell]
        runtime = "command"
        command = ["bash", "{config_dir}/work.sh", "{task_id}"]
        prompt_via = "file"
        verdict = "exit"
        callback = "header"
        output_roots = ["out", "/abs"]
        roles = ["reviewer"]
        max_sessions = 2
        stall_timeout = "15m"
        grace = "5s"
        log_overflow = "end"
        inherit_env = ["PATH", "HOME"]
        env = { B = "2" }
        [agents.nothing]
        runtime = "dry-run"
        callback = "url"
        [projects.app]
        path = "/src/app"
        workspace = "in-place"
        [bootstraps.mine]
        command = ["python3", "-m", "x"]
        timeout = "5s"
        [[hooks]]
        on = ["agent_*", "status_changed:review", "session_ended"]
        project = "app"
        run = ["./notify.sh"]
        [[hooks]]
        on = ["idle", "*"]
        run = ["./notify.sh"]
        timeout = "5s"
        [retention]
        logs = "7d"
        logs_max = "500 MB"
        events = "90d"
        workspaces = "0"
        "#,
    );
    insta::assert_debug_snapshot!(config);
}

/// A file with a table of every kind.
const EVERY_TABLE: &str = r#"
[server]
[runner]
[retention]
[agent_defaults]
timeout = "3h"
env = { A = "secret" }
[agents.shell]
runtime = "command"
command = ["true"]
env = { B = "2" }
[agents."a.b"]
runtime = "openclaw"
openclaw_agent = "dev"
[projects.app]
path = "/src/app"
[bootstraps.mine]
command = ["true"]
[[hooks]]
on = ["agent_*"]
run = ["true"]
"#;

#[test]
fn the_reader_and_the_table_of_settings_know_the_same_keys() {
    let (file, table) = (Path::new("mozi.toml"), DeTable::parse(EVERY_TABLE).unwrap());
    let source = Source::new(file, EVERY_TABLE);
    read_root(&mut Config::empty("/".into()), Section::root(&source, &table));
    let asked = source.asked();
    let below = |a: &str, b: &str| b.len() > a.len() && b.starts_with(a) && b.as_bytes()[a.len()] == b'.';
    let leaves: Vec<&String> = asked.iter().filter(|a| !asked.iter().any(|b| below(a, b))).collect();
    for key in &leaves {
        assert!(registry::setting(key).is_some(), "the reader takes {key}, which the table does not know");
    }
    for setting in registry::SETTINGS {
        assert!(
            asked.contains(setting.path),
            "the table has {}, which the reader never asks for",
            setting.path
        );
    }
}

#[test]
fn every_key_is_shown_and_its_default_is_what_the_table_says() {
    let values = parse(EVERY_TABLE).values();
    for setting in registry::SETTINGS {
        assert!(values.iter().any(|v| v.pattern == setting.path), "{} is not shown", setting.path);
    }
    let plain = parse(
        "[agents.a]\nruntime=\"command\"\ncommand=[\"x\"]\n[agents.o]\nruntime=\"openclaw\"\n[projects.p]\n[bootstraps.b]\ncommand=[\"x\"]\n\
         [[hooks]]\non=[\"agent_*\"]\nrun=[\"x\"]\n",
    );
    for value in plain.values().iter().filter(|v| !v.path.starts_with("agents.o.")) {
        let setting = registry::setting(value.pattern).unwrap();
        if setting.default.starts_with('(') || value.pattern == "agents.*.env" {
            continue;
        }
        let written: toml::Table = format!("x = {}", setting.default).parse().unwrap();
        let span = |v: &serde_json::Value| v.as_str().and_then(|t| mozi_api::wire::parse_duration(t).ok());
        let default = serde_json::to_value(&written["x"]).unwrap();
        let same =
            default == value.value || (span(&default).is_some() && span(&default) == span(&value.value));
        assert!(same, "{}: {} is not {}", value.path, value.value, setting.default);
    }
}

#[test]
fn every_value_knows_where_it_comes_from() {
    let config = parse(EVERY_TABLE);
    let origins: Vec<String> = config
        .values()
        .iter()
        .filter(|v| v.path.starts_with("agents.") || v.path.starts_with("hooks."))
        .map(|v| format!("{} = {} ({})", v.path, v.value, config.origin(v).show(config.file.as_deref())))
        .collect();
    insta::assert_snapshot!(origins.join("\n"));
}

#[test]
fn two_configurations_differ_by_keys() {
    let old = parse(EVERY_TABLE);
    assert!(old.difference(&parse(EVERY_TABLE)).is_empty());
    let text = EVERY_TABLE
        .replace("[server]", "[server]\nlisten = \"127.0.0.1:1\"")
        .replace("[runner]", "[runner]\nmax_sessions = 2")
        .replace("[agents.\"a.b\"]", "[agents.c]")
        .replace("B = \"2\"", "B = \"3\"");
    let found = old.difference(&parse(&text));
    assert_eq!(found.added, ["agents.c"]);
    assert_eq!(found.removed, ["agents.\"a.b\""]);
    assert_eq!(found.changed, ["agents.shell.env.B", "runner.max_sessions"]);
    assert_eq!(found.needs_restart, ["server.listen"]);
}

#[test]
fn unknown_keys_are_told_with_the_nearest_one() {
    insta::assert_snapshot!(mistakes(
        "[server]\nlistn = \"127.0.0.1:1\"\n[agents.a]\nruntime = \"command\"\ncomand = [\"x\"]\n[serverr]\nx=1\n[runner]\nzzz=1\n"
    ));
}

#[test]
fn wrong_values_are_told_with_what_they_should_be() {
    insta::assert_snapshot!(mistakes(
        r#"
        [server]
        listen = 8083
        public_url = "mozi.example.org"
        tls_cert = "c.pem"
        [runner]
        max_sessions = 0
        [agents.a]
        runtime = "comand"
        [agents.A]
        runtime = "dry-run"
        [agents."not an id"]
        runtime = "dry-run"
        [agents.b]
        runtime = "openclaw"
        command = ["x"]
        callback = "env"
        [agents.misspelt]
        runtime = "command"
        command = ["awk", "{print}", "{task}"]
        [agents.c]
        runtime = "command"
        command = []
        timeout = 600
        grace = "5"
        roles = ["executer"]
        env = { MOZI_URL = "x" }
        [projects.p]
        path = "src"
        workspace = "in_place"
        [[hooks]]
        on = ["task_done"]
        run = "notify.sh"
        [retention]
        logs = 30
        logs_max = "10"
        events = "90"
        workspaces = "never"
        keep = "all"
        "#
    ));
}

#[test]
fn a_callback_without_a_token_needs_a_board_that_takes_it() {
    let agent = "[agents.a]\nruntime = \"dry-run\"\n";
    let own = mistakes(&format!("{agent}callback = \"anonymous\"\n"));
    assert!(own.starts_with("mozi.toml:3:12: [agents.a] has callback = \"anonymous\", which needs"), "{own}");
    let by_default = mistakes(&format!("[agent_defaults]\ncallback = \"anonymous\"\n{agent}"));
    assert!(by_default.contains("[agents.a] has callback"), "{by_default}");
    parse(&format!("[server]\nanonymous = \"callbacks\"\n{agent}callback = \"anonymous\"\n"));
    let word = mistakes("[server]\nanonymous = \"on\"\n");
    assert!(word.contains("callbacks"), "{word}");
}

#[test]
fn under_one_name_only_one_agent_reports() {
    let two = |a: &str, b: &str| {
        let runtime = "runtime = \"dry-run\"\naliases =";
        mistakes(&format!("[agents.a]\n{runtime} {a}\n[agents.b]\n{runtime} {b}\n"))
    };
    for (a, b, said) in [
        (r#"["开发者"]"#, r#"["开发者"]"#, "\"开发者\", which is a name of agent a"),
        ("[]", r#"["A"]"#, "\"A\", which is a name of agent a"),
        (r#"["B"]"#, "[]", "agent a has the alias"),
        (r#"["x", "X"]"#, "[]", "\"X\", which is a name of the agent already"),
        (r#"["a"]"#, "[]", "\"a\", which is a name of the agent already"),
        (r#"[" x"]"#, "[]", "1 to 127 characters"),
        (r#"[""]"#, "[]", "1 to 127 characters"),
        ("\"x\"", "[]", "`aliases`"),
    ] {
        let all = two(a, b);
        assert!(all.contains(said) && all.lines().count() == 1, "{a} {b}: {all}");
    }
    assert!(mistakes("[agent_defaults]\naliases = [\"x\"]\n").contains("in its own table"));
}

#[test]
fn a_pattern_that_can_never_fit_is_a_mistake() {
    let hook = |rest: &str| format!("[[hooks]]\nrun = [\"x\"]\n{rest}\n");
    for (rest, said) in [
        ("on = [\"agent_complete\"]", "did you mean \"agent_completed\"?"),
        ("on = [\"zzzzzzz\"]", "`mozi events` shows"),
        ("on = [\"zz*\"]", "no type of event"),
        ("on = [\"*_ended\"]", "no type of event"),
        ("on = [\"status_changed:reviewed\"]", "a status is one of"),
        ("on = [\"notice:\"]", "what follows the colon"),
        ("on = []", "a hook needs `on`"),
        ("", "a hook needs `on`"),
        ("on = \"idle\"", "`on`"),
        ("on = [\"idle\"]\nproject = \"app\"", "belongs to no project"),
        ("on = [\"*\"]\nproject = \"a/b\"", "`project` is a project's id"),
        ("on = [\"*\"]\ntimeout = 5", "`timeout`"),
    ] {
        let all = mistakes(&hook(rest));
        assert!(all.contains(said) && all.lines().count() == 1, "{rest}: {all}");
    }
    for on in ["*", "idle", "session_*", "notice:hook_failed", "agent_completed", "status_changed:done"] {
        parse(&hook(&format!("on = [\"{on}\"]")));
    }
}

#[test]
fn whose_exit_status_is_its_verdict_reviews_nothing_unless_told_to() {
    let shell = "[agents.a]\nruntime = \"command\"\ncommand = [\"true\"]\n";
    let roles = |text: &str| parse(text).agents[&"a".parse::<AgentId>().unwrap()].roles.clone();
    assert_eq!(roles(shell), [Role::Executor, Role::Reviewer]);
    let exit = format!("{shell}verdict = \"exit\"\n");
    assert_eq!(roles(&exit), [Role::Executor]);
    assert_eq!(roles(&format!("{exit}roles = [\"reviewer\"]\n")), [Role::Reviewer]);
}

#[test]
fn broken_toml_is_told_with_its_place() {
    insta::assert_snapshot!(mistakes("[server]\nlisten = \n"));
    insta::assert_snapshot!(mistakes("[agents.a]\nruntime = \"dry-run\"\n[agents.a]\n"));
}

#[test]
fn columns_count_characters_and_not_bytes() {
    assert!(
        mistakes("[server]\npublic_url = \"\" # 中文\n\"中文\" = 1\n")
            .starts_with("mozi.toml:3:1: unknown key `中文`")
    );
    assert!(mistakes("server = { listen = \"127.0.0.1:1\", 中 = 1 }").starts_with("mozi.toml:1:"));
}

#[test]
fn more_than_loopback_needs_a_word() {
    let open: SocketAddr = "0.0.0.0:8083".parse().unwrap();
    let refused = parse("").check_listen(open).unwrap_err();
    assert!(refused.hint.unwrap().contains("insecure_listen"));
    assert!(parse("[server]\ninsecure_listen = true").check_listen(open).is_ok());
    assert!(parse("[server]\ntls_cert='c'\ntls_key='k'").check_listen(open).is_ok());
    assert!(parse("").check_listen("[::1]:1".parse().unwrap()).is_ok());
}
