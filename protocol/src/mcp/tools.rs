//! `tools/list` and `tools/call`.

use serde_json::value::RawValue;

use super::about::About;
use super::content::Content;
use super::era::Era;
use super::output_schema::OutputSchema;
use super::params::{ParamsError, read_name};
use super::result::{Caching, ResultTrailer};
use super::revision::Revision;
use super::tasks::TaskSupport;
use crate::jsonrpc::{Id, Value, encode};

/// The definition of a tool, as clients see it.
#[derive(Debug, Clone)]
pub struct ToolDefinition {
    /// Unique name: 1 to 128 of `[A-Za-z0-9_.-]`.
    pub name: String,
    /// Words for people and for the model.
    pub about: About,
    /// JSON Schema of the arguments, passed on byte for byte.
    pub input_schema: Box<RawValue>,
    /// JSON Schema of the structured content, if the tool promises one.
    pub output_schema: Option<OutputSchema>,
    /// Hints on the tool's behaviour.
    pub annotations: ToolAnnotations,
    /// Whether calls become tasks; never when absent.
    pub task_support: Option<TaskSupport>,
}

/// Hints on a tool's behaviour; clients must not trust them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ToolAnnotations {
    /// The tool changes nothing.
    pub read_only: Option<bool>,
    /// The tool may destroy something.
    pub destructive: Option<bool>,
    /// Calling again with the same arguments changes nothing more.
    pub idempotent: Option<bool>,
    /// The tool reaches things outside the server.
    pub open_world: Option<bool>,
}

/// Bytes a tool name may have (MCP 2025-11-25 server/tools, "Tool Names").
pub const TOOL_NAME_BYTES_MAX: usize = 128;

