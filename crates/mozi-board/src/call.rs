//! One request on its way through the board: how it enters, what it may ask, how it is answered.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{RequestPartsExt as _, body::Body, extract::RawPathParams, response::Response};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use http_body_util::BodyExt as _;
use mozi_api::{
    body,
    client::{AS_PERSON, IDEMPOTENCY_KEY, REQUEST_ID, VIA},
    query,
};
use mozi_core::{
    Attempt, AttemptNumber, Command, Identity, ProjectId, Reply, Request, RunnerId, SessionId, TaskId,
    TaskKey, UserRole,
    command::Credential,
    decide::anonymous::{is_named, may_act},
};
use mozi_store::{Answer, IdempotencyKey, Recalled};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use tracing::Instrument as _;

use crate::{
    Board, access,
    address::Wrong,
    auth::{AttemptAccess, Bearer, Decided, Kind, RunnerAccess, bearer},
    dismiss,
    error::ApiError,
    late::Late,
    local::Visitor,
    routes::Route,
    seen,
    serve::{BodyPause, Closing, HeadTooLarge},
    task,
};

/// Says that this answer was given before, under the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What a handler answers.
pub(crate) type Outcome = Result<Response, ApiError>;

/// The largest body in JSON, where a route does not say otherwise.
pub(crate) const JSON_BYTES: u64 = 1024 * 1024;

/// One request, admitted to its route.
pub(crate) struct Call {
    pub(crate) board: Arc<Board>,
    pub(crate) head: Parts,
    /// Behind a lock that is never waited for: a body may only be looked at by one.
    body: Mutex<Body>,
    /// Whose it is, where the route is decided before its answer is read.
    pub(crate) who: Option<Identity>,
    bearer: Option<Bearer>,
    /// Without a token: the attempt at work at the task that is asked about.
    nameless: Option<Attempt>,
    params: Option<RawPathParams>,
    /// The digest of the body that was read, where an `Idempotency-Key` asks for it.
    digest: Option<[u8; 32]>,
    /// Set when an answer of before is given again.
    repeated: Arc<AtomicBool>,
}

/// The one entrance of every route.
pub(crate) async fn enter(
    board: Arc<Board>,
    route: &'static Route,
    request: http::Request<Body>,
) -> Response {
    let (head, body) = request.into_parts();
    let id = request_id(&board, &head.headers);
    let asked = access::Asked::new(&id, &head);
    let repeated = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&repeated);
    let late = Late::new(&board, route, bearer(&head.headers).ok().flatten(), head.uri.path());
    let work = async move {
        let body = Mutex::new(body);
        let mut call = Call {
            board,
            head,
            body,
            who: None,
            bearer: None,
            nameless: None,
            params: None,
            digest: None,
            repeated,
        };
        call.admit(route).await?;
        (route.handler)(call).await
    };
    let mut done = AssertUnwindSafe(work).catch_unwind().instrument(asked.span()).await;
    let badly_asked = matches!(&done, Ok(Err(error)) if Late::concerns(error));
    if let Some(late) = late.filter(|_| badly_asked)
        && let Err(refused) = late.check(route).await
    {
        done = Ok(Err(refused));
    }
    let mut response = asked.span().in_scope(|| finish(id, done));
    if seen.load(Ordering::Relaxed) {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    asked.answered(&response);
    response
}

/// Where no route is, or none for this method.
pub(crate) async fn nowhere(board: Arc<Board>, request: http::Request<Body>, wrong_method: bool) -> Response {
    let (head, _) = request.into_parts();
    let id = request_id(&board, &head.headers);
    let asked = access::Asked::new(&id, &head);
    let path = head.uri.path();
    let error = match board.hosts.check(&head.headers, &head.uri) {
        Err(e) => e,
        Ok(()) if wrong_method => ApiError::method_not_allowed(&head.method),
        Ok(()) => ApiError::not_found(format_args!("route {:?}", path.chars().take(200).collect::<String>())),
    };
    let response = finish(id, Ok(Err(error)));
    asked.answered(&response);
    response
}

