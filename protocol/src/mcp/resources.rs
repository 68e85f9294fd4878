//! `resources/list`, `resources/templates/list`, `resources/read` and subscriptions to resources.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::about::{About, Annotations, write_array, write_text};
use super::content::ResourceContents;
use super::era::Era;
use super::error_code;
use super::params::ParamsError;
use super::result::{Caching, ResultTrailer};
use super::revision::Revision;
use crate::jsonrpc::{Id, Value, encode};

/// Bytes a resource's URI may have.
pub const URI_BYTES_MAX: usize = 2048;

/// The definition of a resource, as clients see it.
#[derive(Debug, Clone, Default)]
pub struct ResourceDefinition {
    /// Where it is: an absolute URI (RFC 3986).
    pub uri: String,
    /// Programmatic name.
    pub name: String,
    /// Words for people.
    pub about: About,
    /// Its type.
    pub mime_type: Option<String>,
    /// Bytes of its raw contents.
    pub size_bytes: Option<u64>,
    /// Hints.
    pub annotations: Annotations,
}

/// The definition of a resource template, as clients see it.
#[derive(Debug, Clone, Default)]
pub struct TemplateDefinition {
    /// Where they are: an RFC 6570 template.
    pub uri_template: String,
    /// Programmatic name.
    pub name: String,
    /// Words for people.
    pub about: About,
    /// Their type, if they have one in common.
    pub mime_type: Option<String>,
    /// Hints.
    pub annotations: Annotations,
}

impl ResourceDefinition {
    /// Appends the definition as a JSON object, with the members that `revision` defines.
    pub fn write(&self, out: &mut Vec<u8>, revision: Revision) {
        out.extend_from_slice(br#"{"uri":"#);
        encode::write_string(out, &self.uri);
        write_text(out, "name", Some(&self.name));
        self.about.write_members(out, revision);
        write_text(out, "mimeType", self.mime_type.as_deref());
        if let Some(size_bytes) = self.size_bytes {
            out.extend_from_slice(br#","size":"#);
            encode::write_unsigned(out, size_bytes);
        }
        self.annotations.write_member(out, revision);
        out.push(b'}');
    }
}

impl TemplateDefinition {
    /// Appends the definition as a JSON object, with the members that `revision` defines.
    pub fn write(&self, out: &mut Vec<u8>, revision: Revision) {
        out.extend_from_slice(br#"{"uriTemplate":"#);
        encode::write_string(out, &self.uri_template);
        write_text(out, "name", Some(&self.name));
        self.about.write_members(out, revision);
        write_text(out, "mimeType", self.mime_type.as_deref());
        self.annotations.write_member(out, revision);
        out.push(b'}');
    }
}

/// One part of the contents of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourcePart {
    /// Where the part is; for a resource of one part, its own URI.
    pub uri: String,
    /// Its type.
    pub mime_type: Option<Cow<'static, str>>,
    /// The contents of the part.
    pub contents: ResourceContents,
}

impl ResourceContents {
    /// Bytes, which are sent in Base64.
    pub fn bytes(bytes: &[u8]) -> ResourceContents {
        ResourceContents::Blob(STANDARD.encode(bytes).into())
    }
}

impl ResourcePart {
    /// Appends the part as a JSON object.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"uri":"#);
        encode::write_string(out, &self.uri);
        write_text(out, "mimeType", self.mime_type.as_deref());
        self.contents.write_member(out);
        out.push(b'}');
    }
}

/// Writes the whole answer to `resources/read`.
pub fn write_read_result(
    out: &mut Vec<u8>,
    era: Era,
    id: Id<'_>,
    parts: &[ResourcePart],
    trailer: &ResultTrailer,
) {
    encode::begin_result(out, id);
    out.extend_from_slice(br#"{"contents":"#);
    write_array(out, parts, ResourcePart::write);
    trailer.finish(out, era, Caching::Revalidate);
}

/// Writes the whole answer to a request for a resource that does not exist: -32602 with the URI on
/// 2026-07-28, -32002 before (MCP server/resources, "Error Handling").
pub fn write_not_found(out: &mut Vec<u8>, era: Era, id: Id<'_>, uri: &str) {
    let code = match era {
        Era::Legacy => error_code::RESOURCE_NOT_FOUND,
        Era::Modern => error_code::INVALID_PARAMS,
    };
    encode::write_error_with_data(out, Some(id), code, "no such resource", |out| {
        out.extend_from_slice(br#"{"uri":"#);
        encode::write_string(out, uri);
        out.push(b'}');
    });
}

// The text of the error names it.
const _: () = assert!(URI_BYTES_MAX == 2048);

/// Reads `params.uri`.
///
/// # Errors
/// [`ParamsError`] when it is absent, no string, empty or too long.
pub fn read_uri<'a>(params: Option<Value<'a>>) -> Result<&'a str, ParamsError> {
    params
        .and_then(|params| params.as_object())
        .and_then(|object| object.get("uri"))
        .and_then(|uri| uri.as_str())
        .filter(|uri| (1..=URI_BYTES_MAX).contains(&uri.len()))
        .ok_or(ParamsError(
            "params.uri must be a string of 1 to 2048 bytes",
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_definitions() {
        let mut out = Vec::new();
        ResourceDefinition {
            uri: "a:b".into(),
            name: "b".into(),
            mime_type: Some("text/plain".into()),
            size_bytes: Some(7),
            ..ResourceDefinition::default()
        }
        .write(&mut out, Revision::V2025_11_25);
        TemplateDefinition {
            uri_template: "a:{b}".into(),
            name: "b".into(),
            ..TemplateDefinition::default()
        }
        .write(&mut out, Revision::V2025_11_25);
        let expected = concat!(
            r#"{"uri":"a:b","name":"b","mimeType":"text/plain","size":7}"#,
            r#"{"uriTemplate":"a:{b}","name":"b"}"#
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_missing_resource_is_named_with_the_code_of_the_era() {
        for (era, code) in [(Era::Legacy, -32002), (Era::Modern, -32602)] {
            let mut out = Vec::new();
            write_not_found(&mut out, era, Id::Integer(1), "a:b");
            let answer: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(answer["error"]["code"], code);
            assert_eq!(answer["error"]["data"]["uri"], "a:b");
        }
    }

    #[test]
    fn reading_gives_text_or_base64_and_is_not_cached() {
        let part = |contents| ResourcePart {
            uri: "a:b".into(),
            mime_type: Some("x/y".into()),
            contents,
        };
        let parts = [
            part(ResourceContents::Text("t".into())),
            part(ResourceContents::bytes(&[0, 1, 2])),
        ];
        let mut out = Vec::new();
        write_read_result(
            &mut out,
            Era::Modern,
            Id::Integer(1),
            &parts,
            &ResultTrailer::new(b"{}"),
        );
        let answer: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let contents = &answer["result"]["contents"];
        assert_eq!(
            contents[0],
            serde_json::json!({"uri":"a:b","mimeType":"x/y","text":"t"})
        );
        assert_eq!(contents[1]["blob"], "AAEC");
        assert_eq!(answer["result"]["ttlMs"], 0);
    }
}
