//! Arguments that modern clients repeat in `Mcp-Param-*` headers (MCP 2026-07-28
//! basic/transports, "Custom Headers").

use super::claims::Claims;
use super::refusal::Reason;
use crate::framing::http1::is_field_name;
use crate::header_value;
use crate::jsonrpc::Value;
use crate::mcp::schema_member::SchemaMember;

const PREFIX: &str = "Mcp-Param-";
const KEYWORD: &str = "x-mcp-header";

/// An annotated property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderParam {
    /// The name after `Mcp-Param-`.
    name: String,
    /// The chain of properties from the arguments to the value.
    path: Vec<String>,
}

/// Why an annotation is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderParamDefect {
    /// The name is no header name.
    #[error("has an x-mcp-header that is not a non-empty RFC 9110 token: {0}")]
    Name(String),
    /// Two properties have one header.
    #[error("has the x-mcp-header {0:?} twice; header names have no case")]
    Repeated(String),
    /// The property's type cannot be written in a header.
    #[error("has the x-mcp-header {0:?} on a property that is no string, integer or boolean")]
    Type(String),
    /// The annotation stands where no chain of `properties` leads.
    #[error("has the x-mcp-header {0:?} where no chain of properties leads to it")]
    Unreachable(String),
}

/// The annotations of `schema`, checked.
pub fn collect(schema: &serde_json::Value) -> Result<Vec<HeaderParam>, HeaderParamDefect> {
    let mut found = Vec::new();
    collect_properties(schema, &mut Vec::new(), &mut found)?;
    let mut everywhere = Vec::new();
    list_annotations(schema, &mut everywhere);
    for name in everywhere {
        if !found.iter().any(|param| param.name == *name) {
            return Err(HeaderParamDefect::Unreachable(name.clone()));
        }
    }
    Ok(found)
}

fn collect_properties(
    schema: &serde_json::Value,
    path: &mut Vec<String>,
    found: &mut Vec<HeaderParam>,
) -> Result<(), HeaderParamDefect> {
    let Some(properties) = schema.get("properties").and_then(|value| value.as_object()) else {
        return Ok(());
    };
    for (property, subschema) in properties {
        path.push(property.clone());
        if let Some(name) = subschema.get(KEYWORD) {
            let name = name.as_str().filter(|name| is_field_name(name));
            let name =
                name.ok_or_else(|| HeaderParamDefect::Name(subschema[KEYWORD].to_string()))?;
            if found
                .iter()
                .any(|param| param.name.eq_ignore_ascii_case(name))
            {
                return Err(HeaderParamDefect::Repeated(name.to_owned()));
            }
            let kind = subschema.get("type").and_then(|kind| kind.as_str());
            if !matches!(kind, Some("string" | "integer" | "boolean")) {
                return Err(HeaderParamDefect::Type(name.to_owned()));
            }
            found.push(HeaderParam {
                name: name.to_owned(),
                path: path.clone(),
            });
        }
        collect_properties(subschema, path, found)?;
        path.pop();
    }
    Ok(())
}

/// Every annotation of a subschema, reachable or not. A property called `x-mcp-header` is not an
/// annotation.
fn list_annotations<'a>(schema: &'a serde_json::Value, names: &mut Vec<&'a String>) {
    match schema {
        serde_json::Value::Object(members) => {
            for (key, value) in members {
                match (SchemaMember::of(key), value) {
                    (_, serde_json::Value::String(name)) if key == KEYWORD => names.push(name),
                    (SchemaMember::SchemasByName, serde_json::Value::Object(schemas)) => {
                        schemas
                            .values()
                            .for_each(|schema| list_annotations(schema, names));
                    }
                    (SchemaMember::Data, _) => {}
                    _ => list_annotations(value, names),
                }
            }
        }
        serde_json::Value::Array(items) => {
            items.iter().for_each(|item| list_annotations(item, names));
        }
        _ => {}
    }
}

/// Checks that the headers of a request agree with its arguments.
///
/// # Errors
/// The first header that is missing, malformed or different, also from another of its name. A value
/// that is absent or null has no header: a header without a value contradicts the arguments.
pub fn check<'a>(
    params: &'a [HeaderParam],
    claims: Claims<'_>,
    arguments: Option<Value<'_>>,
) -> Result<(), Reason<'a>> {
    for param in params {
        let fault = |fault| Reason::ParamHeader {
            name: &param.name,
            fault,
        };
        let mut values = claims
            .fields()
            .filter(|(name, _)| is_header_of(name, &param.name));
        let (value, text) = match (follow(arguments, &param.path), values.next()) {
            (None, None) => continue,
            (None, Some(_)) => return Err(fault("is there without its argument")),
            (Some(_), None) => return Err(fault("is missing")),
            (Some(value), Some((_, text))) => (value, text),
        };
        if values.any(|(_, other)| other != text) {
            return Err(fault("has values that differ"));
        }
        match header_value::holds(text, |text| header_value::equals(text, value)) {
            Ok(true) => {}
            Ok(false) => return Err(fault("does not equal the argument")),
            Err(_) => return Err(fault("has a malformed value")),
        }
    }
    Ok(())
}