fn finish(id: HeaderValue, result: Result<Outcome, Box<dyn std::any::Any + Send>>) -> Response {
    let mut response = match result {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => error.into_response(&id),
        Err(panic) => {
            let what = task::what(&*panic);
            ApiError::internal(&format!("a request panicked: {what}")).into_response(&id)
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REQUEST_ID, id);
    response
}

/// The id that the client gave its request, or a new one.
fn request_id(board: &Board, headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|v| {
        let bytes = v.as_bytes();
        (1..=128).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&format!("{:016x}", board.clock.seed()))
            .unwrap_or_else(|_| HeaderValue::from_static("0"))
    })
}

impl Call {
    /// Lets the request in, as far as its route is decided before the answer is read.
    async fn admit(&mut self, route: &Route) -> Result<(), ApiError> {
        if self.head.extensions.get::<HeadTooLarge>().is_some() {
            return Err(ApiError::head_too_large());
        }
        self.board.hosts.check(&self.head.headers, &self.head.uri)?;
        if let Some(wrong) = self.head.extensions.get::<Wrong>() {
            return Err(wrong.error());
        }
        self.bearer = bearer(&self.head.headers)?;
        if let (None, Some(visitor)) = (self.bearer, self.visitor()) {
            self.bearer = Some(Bearer { kind: Kind::User, hash: visitor.owner });
        }
        route.access.admit(self.bearer, self.board.config.anonymous)?;
        if route.by_person {
            self.person_only().await?;
        }
        if !route.has_query() {
            query::none(self.query())?;
        }
        if route.path.contains('{') {
            let params = self.head.extract::<RawPathParams>().await;
            self.params = Some(params.map_err(|e| ApiError::not_found(format_args!("such path: {e}")))?);
            access::about(|name| self.param(name));
        }
        if self.bearer.is_none() && !route.access.open {
            self.nameless = Some(self.at_work().await?);
        }
        if route.access.open || route.access.decided == Decided::Within {
            return Ok(());
        }
        let identity = self.identify().await?;
        match &identity {
            Identity::User { role, project, .. } => {
                if route.access.user.is_none_or(|least| *role < least) {
                    return Err(ApiError::forbidden("this token may not do this"));
                }
                if project.is_some() && route.access.user == Some(UserRole::Admin) {
                    return Err(ApiError::forbidden("this token is for one project only"));
                }
                if let (Some(scope), Ok(asked)) = (project, self.project())
                    && *scope != asked
                {
                    return Err(ApiError::not_found(format_args!("project {asked}")));
                }
            }
            Identity::Attempt { key, number, .. } => {
                self.admit_attempt(route.access.attempt, key, *number).await?;
            }
            Identity::Runner(me) => match route.access.runner {
                RunnerAccess::Read => {}
                RunnerAccess::Own if self.runner()? == *me => {}
                RunnerAccess::Own => return Err(ApiError::not_found("such runner for this token")),
                RunnerAccess::None => return Err(ApiError::forbidden("a runner's token may not do this")),
            },
            Identity::Unknown | Identity::Board => {
                return Err(ApiError::unauthenticated("this token is not known, or not any more"));
            }
        }
        self.who = Some(identity);
        Ok(())
    }

    /// Whoever asks without a token is taken for the attempt at work at the task. That it is the one of the agent
    /// that the body names is decided with the command.
    async fn at_work(&self) -> Result<Attempt, ApiError> {
        let view = self.board.store.task(&self.task()?, self.board.clock.now()).await?;
        let attempt = view.and_then(|v| v.open).filter(may_act);
        attempt.ok_or_else(|| {
            ApiError::unauthenticated("a bearer token is needed: no agent is at work at such a task")
        })
    }

    /// Who asks by the socket of this machine, if it came that way.
    fn visitor(&self) -> Option<&Visitor> {
        self.head.extensions.get()
    }

