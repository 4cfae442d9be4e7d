//! The document of the interface, `OpenAPI` 3.1, made from the route table and the wire shapes.

use std::sync::LazyLock;

use http::Method;
use mozi_api::{
    Problem, problem,
    wire::{AgentId, ProjectId, Role, RunnerId, SessionId, Status, TaskId},
};
use serde_json::{Map, Value, json};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        Ref, RefOr, Schema,
        path::{Parameter, ParameterIn},
        schema::{ArrayBuilder, ObjectBuilder},
    },
};

use crate::{
    Access, AttemptAccess, RunnerAccess,
    routes::{Route, table},
};

mod codes;
mod examples;

type Named = Vec<(String, RefOr<Schema>)>;
type Shape = fn(&mut Named) -> RefOr<Schema>;

/// What the documents say of a route.
#[derive(Default)]
pub(crate) struct Doc {
    pub(crate) summary: &'static str,
    query: Option<fn() -> Vec<Parameter>>,
    headers: &'static [&'static str],
    pub(crate) body: Option<Shape>,
    upload: Option<Shape>,
    pub(crate) lines: Option<Shape>,
    answer: Option<Shape>,
    created: bool,
    /// What was made before is answered with 200.
    again: bool,
    media_type: Option<&'static str>,
    stream: bool,
    tagged: bool,
    if_match: bool,
    pub(crate) refuses: &'static [&'static str],
}

impl Route {
    /// What it does, in one line.
    pub(crate) fn says(mut self, summary: &'static str) -> Self {
        self.doc.summary = summary;
        self
    }
    /// What its query may hold.
    pub(crate) fn asks<T: IntoParams>(mut self) -> Self {
        self.doc.query = Some(|| T::into_params(|| Some(ParameterIn::Query)));
        self
    }
    /// Whether its query may hold anything. The contract's calls ignore what they do not know.
    pub(crate) fn has_query(&self) -> bool {
        self.doc.query.is_some() || self.is_lenient()
    }
    /// Whether it is one of the contract's calls, which take what they do not know with a warning.
    pub(crate) fn is_lenient(&self) -> bool {
        self.access == Access::CALLBACK
    }
    /// The request headers that it looks at, beside those of every call.
    pub(crate) fn reads(mut self, headers: &'static [&'static str]) -> Self {
        self.doc.headers = headers;
        self
    }
    /// What its body is.
    pub(crate) fn takes<T: ToSchema>(mut self) -> Self {
        self.doc.body = Some(named::<T>);
        self
    }
    /// What it takes in parts, beside JSON.
    pub(crate) fn or_parts<T: ToSchema>(mut self) -> Self {
        self.doc.upload = Some(named::<T>);
        self
    }
    /// What each line of its body is.
    pub(crate) fn takes_lines<T: ToSchema>(mut self) -> Self {
        self.doc.lines = Some(named::<T>);
        self
    }
    /// What it answers.
    pub(crate) fn answers<T: ToSchema>(mut self) -> Self {
        self.doc.answer = Some(named::<T>);
        self
    }
    /// What it makes.
    pub(crate) fn makes<T: ToSchema>(mut self) -> Self {
        self.doc.created = true;
        self.answers::<T>()
    }
    /// The same asked again is answered with what is there.
    pub(crate) fn or_finds(mut self) -> Self {
        self.doc.again = true;
        self
    }
    /// What its list holds.
    pub(crate) fn lists<T: ToSchema>(mut self) -> Self {
        self.doc.answer = Some(page::<T>);
        self
    }
    /// It answers something else than described JSON.
    pub(crate) fn text(mut self, media_type: &'static str) -> Self {
        self.doc.media_type = Some(media_type);
        self
    }
    /// It answers a stream of events too.
    pub(crate) fn or_streams(mut self) -> Self {
        self.doc.stream = true;
        self
    }
    /// Its answer has an `ETag`.
    pub(crate) fn tagged(mut self) -> Self {
        self.doc.tagged = true;
        self
    }
    /// It can be asked for one version only, with `If-Match`.
    pub(crate) fn if_match(mut self) -> Self {
        self.doc.if_match = true;
        self
    }
    /// The codes with which it refuses, beside those that follow from its path, rights and body.
    pub(crate) fn refuses(mut self, codes: &'static [&'static str]) -> Self {
        self.doc.refuses = codes;
        self
    }
}

