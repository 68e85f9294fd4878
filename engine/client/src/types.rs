//! Results of servers, as types that keep the bytes they came from.
//!
//! Schemas and unknown content stay verbatim. Nothing of a schema is fetched.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::Error;

/// A result with its bytes.
#[derive(Clone, Debug)]
pub struct RawResult(pub(crate) Box<RawValue>);

impl RawResult {
    /// The JSON as the server wrote it.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Reads the result as a type of the caller's.
    ///
    /// # Errors
    /// [`Error::Protocol`] names the member that does not fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        read(self.get())
    }
}

/// Reads JSON, with the path of a member that does not fit in the error.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| Error::Protocol(format!("result: {}: {}", error.path(), error.inner())))
}

/// The name and the version of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Its name for people.
    pub title: Option<String>,
}

/// A tool of a server.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Tool {
    /// The name to call it by.
    pub name: String,
    /// A name for people.
    pub title: Option<String>,
    /// Its description, for a model.
    pub description: Option<String>,
    /// The JSON Schema of its arguments, verbatim.
    pub input_schema: Box<RawValue>,
    /// The JSON Schema of its structured result, verbatim.
    pub output_schema: Option<Box<RawValue>>,
    /// Hints of the server, which are not to be trusted.
    pub annotations: Option<Value>,
}

/// A resource of a server.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Resource {
    /// The URI to read it by.
    pub uri: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// A name for people.
    pub title: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Its media type.
    pub mime_type: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
}

/// A template of the URIs of resources.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ResourceTemplate {
    /// The template (RFC 6570).
    pub uri_template: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// A name for people.
    pub title: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// The media type of its resources.
    pub mime_type: Option<String>,
}

/// A prompt of a server.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct PromptInfo {
    /// The name to get it by.
    pub name: String,
    /// A name for people.
    pub title: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Its arguments, as the server describes them.
    #[serde(default)]
    pub arguments: Vec<Value>,
}

/// The contents of a resource: a text, or bytes in Base64.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ResourceContents {
    /// Its URI.
    pub uri: String,
    /// Its media type.
    pub mime_type: Option<String>,
    /// Its text.
    pub text: Option<String>,
    /// Its bytes in Base64.
    pub blob: Option<String>,
}

/// One block of content.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Content {
    /// A text.
    Text(String),
    /// An image, in Base64.
    Image {
        /// The bytes in Base64.
        data: String,
        /// The media type.
        mime_type: String,
    },
    /// Audio, in Base64.
    Audio {
        /// The bytes in Base64.
        data: String,
        /// The media type.
        mime_type: String,
    },
    /// A resource in the result.
    Resource(ResourceContents),
    /// A resource to read.
    Link(Resource),
    /// Content of a kind that this client does not know, verbatim.
    Other(Value),
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Content, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
        let media = || Some((text("data")?, text("mimeType")?));
        let known = match text("type").as_deref() {
            Some("text") => text("text").map(Content::Text),
            Some("image") => media().map(|(data, mime_type)| Content::Image { data, mime_type }),
            Some("audio") => media().map(|(data, mime_type)| Content::Audio { data, mime_type }),
            Some("resource") => {
                let resource = value.get("resource").cloned().unwrap_or_default();
                serde_json::from_value(resource).ok().map(Content::Resource)
            }
            Some("resource_link") => serde_json::from_value(value.clone())
                .ok()
                .map(Content::Link),
            _ => None,
        };
        Ok(known.unwrap_or(Content::Other(value)))
    }
}

/// The result of a call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallResult {
    /// Its content.
    pub content: Vec<Content>,
    /// Its structured content, verbatim.
    pub structured: Option<Box<RawValue>>,
    /// Whether the tool failed.
    pub is_error: bool,
    /// Metadata of the server.
    pub meta: Map<String, Value>,
    raw: RawResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallMembers {
    #[serde(default)]
    content: Vec<Content>,
    structured_content: Option<Box<RawValue>>,
    #[serde(default)]
    is_error: bool,
    #[serde(rename = "_meta", default)]
    meta: Map<String, Value>,
}

impl CallResult {
    pub(crate) fn read(raw: RawResult) -> Result<CallResult, Error> {
        let members: CallMembers = raw.parse()?;
        Ok(CallResult {
            content: members.content,
            structured: members.structured_content,
            is_error: members.is_error,
            meta: members.meta,
            raw,
        })
    }

    /// The whole result as the server wrote it.
    #[must_use]
    pub fn raw(&self) -> &RawResult {
        &self.raw
    }

    /// The text blocks, joined with line ends.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|block| match block {
            Content::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// The result, or [`Error::Tool`] if the tool failed.
    ///
    /// # Errors
    /// [`Error::Tool`] with the text of the tool.
    pub fn into_result(self) -> Result<CallResult, Error> {
        match self.is_error {
            true => Err(Error::Tool(self.text())),
            false => Ok(self),
        }
    }

    /// Reads the structured content, or else the one text block as JSON.
    ///
    /// # Errors
    /// [`Error::Tool`] if the tool failed, [`Error::Protocol`] names the member that does not fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        if self.is_error {
            return Err(Error::Tool(self.text()));
        }
        match (&self.structured, &self.content[..]) {
            (Some(structured), _) => read(structured.get()),
            (None, [Content::Text(text)]) => read(text),
            _ => {
                let fault = "the result has neither structured content nor exactly one text";
                Err(Error::Protocol(fault.to_owned()))
            }
        }
    }
}