    /// Refuses a user's decision from inside an agent, as far as it can be seen, unless it was said to be meant. A
    /// guard against mistakes: by the network nothing is seen.
    pub(crate) async fn person_only(&self) -> Result<(), ApiError> {
        // Wrong, it is refused by whatever road it comes.
        let meant = self.as_person()?;
        let is_user = self.bearer.is_some_and(|b| b.kind == Kind::User);
        let Some(visitor) = self.visitor().filter(|_| is_user) else { return Ok(()) };
        let sign = Arc::clone(&visitor.sign);
        let sign = tokio::task::spawn_blocking(move || sign()).await;
        match sign.map_err(|e| ApiError::internal(&format!("looking at who asks failed: {e}")))? {
            None => Ok(()),
            Some(why) if meant => {
                tracing::info!(
                    "a decision from inside an agent, said to be a person's: {} {} ({why})",
                    self.head.method,
                    self.head.uri.path()
                );
                Ok(())
            }
            Some(why) => Err(ApiError::agent_context(&why)),
        }
    }

    fn as_person(&self) -> Result<bool, ApiError> {
        match self.head.headers.get(AS_PERSON).map(HeaderValue::as_bytes) {
            None => Ok(false),
            Some(b"true") => Ok(true),
            Some(_) => Err(ApiError::invalid(AS_PERSON.as_str(), "must be `true`, or left out")),
        }
    }

    /// Whether whoever shows no token names the agent that is at work; with a token it does not matter. Before anything
    /// is opened for it: what it says is judged once more with the command.
    pub(crate) async fn check_name(&self, claimed: Option<&str>) -> Result<(), ApiError> {
        let Some(attempt) = &self.nameless else { return Ok(()) };
        let agent = self.board.store.agent(&attempt.agent).await?;
        if claimed.is_some_and(|claimed| is_named(attempt, agent.as_ref(), claimed)) {
            return Ok(());
        }
        Err(ApiError::unauthenticated("a bearer token is needed: `agent` does not name the agent at work"))
    }

    /// For an attempt there is nothing but its own task and what is near to it; once it is closed, nothing at all.
    async fn admit_attempt(
        &self,
        access: AttemptAccess,
        own: &TaskKey,
        number: AttemptNumber,
    ) -> Result<(), ApiError> {
        let asked = self.task()?;
        let nothing = || ApiError::not_found(format_args!("task {} for this token", asked.task));
        let near = match access {
            AttemptAccess::Own => asked == *own,
            AttemptAccess::Related => asked == *own || self.board.store.related(own, &asked).await?,
            AttemptAccess::None | AttemptAccess::Project => false,
        };
        if !near {
            return Err(nothing());
        }
        let attempt = self.board.store.attempt(own, number).await?.ok_or_else(nothing)?;
        match attempt.outcome {
            None => Ok(()),
            Some(outcome) => {
                let why = format!("it has ended: {outcome}");
                Err(mozi_core::Refusal::AttemptClosed { number, why }.into())
            }
        }
    }

    /// Whose the token is.
    pub(crate) async fn identify(&self) -> Result<Identity, ApiError> {
        match (self.bearer, &self.nameless) {
            (None, None) => Ok(Identity::Unknown),
            (None, Some(a)) => Ok(Identity::Attempt {
                key: a.key.clone(),
                number: a.number,
                role: a.role,
                agent: a.agent.clone(),
                session: a.session_id.to_string(),
            }),
            (Some(b), _) => {
                let identity = self.board.store.identify(b.hash, self.board.clock.now()).await?;
                if matches!(identity, Identity::User { .. }) {
                    seen::note(&self.board, b.hash);
                }
                Ok(identity)
            }
        }
    }

