//! From an entry of an upstream to the one that clients see.

use serde_json::Value;

use super::entry::{Entry, EntryError};
use crate::config::Upstream;

/// An entry that clients see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// Its name.
    pub name: Box<str>,
    /// The name that the upstream has for it.
    pub original: Box<str>,
    /// The whole entry.
    pub json: String,
}

/// The tool of an upstream as clients see it: under its exposed name, with the changes of the
/// configuration, and without the arguments that the configuration fixes. Everything else is as the
/// upstream wrote it. None if the configuration hides it.
///
/// ```
/// use corelane_gateway::catalog::{ListKind, Walk, WalkLimits, expose_tool};
/// use corelane_gateway::config;
///
/// let text = "[[upstream]]\nname = \"git\"\ncommand = [\"mcp-server-git\"]\n";
/// let upstreams = config::parse(text)?;
/// let mut walk = Walk::new(ListKind::Tools, WalkLimits::default());
/// walk.handle_page(r#"{"tools": [{"name": "log", "inputSchema": {"type": "object"}}]}"#)?;
/// let tool = walk.finish().entries.remove(0);
/// let exposed = expose_tool(&upstreams[0], tool, 64)?.expect("it is not hidden");
/// assert_eq!(exposed.json, r#"{"name":"git_log","inputSchema":{"type": "object"}}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// It has no name, or its schema is no object where a part of it is to be removed.
pub fn expose_tool(
    upstream: &Upstream,
    mut tool: Entry,
    name_chars_max: usize,
) -> Result<Option<Exposed>, EntryError> {
    let original = tool.text("name").ok_or(EntryError::NoKey("name"))?;
    if !upstream.tools.admits(&original) {
        return Ok(None);
    }
    let name = upstream.naming.exposed(&original, name_chars_max);
    tool.set("name", &Value::from(name.as_str()));
    let changes = upstream.overrides.get(&*original);
    let title = changes.and_then(|it| it.title.as_deref().map(str::to_owned));
    let own_title = tool.text("title").map(|title| without_controls(&title));
    if let Some(title) = title.or(own_title) {
        tool.set("title", &Value::from(title));
    }
    if let Some(changes) = changes {
        if let Some(description) = &changes.description {
            tool.set("description", &Value::from(&**description));
        }
        if !changes.fixed.is_empty() {
            let without = schema_without(&tool, changes.fixed.keys());
            let schema = without.ok_or_else(|| EntryError::Schema(original.as_str().into()))?;
            tool.set("inputSchema", &schema);
        }
    }
    Ok(Some(Exposed {
        name: name.into(),
        original: original.into(),
        json: tool.to_json(),
    }))
}

/// A title is shown to people: it has no control characters but newlines and tabs.
fn without_controls(text: &str) -> String {
    let is_shown = |it: &char| !it.is_control() || matches!(it, '\n' | '\t');
    text.chars().filter(is_shown).collect()
}

/// The schema of a tool without some arguments; none if it is no object.
fn schema_without<'f>(tool: &Entry, fixed: impl Iterator<Item = &'f String>) -> Option<Value> {
    let mut schema: Value = serde_json::from_str(tool.raw("inputSchema")?.get()).ok()?;
    let members = schema.as_object_mut()?;
    for name in fixed {
        if let Some(Value::Object(properties)) = members.get_mut("properties") {
            properties.remove(name);
        }
        if let Some(Value::Array(required)) = members.get_mut("required") {
            required.retain(|other| other != name.as_str());
        }
    }
    Some(schema)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{EntryError, Exposed, expose_tool};
    use crate::catalog::Entry;
    use crate::config;

    fn expose(lines: &str, tool: &str) -> Result<Option<Exposed>, EntryError> {
        let text = format!("[[upstream]]\nname = \"up\"\nurl = \"https://h/\"\n{lines}");
        let upstreams = config::parse(&text).expect("valid");
        let tool: Entry = serde_json::from_str(tool).expect("an entry");
        expose_tool(&upstreams[0], tool, 64)
    }

    fn exposed(lines: &str, tool: &str) -> Exposed {
        expose(lines, tool).expect("an entry").expect("it is seen")
    }

    #[test]
    fn everything_but_the_name_is_as_the_upstream_wrote_it() {
        let tool = r#"{"z":1e400,"name":"log","n":123456789012345678901234567890,
            "inputSchema":{ "type" : "object", "$defs":{"a":{}} },"s":"\u00e4\/"}"#;
        let exposed = exposed("", tool);
        let expected = r#"{"z":1e400,"name":"up_log","n":123456789012345678901234567890,"#;
        assert!(exposed.json.starts_with(expected), "{}", exposed.json);
        let rest = r#""inputSchema":{ "type" : "object", "$defs":{"a":{}} },"s":"\u00e4\/"}"#;
        assert!(exposed.json.ends_with(rest), "{}", exposed.json);
        assert_eq!((&*exposed.name, &*exposed.original), ("up_log", "log"));
    }

    #[test]
    fn the_configuration_hides_renames_and_describes() {
        let lines = "tools = { exclude = [\"delete_*\"] }\n\
                     [[upstream.tool]]\nmatch = \"log\"\nname = \"history\"\n\
                     title = \"History\"\ndescription = \"Shows it.\"\n";
        let hidden = expose(lines, r#"{"name": "delete_all"}"#).expect("an entry");
        assert_eq!(hidden, None);
        let seen = exposed(
            lines,
            r#"{"name": "log", "description": "d", "title": "t"}"#,
        );
        let json: Value = serde_json::from_str(&seen.json).expect("JSON");
        let expected = json!({"name": "history", "title": "History", "description": "Shows it."});
        assert_eq!(json, expected);
    }

    #[test]
    fn fixed_arguments_are_not_in_the_schema() {
        let lines = "[[upstream.tool]]\nmatch = \"open\"\nfixed = { repo = \"r\" }\n";
        let tool = json!({"name": "open", "inputSchema": {
            "type": "object", "properties": {"repo": {}, "title": {}},
            "required": ["repo", "title"], "additionalProperties": false,
        }});
        let seen = exposed(lines, &tool.to_string());
        let json: Value = serde_json::from_str(&seen.json).expect("JSON");
        let expected = json!({
            "type": "object", "properties": {"title": {}},
            "required": ["title"], "additionalProperties": false,
        });
        assert_eq!(json["inputSchema"], expected);
        for tool in [
            r#"{"name": "open"}"#,
            r#"{"name": "open", "inputSchema": []}"#,
        ] {
            assert_eq!(expose(lines, tool), Err(EntryError::Schema("open".into())));
        }
    }

    #[test]
    fn titles_lose_control_characters_and_names_are_texts() {
        let seen = exposed("", r#"{"name": "a", "title": "x\u001b[31m\ny"}"#);
        let json: Value = serde_json::from_str(&seen.json).expect("JSON");
        assert_eq!(json["title"], "x[31m\ny");
        assert_eq!(expose("", r#"{"name": 1}"#), Err(EntryError::NoKey("name")));
    }
}
