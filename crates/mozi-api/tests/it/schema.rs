//! The schemas that the `OpenAPI` description is made of.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::{PartialSchema, ToSchema};

/// Every schema that a type needs, by name, as JSON.
fn schemas<T: ToSchema>() -> BTreeMap<String, Value> {
    let mut found = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut found);
    found.into_iter().map(|(name, schema)| (name, json!(schema))).collect()
}

fn references(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                if let (true, Some(to)) = (name == "$ref", inner.as_str()) {
                    into.push(to.trim_start_matches("#/components/schemas/").to_owned());
                }
                references(inner, into);
            }
        }
        Value::Array(list) => list.iter().for_each(|v| references(v, into)),
        _ => {}
    }
}

#[track_caller]
fn complete<T: ToSchema>() -> BTreeMap<String, Value> {
    let all = schemas::<T>();
    let mut wanted = Vec::new();
    for value in all.values() {
        references(value, &mut wanted);
    }
    for name in wanted {
        assert!(all.contains_key(&name), "{} refers to {name}, which it does not bring along", T::name());
    }
    all
}

#[test]
fn every_shape_brings_the_schemas_that_it_refers_to() {
    use mozi_api::{agent, event, health, problem, project, report, runner, session, task, token, user};
    complete::<task::CreateTask>();
    complete::<task::PatchTask>();
    complete::<task::Task>();
    complete::<task::PutDependency>();
    complete::<task::PromptPreview>();
    complete::<project::CreateProject>();
    complete::<project::PatchProject>();
    complete::<project::Project>();
    complete::<report::StatusReport>();
    complete::<report::StatusReply>();
    complete::<report::NewOutput>();
    complete::<report::OutputUpload>();
    complete::<report::OutputReply>();
    complete::<report::NewComment>();
    complete::<report::CommentReply>();
    complete::<session::Session>();
    complete::<session::StartSession>();
    complete::<event::EventPage>();
    complete::<agent::Agent>();
    complete::<agent::Runner>();
    complete::<token::CreateToken>();
    complete::<token::CreatedToken>();
    complete::<user::CreateUser>();
    complete::<user::PatchUser>();
    complete::<user::User>();
    complete::<problem::Problem>();
    complete::<health::Version>();
    complete::<runner::Hello>();
    complete::<runner::Poll>();
    complete::<runner::PollReply>();
    complete::<runner::EndSession>();
    complete::<runner::SessionNote>();
    complete::<runner::OpenSession>();
    complete::<runner::RunnerNotice>();
}

#[test]
fn closed_lists_and_grammars_stand_in_the_schemas() {
    let all = complete::<mozi_api::task::Task>();
    assert_eq!(
        all["Status"]["enum"],
        json!(["pending", "claimed", "working", "review", "done", "failed", "blocked", "cancelled"])
    );
    assert_eq!(all["TaskId"]["pattern"], json!("^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$"));
    assert_eq!(all["Time"]["format"], json!("date-time"));
    let task = &all["Task"];
    assert_eq!(task["properties"]["task_id"]["$ref"], json!("#/components/schemas/TaskId"));
    assert!(task["required"].as_array().expect("a list").contains(&json!("status")));
    let settings = complete::<mozi_api::project::Project>();
    assert_eq!(settings["OnNoVerdict"]["enum"], json!(["auto", "retry", "review", "block"]));
    assert_eq!(
        json!(mozi_api::wire::OutputType::schema())["enum"],
        json!(["code", "document", "data", "config", "other"])
    );
    let create = complete::<mozi_api::task::CreateTask>();
    assert_eq!(create["CreateTask"]["required"], json!(["title"]));
    assert_eq!(create["CreateTask"]["additionalProperties"], json!(false));
}
