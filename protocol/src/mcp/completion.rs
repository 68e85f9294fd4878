//! `completion/complete`: suggestions for an argument of a prompt or a variable of a template.

use super::about::write_array;
use super::era::Era;
use super::params::{ParamsError, read_strings};
use super::result::{Caching, ResultTrailer};
use crate::jsonrpc::{Id, Object, Value, encode};

/// Values one answer may have (MCP server/utilities/completion).
pub const COMPLETION_VALUES_MAX: usize = 100;

/// The prompt or template whose argument is completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletionTarget<'a> {
    /// An argument of the prompt of this name.
    Prompt(&'a str),
    /// A variable of the template of this text.
    Template(&'a str),
}

/// The parameters of `completion/complete`.
#[derive(Debug, Clone, Copy)]
pub struct CompletionParams<'a> {
    /// The prompt or template that has the argument.
    pub target: CompletionTarget<'a>,
    /// Which argument.
    pub argument: &'a str,
    /// The value typed so far.
    pub value: &'a str,
    /// Arguments that are filled in already, an object of strings and nulls.
    pub context: Option<Object<'a>>,
}

const REF: ParamsError =
    ParamsError("params.ref must be {type: ref/prompt, name} or {type: ref/resource, uri}");
const ARGUMENT: ParamsError =
    ParamsError("params.argument must be an object with the strings name and value");
const CONTEXT: ParamsError = ParamsError("params.context.arguments must be an object of strings");

impl<'a> CompletionParams<'a> {
    /// Reads the parameters of `completion/complete`.
    ///
    /// # Errors
    /// [`ParamsError`] names the first member that is missing or has the wrong type.
    pub fn read(params: Option<Value<'a>>) -> Result<CompletionParams<'a>, ParamsError> {
        let params = params.and_then(|params| params.as_object());
        let member = |name| params.and_then(|params| params.get(name));
        let text = |object: Object<'a>, name| object.get(name).and_then(|value| value.as_str());
        let reference = member("ref")
            .and_then(|reference| reference.as_object())
            .ok_or(REF)?;
        let target = match text(reference, "type") {
            Some("ref/prompt") => text(reference, "name").map(CompletionTarget::Prompt),
            Some("ref/resource") => text(reference, "uri").map(CompletionTarget::Template),
            _ => None,
        };
        let argument = member("argument")
            .and_then(|argument| argument.as_object())
            .ok_or(ARGUMENT)?;
        let (Some(name), Some(value)) = (text(argument, "name"), text(argument, "value")) else {
            return Err(ARGUMENT);
        };
        let context = match params.and_then(|params| params.optional("context")) {
            None => None,
            Some(context) => context.as_object().ok_or(CONTEXT)?.optional("arguments"),
        };
        let context = context.map(|arguments| read_strings(arguments).ok_or(CONTEXT));
        Ok(CompletionParams {
            target: target.ok_or(REF)?,
            argument: name,
            value,
            context: context.transpose()?,
        })
    }
}

/// Suggestions, best first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completion {
    /// At most [`COMPLETION_VALUES_MAX`] are sent.
    pub values: Vec<String>,
    /// How many there are in all, if that is known.
    pub total: Option<u64>,
}

impl Completion {
    /// Writes the whole answer to `completion/complete`.
    pub fn write(&self, out: &mut Vec<u8>, era: Era, id: Id<'_>, trailer: &ResultTrailer) {
        let sent = self.values.len().min(COMPLETION_VALUES_MAX);
        let total = self.total.unwrap_or(self.values.len() as u64);
        encode::begin_result(out, id);
        out.extend_from_slice(br#"{"completion":{"values":"#);
        write_array(out, &self.values[..sent], |value, out| {
            encode::write_string(out, value);
        });
        out.extend_from_slice(br#","total":"#);
        encode::write_unsigned(out, total.max(sent as u64));
        out.extend_from_slice(if total > sent as u64 {
            br#","hasMore":true}"#
        } else {
            br#","hasMore":false}"#
        });
        trailer.finish(out, era, Caching::NotCacheable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_a_hundred_values_are_sent_and_the_rest_is_owned_up_to() {
        for (count, total, sent, has_more) in [
            (0, None, 0, false),
            (100, None, 100, false),
            (101, None, 100, true),
            (3, Some(7), 3, true),
        ] {
            let completion = Completion {
                values: (0..count).map(|at: u32| at.to_string()).collect(),
                total,
            };
            let mut out = Vec::new();
            completion.write(
                &mut out,
                Era::Legacy,
                Id::Integer(1),
                &ResultTrailer::new(b"{}"),
            );
            let answer: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let completion = &answer["result"]["completion"];
            assert_eq!(completion["values"].as_array().unwrap().len(), sent);
            assert_eq!(completion["hasMore"], has_more);
            assert_eq!(completion["total"], total.unwrap_or(u64::from(count)));
        }
    }
}