fn named<T: ToSchema>(schemas: &mut Named) -> RefOr<Schema> {
    let name = T::name();
    if !schemas.iter().any(|(n, _)| *n == name) {
        schemas.push((name.to_string(), T::schema()));
        T::schemas(schemas);
    }
    Ref::from_schema_name(name.to_string()).into()
}

fn page<T: ToSchema>(schemas: &mut Named) -> RefOr<Schema> {
    let items = ArrayBuilder::new().items(named::<T>(schemas));
    let cursor = Option::<String>::schema();
    ObjectBuilder::new().property("items", items).property("next_cursor", cursor).required("items").into()
}

/// Names of the path: what they are, and their shape.
fn path_parameter(name: &str, schemas: &mut Named) -> Value {
    let number = json!({ "type": "integer", "format": "int32", "minimum": 1, "maximum": u32::MAX });
    let text = json!({ "type": "string", "minLength": 1 });
    let (about, schema) = match name {
        "p" => ("The project.", json!(named::<ProjectId>(schemas))),
        "t" => ("The task.", json!(named::<TaskId>(schemas))),
        "other" => ("The task that is waited for.", json!(named::<TaskId>(schemas))),
        "n" => ("The attempt's number.", number),
        "id" => ("The output's number.", number),
        "sid" => ("The session; for people any unique beginning of its id.", text),
        "a" => ("The agent.", json!(named::<AgentId>(schemas))),
        "r" => ("The runner.", json!(named::<RunnerId>(schemas))),
        "u" => ("The user's name.", text),
        "name" => ("Its name.", text),
        _ => ("Its id.", text),
    };
    let mut parameter =
        json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema });
    put(&mut parameter, "example", examples::of_parameter(name));
    parameter
}

/// Query parameters are there or not; none is ever `null`.
fn query_parameter(parameter: &Parameter) -> Value {
    let mut value = json!(parameter);
    if let Some(schema) = value.get_mut("schema") {
        without_null(schema);
    }
    put(&mut value, "required", json!(false));
    value
}

fn without_null(schema: &mut Value) {
    let is_null =
        |v: &Value| v.as_str() == Some("null") || v.get("type").and_then(Value::as_str) == Some("null");
    if let Some(Value::Array(types)) = schema.get("type") {
        let one = types.iter().find(|t| !is_null(t)).cloned();
        put(schema, "type", one.unwrap_or_default());
    }
    if let Some(Value::Array(choices)) = schema.get("oneOf")
        && let Some(one) = choices.iter().find(|c| !is_null(c)).cloned()
    {
        *schema = one;
    }
}

/// Numbers that are never negative go up to what 32 bits hold without a sign; `int32` would end at half of it.
fn whole_numbers(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let is = |name: &str, value: &Value| map.get(name) == Some(value);
            if is("format", &json!("int32")) && is("minimum", &json!(0)) {
                map.insert("format".to_owned(), json!("int64"));
                map.entry("maximum").or_insert(json!(u32::MAX));
            }
            map.values_mut().for_each(whole_numbers);
        }
        Value::Array(all) => all.iter_mut().for_each(whole_numbers),
        _ => {}
    }
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(map) = object {
        map.insert(name.to_owned(), value);
    }
}

