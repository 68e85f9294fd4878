//! Content blocks: the parts of a tool result for the model.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::about::write_text;
use super::revision::Revision;
use crate::jsonrpc::encode;

/// One content block (MCP 2025-11-25 server/tools, "Tool Result"; the same in 2026-07-28).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Text.
    Text(Cow<'static, str>),
    /// A picture.
    Image {
        /// The bytes in Base64.
        data: Cow<'static, str>,
        /// For example `image/png`.
        mime_type: Cow<'static, str>,
    },
    /// Sound.
    Audio {
        /// The bytes in Base64.
        data: Cow<'static, str>,
        /// For example `audio/wav`.
        mime_type: Cow<'static, str>,
    },
    /// A resource the client can read by itself.
    ResourceLink {
        /// Where the resource is.
        uri: Cow<'static, str>,
        /// Its name.
        name: Cow<'static, str>,
        /// Its type.
        mime_type: Option<Cow<'static, str>>,
    },
    /// A resource with its contents.
    Resource {
        /// Where the resource is.
        uri: Cow<'static, str>,
        /// Its type.
        mime_type: Option<Cow<'static, str>>,
        /// The contents of the resource.
        contents: ResourceContents,
    },
}

/// The contents of a resource: text or bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceContents {
    /// Text.
    Text(Cow<'static, str>),
    /// Bytes in Base64.
    Blob(Cow<'static, str>),
}

impl ResourceContents {
    /// Appends the member behind a comma.
    pub(super) fn write_member(&self, out: &mut Vec<u8>) {
        let (member, text) = match self {
            ResourceContents::Text(text) => ("text", text),
            ResourceContents::Blob(blob) => ("blob", blob),
        };
        write_text(out, member, Some(text));
    }
}

impl From<&'static str> for Content {
    fn from(text: &'static str) -> Content {
        Content::text(text)
    }
}

impl From<String> for Content {
    fn from(text: String) -> Content {
        Content::text(text)
    }
}

impl Content {
    /// A text block.
    pub fn text(text: impl Into<Cow<'static, str>>) -> Content {
        Content::Text(text.into())
    }

    /// A picture from its bytes.
    pub fn image(bytes: &[u8], mime_type: impl Into<Cow<'static, str>>) -> Content {
        Content::Image {
            data: STANDARD.encode(bytes).into(),
            mime_type: mime_type.into(),
        }
    }

    /// Sound from its bytes.
    pub fn audio(bytes: &[u8], mime_type: impl Into<Cow<'static, str>>) -> Content {
        Content::Audio {
            data: STANDARD.encode(bytes).into(),
            mime_type: mime_type.into(),
        }
    }

    /// Replaces a block that `revision` does not have with a text that describes it.
    pub fn downgrade_to(&mut self, revision: Revision) {
        let text = match self {
            Content::Audio { data, mime_type } if !revision.has_audio() => {
                let base64_bytes = data.len();
                format!("[sound of type {mime_type}, {base64_bytes} bytes in Base64, not sent]")
            }
            Content::ResourceLink { uri, name, .. } if !revision.has_structured_content() => {
                format!("[resource {name}: {uri}]")
            }
            _ => return,
        };
        *self = Content::text(text);
    }

    /// Appends the block as a JSON object.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Content::Text(text) => {
                out.extend_from_slice(br#"{"type":"text","text":"#);
                encode::write_string(out, text);
            }
            Content::Image { data, mime_type } => write_media(out, "image", data, mime_type),
            Content::Audio { data, mime_type } => write_media(out, "audio", data, mime_type),
            Content::ResourceLink {
                uri,
                name,
                mime_type,
            } => {
                out.extend_from_slice(br#"{"type":"resource_link","uri":"#);
                encode::write_string(out, uri);
                out.extend_from_slice(br#","name":"#);
                encode::write_string(out, name);
                write_mime_type(out, mime_type.as_deref());
            }
            Content::Resource {
                uri,
                mime_type,
                contents,
            } => {
                out.extend_from_slice(br#"{"type":"resource","resource":{"uri":"#);
                encode::write_string(out, uri);
                write_mime_type(out, mime_type.as_deref());
                contents.write_member(out);
                out.push(b'}');
            }
        }
        out.push(b'}');
    }
}

fn write_media(out: &mut Vec<u8>, kind: &str, data: &str, mime_type: &str) {
    out.extend_from_slice(br#"{"type":""#);
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(br#"","data":"#);
    encode::write_string(out, data);
    write_mime_type(out, Some(mime_type));
}

fn write_mime_type(out: &mut Vec<u8>, mime_type: Option<&str>) {
    write_text(out, "mimeType", mime_type);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_a_revision_lacks_becomes_a_describing_text() {
        let audio = Content::audio(b"x", "audio/wav");
        let link = Content::ResourceLink {
            uri: "a:b".into(),
            name: "n".into(),
            mime_type: None,
        };
        let image = Content::image(b"x", "image/png");
        let sound = Content::text("[sound of type audio/wav, 4 bytes in Base64, not sent]");
        let named = Content::text("[resource n: a:b]");
        for (content, revision, expected) in [
            (&audio, Revision::V2025_03_26, &audio),
            (&audio, Revision::V2024_11_05, &sound),
            (&link, Revision::V2025_06_18, &link),
            (&link, Revision::V2025_03_26, &named),
            (&link, Revision::V2024_11_05, &named),
            (&image, Revision::V2024_11_05, &image),
        ] {
            let mut content = content.clone();
            content.downgrade_to(revision);
            assert_eq!(content, *expected, "{revision:?}");
        }
    }

    #[test]
    fn writes_each_block_as_the_schema_has_it() {
        let check = |content: Content, expected: &str| {
            let mut out = Vec::new();
            content.write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(Content::text("a\n"), r#"{"type":"text","text":"a\n"}"#);
        check(
            Content::image(&[0, 1, 2], "image/png"),
            r#"{"type":"image","data":"AAEC","mimeType":"image/png"}"#,
        );
        check(
            Content::audio(b"x", "audio/wav"),
            r#"{"type":"audio","data":"eA==","mimeType":"audio/wav"}"#,
        );
        check(
            Content::ResourceLink {
                uri: "a:b".into(),
                name: "n".into(),
                mime_type: None,
            },
            r#"{"type":"resource_link","uri":"a:b","name":"n"}"#,
        );
        check(
            Content::Resource {
                uri: "a:b".into(),
                mime_type: Some("text/plain".into()),
                contents: ResourceContents::Text("t".into()),
            },
            r#"{"type":"resource","resource":{"uri":"a:b","mimeType":"text/plain","text":"t"}}"#,
        );
    }
}
