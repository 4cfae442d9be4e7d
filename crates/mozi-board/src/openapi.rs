//! The document of the interface, `OpenAPI` 3.1, made from the route table and the wire shapes.

use std::sync::LazyLock;

use http::Method;
use mozi_api::Problem;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ComponentsBuilder, Content, InfoBuilder, OpenApi, OpenApiBuilder, PathsBuilder, Ref, RefOr, Required,
        Schema,
        path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem},
        request_body::RequestBodyBuilder,
        response::{ResponseBuilder, ResponsesBuilder},
        schema::{ArrayBuilder, ObjectBuilder, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::routes::{Route, table};

type Named = Vec<(String, RefOr<Schema>)>;
type Shape = fn(&mut Named) -> RefOr<Schema>;

/// What the documents say of a route.
#[derive(Default)]
pub(crate) struct Doc {
    pub(crate) summary: &'static str,
    query: &'static [&'static str],
    body: Option<Shape>,
    upload: Option<Shape>,
    answer: Option<Shape>,
    created: bool,
    media_type: Option<&'static str>,
}

impl Route {
    /// What it does, in one line.
    pub(crate) fn says(mut self, summary: &'static str) -> Self {
        self.doc.summary = summary;
        self
    }
    /// What its query may hold.
    pub(crate) fn asks(mut self, query: &'static [&'static str]) -> Self {
        self.doc.query = query;
        self
    }
    /// Whether its query may hold anything. The contract's calls ignore what they do not know.
    pub(crate) fn has_query(&self) -> bool {
        !self.doc.query.is_empty() || self.access == crate::Access::CALLBACK
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

fn about(parameter: &str) -> &'static str {
    match parameter {
        "p" => "The project.",
        "t" => "The task.",
        "n" => "The attempt's number.",
        "id" => "The output's number.",
        "other" => "The task that is waited for.",
        "sid" => "The session; for people any unique beginning of its id.",
        "a" => "The agent.",
        "r" => "The runner.",
        "name" => "The token's name.",
        "limit" => "How many, at most 500; 50 by default.",
        "cursor" => "The `next_cursor` of the page before.",
        "after" => "Events after this one; `Last-Event-ID` does the same.",
        "status" => "Only tasks in this status; may be repeated.",
        "agent" => "Only tasks named for this agent.",
        "task_type" => "Only tasks of this type.",
        "label" => "Only tasks with this label, `K=V`; may be repeated.",
        "q" => "Only tasks with this text in id, title or description.",
        "sort" => "`updated` (default), `created` or `priority`.",
        "expand" => "`outputs`, `comments`, `attempts`, `events`, separated by commas, or `all`.",
        "role" => "`executor` or `reviewer`; by default whose turn it is.",
        "stream" => "`stdout` (default) or `stderr`.",
        "from" => "The byte to begin at.",
        "follow" => "Go on until the end of the session.",
        "prefix" => "Only sessions whose id begins so.",
        "active" => "`true`: only live sessions; `false`: only ended ones.",
        "force" => "A person's word that what is left of it is not Mozi's.",
        _ => "",
    }
}

fn operation(route: &Route, schemas: &mut Named) -> OperationBuilder {
    let tag = match route.path.split('/').nth(2) {
        Some("projects") => "board",
        Some("runners") if route.method == Method::POST || route.path.contains('{') => "runner protocol",
        Some(tag) => tag,
        None => "meta",
    };
    let operation_id = format!("{} {}", route.method, route.path);
    let mut op =
        OperationBuilder::new().tag(tag).summary(Some(route.doc.summary)).operation_id(Some(operation_id));
    let string = || ObjectBuilder::new().schema_type(Type::String);
    for name in route.path.split('{').skip(1).filter_map(|part| part.split('}').next()) {
        let p = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(about(name)))
            .schema(Some(string()));
        op = op.parameter(p);
    }
    for name in route.doc.query {
        let p = ParameterBuilder::new()
            .name(*name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(about(name)))
            .schema(Some(string()));
        op = op.parameter(p);
    }
    if let Some(body) = route.doc.body {
        let mut request =
            RequestBodyBuilder::new().content("application/json", Content::new(Some(body(schemas))));
        if let Some(upload) = route.doc.upload {
            request = request.content("multipart/form-data", Content::new(Some(upload(schemas))));
        }
        op = op.request_body(Some(request.build()));
    }
    let problem = ResponseBuilder::new()
        .description("Refused or failed, with the reason")
        .content(mozi_api::problem::MEDIA_TYPE, Content::new(Some(named::<Problem>(schemas))));
    let good = ResponseBuilder::new().description(route.doc.summary);
    let good = match (route.doc.answer, route.doc.media_type) {
        (Some(shape), _) => good.content("application/json", Content::new(Some(shape(schemas)))),
        (None, Some(media_type)) => good.content(media_type, Content::new(Some(string()))),
        (None, None) => good,
    };
    let status = if route.doc.created { "201" } else { "200" };
    let responses = ResponsesBuilder::new().response(status, good).response("default", problem).build();
    op = op.responses(responses);
    if route.access.open { op } else { op.security(SecurityRequirement::new("bearer", Vec::<String>::new())) }
}

fn method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn document() -> OpenApi {
    let mut schemas = Named::new();
    let mut paths = PathsBuilder::new();
    for route in table() {
        let item = PathItem::new(method(&route.method), operation(route, &mut schemas));
        paths = paths.path(route.path, item);
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("`mozi_u_…` of people and scripts, `mozi_a_…` of attempts, `mozi_r_…` of runners"))
        .build();
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .build();
    let info = InfoBuilder::new()
        .title("Mozi")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "A board that puts AI agents to work and never loses one. `/api` is version 1: it only grows.",
        ))
        .build();
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}

static JSON: LazyLock<String> = LazyLock::new(|| {
    document().to_pretty_json().unwrap_or_else(|e| {
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
