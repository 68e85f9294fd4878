//! Results for clients of revisions before 2025-06-18, which know fewer kinds of content.

use std::borrow::Cow;

use corelane_protocol::jsonrpc::encode::ObjectWriter;
use corelane_protocol::jsonrpc::{is_name, visit_members};
use corelane_protocol::mcp::content::Content;
use corelane_protocol::mcp::revision::Revision;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The members of a block of content from which its description is made.
#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Cow<'a, str>,
    #[serde(borrow, default, rename = "mimeType")]
    mime_type: Cow<'a, str>,
    #[serde(borrow, default)]
    uri: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
}

/// A message of a prompt.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: &'a RawValue,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// The result `json` of a tool or a prompt without the parts that `revision` does not have; none if
/// it has all of them.
pub(super) fn downgraded(json: &[u8], revision: Revision) -> Option<Vec<u8>> {
    if revision.has_structured_content() {
        return None;
    }
    let mut out = Vec::with_capacity(json.len());
    let mut object = ObjectWriter::begin(&mut out);
    let visited = visit_members(json, 0..json.len(), |name, value| {
        let value = &json[value];
        if is_name(name, "content")
            && let Ok(blocks) = serde_json::from_slice(value)
        {
            let write = |out: &mut Vec<u8>, block: &RawValue| write_block(out, block, revision);
            write_list(object.name("content"), blocks, write);
        } else if is_name(name, "messages")
            && let Ok(messages) = serde_json::from_slice(value)
        {
            let write =
                |out: &mut Vec<u8>, message: &RawValue| write_message(out, message, revision);
            write_list(object.name("messages"), messages, write);
        } else if !is_name(name, "structuredContent") {
            object.copy(name, value);
        }
    });
    object.end();
    visited.is_ok().then_some(out)
}

fn write_list(out: &mut Vec<u8>, parts: Vec<&RawValue>, write: impl Fn(&mut Vec<u8>, &RawValue)) {
    out.push(b'[');
    for (at, part) in parts.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, part);
    }
    out.push(b']');
}

fn write_message(out: &mut Vec<u8>, message: &RawValue, revision: Revision) {
    match serde_json::from_str::<Message<'_>>(message.get()) {
        Ok(Message { role, content }) => {
            let mut object = ObjectWriter::begin(out);
            let role = role.get().as_bytes();
            object.name("role").extend_from_slice(role);
            write_block(object.name("content"), content, revision);
            object.end();
        }
        Err(_) => out.extend_from_slice(message.get().as_bytes()),
    }
}

/// Appends a block of content, or a text that describes it.
fn write_block(out: &mut Vec<u8>, block: &RawValue, revision: Revision) {
    let known = serde_json::from_str::<Block<'_>>(block.get()).ok();
    let content = known.and_then(|known| match &*known.kind {
        "audio" => Some(Content::Audio {
            data: known.data.into_owned().into(),
            mime_type: known.mime_type.into_owned().into(),
        }),
        "resource_link" => Some(Content::ResourceLink {
            uri: known.uri.into_owned().into(),
            name: known.name.into_owned().into(),
            mime_type: None,
        }),
        _ => None,
    });
    match content {
        Some(mut content) => {
            content.downgrade_to(revision);
            match content {
                Content::Text(_) => content.write(out),
                // The revision has it: it stays as it came.
                _ => out.extend_from_slice(block.get().as_bytes()),
            }
        }
        None => out.extend_from_slice(block.get().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::downgraded;
    use corelane_protocol::mcp::revision::Revision;

    fn text(json: &str, revision: Revision) -> String {
        let found = downgraded(json.as_bytes(), revision).expect("an older revision");
        String::from_utf8(found).expect("text")
    }

    const AUDIO: &str = r#"{"type":"audio","data":"eA==","mimeType":"audio/wav"}"#;
    const LINK: &str = r#"{"type":"resource_link","uri":"a:b","name":"n\"","x":1e400}"#;
    const AUDIO_TEXT: &str = "{\"type\":\"text\",\"text\":\"[sound of type audio/wav, 4 bytes in \
                              Base64, not sent]\"}";
    const LINK_TEXT: &str = r#"{"type":"text","text":"[resource n\": a:b]"}"#;

    #[test]
    fn content_that_a_revision_lacks_becomes_a_text_and_the_rest_stays_to_the_digit() {
        let other = r#"{"type":"text","text":"t","n":1.0}"#;
        let json = format!(
            r#"{{"content":[{other},{AUDIO},{LINK}],"structuredContent":0,"_meta":{{"n":1e400}}}}"#
        );
        for (revision, audio) in [
            (Revision::V2025_03_26, AUDIO),
            (Revision::V2024_11_05, AUDIO_TEXT),
        ] {
            let expected =
                format!(r#"{{"content":[{other},{audio},{LINK_TEXT}],"_meta":{{"n":1e400}}}}"#);
            assert_eq!(text(&json, revision), expected);
        }
        let json = format!(r#"{{"messages":[{{"role":"user","content":{LINK}}},7]}}"#);
        let expected = format!(r#"{{"messages":[{{"role":"user","content":{LINK_TEXT}}},7]}}"#);
        assert_eq!(text(&json, Revision::V2025_03_26), expected);
        assert_eq!(downgraded(json.as_bytes(), Revision::V2025_06_18), None);
    }

    #[test]
    fn content_of_another_shape_stays() {
        for json in [
            r#"{"content":7}"#,
            r#"{"content":[7,{"type":5}],"isError":true}"#,
            r#"{"messages":{}}"#,
        ] {
            assert_eq!(text(json, Revision::V2024_11_05), json);
        }
    }
}
