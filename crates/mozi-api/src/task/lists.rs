//! Fields that take more than one form.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Ref, Type},
    },
};

use crate::wire::{TaskId, Until, Wire};
use mozi_core as core;

/// The conditions that a result has to meet: given as a list or as one text, shown as a list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct MustHaves(pub Vec<String>);

impl<'de> Deserialize<'de> for MustHaves {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = MustHaves;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts or one text")
            }
            fn visit_str<E>(self, text: &str) -> Result<MustHaves, E> {
                // The old board's field was free text, and empty for none.
                let list = if text.trim().is_empty() { Vec::new() } else { vec![text.to_owned()] };
                Ok(MustHaves(list))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<MustHaves, A::Error> {
                let mut list = Vec::new();
                while let Some(text) = seq.next_element()? {
                    list.push(text);
                }
                Ok(MustHaves(list))
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl PartialSchema for MustHaves {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .item(ArrayBuilder::new().items(ObjectBuilder::new().schema_type(Type::String)))
            .item(ObjectBuilder::new().schema_type(Type::String))
            .into()
    }
}

impl ToSchema for MustHaves {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("MustHaves")
    }
}

/// A wait for another task: an id, or `{task_id, until}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DependsOn {
    /// The task that is waited for.
    pub task_id: TaskId,
    /// How far it must have come.
    pub until: Until,
}

impl DependsOn {
    /// A wait until `done`.
    pub fn done(task_id: TaskId) -> Self {
        Self { task_id, until: core::Until::Done.into() }
    }
}

impl<'de> Deserialize<'de> for DependsOn {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Full {
            task_id: TaskId,
            #[serde(default)]
            until: Option<Until>,
        }
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = DependsOn;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a task's id or an object {task_id, until}")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<DependsOn, E> {
                core::TaskId::from_text(text).map(|t| DependsOn::done(t.into())).map_err(E::custom)
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<DependsOn, A::Error> {
                let full = Full::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(DependsOn {
                    task_id: full.task_id,
                    until: full.until.unwrap_or_else(|| core::Until::Done.into()),
                })
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl PartialSchema for DependsOn {
    fn schema() -> RefOr<Schema> {
        let full = ObjectBuilder::new()
            .property("task_id", Ref::from_schema_name("TaskId"))
            .property("until", Ref::from_schema_name("Until"))
            .required("task_id");
        OneOfBuilder::new().item(Ref::from_schema_name("TaskId")).item(full).into()
    }
}

impl ToSchema for DependsOn {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("DependsOn")
    }
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((TaskId::name().into_owned(), TaskId::schema()));
        schemas.push((Until::name().into_owned(), Until::schema()));
    }
}
