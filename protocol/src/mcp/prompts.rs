//! `prompts/list` and `prompts/get`.

use super::about::{About, Role, write_array, write_text, write_title};
use super::content::Content;
use super::era::Era;
use super::params::{ParamsError, read_name, read_strings};
use super::result::{Caching, ResultTrailer};
use super::revision::Revision;
use crate::jsonrpc::{Id, Value, encode};

/// The definition of a prompt, as clients see it.
#[derive(Debug, Clone, Default)]
pub struct PromptDefinition {
    /// Unique name.
    pub name: String,
    /// Words for people.
    pub about: About,
    /// The arguments of the prompt.
    pub arguments: Vec<PromptArgument>,
}

/// One argument; its value is a string.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PromptArgument {
    /// Its name.
    pub name: String,
    /// Name for people.
    pub title: Option<String>,
    /// The purpose of the argument.
    pub description: Option<String>,
    /// Whether it must be given.
    pub required: bool,
}

impl PromptDefinition {
    /// Appends the definition as a JSON object, with the members that `revision` defines.
    pub fn write(&self, out: &mut Vec<u8>, revision: Revision) {
        out.extend_from_slice(br#"{"name":"#);
        encode::write_string(out, &self.name);
        self.about.write_members(out, revision);
        if !self.arguments.is_empty() {
            out.extend_from_slice(br#","arguments":"#);
            write_array(out, &self.arguments, |argument, out| {
                argument.write(out, revision);
            });
        }
        out.push(b'}');
    }
}

impl PromptArgument {
    fn write(&self, out: &mut Vec<u8>, revision: Revision) {
        out.extend_from_slice(br#"{"name":"#);
        encode::write_string(out, &self.name);
        write_title(out, self.title.as_deref(), revision);
        write_text(out, "description", self.description.as_deref());
        out.extend_from_slice(if self.required {
            br#","required":true}"#
        } else {
            br#","required":false}"#
        });
    }
}

/// One message of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptMessage {
    /// The speaker.
    pub role: Role,
    /// The content of the message.
    pub content: Content,
}

impl PromptMessage {
    /// A message of the user.
    pub fn user(content: impl Into<Content>) -> PromptMessage {
        PromptMessage {
            role: Role::User,
            content: content.into(),
        }
    }

    /// A message of the model.
    pub fn assistant(content: impl Into<Content>) -> PromptMessage {
        PromptMessage {
            role: Role::Assistant,
            content: content.into(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"role":"#);
        encode::write_string(out, self.role.as_str());
        out.extend_from_slice(br#","content":"#);
        self.content.write(out);
        out.push(b'}');
    }
}

/// A prompt with everything filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PromptResult {
    /// The description of the prompt.
    pub description: Option<String>,
    /// The messages, in order.
    pub messages: Vec<PromptMessage>,
}

impl PromptResult {
    /// Removes the members that `revision` does not have; before [`PromptResult::write`].
    pub fn downgrade_to(&mut self, revision: Revision) {
        for message in &mut self.messages {
            message.content.downgrade_to(revision);
        }
    }

    /// Writes the whole answer to `prompts/get`.
    pub fn write(&self, out: &mut Vec<u8>, era: Era, id: Id<'_>, trailer: &ResultTrailer) {
        encode::begin_result(out, id);
        out.extend_from_slice(br#"{"messages":"#);
        write_array(out, &self.messages, PromptMessage::write);
        write_text(out, "description", self.description.as_deref());
        trailer.finish(out, era, Caching::NotCacheable);
    }
}

/// The parameters of `prompts/get`.
#[derive(Debug, Clone, Copy)]
pub struct PromptParams<'a> {
    /// The prompt to get.
    pub name: &'a str,
    /// The given arguments: an object whose values are strings, or null for an argument without a
    /// value; absent means none.
    pub arguments: Option<Value<'a>>,
}

impl<'a> PromptParams<'a> {
    /// Reads the parameters of `prompts/get`.
    ///
    /// # Errors
    /// [`ParamsError`] when `name` is not a string, or `arguments` is present and no object of
    /// strings.
    pub fn read(params: Option<Value<'a>>) -> Result<PromptParams<'a>, ParamsError> {
        let (members, name) =
            read_name(params).ok_or(ParamsError("prompts/get needs params.name to be a string"))?;
        let arguments = members.optional("arguments");
        if arguments.is_some_and(|arguments| read_strings(arguments).is_none()) {
            return Err(ParamsError(
                "prompts/get needs params.arguments to be an object of strings",
            ));
        }
        Ok(PromptParams { name, arguments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_definitions_and_results() {
        let mut out = Vec::new();
        PromptDefinition {
            name: "p".into(),
            arguments: vec![PromptArgument {
                name: "a".into(),
                required: true,
                ..PromptArgument::default()
            }],
            ..PromptDefinition::default()
        }
        .write(&mut out, Revision::V2025_11_25);
        let expected = r#"{"name":"p","arguments":[{"name":"a","required":true}]}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);

        let result = PromptResult {
            description: Some("d".into()),
            messages: vec![PromptMessage::user("hello"), PromptMessage::assistant("hi")],
        };
        let mut out = Vec::new();
        result.write(
            &mut out,
            Era::Legacy,
            Id::Integer(1),
            &ResultTrailer::new(b"{}"),
        );
        let expected = concat!(
            r#"{"jsonrpc":"2.0","id":1,"result":{"messages":["#,
            r#"{"role":"user","content":{"type":"text","text":"hello"}},"#,
            r#"{"role":"assistant","content":{"type":"text","text":"hi"}}],"description":"d"}}"#
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
