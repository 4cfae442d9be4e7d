//! Who may ask at all: which credentials a route takes, and from which names and pages requests may come.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, header};
use mozi_core::{TokenHash, UserRole};

use crate::{clock::hash_token, error::ApiError};

/// The credentials that a route takes. What is not named is refused: there is no route without this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Nobody in particular.
    pub open: bool,
    /// Users, from this role on.
    pub user: Option<UserRole>,
    /// Attempts, as far as it says.
    pub attempt: AttemptAccess,
    /// Runners, as far as it says.
    pub runner: RunnerAccess,
    /// Where the decision is made.
    pub decided: Decided,
    /// Without a token too, for the task at which an agent is at work, where the board allows that.
    pub anonymous: bool,
}

/// What an attempt's token reaches by a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptAccess {
    /// Nothing: there is no such thing for it.
    None,
    /// Its own task only.
    Own,
    /// Its own task, the tasks that it depends on, its parent and its own subtasks.
    Related,
    /// Its project, to add a subtask.
    Project,
}

/// What a runner's token reaches by a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunnerAccess {
    /// Nothing.
    None,
    /// Its own sessions and orders.
    Own,
    /// Everything that the route shows: its hooks read events and tasks.
    Read,
}

/// Where a route's rights are decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// By a look at the credential before the answer is read.
    Before,
    /// Inside the transaction that writes: no look before it could still be true then.
    Within,
}

const NOBODY: Access = Access {
    open: false,
    user: None,
    attempt: AttemptAccess::None,
    runner: RunnerAccess::None,
    decided: Decided::Before,
    anonymous: false,
};

impl Access {
    /// No token needed.
    pub const OPEN: Self = Self { open: true, ..NOBODY };
    /// Every user reads.
    pub const READ: Self = Self { user: Some(UserRole::Viewer), ..NOBODY };
    /// Every user reads, and the runner for its hooks.
    pub const READ_EVENTS: Self = Self { runner: RunnerAccess::Read, ..Self::READ };
    /// Every user reads, the runner for its hooks, and attempts what is theirs or near to it.
    pub const READ_TASK: Self = Self { attempt: AttemptAccess::Related, ..Self::READ_EVENTS };
    /// The same, as one of the contract's calls.
    pub const READ_CONTRACT: Self = Self { anonymous: true, ..Self::READ_TASK };
    /// The same, but attempts only what is theirs.
    pub const READ_OWN: Self = Self { attempt: AttemptAccess::Own, ..Self::READ_EVENTS };
    /// Users with the right to act.
    pub const OPERATE: Self = Self { user: Some(UserRole::Operator), decided: Decided::Within, ..NOBODY };
    /// Those, and attempts for their own task.
    pub const CALLBACK: Self = Self { attempt: AttemptAccess::Own, anonymous: true, ..Self::OPERATE };
    /// Those, and executors where their project allows it.
    pub const CREATE: Self = Self { attempt: AttemptAccess::Project, ..Self::OPERATE };
    /// Administrators, writing.
    pub const ADMIN: Self = Self { user: Some(UserRole::Admin), ..Self::OPERATE };
    /// Administrators, reading.
    pub const READ_ADMIN: Self = Self { user: Some(UserRole::Admin), ..NOBODY };
    /// Administrators, with what is done and not only written: decided before it is done.
    pub const STEER: Self = Self { user: Some(UserRole::Admin), ..NOBODY };
    /// The runner itself, writing.
    pub const RUNNER: Self = Self { runner: RunnerAccess::Own, decided: Decided::Within, ..NOBODY };
    /// The runner itself, reading.
    pub const READ_RUNNER: Self = Self { runner: RunnerAccess::Own, ..NOBODY };
}

/// Whose a bearer token is, as its beginning says. Only a hint to refuse by: rights come from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    User,
    Attempt,
    Runner,
}

/// A bearer token, by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) kind: Kind,
    pub(crate) hash: TokenHash,
}

/// The bearer token of a request, if there is one.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<Bearer>, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|v| {
        let (scheme, token) = v.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let Some(token) = token else {
        return Err(ApiError::unauthenticated("`Authorization` must be `Bearer TOKEN`"));
    };
    let kind = match token.get(..7) {
        Some("mozi_u_") => Kind::User,
        Some("mozi_a_") => Kind::Attempt,
        Some("mozi_r_") => Kind::Runner,
        _ => return Err(ApiError::unauthenticated("this token is not known")),
    };
    Ok(Some(Bearer { kind, hash: hash_token(token) }))
}

impl Access {
    /// Refuses what the route does not take, before anything is read. For an attempt's token there is nothing
    /// where nothing is for it. `anonymous`: whether the board takes the contract's calls without one.
    pub(crate) fn admit(self, bearer: Option<Bearer>, anonymous: bool) -> Result<(), ApiError> {
        let Some(bearer) = bearer else {
            return if self.open || (self.anonymous && anonymous) {
                Ok(())
            } else {
                Err(ApiError::unauthenticated("a bearer token is needed"))
            };
        };
        match bearer.kind {
            _ if self.open => Ok(()),
            Kind::User if self.user.is_none() => {
                Err(ApiError::forbidden("only a runner's token may do this"))
            }
            Kind::Runner if self.runner == RunnerAccess::None => {
                Err(ApiError::forbidden("a runner's token may not do this"))
            }
            Kind::Attempt if self.attempt == AttemptAccess::None => {
                Err(ApiError::not_found("such thing for an attempt's token"))
            }
            Kind::User | Kind::Runner | Kind::Attempt => Ok(()),
        }
    }
}