/// Whether `name` is a legal tool name.
pub fn is_tool_name(name: &str) -> bool {
    (1..=TOOL_NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

impl ToolDefinition {
    /// Appends the definition as a JSON object, with the members that `revision` defines. Modern
    /// clients do not get the task support: the server decides there.
    pub fn write(&self, out: &mut Vec<u8>, revision: Revision) {
        out.extend_from_slice(br#"{"name":"#);
        encode::write_string(out, &self.name);
        self.about.write_members(out, revision);
        out.extend_from_slice(br#","inputSchema":"#);
        out.extend_from_slice(self.input_schema.get().as_bytes());
        if let Some(schema) = &self.output_schema
            && revision.has_structured_content()
        {
            out.extend_from_slice(br#","outputSchema":"#);
            out.extend_from_slice(schema.text_for(revision.era()).as_bytes());
        }
        if revision.has_audio() {
            self.annotations.write_member(out);
        }
        if let Some(support) = self.task_support
            && revision.has_tasks()
        {
            write_execution(out, support);
        }
        out.push(b'}');
    }
}

/// Appends the member of a definition that says whether calls become tasks, with a comma in front
/// (MCP 2025-11-25 basic/utilities/tasks, "Tool-Level Negotiation").
///
/// ```
/// use corelane_protocol::mcp::tasks::TaskSupport;
/// use corelane_protocol::mcp::tools::write_execution;
/// let mut out = Vec::new();
/// write_execution(&mut out, TaskSupport::Optional);
/// assert_eq!(out, br#","execution":{"taskSupport":"optional"}"#);
/// ```
pub fn write_execution(out: &mut Vec<u8>, support: TaskSupport) {
    out.extend_from_slice(br#","execution":{"taskSupport":"#);
    encode::write_string(out, support.as_str());
    out.push(b'}');
}

impl ToolAnnotations {
    fn write_member(&self, out: &mut Vec<u8>) {
        let hints = [
            ("readOnlyHint", self.read_only),
            ("destructiveHint", self.destructive),
            ("idempotentHint", self.idempotent),
            ("openWorldHint", self.open_world),
        ];
        let mut opening = &br#","annotations":{"#[..];
        for (name, value) in hints {
            if let Some(value) = value {
                out.extend_from_slice(opening);
                encode::write_string(out, name);
                out.extend_from_slice(if value { b":true" } else { b":false" });
                opening = b",";
            }
        }
        if opening == b"," {
            out.push(b'}');
        }
    }
}

/// The result of a tool.
#[derive(Debug, Clone, Default)]
pub struct ToolResult {
    /// For the model, in order.
    pub content: Vec<Content>,
    /// For programs.
    pub structured: Option<Box<RawValue>>,
    /// Whether the tool failed at its own job.
    pub is_error: bool,
    /// Whether legacy clients get objects wrapped as well, because the tool's output schema is
    /// wrapped for them. The server sets it.
    pub wraps_objects: bool,
}

impl ToolResult {
    /// A result of one text block.
    pub fn text(text: impl Into<std::borrow::Cow<'static, str>>) -> ToolResult {
        ToolResult {
            content: vec![Content::text(text)],
            ..ToolResult::default()
        }
    }

    /// A failure the model can read and react to.
    pub fn error(text: impl Into<std::borrow::Cow<'static, str>>) -> ToolResult {
        ToolResult {
            is_error: true,
            ..ToolResult::text(text)
        }
    }

    /// Removes the members that `revision` does not have; before [`ToolResult::write`].
    pub fn downgrade_to(&mut self, revision: Revision) {
        if !revision.has_structured_content() {
            self.structured = None;
            for content in &mut self.content {
                content.downgrade_to(revision);
            }
        }
    }

    /// Writes the whole answer to `tools/call`.
    ///
    /// Legacy revisions know only objects as structured content, so another value is wrapped as
    /// `{"result": value}` there.
    pub fn write(&self, out: &mut Vec<u8>, era: Era, id: Id<'_>, trailer: &ResultTrailer) {
        encode::begin_result(out, id);
        out.extend_from_slice(br#"{"content":["#);
        for (at, content) in self.content.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            content.write(out);
        }
        out.push(b']');
        if let Some(structured) = &self.structured {
            let structured = structured.get().as_bytes();
            let is_object = structured.first() == Some(&b'{');
            let wrapped = era == Era::Legacy && (self.wraps_objects || !is_object);
            out.extend_from_slice(br#","structuredContent":"#);
            out.extend_from_slice(if wrapped { br#"{"result":"# } else { b"" });
            out.extend_from_slice(structured);
            out.extend_from_slice(if wrapped { b"}" } else { b"" });
        }
        if self.is_error {
            out.extend_from_slice(br#","isError":true"#);
        }
        trailer.finish(out, era, Caching::NotCacheable);
    }
}

/// The parameters of `tools/call`.
#[derive(Debug, Clone, Copy)]
pub struct CallParams<'a> {
    /// The tool to call.
    pub name: &'a str,
    /// Its arguments; absent or null means `{}`.
    pub arguments: Option<Value<'a>>,
}

impl<'a> CallParams<'a> {
    /// Reads the parameters of `tools/call`.
    ///
    /// # Errors
    /// [`ParamsError`] when `name` is not a string or `arguments` is present and no object.
    pub fn read(params: Option<Value<'a>>) -> Result<CallParams<'a>, ParamsError> {
        let (members, name) =
            read_name(params).ok_or(ParamsError("tools/call needs params.name to be a string"))?;
        let arguments = members.optional("arguments");
        if arguments.is_some_and(|arguments| arguments.as_object().is_none()) {
            return Err(ParamsError(
                "tools/call needs params.arguments to be an object",
            ));
        }
        Ok(CallParams { name, arguments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tool_names_follow_the_specification() {
        let long = "x".repeat(TOOL_NAME_BYTES_MAX);
        let too_long = "x".repeat(TOOL_NAME_BYTES_MAX + 1);
        for (name, legal) in [
            ("echo", true),
            ("a.b-c_D9", true),
            (long.as_str(), true),
            (too_long.as_str(), false),
            ("", false),
            ("with space", false),
            ("caf\u{e9}", false),
            ("a/b", false),
        ] {
            assert_eq!(is_tool_name(name), legal, "{name}");
        }
    }

    #[test]
    fn writes_definitions_and_keeps_the_schema_verbatim() {
        let schema = r#"{ "type":"object","x-own":[1,  2] }"#;
        let mut tool = ToolDefinition {
            name: "t".into(),
            about: About {
                description: Some("d".into()),
                ..About::default()
            },
            input_schema: RawValue::from_string(schema.into()).unwrap(),
            output_schema: None,
            annotations: ToolAnnotations::default(),
            task_support: None,
        };
        let check = |tool: &ToolDefinition, revision, expected: String| {
            let mut out = Vec::new();
            tool.write(&mut out, revision);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(
            &tool,
            Revision::V2024_11_05,
            format!(r#"{{"name":"t","description":"d","inputSchema":{schema}}}"#),
        );
        tool.about.title = Some("T".into());
        tool.annotations.read_only = Some(true);
        tool.annotations.open_world = Some(false);
        tool.output_schema = Some(
            OutputSchema::new(RawValue::from_string(r#"{"type":"array"}"#.into()).unwrap())
                .unwrap(),
        );
        let name = r#""name":"t""#;
        let title = r#""title":"T""#;
        let rest = format!(r#""description":"d","inputSchema":{schema}"#);
        let hints = r#""annotations":{"readOnlyHint":true,"openWorldHint":false}"#;
        let output = r#""outputSchema":{"type":"array"}"#;
        let wrapped = concat!(
            r#""outputSchema":{"type":"object","properties":{"result":{"type":"array"}},"#,
            r#""required":["result"]}"#
        );
        for (revision, expected) in [
            (Revision::V2024_11_05, format!("{{{name},{rest}}}")),
            (Revision::V2025_03_26, format!("{{{name},{rest},{hints}}}")),
            (
                Revision::V2025_06_18,
                format!("{{{name},{title},{rest},{wrapped},{hints}}}"),
            ),
            (
                Revision::V2026_07_28,
                format!("{{{name},{title},{rest},{output},{hints}}}"),
            ),
        ] {
            check(&tool, revision, expected);
        }
        tool.task_support = Some(TaskSupport::Required);
        for (revision, is_listed) in [
            (Revision::V2025_06_18, false),
            (Revision::V2025_11_25, true),
            (Revision::V2026_07_28, false),
        ] {
            let mut out = Vec::new();
            tool.write(&mut out, revision);
            let received = br#","execution":{"taskSupport":"required"}}"#;
            assert_eq!(out.ends_with(received), is_listed);
        }
    }

    #[test]
    fn wraps_structured_values_for_the_legacy_era_only() {
        let trailer = ResultTrailer::new(b"{}");
        let result = ToolResult {
            structured: Some(RawValue::from_string("[1]".into()).unwrap()),
            ..ToolResult::text("[1]")
        };
        let check = |era, expected: &str| {
            let mut out = Vec::new();
            result.write(&mut out, era, Id::Integer(1), &trailer);
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains(expected), "{text}");
        };
        check(Era::Legacy, r#""structuredContent":{"result":[1]}}}"#);
        check(
            Era::Modern,
            r#""structuredContent":[1],"resultType":"complete""#,
        );
        let mut object = ToolResult {
            structured: Some(RawValue::from_string("{}".into()).unwrap()),
            ..ToolResult::default()
        };
        for (wraps_objects, expected) in [(false, "{}"), (true, r#"{"result":{}}"#)] {
            object.wraps_objects = wraps_objects;
            let mut out = Vec::new();
            object.write(&mut out, Era::Legacy, Id::Integer(1), &trailer);
            let text = String::from_utf8(out).unwrap();
            let expected = format!(r#""structuredContent":{expected}}}}}"#);
            assert!(text.ends_with(&expected), "{text}");
        }
    }

    #[test]
    fn older_revisions_get_their_own_words_only() {
        let result = ToolResult {
            structured: Some(RawValue::from_string("{}".into()).unwrap()),
            content: vec![Content::audio(b"x", "audio/wav")],
            ..ToolResult::default()
        };
        let in_terms_of = |revision| {
            let mut result = result.clone();
            result.downgrade_to(revision);
            result
        };
        let june = in_terms_of(Revision::V2025_06_18);
        assert!(june.structured.is_some() && june.content == result.content);
        let march = in_terms_of(Revision::V2025_03_26);
        assert!(march.structured.is_none() && march.content == result.content);
        let first = in_terms_of(Revision::V2024_11_05);
        assert!(first.structured.is_none() && first.content != result.content);
    }
}