    /// Returns when whoever asks is not any more who they were.
    pub(crate) fn dismissed(&self) -> impl Future<Output = ()> + Send + 'static {
        let bell = self.board.dismissals.listen();
        dismiss::dismissed(Arc::clone(&self.board), self.bearer, self.who.clone(), bell)
    }

    /// The only project that whoever asks may see, if they are limited to one.
    pub(crate) fn scope(&self) -> Option<&ProjectId> {
        match &self.who {
            Some(Identity::User { project, .. }) => project.as_ref(),
            _ => None,
        }
    }

    // --- what is asked ----------------------------------------------------------------------------------------

    fn param(&self, name: &str) -> Option<&str> {
        self.params.as_ref()?.iter().find(|(k, _)| *k == name).map(|(_, v)| v)
    }

    /// A part of the path; what cannot be such a thing does not exist.
    pub(crate) fn path<T: std::str::FromStr>(&self, name: &str, what: &str) -> Result<T, ApiError> {
        let text = self.param(name).unwrap_or_default();
        text.parse().map_err(|_| {
            ApiError::not_found(format_args!("{what} {:?}", text.chars().take(130).collect::<String>()))
        })
    }
    pub(crate) fn project(&self) -> Result<ProjectId, ApiError> {
        self.path("p", "project")
    }
    pub(crate) fn task(&self) -> Result<TaskKey, ApiError> {
        Ok(TaskKey::new(self.project()?, self.path::<TaskId>("t", "task")?))
    }
    pub(crate) fn runner(&self) -> Result<RunnerId, ApiError> {
        self.path("r", "runner")
    }
    pub(crate) fn session(&self) -> Result<SessionId, ApiError> {
        self.path("sid", "session")
    }

    /// The query, as it stands in the address.
    pub(crate) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// A header that is one line of text.
    fn text_header(&self, name: &HeaderName, longest: usize) -> Result<Option<&str>, ApiError> {
        let Some(value) = self.head.headers.get(name) else { return Ok(None) };
        let text = value.to_str().ok().filter(|t| !t.is_empty() && t.len() <= longest);
        text.map(Some).ok_or_else(|| {
            ApiError::invalid(name.as_str(), format_args!("must be 1 to {longest} visible ASCII characters"))
        })
    }

    /// Returns when the server is closing.
    pub(crate) fn closing(&self) -> impl Future<Output = ()> + Send + 'static {
        let closing = self.head.extensions.get::<Closing>().cloned();
        async move {
            match closing {
                Some(mut closing) => closing.wait().await,
                // Called in process: it ends with its caller.
                None => std::future::pending().await,
            }
        }
    }

    // --- bodies -----------------------------------------------------------------------------------------------

    fn content_type(&self) -> Option<&str> {
        let text = self.head.headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or("?");
        Some(text.split(';').next().unwrap_or(text).trim())
    }

    fn charset(&self) -> Option<&str> {
        let text = self.head.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        text.split(';').skip(1).find_map(|p| {
            let (name, value) = p.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
        })
    }

    pub(crate) fn is_multipart(&self) -> bool {
        self.content_type().is_some_and(|t| t.eq_ignore_ascii_case("multipart/form-data"))
    }

    /// JSON is what counts as JSON; the contract's calls also take what `curl -d` says when it is told nothing.
    fn check_json_type(&self, lenient: bool) -> Result<(), ApiError> {
        let json = |t: &str| {
            t.eq_ignore_ascii_case("application/json")
                || (lenient && t.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
        };
        match self.content_type() {
            None => Ok(()),
            Some(t) if json(t) => match self.charset() {
                Some(other)
                    if !other.eq_ignore_ascii_case("utf-8") && !other.eq_ignore_ascii_case("utf8") =>
                {
                    Err(ApiError::media_type(format!("the body must be in UTF-8, not {other}")))
                }
                _ => Ok(()),
            },
            Some(t) => Err(ApiError::media_type(format!("the body must be application/json, not {t}"))),
        }
    }

    pub(crate) fn pause(&self) -> Duration {
        self.head.extensions.get::<BodyPause>().map_or(Duration::from_mins(1), |p| p.0)
    }

    fn body_mut(&mut self) -> &mut Body {
        self.body.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body, to be read elsewhere.
    pub(crate) fn take_body(&mut self) -> Body {
        std::mem::take(self.body_mut())
    }

    /// The whole body, at most so large.
    pub(crate) async fn bytes(&mut self, limit: u64) -> Result<Bytes, ApiError> {
        let announced = self.head.headers.get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|n| n > limit) {
            return Err(ApiError::too_large("the body", limit));
        }
        let whole = self.collect(limit);
        let whole = timeout(all_of(limit), whole).await.unwrap_or_else(|_| Err(ApiError::timeout()))?;
        if self.head.headers.contains_key(IDEMPOTENCY_KEY) {
            self.digest = Some(Sha256::digest(&whole).into());
        }
        Ok(whole)
    }

    async fn collect(&mut self, limit: u64) -> Result<Bytes, ApiError> {
        let mut whole = BytesMut::new();
        let mut first: Option<Bytes> = None;
        while let Some(piece) = self.piece().await? {
            if (whole.len() + first.as_ref().map_or(0, Bytes::len) + piece.len()) as u64 > limit {
                return Err(ApiError::too_large("the body", limit));
            }
            // Most bodies come in one piece and need no copy.
            match first.take() {
                None if whole.is_empty() => first = Some(piece),
                before => {
                    whole.extend_from_slice(&before.unwrap_or_default());
                    whole.extend_from_slice(&piece);
                }
            }
        }
        Ok(first.unwrap_or_else(|| whole.freeze()))
    }

    /// The next piece of the body.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, ApiError> {
        let pause = self.pause();
        loop {
            match timeout(pause, self.body_mut().frame()).await {
                Err(_) => return Err(ApiError::timeout()),
                Ok(None) => return Ok(None),
                Ok(Some(Err(e))) => return Err(ApiError::bad_request(format!("the body was cut off: {e}"))),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// A body in which every field is known.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        self.check_json_type(false)?;
        let bytes = self.bytes(JSON_BYTES).await?;
        Ok(body::parse(&bytes)?)
    }

    /// The same where no body means an empty one.
    pub(crate) async fn json_or_default<T: DeserializeOwned + Default>(&mut self) -> Result<T, ApiError> {
        self.check_json_type(false)?;
        let bytes = self.bytes(JSON_BYTES).await?;
        Ok(body::parse_or_default(&bytes)?)
    }

    /// A body of the contract: unknown fields are warnings. With the bytes, to recognise a repetition.
    pub(crate) async fn contract<T: DeserializeOwned>(
        &mut self,
        limit: u64,
    ) -> Result<(T, Vec<String>, Bytes), ApiError> {
        self.check_json_type(true)?;
        let bytes = self.bytes(limit).await?;
        let (value, warnings) = body::parse_lenient(&bytes)?;
        Ok((value, warnings, bytes))
    }

    // --- writing ----------------------------------------------------------------------------------------------

    /// By which road it came.
    pub(crate) fn via(&self) -> Result<String, ApiError> {
        let usual = if self.visitor().is_some() { "socket" } else { "http" };
        let via = self.text_header(&VIA, 40)?.unwrap_or(usual);
        Ok(if self.as_person()? { format!("{via} --as-person") } else { via.to_owned() })
    }

    pub(crate) fn request(&self, command: Command) -> Result<Request, ApiError> {
        let via = self.via()?;
        let credential = match self.bearer {
            Some(b) => Credential::Token(b.hash),
            None if self.nameless.is_some() => Credential::Anonymous,
            None => Credential::None,
        };
        let (now, seed) = (self.board.clock.now(), self.board.clock.seed());
        let command = match versions(&self.head.headers)? {
            None => command,
            Some(_) if command.changes().is_none() => {
                return Err(ApiError::invalid(
                    "if-match",
                    "is not for this call: what it changes has no version",
                ));
            }
            Some(versions) => Command::IfVersion { versions, command: Box::new(command) },
        };
        Ok(Request { credential, via: Some(via), now, seed, command })
    }

    /// Asks the store, in the name of whose the token is; once for each `Idempotency-Key` and body.
    pub(crate) async fn submit(&self, command: Command) -> Result<Answer, ApiError> {
        let digest = self.digest.unwrap_or_else(|| Sha256::digest(b"").into());
        self.submit_once(command, digest).await
    }

    /// The same with another digest of what must be the same again.
    pub(crate) async fn submit_once(&self, command: Command, digest: [u8; 32]) -> Result<Answer, ApiError> {
        let key = self.idempotency_key(digest)?;
        let answer = self.board.store.submit(self.request(command)?, key).await?;
        self.repeated.fetch_or(answer.repeated, Ordering::Relaxed);
        access::done(&answer.reply);
        Ok(answer)
    }

    /// What was answered to this request before, if its body was read and it is a repetition.
    pub(crate) async fn recall_body(&self) -> Result<Option<Reply>, ApiError> {
        match self.digest {
            Some(digest) => self.recall(digest).await,
            None => Ok(None),
        }
    }

    /// What was answered to this request before, if it is a repetition. Who asks must have been looked at.
    pub(crate) async fn recall(&self, digest: [u8; 32]) -> Result<Option<Reply>, ApiError> {
        let Some(key) = self.idempotency_key(digest)? else { return Ok(None) };
        match self.board.store.recall(key, self.board.clock.now()).await? {
            Recalled::Nothing => Ok(None),
            Recalled::OtherBody => Err(mozi_core::Refusal::IdempotencyConflict.into()),
            Recalled::Answer(reply) => {
                self.repeated.store(true, Ordering::Relaxed);
                Ok(Some(*reply))
            }
        }
    }

    /// The key of a POST: other methods do the same when they are asked again.
    fn idempotency_key(&self, digest: [u8; 32]) -> Result<Option<IdempotencyKey>, ApiError> {
        if self.head.method != http::Method::POST {
            return Ok(None);
        }
        let Some(key) = self.text_header(&IDEMPOTENCY_KEY, 255)? else { return Ok(None) };
        let who = match (self.bearer, &self.nameless) {
            (Some(b), _) => crate::clock::hex(&b.hash.0),
            // The next attempt says the same words anew.
            (None, Some(attempt)) => format!("anonymous {}", attempt.number),
            (None, None) => String::new(),
        };
        let scope = format!("{who} {} {}", self.head.method, self.head.uri.path());
        Ok(Some(IdempotencyKey { scope, key: key.to_owned(), body_sha256: digest }))
    }

    /// A secret that only this very request gives again: same credential, same key, same body. None without a key.
    pub(crate) fn repeatable_secret(&self, prefix: &str) -> Result<Option<String>, ApiError> {
        let Some(key) = self.text_header(&IDEMPOTENCY_KEY, 255)? else { return Ok(None) };
        let bearer = self.head.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let digest = self.digest.unwrap_or_default();
        let parts = [bearer.unwrap_or_default(), self.head.uri.path().as_bytes(), key.as_bytes(), &digest];
        Ok(Some(self.board.secret.derive(prefix, &parts)))
    }
}

/// The versions that `If-Match` names; none for no such header and for `*`.
fn versions(headers: &HeaderMap) -> Result<Option<Vec<u64>>, ApiError> {
    let mut versions = Vec::new();
    for value in headers.get_all(header::IF_MATCH) {
        for tag in value.to_str().unwrap_or("?").split(',').map(str::trim).filter(|t| !t.is_empty()) {
            let number = tag.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(tag);
            match number.parse() {
                Ok(version) => versions.push(version),
                Err(_) if tag == "*" => return Ok(None),
                // The tag of something else, or a weak one, which never matches.
                Err(_) if tag.ends_with('"') => versions.push(0),
                Err(_) => {
                    return Err(ApiError::invalid(
                        "if-match",
                        "must be an `ETag`: a version in quotes, or *",
                    ));
                }
            }
        }
    }
    Ok((!versions.is_empty()).then_some(versions))
}

/// How long a whole body of so many bytes may take: whoever sends a byte now and then is not waited for.
pub(crate) fn all_of(bytes: u64) -> Duration {
    Duration::from_secs(60 + bytes / (256 * 1024))
}

/// How many rows a page has: the reading of a query gives the usual number where none is named.
pub(crate) fn rows(limit: Option<u32>) -> usize {
    limit.and_then(|n| usize::try_from(n).ok()).unwrap_or(50)
}

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Outcome {
    let bytes =
        serde_json::to_vec(value).map_err(|e| ApiError::internal(&format!("could not write JSON: {e}")))?;
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// An answer of text in some format.
pub(crate) fn text(media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// The `ETag` of a version.
pub(crate) fn etag(mut response: Response, version: u64) -> Response {
    let value = HeaderValue::from_str(&format!("\"{version}\""));
    response.headers_mut().extend(value.ok().map(|v| (header::ETAG, v)));
    response
}

/// Where what was made can be read.
pub(crate) fn location(mut response: Response, path: &str) -> Response {
    response.headers_mut().extend(HeaderValue::from_str(path).ok().map(|v| (header::LOCATION, v)));
    response
}