/// The names under which this board may be asked.
#[derive(Debug, Clone)]
pub(crate) struct Hosts {
    /// Lower case, without port.
    names: Vec<String>,
    /// The origin of `public_url`, lower case.
    public_origin: Option<String>,
}

impl Hosts {
    pub(crate) fn new<'a>(urls: impl IntoIterator<Item = &'a str>, allowed: &[String]) -> Self {
        let mut names: Vec<String> = allowed.iter().map(|h| without_port(h).to_ascii_lowercase()).collect();
        let mut public_origin = None;
        for url in urls {
            let Ok(uri) = url.trim().parse::<http::Uri>() else { continue };
            let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { continue };
            names.push(without_port(authority.as_str()).to_ascii_lowercase());
            public_origin.get_or_insert_with(|| format!("{scheme}://{authority}").to_ascii_lowercase());
        }
        Self { names, public_origin }
    }

    /// Refuses requests that a page of somebody else may have sent: a name that only points here, or an origin
    /// that is not ours.
    pub(crate) fn check(&self, headers: &HeaderMap, uri: &http::Uri) -> Result<(), ApiError> {
        let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
        let host = match host.or_else(|| uri.authority().map(|a| a.as_str().as_bytes())) {
            Some(bytes) => std::str::from_utf8(bytes).unwrap_or(""),
            // No browser leaves it out; what remains has to show a token.
            None if headers.contains_key(header::AUTHORIZATION) => "localhost",
            None => "",
        };
        if !self.is_ours(host) {
            return Err(ApiError::host_refused(host));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().unwrap_or("").to_ascii_lowercase();
        let same = origin.split_once("://").is_some_and(|(scheme, rest)| {
            matches!(scheme, "http" | "https") && rest.eq_ignore_ascii_case(host)
        });
        if same || self.public_origin.as_ref().is_some_and(|p| *p == origin) {
            Ok(())
        } else {
            Err(ApiError::origin_refused(&origin))
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = without_port(host);
        if name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.is_ok_and(|ip| ip.is_loopback()) || self.names.iter().any(|n| n.eq_ignore_ascii_case(name))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // An IPv6 address has colons of its own; a port follows its bracket.
        Some((name, port))
            if (name.ends_with(']') || !name.contains(':')) && port.bytes().all(|b| b.is_ascii_digit()) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: Option<&str>, origin: Option<&str>, token: bool, expected: &str) {
        let hosts =
            Hosts::new(["https://board.example:9000"], &["mozi.lan".to_owned(), "[fd00::1]".to_owned()]);
        let mut headers = HeaderMap::new();
        if let Some(h) = host {
            headers.insert(header::HOST, h.parse().unwrap());
        }
        if let Some(o) = origin {
            headers.insert(header::ORIGIN, o.parse().unwrap());
        }
        if token {
            headers.insert(header::AUTHORIZATION, "Bearer mozi_u_1".parse().unwrap());
        }
        let got = hosts.check(&headers, &"/api/projects".parse().unwrap());
        assert_eq!(got.err().as_ref().map_or("ok", ApiError::code), expected, "{host:?} {origin:?}");
    }

    #[test]
    fn names_under_which_the_board_may_be_asked() {
        for ours in [
            "localhost",
            "LOCALHOST:8083",
            "127.0.0.1:8083",
            "127.8.9.1",
            "[::1]:8083",
            "[::1]",
            "board.example:9000",
            "board.example",
            "Mozi.LAN:1",
            "[fd00::1]:80",
        ] {
            check(Some(ours), None, false, "ok");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "192.168.1.4:8083",
            "[fd00::2]",
            "",
            "127.0.0.1.nip.io",
            "0.0.0.0",
        ] {
            check(Some(foreign), None, true, "host_refused");
        }
        check(None, None, true, "ok");
        check(None, None, false, "host_refused");
    }

    #[test]
    fn pages_from_which_the_board_may_be_asked() {
        check(Some("127.0.0.1:8083"), Some("http://127.0.0.1:8083"), true, "ok");
        check(Some("localhost:8083"), Some("https://board.example:9000"), true, "ok");
        for foreign in [
            "http://127.0.0.1:8084",
            "http://localhost:8083",
            "null",
            "https://evil.example",
            "file://127.0.0.1:8083",
            "http://127.0.0.1:8083.evil",
        ] {
            check(Some("127.0.0.1:8083"), Some(foreign), true, "origin_refused");
        }
    }

    #[test]
    fn a_token_says_whose_it_is() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(|b| b.map(|b| b.kind)).map_err(|e| e.code().to_owned())
        };
        assert_eq!(with("Bearer mozi_a_1"), Ok(Some(Kind::Attempt)));
        assert_eq!(with("bearer  mozi_r_1"), Ok(Some(Kind::Runner)));
        assert_eq!(with("Basic abc"), Err("unauthenticated".to_owned()));
        assert_eq!(with("Bearer mozi"), Err("unauthenticated".to_owned()));
        assert_eq!(bearer(&HeaderMap::new()).unwrap(), None);
    }
}