/// A word for programs: `get_project_task`, `post_session_stop` …
fn operation_id(route: &Route) -> String {
    let mut words = vec![route.method.as_str().to_ascii_lowercase()];
    for part in route.path.split('/').filter(|p| !p.is_empty() && *p != "api") {
        if part.starts_with('{') {
            if let Some(last) = words.last_mut() {
                let one = last.strip_suffix("ies").map(|l| format!("{l}y"));
                *last = one.unwrap_or_else(|| last.trim_end_matches('s').to_owned());
            }
        } else {
            words.push(part.replace('.', "_"));
        }
    }
    words.join("_")
}

/// By which groups the calls are shown, and what each is.
const TAGS: &[(&str, &str)] = &[
    ("projects", "Boards of tasks, their settings and their events"),
    ("tasks", "Units of work, and what hangs on them"),
    ("contract", "What agents say of their task: lenient calls, for people too"),
    ("attempts", "Runs at a task, with prompt and log"),
    ("sessions", "The running side of attempts, and agents started by name"),
    ("agents", "Who can be given work"),
    ("access", "Tokens and users"),
    ("meta", "Health, version and documents"),
    ("runner protocol", "What a runner and the board say to each other"),
];

fn tag(route: &Route) -> &'static str {
    let is_runner = matches!(route.access.runner, RunnerAccess::Own);
    match route.path {
        _ if is_runner => "runner protocol",
        p if p.contains("/attempts") => "attempts",
        p if p.contains("/tasks/{t}/") && route.is_lenient() => "contract",
        p if p.contains("/tasks") || p.starts_with("/t/") => "tasks",
        p if p.contains("/projects") || p == "/api/events" || p == "/api/status" => "projects",
        p if p.contains("/sessions") => "sessions",
        p if p.contains("/agents") || p.contains("/runners") => "agents",
        p if p.contains("/tokens") || p.contains("/users") || p.contains("/audit") => "access",
        _ => "meta",
    }
}

/// Who may, in words.
fn who(access: Access) -> String {
    if access.open {
        return "No token is needed.".to_owned();
    }
    let mut who = Vec::new();
    who.extend(access.user.map(|least| match least {
        mozi_core::UserRole::Viewer => "every user",
        mozi_core::UserRole::Operator => "operators and admins",
        mozi_core::UserRole::Admin => "admins",
    }));
    match access.attempt {
        AttemptAccess::None => {}
        AttemptAccess::Own => who.push("an attempt for its own task"),
        AttemptAccess::Related => who.push("an attempt for its own task and those near to it"),
        AttemptAccess::Project => who.push("an executor for subtasks, where its project allows it"),
    }
    match access.runner {
        RunnerAccess::None => {}
        RunnerAccess::Own => who.push("the runner itself"),
        RunnerAccess::Read => who.push("runners"),
    }
    format!("For {}.", who.join(", "))
}

fn header_parameter(name: &str) -> Value {
    let (about, schema, example) = match name {
        "Idempotency-Key" => (
            "Carries the request out once: the same key and body again within 24 hours are answered as the first time \
             (`Idempotency-Replayed: true`), another body is refused.",
            json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$" }),
            json!("7f3c-1"),
        ),
        "If-Match" => (
            "The `ETag` that was seen: a version in quotes. Another version refuses the request with 412.",
            json!({ "type": "string" }),
            Value::Null,
        ),
        "Last-Event-ID" => (
            "The `id:` that was seen last, where a stream goes on; counts more than `after`.",
            json!({ "type": "string" }),
            Value::Null,
        ),
        "Range" => ("Which bytes, of one range.", json!({ "type": "string" }), json!("bytes=0-99")),
        "Mozi-Via" => (
            "By which road the request came; stands in the actor of its event.",
            json!({ "type": "string", "minLength": 1, "maxLength": 40, "pattern": "^[ -~]+$" }),
            json!("script"),
        ),
        "Mozi-As-Person" => (
            "A person means it, though it is asked from inside an agent; recorded in the actor of its event.",
            json!({ "type": "string", "enum": ["true"] }),
            json!("true"),
        ),
        _ => (
            "An id of yours for this request: comes back in the answer and stands in the log. Another is made up for what \
             is not 1 to 128 visible ASCII characters.",
            json!({ "type": "string" }),
            json!("a1b2c3"),
        ),
    };
    let mut parameter =
        json!({ "name": name, "in": "header", "required": false, "description": about, "schema": schema });
    if !example.is_null() {
        put(&mut parameter, "example", example);
    }
    parameter
}

