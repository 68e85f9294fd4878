//! JSON Schemas of Rust types, limited to keywords that models and their clients accept.
//!
//! `schemars` describes a type to another Rust program. Clients hand the schemas of tools to models
//! unchanged, and the interfaces of models refuse some keywords: an object without `properties`, a
//! `format` that JSON Schema does not define (2020-12 validation, 7.3), a `type` that is a list
//! because an argument is optional.
//!
//! Invariant: the type of the arguments reads every value that their schema allows. The format of
//! an integer therefore becomes bounds. Schemas that authors write are passed on byte for byte, and
//! do not go through here.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, RestrictFormats, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

/// The schema of a type that arguments are read into.
#[derive(Debug)]
pub(crate) struct ArgumentsSchema {
    /// The schema that is listed.
    pub(crate) listed: Schema,
    /// The schema that arguments are checked against: it also accepts null for optional arguments,
    /// which some clients send.
    pub(crate) accepted: Schema,
}

/// The schema of the type of a tool's arguments.
pub(crate) fn of_arguments<A: JsonSchema>() -> ArgumentsSchema {
    let settings = SchemaSettings::draft2020_12();
    let mut accepted = settings.into_generator().into_root_schema_for::<A>();
    simplify(&mut accepted, &mut RestrictFormats::default());
    let mut listed = accepted.clone();
    RecursiveTransform(leave_out_null).transform(&mut listed);
    ArgumentsSchema { listed, accepted }
}

/// The schema of the type of structured content, as serialized.
pub(crate) fn of_output<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    simplify(&mut schema, &mut RestrictFormats::default());
    schema
}

/// The schema of the type of a form: flat, with the formats that forms have (MCP 2025-11-25
/// client/elicitation, "Requested Schema").
pub(crate) fn of_form<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut formats = RestrictFormats::default();
    formats.infer_from_meta_schema = false;
    formats.allowed_formats = ["date", "date-time", "email", "uri"]
        .into_iter()
        .map(Cow::Borrowed)
        .collect();
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    simplify(&mut schema, &mut formats);
    RecursiveTransform(leave_out_null).transform(&mut schema);
    RecursiveTransform(list_enum_values).transform(&mut schema);
    schema
}

/// Makes a plain enum of an enum that has documented values, each with a schema of its own: forms
/// have no descriptions of values.
fn list_enum_values(schema: &mut Schema) {
    let choices = schema.get("oneOf").and_then(Value::as_array);
    let values_of = |choice: &Value| match (&choice["type"], choice.get("const")) {
        (Value::String(kind), Some(only)) if kind == "string" => Some(vec![only.clone()]),
        (Value::String(kind), None) if kind == "string" => choice["enum"].as_array().cloned(),
        _ => None,
    };
    let values: Option<Vec<_>> = choices.and_then(|all| all.iter().map(values_of).collect());
    if let Some(values) = values {
        schema.remove("oneOf");
        schema.insert("type".to_owned(), "string".into());
        schema.insert("enum".to_owned(), values.concat().into());
    }
}

fn simplify(schema: &mut Schema, formats: &mut RestrictFormats) {
    RecursiveTransform(bound_integers).transform(schema);
    RecursiveTransform(name_properties).transform(schema);
    formats.transform(schema);
}

/// Adds the bounds of an integer type. Types beyond 64 bits get the range that a message carries
/// exactly.
fn bound_integers(schema: &mut Schema) {
    let format = schema.get("format").and_then(Value::as_str);
    let (lowest, highest): (i64, u64) = match format {
        Some("int8") => (i8::MIN.into(), i8::MAX as u64),
        Some("int16") => (i16::MIN.into(), i16::MAX as u64),
        Some("int32") => (i32::MIN.into(), i32::MAX as u64),
        Some("int64" | "int") => (i64::MIN, i64::MAX as u64),
        Some("int128") => (i64::MIN, u64::MAX),
        Some("uint8") => (0, u8::MAX.into()),
        Some("uint16") => (0, u16::MAX.into()),
        Some("uint32") => (0, u32::MAX.into()),
        Some("uint64" | "uint" | "uint128") => (0, u64::MAX),
        _ => return,
    };
    let bound = |schema: &Schema, name: &str| schema.get(name).and_then(Value::as_f64);
    if bound(schema, "minimum").is_none_or(|minimum| minimum < lowest as f64) {
        schema.insert("minimum".to_owned(), lowest.into());
    }
    if bound(schema, "maximum").is_none_or(|maximum| maximum > highest as f64) {
        schema.insert("maximum".to_owned(), highest.into());
    }
}

/// Gives an object the `properties` that it does not name.
fn name_properties(schema: &mut Schema) {
    let is_object = match schema.get("type") {
        Some(Value::String(only)) => only == "object",
        Some(Value::Array(types)) => types.iter().any(|it| it == "object"),
        _ => false,
    };
    if is_object && schema.get("properties").is_none() {
        schema.insert("properties".to_owned(), Map::new().into());
    }
}

/// Removes null from the types of an optional property: it is absent instead.
fn leave_out_null(schema: &mut Schema) {
    let required = schema.get("required").and_then(Value::as_array).cloned();
    let is_required = |name: &str| required.iter().flatten().any(|it| it == name);
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        return;
    };
    for (name, property) in properties {
        if !is_required(name)
            && let Value::Object(property) = property
        {
            leave_out_null_of(property);
        }
    }
}

fn leave_out_null_of(property: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|it| it != "null");
        if let [only] = types.as_mut_slice() {
            let only = only.take();
            property.insert("type".to_owned(), only);
        }
        if let Some(Value::Array(values)) = property.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
    }
    if let Some(Value::Array(choices)) = property.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|it| it != "null"));
        if let [Value::Object(only)] = choices.as_mut_slice() {
            let only = std::mem::take(only);
            property.remove("anyOf");
            for (name, value) in only {
                property.entry(name).or_insert(value);
            }
        }
    }
    if property.get("default").is_some_and(Value::is_null) {
        property.remove("default");
    }
}

#[cfg(test)]
mod tests;
