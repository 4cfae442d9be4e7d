//! The environment of an agent.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::config::InheritEnv;

/// Variables by which an agent's own shell is recognised. Settings that only share a prefix with them (keys, homes,
/// proxies of those agents) are no marks: agents need them.
const OUTER_MARKS: &[&str] = &[
    "OPENCLAW_SHELL",
    "OPENCLAW_CLI",
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_EXECPATH",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_SSE_PORT",
    "CLAUDE_CODE_CHILD_SESSION",
    "CODEX_SANDBOX",
    "CODEX_SANDBOX_NETWORK_DISABLED",
    "CODEX_THREAD_ID",
    "CODEX_CI",
    "GEMINI_CLI",
    "OPENCODE",
    "OPENCODE_PID",
    "OPENCODE_SESSION",
    "AI_AGENT",
];

const MINIMAL: &[&str] = &["PATH", "HOME", "USER", "LANG", "TZ", "TERM"];

const LOOPBACK: &str = "127.0.0.1,localhost,::1";

/// Whether a variable says "you run inside an agent": such a one, like everything of Mozi's own, is never passed on.
pub fn is_outer_mark(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("MOZI_") || OUTER_MARKS.contains(&name))
}

/// The complete environment of an agent: what it inherits, what its configuration adds, what Mozi tells it.
pub(crate) fn build(
    base: &[(OsString, OsString)],
    inherit: &InheritEnv,
    added: &BTreeMap<String, String>,
    mozi: &[(&str, OsString)],
    bin: &Path,
    removed: &[&str],
) -> BTreeMap<OsString, OsString> {
    let inherited = |name: &OsStr| match inherit {
        InheritEnv::All => true,
        InheritEnv::Minimal => name.to_str().is_some_and(|n| MINIMAL.contains(&n)),
        InheritEnv::Names(names) => name.to_str().is_some_and(|n| names.iter().any(|wanted| wanted == n)),
    };
    let mut env: BTreeMap<OsString, OsString> = base
        .iter()
        .filter(|(name, _)| !is_outer_mark(name) && inherited(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    env.extend(added.iter().map(|(name, value)| (name.into(), value.into())));
    for name in removed {
        env.remove(OsStr::new(name));
    }
    env.extend(mozi.iter().map(|(name, value)| (OsString::from(name), value.clone())));
    let direct =
        mozi.iter().find(|(name, _)| *name == "MOZI_URL").and_then(|(_, url)| host_of(url.to_str()?));
    let direct = match direct.filter(|host| !LOOPBACK.split(',').any(|l| l == *host)) {
        Some(host) => format!("{LOOPBACK},{host}"),
        None => LOOPBACK.to_owned(),
    };
    for name in ["NO_PROXY", "no_proxy"] {
        let old = env.get(OsStr::new(name)).filter(|old| !old.is_empty()).cloned();
        let value = match old {
            Some(mut old) => {
                old.push(",");
                old.push(&direct);
                old
            }
            None => direct.clone().into(),
        };
        env.insert(name.into(), value);
    }
    let mut path = bin.as_os_str().to_owned();
    // Without a PATH a shell would look in its own default places; so do we.
    let old = env.get(OsStr::new("PATH")).cloned();
    path.push(":");
    path.push(old.unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()));
    env.insert("PATH".into(), path);
    env
}

/// The host of an address, without brackets and port.
fn host_of(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => authority.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(n, v)| (n.into(), v.into())).collect()
    }

    #[track_caller]
    fn check(inherit: &InheritEnv, removed: &[&str], expected: &[(&str, Option<&str>)]) {
        let base = base(&[
            ("PATH", "/usr/bin"),
            ("HOME", "/home/ann"),
            ("SECRET_KEY", "k"),
            ("MOZI_TOKEN", "mozi_u_admin"),
            ("OPENCLAW_SHELL", "exec"),
            ("CLAUDECODE", "1"),
            ("OPENCLAW_STATE_DIR", "/oc"),
            ("NO_PROXY", "intranet"),
        ]);
        let added = BTreeMap::from([("EXTRA".to_owned(), "x y".to_owned())]);
        let env = build(
            &base,
            inherit,
            &added,
            &[("MOZI_URL", "http://127.0.0.1:1".into())],
            Path::new("/d/bin"),
            removed,
        );
        for (name, value) in expected {
            assert_eq!(env.get(OsStr::new(name)).map(|v| v.to_str().unwrap()), *value, "{name}");
        }
    }

    #[test]
    fn everything_but_marks_and_secrets_of_mozi() {
        check(
            &InheritEnv::All,
            &[],
            &[
                ("PATH", Some("/d/bin:/usr/bin")),
                ("SECRET_KEY", Some("k")),
                ("MOZI_TOKEN", None),
                ("OPENCLAW_SHELL", None),
                ("CLAUDECODE", None),
                ("OPENCLAW_STATE_DIR", Some("/oc")),
                ("MOZI_URL", Some("http://127.0.0.1:1")),
                ("EXTRA", Some("x y")),
                ("NO_PROXY", Some("intranet,127.0.0.1,localhost,::1")),
                ("no_proxy", Some("127.0.0.1,localhost,::1")),
            ],
        );
    }

    #[test]
    fn no_proxy_is_asked_for_the_board() {
        for (url, expected) in [
            ("http://127.0.0.1:8083", LOOPBACK.to_owned()),
            ("http://[::1]:8083/t/mozi_a_x", LOOPBACK.to_owned()),
            ("https://board.example:9000/t/mozi_a_x", format!("{LOOPBACK},board.example")),
            ("http://[fd00::1]", format!("{LOOPBACK},fd00::1")),
        ] {
            let mozi = [("MOZI_URL", url.into())];
            let env = build(&[], &InheritEnv::All, &BTreeMap::new(), &mozi, Path::new("/d/bin"), &[]);
            for name in ["NO_PROXY", "no_proxy"] {
                assert_eq!(
                    env.get(OsStr::new(name)).and_then(|v| v.to_str()),
                    Some(expected.as_str()),
                    "{url}"
                );
            }
        }
    }

    #[test]
    fn only_what_was_asked_for() {
        let minimal =
            [("HOME", Some("/home/ann")), ("SECRET_KEY", None), ("EXTRA", Some("x y")), ("MOZI_TOKEN", None)];
        check(&InheritEnv::Minimal, &[], &minimal);
        let names = InheritEnv::Names(vec!["SECRET_KEY".to_owned(), "MOZI_TOKEN".to_owned()]);
        check(
            &names,
            &["EXTRA"],
            &[("HOME", None), ("SECRET_KEY", Some("k")), ("EXTRA", None), ("MOZI_TOKEN", None)],
        );
    }
}
