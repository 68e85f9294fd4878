//! The members that every entry of a list may have besides its name: title, description, icons,
//! annotations, `_meta`.

use serde_json::value::RawValue;

use super::revision::Revision;
use crate::jsonrpc::encode;

/// Members that tools, resources, templates and prompts have in common.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Name for people.
    pub title: Option<String>,
    /// The description, for the model and for people.
    pub description: Option<String>,
    /// Pictures for it.
    pub icons: Vec<Icon>,
    /// `_meta`, a JSON object passed on byte for byte.
    pub meta: Option<Box<RawValue>>,
}

/// A picture for an entry (MCP 2025-11-25 basic, "icons").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Icon {
    /// An https or data URL.
    pub src: String,
    /// For example `image/png`.
    pub mime_type: Option<String>,
    /// Sizes such as `48x48`, or `any`.
    pub sizes: Vec<String>,
    /// `light` or `dark`: the background it is made for.
    pub theme: Option<String>,
}

/// Hints on a resource or a content block (MCP server/resources, "Annotations").
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Annotations {
    /// The intended audience.
    pub audience: Vec<Role>,
    /// 0 for optional to 1 for required.
    pub priority: Option<f64>,
    /// When it was last changed, in ISO 8601.
    pub last_modified: Option<String>,
}

/// One side of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// Appends the member `title` behind a comma, if there is one and `revision` has it.
pub(super) fn write_title(out: &mut Vec<u8>, title: Option<&str>, revision: Revision) {
    let title = title.filter(|_| revision.has_structured_content());
    write_text(out, "title", title);
}

impl About {
    /// Appends the members that `revision` has, each behind a comma.
    pub fn write_members(&self, out: &mut Vec<u8>, revision: Revision) {
        write_title(out, self.title.as_deref(), revision);
        write_text(out, "description", self.description.as_deref());
        if !self.icons.is_empty() && revision.has_icons() {
            out.extend_from_slice(br#","icons":"#);
            write_array(out, &self.icons, Icon::write);
        }
        if let Some(meta) = &self.meta
            && revision.has_structured_content()
        {
            out.extend_from_slice(br#","_meta":"#);
            out.extend_from_slice(meta.get().as_bytes());
        }
    }
}

impl Icon {
    /// An icon at `src`.
    pub fn new(src: impl Into<String>) -> Icon {
        Icon {
            src: src.into(),
            ..Icon::default()
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"src":"#);
        encode::write_string(out, &self.src);
        write_text(out, "mimeType", self.mime_type.as_deref());
        if !self.sizes.is_empty() {
            out.extend_from_slice(br#","sizes":"#);
            write_array(out, &self.sizes, |size, out| {
                encode::write_string(out, size)
            });
        }
        write_text(out, "theme", self.theme.as_deref());
        out.push(b'}');
    }
}

impl Annotations {
    /// Appends the member `annotations` behind a comma, if it has a member that `revision` defines.
    pub fn write_member(&self, out: &mut Vec<u8>, revision: Revision) {
        let last_modified = self.last_modified.as_deref();
        let last_modified = last_modified.filter(|_| revision.has_structured_content());
        if self.audience.is_empty() && self.priority.is_none() && last_modified.is_none() {
            return;
        }
        out.extend_from_slice(br#","annotations":{"#);
        let start = out.len();
        if !self.audience.is_empty() {
            out.extend_from_slice(br#","audience":"#);
            write_array(out, &self.audience, |role, out| {
                encode::write_string(out, role.as_str());
            });
        }
        if let Some(priority) = self.priority {
            out.extend_from_slice(br#","priority":"#);
            encode::write_float(out, priority.clamp(0.0, 1.0));
        }
        write_text(out, "lastModified", last_modified);
        // The first member needs no comma.
        out.remove(start);
        out.push(b'}');
    }
}

/// Appends a member with a string behind a comma, if there is one.
pub fn write_text(out: &mut Vec<u8>, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        out.push(b',');
        encode::write_string(out, name);
        out.push(b':');
        encode::write_string(out, text);
    }
}

/// Appends an array, each element as `write` writes it.
pub fn write_array<T>(out: &mut Vec<u8>, elements: &[T], write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (at, element) in elements.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(element, out);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_only_present_members() {
        let mut out = Vec::new();
        About::default().write_members(&mut out, Revision::V2026_07_28);
        Annotations::default().write_member(&mut out, Revision::V2026_07_28);
        assert_eq!(out, b"");
        let about = About {
            title: Some("T".into()),
            description: None,
            icons: vec![Icon {
                sizes: vec!["48x48".into(), "any".into()],
                ..Icon::new("https://a.example/i.png")
            }],
            meta: Some(RawValue::from_string(r#"{"a.example/b": 1}"#.into()).unwrap()),
        };
        about.write_members(&mut out, Revision::V2025_11_25);
        let expected = concat!(
            r#","title":"T","icons":[{"src":"https://a.example/i.png","sizes":["48x48","any"]}]"#,
            r#","_meta":{"a.example/b": 1}"#
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        for (revision, expected) in [
            (Revision::V2025_03_26, ""),
            (
                Revision::V2025_06_18,
                r#","title":"T","_meta":{"a.example/b": 1}"#,
            ),
        ] {
            let mut out = Vec::new();
            about.write_members(&mut out, revision);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn annotations_have_no_comma_in_front() {
        let check = |annotations: Annotations, expected: &str| {
            let mut out = Vec::new();
            annotations.write_member(&mut out, Revision::V2025_11_25);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(
            Annotations {
                priority: Some(2.0),
                ..Annotations::default()
            },
            r#","annotations":{"priority":1.0}"#,
        );
        check(
            Annotations {
                audience: vec![Role::User, Role::Assistant],
                last_modified: Some("2026-11-21T00:00:00Z".into()),
                ..Annotations::default()
            },
            concat!(
                r#","annotations":{"audience":["user","assistant"],"#,
                r#""lastModified":"2026-11-21T00:00:00Z"}"#
            ),
        );
    }
}
