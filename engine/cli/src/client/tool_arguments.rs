//! Arguments of tools and prompts on the command line: `key=value`, `key:=json`, `key=@file`.
//!
//! A value becomes the type that the schema of the tool has for it. A string stays a string even if
//! it looks like a number: an id of digits is an id.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::failure::Failure;

/// The most bytes of a file whose text is an argument.
const FILE_BYTES_MAX: usize = 16 << 20;
/// The most references of a schema that lead to one type.
const REFERENCES_MAX: usize = 16;

/// One argument.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Argument {
    pub(crate) name: String,
    value: ArgumentValue,
}

#[derive(Debug, Clone, PartialEq)]
enum ArgumentValue {
    Text(String),
    Json(Value),
    File(PathBuf),
}

/// Reads one argument of the command line.
pub(crate) fn parse(text: &str) -> Result<Argument, String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) =
        parts.ok_or_else(|| format!("{text:?} is no argument: give name=value or name:=json"))?;
    if let Some(name) = name.strip_suffix(':') {
        let value = serde_json::from_str(value)
            .map_err(|error| format!("{name} is not JSON: {error}; name=value takes text"))?;
        let (name, value) = (name.to_owned(), ArgumentValue::Json(value));
        return Ok(Argument { name, value });
    }
    let value = match value.strip_prefix('@') {
        Some(path) => ArgumentValue::File(path.into()),
        None => ArgumentValue::Text(value.to_owned()),
    };
    let name = name.to_owned();
    Ok(Argument { name, value })
}

impl Argument {
    /// An argument with exactly this text.
    pub(crate) fn of_text(name: &str, text: String) -> Argument {
        let (name, value) = (name.to_owned(), ArgumentValue::Text(text));
        Argument { name, value }
    }

    /// The value as text: the JSON of other types.
    pub(crate) fn text(&self) -> Result<String, Failure> {
        match &self.value {
            ArgumentValue::Text(text) => Ok(text.clone()),
            ArgumentValue::Json(Value::String(text)) => Ok(text.clone()),
            ArgumentValue::Json(value) => Ok(value.to_string()),
            ArgumentValue::File(path) => crate::bounded_file::read(path, FILE_BYTES_MAX)
                .map_err(|error| Failure::file(path, &error)),
        }
    }

    /// The value as the schema of the whole has it; as text without a schema.
    pub(crate) fn value(&self, schema: Option<&Value>) -> Result<Value, Failure> {
        if let ArgumentValue::Json(value) = &self.value {
            return Ok(value.clone());
        }
        let text = self.text()?;
        let property = schema.and_then(|schema| schema["properties"].get(&self.name));
        let (Some(schema), Some(property)) = (schema, property) else {
            return Ok(Value::String(text));
        };
        let mut types = Vec::new();
        collect_types(schema, property, &mut types, 0);
        typed(&text, &types).ok_or_else(|| {
            let types = types.join(" or ");
            Failure::Usage(format!("argument {}={text:?} is not {types}", self.name))
        })
    }
}

/// The text as a value of one of these types.
fn typed(text: &str, types: &[String]) -> Option<Value> {
    if types.is_empty() || types.iter().any(|it| it == "string") {
        return Some(Value::String(text.to_owned()));
    }
    let value: Value = serde_json::from_str(text.trim()).ok()?;
    let fits = types.iter().any(|it| match &**it {
        "integer" => value.is_i64() || value.is_u64() || is_whole(&value),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    });
    fits.then_some(value)
}

fn is_whole(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// The types that a part of a schema allows; none if it does not say.
fn collect_types(root: &Value, part: &Value, types: &mut Vec<String>, depth: usize) {
    if depth > REFERENCES_MAX {
        return;
    }
    match &part["type"] {
        Value::String(name) => types.push(name.clone()),
        Value::Array(names) => {
            types.extend(names.iter().filter_map(|it| Some(it.as_str()?.into())))
        }
        _ => {}
    }
    let reference = part["$ref"].as_str().and_then(|it| it.strip_prefix('#'));
    if let Some(target) = reference.and_then(|pointer| root.pointer(pointer)) {
        collect_types(root, target, types, depth + 1);
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        for branch in part[keyword].as_array().into_iter().flatten() {
            collect_types(root, branch, types, depth + 1);
        }
    }
    let constants = part["enum"].as_array().into_iter().flatten();
    if constants.chain(part.get("const")).any(Value::is_string) {
        types.push("string".to_owned());
    }
}

/// Checks the names and the values of arguments against the schema of their tool.
pub(crate) fn check(arguments: &Map<String, Value>, schema: &Value) -> Result<(), Failure> {
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    let takes_others = match schema.get("additionalProperties") {
        None | Some(Value::Bool(false)) => schema.get("patternProperties").is_some(),
        Some(_) => true,
    };
    for name in arguments.keys().filter(|_| !takes_others) {
        if !properties.contains_key(name) {
            let known = properties.keys().map(String::as_str);
            return Err(unknown("argument", name, known));
        }
    }
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if !arguments.contains_key(name) {
            let mut types = Vec::new();
            collect_types(
                schema,
                &properties.get(name).cloned().unwrap_or_default(),
                &mut types,
                0,
            );
            let kind = types.first().map_or("value", String::as_str);
            return Err(Failure::Usage(format!(
                "argument {name} is missing: give {name}=<{kind}>"
            )));
        }
    }
    // A schema that cannot be compiled without the network is for the server to check.
    let Ok(validator) = jsonschema::validator_for(schema) else {
        return Ok(());
    };
    let arguments = Value::Object(arguments.clone());
    match validator.iter_errors(&arguments).next() {
        None => Ok(()),
        Some(fault) => {
            let path = fault.instance_path().to_string();
            Err(Failure::Usage(format!("arguments{path}: {fault}")))
        }
    }
}