fn parameters(route: &Route, schemas: &mut Named) -> Vec<Value> {
    let in_path = route.path.split('{').skip(1).filter_map(|part| part.split('}').next());
    let mut all: Vec<Value> = in_path.map(|name| path_parameter(name, schemas)).collect();
    all.extend(route.doc.query.iter().flat_map(|q| q()).map(|p| query_parameter(&p)));
    let mut headers = route.doc.headers.to_vec();
    if codes::takes_key(route) {
        headers.push("Idempotency-Key");
    }
    if route.doc.if_match {
        headers.push("If-Match");
    }
    if route.access.decided == crate::Decided::Within {
        headers.push("Mozi-Via");
    }
    if route.by_person {
        headers.push("Mozi-As-Person");
    }
    all.extend(headers.into_iter().map(header_parameter));
    all.push(json!({ "$ref": "#/components/parameters/X-Request-Id" }));
    all
}

fn header(about: &str, schema: &Value) -> Value {
    json!({ "description": about, "schema": schema })
}

/// The answer of a success.
fn good(route: &Route, status: u16, schemas: &mut Named) -> Value {
    let mut content = Map::new();
    let text = json!({ "type": "string" });
    if let Some(shape) = route.doc.answer {
        content.insert("application/json".to_owned(), json!({ "schema": shape(schemas) }));
    }
    if route.doc.stream {
        content.insert("text/event-stream".to_owned(), json!({ "schema": text }));
    }
    match route.doc.media_type {
        Some("application/json") => {
            content.insert("application/json".to_owned(), json!({ "schema": { "type": "object" } }));
        }
        // Whatever it is, it comes as bytes.
        Some("application/octet-stream") => {
            content.insert("*/*".to_owned(), json!({ "schema": {} }));
        }
        // A project in one of its two forms.
        Some(tar @ "application/x-tar") => {
            content.insert(tar.to_owned(), json!({ "schema": {} }));
            content.insert(mozi_api::import::LINES.to_owned(), json!({ "schema": {} }));
        }
        Some(other) => {
            content.insert(other.to_owned(), json!({ "schema": text }));
        }
        None => {}
    }
    let mut headers = Map::new();
    let id = header("The id of the request, yours or a new one.", &text);
    headers.insert("X-Request-Id".to_owned(), id);
    if route.doc.tagged {
        let tag =
            header("Its version, for `If-Match`.", &json!({ "type": "string", "pattern": "^\"[0-9]+\"$" }));
        headers.insert("ETag".to_owned(), tag);
    }
    if route.doc.created {
        headers.insert("Location".to_owned(), header("Where it can be read.", &text));
    }
    if route.method == Method::POST {
        let again = header("`true` for an answer of before.", &json!({ "type": "string", "enum": ["true"] }));
        headers.insert("Idempotency-Replayed".to_owned(), again);
    }
    let said = match status {
        201 => "Made",
        206 => "A part of it",
        200 if route.doc.created => "It was there already, the same",
        _ => "As asked",
    };
    json!({ "description": said, "headers": headers, "content": content })
}

/// The answer of a refusal: a problem with one of these codes.
fn bad(codes: &[&str], schemas: &mut Named) -> Value {
    let problem = named::<Problem>(schemas);
    let title = |code: &&str| problem::CODES.iter().find(|(c, _, _)| c == code).map(|(_, _, t)| *t);
    let titles: Vec<_> = codes.iter().filter_map(title).collect();
    let schema = json!({ "allOf": [problem], "properties": { "code": { "enum": codes } } });
    json!({
        "description": titles.join("; "),
        "content": { problem::MEDIA_TYPE: { "schema": schema } },
    })
}