/// The contents of a resource that was read.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct ReadResult {
    /// Its parts.
    pub contents: Vec<ResourceContents>,
}

impl ReadResult {
    /// The text of its only part.
    ///
    /// # Errors
    /// [`Error::Protocol`] if it has no text, or several parts.
    pub fn text(&self) -> Result<&str, Error> {
        match &self.contents[..] {
            [
                ResourceContents {
                    text: Some(text), ..
                },
            ] => Ok(text),
            _ => Err(Error::Protocol("the resource is not one text".to_owned())),
        }
    }
}

/// A prompt with its arguments filled in.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct PromptResult {
    /// Its description.
    pub description: Option<String>,
    /// Its messages.
    pub messages: Vec<PromptMessage>,
}

/// One message of a prompt.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct PromptMessage {
    /// `user` or `assistant`.
    pub role: String,
    /// Its content.
    pub content: Content,
}

/// Suggestions for the value of an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Completion {
    /// The suggestions, 100 at most.
    #[serde(default)]
    pub values: Vec<String>,
    /// How many there are.
    pub total: Option<u64>,
    /// Whether there are more.
    #[serde(default)]
    pub has_more: bool,
}

/// The prompt whose argument is completed, by its name.
#[derive(Clone, Copy, Debug)]
pub struct Prompt<'a>(pub &'a str);

/// The template whose variable is completed, as its list has it.
#[derive(Clone, Copy, Debug)]
pub struct Template<'a>(pub &'a str);

/// A prompt or a template whose argument is completed.
#[derive(Clone, Debug)]
pub struct Reference(pub(crate) Value);

impl From<Prompt<'_>> for Reference {
    fn from(Prompt(name): Prompt<'_>) -> Reference {
        Reference(serde_json::json!({"type": "ref/prompt", "name": name}))
    }
}

impl From<Template<'_>> for Reference {
    fn from(Template(uri): Template<'_>) -> Reference {
        Reference(serde_json::json!({"type": "ref/resource", "uri": uri}))
    }
}

#[cfg(test)]
mod tests {
    use super::{CallResult, Content, RawResult, Tool};
    use crate::error::Error;
    use serde_json::Value;
    use serde_json::value::RawValue;

    fn result(text: &str) -> CallResult {
        let raw = RawValue::from_string(text.to_owned()).unwrap();
        CallResult::read(RawResult(raw)).unwrap()
    }

    #[test]
    fn content_of_each_kind_is_read_and_unknown_kinds_are_kept() {
        let found = result(
            r#"{"content":[{"type":"text","text":"a"},{"type":"image","data":"AA==",
            "mimeType":"image/png"},{"type":"resource","resource":{"uri":"x:y","text":"t"}},
            {"type":"resource_link","uri":"x:z","name":"z"},{"type":"hologram","n":1},
            {"type":"text"}],
            "_meta":{"k":1}}"#,
        );
        let [text, image, resource, link, hologram, broken] = &found.content[..] else {
            panic!("{found:?}");
        };
        assert_eq!(text, &Content::Text("a".to_owned()));
        assert!(matches!(image, Content::Image { mime_type, .. } if mime_type == "image/png"));
        assert!(matches!(resource, Content::Resource(it) if it.text.as_deref() == Some("t")));
        assert!(matches!(link, Content::Link(it) if it.uri == "x:z"));
        assert!(matches!(hologram, Content::Other(it) if it["n"] == 1));
        assert!(matches!(broken, Content::Other(_)));
        assert_eq!(found.meta["k"], 1);
    }

    #[test]
    fn structured_content_or_one_text_is_parsed_and_large_integers_survive() {
        let large = 340_282_366_920_938_463_463_374_607_431_768_211_455_u128;
        let structured = result(&format!(r#"{{"structuredContent":{large},"content":[]}}"#));
        assert_eq!(structured.parse::<u128>().unwrap(), large);
        let text = result(r#"{"content":[{"type":"text","text":"{\"sum\": 3}"}]}"#);
        assert_eq!(text.parse::<Value>().unwrap()["sum"], 3);
        let error = text
            .parse::<std::collections::HashMap<String, bool>>()
            .unwrap_err();
        assert!(error.to_string().contains("sum"), "{error}");
        assert!(result(r#"{"content":[]}"#).parse::<Value>().is_err());
        let failed = result(r#"{"content":[{"type":"text","text":"no"}],"isError":true}"#);
        assert!(matches!(failed.parse::<Value>(), Err(Error::Tool(text)) if text == "no"));
        assert!(matches!(failed.into_result(), Err(Error::Tool(text)) if text == "no"));
    }

    #[test]
    fn schemas_stay_verbatim() {
        let schema = r##"{"$anchor":"a", "$ref":"https://example.com/x", "if":{"n":1.0}}"##;
        let text = format!(r#"{{"name":"t","inputSchema":{schema},"other":1}}"#);
        let tool: Tool = serde_json::from_str(&text).unwrap();
        assert_eq!(tool.input_schema.get(), schema);
    }
}