/// The headers of a request with `arguments`: each name, with its prefix, and its encoded value. A
/// value that is absent, null or of another type has no header.
pub fn mirror(params: &[HeaderParam], arguments: &serde_json::Value) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for HeaderParam { name, path } in params {
        let mut value = Some(arguments);
        for property in path {
            value = value.and_then(|value| value.get(property));
        }
        let text = match value {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(serde_json::Value::Bool(flag)) => flag.to_string(),
            Some(serde_json::Value::Number(number)) => number.to_string(),
            _ => continue,
        };
        let value = header_value::encode(&text).into_owned();
        headers.push((format!("{PREFIX}{name}"), value));
    }
    headers
}

fn follow<'a>(arguments: Option<Value<'a>>, path: &[String]) -> Option<Value<'a>> {
    let mut value = arguments?;
    for property in path {
        value = value.as_object()?.get(property)?;
    }
    (!value.is_null()).then_some(value)
}

fn is_header_of(header: &str, name: &str) -> bool {
    header.len() == PREFIX.len() + name.len()
        && header.is_char_boundary(PREFIX.len())
        && header[..PREFIX.len()].eq_ignore_ascii_case(PREFIX)
        && header[PREFIX.len()..].eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn collects_annotations_along_properties() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "string", "x-mcp-header": "A"},
            "b": {"type": "object", "properties": {"c": {"type": "integer", "x-mcp-header": "C"}}},
            "x-mcp-header": {"type": "string"},
        }});
        let expected = vec![
            HeaderParam {
                name: "A".into(),
                path: vec!["a".into()],
            },
            HeaderParam {
                name: "C".into(),
                path: vec!["b".into(), "c".into()],
            },
        ];
        assert_eq!(collect(&schema), Ok(expected));
    }

    #[test]
    fn refuses_annotations_that_no_client_could_follow() {
        let string = |header: &str| json!({"type": "string", "x-mcp-header": header});
        let check = |schema: serde_json::Value, expected: HeaderParamDefect| {
            assert_eq!(collect(&schema), Err(expected));
        };
        let properties = |a: serde_json::Value| json!({"properties": {"a": a}});
        check(
            properties(string("")),
            HeaderParamDefect::Name("\"\"".into()),
        );
        check(
            properties(string("a b")),
            HeaderParamDefect::Name("\"a b\"".into()),
        );
        check(
            properties(string("a:b")),
            HeaderParamDefect::Name("\"a:b\"".into()),
        );
        check(
            json!({"properties": {"a": string("X"), "b": string("x")}}),
            HeaderParamDefect::Repeated("x".into()),
        );
        check(
            properties(json!({"type": "number", "x-mcp-header": "N"})),
            HeaderParamDefect::Type("N".into()),
        );
        check(
            properties(json!({"type": "array", "items": string("I")})),
            HeaderParamDefect::Unreachable("I".into()),
        );
        check(
            json!({"anyOf": [properties(string("Y"))]}),
            HeaderParamDefect::Unreachable("Y".into()),
        );
        for name in ["const", "default", "enum", "examples"] {
            check(
                json!({"properties": {name: {"items": string("Z")}}}),
                HeaderParamDefect::Unreachable("Z".into()),
            );
        }
    }

    #[test]
    fn arguments_are_mirrored_where_they_have_a_text() {
        let annotated = |kind: &str, name: &str| json!({"type": kind, "x-mcp-header": name});
        let schema = json!({"properties": {
            "text": annotated("string", "Text"), "count": annotated("integer", "Count"),
            "flag": annotated("boolean", "Flag"), "other": {"type": "number"},
            "deep": {"properties": {"text": annotated("string", "Deep")}},
        }});
        let params = collect(&schema).unwrap();
        let mirrored = |arguments| {
            let headers = mirror(&params, &arguments);
            let mut lines: Vec<_> = headers.iter().map(|(k, v)| format!("{k}: {v}")).collect();
            lines.sort();
            lines
        };
        assert_eq!(mirrored(json!({})), [""; 0]);
        assert_eq!(
            mirrored(json!({"text": null, "count": [], "other": 1})),
            [""; 0]
        );
        assert_eq!(
            mirrored(json!({"text": "", "deep": 1})),
            ["Mcp-Param-Text: "]
        );
        let arguments = json!({"text": "\u{e9}", "count": 9_007_199_254_740_993_i64,
            "flag": false, "deep": {"text": "a b"}});
        assert_eq!(
            mirrored(arguments),
            [
                "Mcp-Param-Count: 9007199254740993",
                "Mcp-Param-Deep: a b",
                "Mcp-Param-Flag: false",
                "Mcp-Param-Text: =?base64?w6k=?=",
            ]
        );
    }

    #[test]
    fn annotations_within_data_are_none() {
        for name in ["const", "default", "enum", "examples"] {
            let data = json!([{"x-mcp-header": "X"}]);
            let schema = json!({"properties": {"a": {name: data}}});
            assert_eq!(collect(&schema), Ok(vec![]), "{name}");
        }
    }
}
