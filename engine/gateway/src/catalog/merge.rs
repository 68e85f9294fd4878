//! From an entry of an upstream to the one that clients see.

use serde_json::Value;
use serde_json::value::RawValue;

use super::entry::{Entry, EntryError};
use super::walk::ListKind;
use crate::config::Upstream;
use crate::relay::namespaced_meta;
use crate::uris::namespaced;

/// An entry that clients see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// Its name, its URI or its template.
    pub key: Box<str>,
    /// The one that the upstream has for it.
    pub original: Box<str>,
    /// The whole entry, on one line. That of a tool has no `execution`: whether it may become a
    /// task is for the session with the client.
    pub json: String,
    /// The same for clients of the legacy era, if that differs: without an output schema that is
    /// none of an object (MCP 2025-11-25 server/tools).
    pub legacy_json: Option<String>,
}

/// An entry of an upstream as clients see it. A tool or a prompt has its exposed name; a tool also
/// has the changes of the configuration, and lacks the arguments that the configuration fixes. URIs
/// have the name of their upstream, if that is configured. Everything else is as the upstream wrote
/// it. None if the configuration hides it.
///
/// ```
/// use corelane_gateway::catalog::{ListKind, Walk, WalkLimits, expose};
/// use corelane_gateway::config;
///
/// let text = "[[upstream]]\nname = \"git\"\ncommand = [\"mcp-server-git\"]\n";
/// let upstreams = config::parse(text)?;
/// let mut walk = Walk::new(ListKind::Tools, WalkLimits::default());
/// walk.handle_page(r#"{"tools": [{"name": "log", "inputSchema": {"type": "object"}}]}"#)?;
/// let tool = walk.finish().entries.remove(0);
/// let exposed = expose(&upstreams[0], ListKind::Tools, tool, 64)?.expect("it is not hidden");
/// assert_eq!(exposed.json, r#"{"name":"git_log","inputSchema":{"type": "object"}}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// It has no name or URI, its URI cannot have the name of its upstream, or its schema is no object
/// where a part of it is to be removed.
pub fn expose(
    upstream: &Upstream,
    kind: ListKind,
    mut entry: Entry,
    name_chars_max: usize,
) -> Result<Option<Exposed>, EntryError> {
    let member = kind.key();
    let original = entry.text(member).ok_or(EntryError::NoKey(member))?;
    let naming = &upstream.naming;
    let key = match kind {
        ListKind::Tools if !upstream.tools.admits(&original) => return Ok(None),
        ListKind::Tools => naming.exposed(&original, name_chars_max),
        ListKind::Prompts => naming.prefixed(&original, name_chars_max),
        ListKind::Resources | ListKind::Templates if upstream.has_namespaced_uris => {
            let named = namespaced(&original, &upstream.name);
            named.ok_or_else(|| EntryError::Uri(original.as_str().into()))?
        }
        ListKind::Resources | ListKind::Templates => original.clone(),
    };
    // Names and titles are shown to people.
    for shown in ["name", "title"] {
        if let Some(text) = entry.text(shown).filter(|it| it.contains(is_control)) {
            entry.set(shown, &Value::from(text.replace(is_control, "")));
        }
    }
    if *key != *original {
        entry.set(member, &Value::from(key.as_str()));
    }
    let meta = entry.raw("_meta").filter(|_| upstream.has_namespaced_uris);
    let meta = meta.and_then(|meta| namespaced_meta(meta.get().as_bytes(), &upstream.name));
    if let Some(meta) = meta.and_then(|meta| String::from_utf8(meta).ok())
        && let Ok(meta) = RawValue::from_string(meta)
    {
        entry.set_raw("_meta", meta);
    }
    if kind == ListKind::Tools {
        change_tool(upstream, &original, &mut entry)?;
        entry.remove("execution");
    }
    let json = on_one_line(&entry);
    let has_legacy = kind != ListKind::Tools || gives_objects(&entry);
    let legacy_json = (!has_legacy).then(|| {
        entry.remove("outputSchema");
        on_one_line(&entry)
    });
    Ok(Some(Exposed {
        key: key.into(),
        original: original.into(),
        json,
        legacy_json,
    }))
}

/// An entry as JSON. In valid JSON, line ends stand between tokens only.
fn on_one_line(entry: &Entry) -> String {
    entry.to_json().replace(['\r', '\n'], " ")
}

/// Whether the structured results of a tool are objects, if it has any.
fn gives_objects(tool: &Entry) -> bool {
    let Some(schema) = tool.raw("outputSchema") else {
        return true;
    };
    let schema = serde_json::from_str::<Value>(schema.get());
    schema.is_ok_and(|schema| schema["type"] == "object")
}

/// Makes the changes of the configuration to a tool.
fn change_tool(upstream: &Upstream, original: &str, tool: &mut Entry) -> Result<(), EntryError> {
    let Some(changes) = upstream.overrides.get(original) else {
        return Ok(());
    };
    if let Some(title) = &changes.title {
        tool.set("title", &Value::from(&**title));
    }
    if let Some(description) = &changes.description {
        tool.set("description", &Value::from(&**description));
    }
    if !changes.fixed.is_empty() {
        let without = schema_without(tool, changes.fixed.keys());
        let schema = without.ok_or_else(|| EntryError::Schema(original.into()))?;
        tool.set("inputSchema", &schema);
    }
    Ok(())
}