/// A name that is not there, with the nearest one.
pub(crate) fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    /// The least likeness of a name that is shown.
    const LIKENESS_MIN: f64 = 0.6;
    let mut known: Vec<(f64, &str)> = known
        .map(|it| (strsim::jaro_winkler(name, it), it))
        .collect();
    known.sort_by(|a, b| b.0.total_cmp(&a.0));
    let remedy = match &known[..] {
        [(likeness, nearest), ..] if *likeness >= LIKENESS_MIN => {
            format!("; the nearest is {nearest:?}")
        }
        [] => "; there is none at all".to_owned(),
        all => {
            let names: Vec<&str> = all.iter().take(8).map(|(_, it)| *it).collect();
            format!("; there are {}", names.join(", "))
        }
    };
    Failure::Usage(format!("there is no {kind} {name:?}{remedy}"))
}

#[cfg(test)]
mod tests {
    use super::{check, parse};
    use serde_json::{Value, json};

    fn schema() -> Value {
        json!({"type": "object", "required": ["a"], "additionalProperties": false,
            "$defs": {"Level": {"enum": ["low", "high"]}},
            "properties": {
                "a": {"type": "integer"}, "b": {"type": ["number", "null"]},
                "id": {"type": "string"}, "on": {"type": "boolean"},
                "list": {"type": "array", "items": {"type": "integer"}},
                "level": {"$ref": "#/$defs/Level"},
                "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]}, "any": {}}})
    }

    #[test]
    fn values_become_the_type_of_the_schema() {
        for (text, expected) in [
            ("a=1", Some(json!(1))),
            ("a=1.0", Some(json!(1.0))),
            ("a=1.5", None),
            ("a=x", None),
            ("a=", None),
            ("b=2.5", Some(json!(2.5))),
            ("b=null", Some(Value::Null)),
            ("id=007", Some(json!("007"))),
            ("id=true", Some(json!("true"))),
            ("id:=7", Some(json!(7))),
            ("on=true", Some(json!(true))),
            ("on=yes", None),
            ("list=[1, 2]", Some(json!([1, 2]))),
            ("level=low", Some(json!("low"))),
            ("either=5", Some(json!("5"))),
            ("any=5", Some(json!("5"))),
            ("id=a=b", Some(json!("a=b"))),
        ] {
            let found = parse(text).unwrap().value(Some(&schema()));
            assert_eq!(found.ok(), expected, "{text}");
        }
        assert_eq!(parse("a=1").unwrap().value(None).unwrap(), json!("1"));
        assert!(parse("a").is_err() && parse("=a").is_err() && parse("a:=x").is_err());
        assert!(parse("a=@/does/not/exist").unwrap().text().is_err());
    }

    #[test]
    fn unknown_missing_and_unfit_arguments_are_refused_with_the_remedy() {
        for (arguments, fault) in [
            (json!({"a": 1}), None),
            (json!({}), Some("give a=<integer>")),
            (json!({"a": 1, "lst": []}), Some("the nearest is \"list\"")),
            (json!({"a": 1, "list": ["x"]}), Some("arguments/list/0")),
            (json!({"a": 1, "level": "mid"}), Some("arguments/level")),
        ] {
            let found = check(arguments.as_object().unwrap(), &schema());
            match (found, fault) {
                (Ok(()), None) => {}
                (Err(error), Some(fault)) => {
                    assert!(error.to_string().contains(fault), "{arguments}: {error}");
                }
                (found, _) => panic!("{arguments}: {found:?}"),
            }
        }
        let open = json!({"properties": {}, "additionalProperties": {"type": "integer"}});
        let one = json!({"x": 1});
        check(one.as_object().unwrap(), &open).unwrap();
        let remote = json!({"properties": {"x": {"$ref": "https://example.com/schema"}}});
        check(one.as_object().unwrap(), &remote).unwrap();
    }
}