fn operation(route: &Route, schemas: &mut Named) -> Value {
    let mut operation = json!({
        "tags": [tag(route)],
        "summary": route.doc.summary,
        "description": format!("{}.\n\n{}", route.doc.summary, who(route.access)),
        "operationId": operation_id(route),
        "parameters": parameters(route, schemas),
        "security": if route.access.open { json!([]) } else { json!([{ "bearer": [] }]) },
    });
    if let Some(body) = route.doc.body {
        let mut content = json!({ "application/json": { "schema": body(schemas) } });
        if let Some(upload) = route.doc.upload {
            put(&mut content, "multipart/form-data", json!({ "schema": upload(schemas) }));
        }
        put(
            &mut operation,
            "requestBody",
            json!({ "content": content, "required": codes::needs_body(route) }),
        );
    }
    if let Some(line) = route.doc.lines {
        let mut content = json!({ mozi_api::import::LINES: { "schema": line(schemas) } });
        put(&mut content, "application/x-tar", json!({ "schema": {} }));
        let about = "One such object a line; or the archive of a whole project, which an admin takes in where nothing is yet.";
        put(
            &mut operation,
            "requestBody",
            json!({ "description": about, "content": content, "required": true }),
        );
    }
    let mut responses = Map::new();
    let success: &[u16] = match (route.doc.created, route.doc.again, route.doc.media_type) {
        (true, true, _) => &[201, 200],
        (true, false, _) => &[201],
        (false, _, Some("application/octet-stream")) => &[200, 206],
        (false, ..) => &[200],
    };
    for status in success {
        responses.insert(status.to_string(), good(route, *status, schemas));
    }
    for (status, codes) in codes::of(route) {
        responses.insert(status.to_string(), bad(&codes, schemas));
    }
    put(&mut operation, "responses", Value::Object(responses));
    examples::add(route, &mut operation);
    operation
}

fn document() -> Value {
    let mut schemas = Named::new();
    // Named by parameters only.
    named::<Status>(&mut schemas);
    named::<Role>(&mut schemas);
    named::<SessionId>(&mut schemas);
    named::<mozi_api::query::Sort>(&mut schemas);
    named::<mozi_api::query::Format>(&mut schemas);
    named::<mozi_api::files::LogStreamWord>(&mut schemas);
    let mut paths = Map::new();
    for route in table() {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        put(item, &route.method.as_str().to_ascii_lowercase(), operation(route, &mut schemas));
    }
    let mut schemas: Map<String, Value> =
        schemas.into_iter().map(|(name, schema)| (name, json!(schema))).collect();
    schemas.values_mut().for_each(whole_numbers);
    let tags: Vec<_> = TAGS
        .iter()
        .map(|(name, about)| json!({ "name": name, "description": format!("{about}.") }))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mozi",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A blackboard that puts AI agents to work and never loses one",
            "description": "A board that puts AI agents to work and never loses one. `/api` is version 1: it only grows. \
                Bodies are JSON in UTF-8. Refusals are `application/problem+json` with a stable `code`. Outcomes, \
                reasons, event types, kinds and roles are open lists that clients must tolerate.",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/", "description": "The board that this document is of" }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": { "X-Request-Id": header_parameter("X-Request-Id") },
            "securitySchemes": { "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "`mozi_u_…` of people and scripts, `mozi_a_…` of attempts, `mozi_r_…` of runners",
            } },
        },
    })
}

static JSON: LazyLock<String> = LazyLock::new(|| {
    serde_json::to_string_pretty(&document()).unwrap_or_else(|e| {
        tracing::error!("could not write the OpenAPI document: {e}");
        "{}".to_owned()
    })
});

/// The document as JSON.
pub fn openapi_json() -> String {
    JSON.clone()
}

/// The same without a copy.
pub(crate) fn openapi_text() -> &'static str {
    &JSON
}