/// Whether a text for people must not have this character.
fn is_control(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\t')
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

    use super::{EntryError, Exposed, ListKind};
    use crate::catalog::Entry;
    use crate::config;

    fn expose(lines: &str, tool: &str) -> Result<Option<Exposed>, EntryError> {
        let text = format!("[[upstream]]\nname = \"up\"\nurl = \"https://h/\"\n{lines}");
        let upstreams = config::parse(&text).expect("valid");
        let tool: Entry = serde_json::from_str(tool).expect("an entry");
        super::expose(&upstreams[0], ListKind::Tools, tool, 64)
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
        assert_eq!((&*exposed.key, &*exposed.original), ("up_log", "log"));
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
    fn a_schema_of_a_list_is_none_for_legacy_clients_and_no_client_sees_execution() {
        let execution = json!({"taskSupport": "required"});
        let tool =
            |kind| json!({"name": "a", "outputSchema": {"type": kind}, "execution": execution});
        let seen = exposed("", &tool("array").to_string());
        let json = r#"{"name":"up_a","outputSchema":{"type":"array"}}"#;
        assert_eq!(seen.json, json);
        assert_eq!(seen.legacy_json.as_deref(), Some(r#"{"name":"up_a"}"#));
        assert_eq!(exposed("", &tool("object").to_string()).legacy_json, None);
    }

    #[test]
    fn titles_lose_control_characters_and_names_are_texts() {
        let seen = exposed("", r#"{"name": "a", "title": "x\u001b[31m\ny"}"#);
        let json: Value = serde_json::from_str(&seen.json).expect("JSON");
        assert_eq!(json["title"], "x[31m\ny");
        assert_eq!(expose("", r#"{"name": 1}"#), Err(EntryError::NoKey("name")));
    }

    #[test]
    fn uris_have_the_name_of_their_upstream_if_that_is_configured() {
        let text = "[[upstream]]\nname = \"up\"\nurl = \"https://h/\"\nuris = \"namespaced\"\n";
        let upstreams = config::parse(text).expect("valid");
        let expose = |kind, entry: &str| {
            let entry: Entry = serde_json::from_str(entry).expect("an entry");
            super::expose(&upstreams[0], kind, entry, 64)
        };
        let meta = r#""_meta":{"n":1e400,"ui":{"x":1.0,"resourceUri":"ui:\/\/app\/1"}}"#;
        let seen = r#""_meta":{"n":1e400,"ui":{"x":1.0,"resourceUri":"ui://up/app/1"}}"#;
        for (kind, entry, key, json) in [
            (
                ListKind::Resources,
                format!(r#"{{"uri":"a:\/\/b","name":"n",{meta}}}"#),
                "a://up/b",
                format!(r#"{{"uri":"a://up/b","name":"n",{seen}}}"#),
            ),
            (
                ListKind::Templates,
                r#"{"uriTemplate":"a://{b}","name":"n","_meta":{"ui":7}}"#.to_owned(),
                "a://up/{b}",
                r#"{"uriTemplate":"a://up/{b}","name":"n","_meta":{"ui":7}}"#.to_owned(),
            ),
            (
                ListKind::Tools,
                format!(r#"{{"name":"t",{meta}}}"#),
                "up_t",
                format!(r#"{{"name":"up_t",{seen}}}"#),
            ),
        ] {
            let exposed = expose(kind, &entry).expect("an entry").expect("it is seen");
            assert_eq!((&*exposed.key, exposed.json), (key, json));
        }
        let relative = expose(ListKind::Resources, r#"{"uri":"b","name":"n"}"#);
        assert_eq!(relative, Err(EntryError::Uri("b".into())));
    }

    #[test]
    fn prompts_have_names_of_this_server_and_resources_their_uris() {
        let lines = "tools = { exclude = [\"*\"] }\n[[upstream.tool]]\nmatch = \"log\"\n\
                     name = \"history\"\nfixed = { a = 1 }\n";
        let text = format!("[[upstream]]\nname = \"up\"\nurl = \"https://h/\"\n{lines}");
        let upstreams = config::parse(&text).expect("valid");
        for (kind, entry, key, json) in [
            (
                ListKind::Prompts,
                "{\"name\":\"log\",\r\n\"x\":1e400}",
                "up_log",
                "{\"name\":\"up_log\",\"x\":1e400}",
            ),
            (
                ListKind::Resources,
                r#"{"uri":"a:\/\/b","name":"x\u001by","t":1}"#,
                "a://b",
                r#"{"uri":"a:\/\/b","name":"xy","t":1}"#,
            ),
            (
                ListKind::Templates,
                r#"{"uriTemplate":"a://{b}","name":"n"}"#,
                "a://{b}",
                r#"{"uriTemplate":"a://{b}","name":"n"}"#,
            ),
        ] {
            let entry: Entry = serde_json::from_str(entry).expect("an entry");
            let exposed = super::expose(&upstreams[0], kind, entry, 64);
            let exposed = exposed.expect("an entry").expect("it is seen");
            assert_eq!((&*exposed.key, exposed.json.as_str()), (key, json));
        }
    }
}
