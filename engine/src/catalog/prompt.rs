//! One prompt: its definition, its arguments and its handler.

use std::sync::Arc;

use corelane_protocol::jsonrpc::Value;
use corelane_protocol::mcp::about::Icon;
use corelane_protocol::mcp::prompts::{PromptArgument, PromptDefinition};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::completer::{Completer, Completers};
use crate::handler::outcome::Answer;
use crate::handler::runner::{self, ArgumentsHandler};
use crate::handler::type_schema;
use crate::handler::{Call, CallError, CompleteRequest, IntoPromptResult, Suggestions};
use crate::upstream::entry::RelayedEntry;

/// A prompt to be offered by a [`Server`](crate::Server).
pub struct Prompt {
    definition: PromptDefinition,
    handler: ArgumentsHandler,
    completers: Vec<Completer>,
    relayed: Option<Arc<RelayedEntry>>,
}

/// Why a prompt is unusable.
#[derive(Debug, thiserror::Error)]
pub enum PromptDefect {
    /// The name is empty.
    #[error("a prompt has a name")]
    Name,
    /// Two arguments have one name.
    #[error("its argument {0:?} is there twice")]
    DuplicateArgument(String),
    /// A completer for an argument that the prompt does not have.
    #[error("it has no argument {0:?} to complete")]
    NoArgument(String),
}

impl Prompt {
    /// A prompt whose arguments are the fields of a type: strings, required unless they are
    /// `Option`; their doc comments describe them.
    pub fn new<F, A, R>(
        name: impl Into<String>,
        description: impl Into<String>,
        function: F,
    ) -> Prompt
    where
        F: AsyncFn(&Call, A) -> Result<R, CallError> + Send + Sync + 'static,
        A: DeserializeOwned + JsonSchema + Send + 'static,
        R: IntoPromptResult + 'static,
    {
        let schema = type_schema::of_arguments::<A>().listed;
        Prompt::from_arguments(name, description, arguments_of(schema.as_value()), function)
    }

    /// A prompt with a list of arguments; the handler gets the given values as an object of
    /// strings.
    pub fn from_arguments<F, A, R>(
        name: impl Into<String>,
        description: impl Into<String>,
        arguments: Vec<PromptArgument>,
        function: F,
    ) -> Prompt
    where
        F: AsyncFn(&Call, A) -> Result<R, CallError> + Send + Sync + 'static,
        A: DeserializeOwned + Send + 'static,
        R: IntoPromptResult + 'static,
    {
        let mut definition = PromptDefinition {
            name: name.into(),
            arguments,
            ..PromptDefinition::default()
        };
        definition.about.description = Some(description.into());
        let log_name = format!("prompt {}", definition.name);
        let handler = runner::of_arguments(&log_name, function, |value: R| {
            value.into_prompt_result().map(Answer::Prompt)
        });
        Prompt {
            definition,
            handler,
            completers: Vec::new(),
            relayed: None,
        }
    }

    /// A prompt of an upstream: its definition goes to clients as it was listed.
    pub(super) fn relayed(name: String, entry: RelayedEntry) -> Prompt {
        let run = async |_: &Call, _: serde::de::IgnoredAny| Ok("");
        Prompt {
            relayed: Some(Arc::new(entry)),
            ..Prompt::from_arguments(name, "", Vec::new(), run)
        }
    }

    /// Sets the name for people.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Prompt {
        self.definition.about.title = Some(title.into());
        self
    }

    /// Adds a picture.
    #[must_use]
    pub fn with_icon(mut self, icon: Icon) -> Prompt {
        self.definition.about.icons.push(icon);
        self
    }

    /// Sets `_meta`, which is passed on as it is.
    #[must_use]
    pub fn with_meta(mut self, meta: Box<RawValue>) -> Prompt {
        self.definition.about.meta = Some(meta);
        self
    }

    /// Suggests values for an argument.
    #[must_use]
    pub fn with_completer<F, R>(mut self, argument: impl Into<String>, function: F) -> Prompt
    where
        F: AsyncFn(&Call, CompleteRequest) -> Result<R, CallError> + Send + Sync + 'static,
        R: Into<Suggestions> + 'static,
    {
        self.completers
            .push(Completer::new(argument.into(), function));
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.definition.name
    }

    pub(crate) fn into_parts(self) -> Result<PromptParts, PromptDefect> {
        let arguments = &self.definition.arguments;
        if self.definition.name.is_empty() {
            return Err(PromptDefect::Name);
        }
        for (at, argument) in arguments.iter().enumerate() {
            if arguments[..at]
                .iter()
                .any(|other| other.name == argument.name)
            {
                return Err(PromptDefect::DuplicateArgument(argument.name.clone()));
            }
        }
        for completer in &self.completers {
            if arguments.iter().all(|it| it.name != completer.argument) {
                return Err(PromptDefect::NoArgument(completer.argument.clone()));
            }
        }
        Ok(PromptParts {
            definition: self.definition,
            handler: self.handler,
            completers: Arc::new(self.completers),
            relayed: self.relayed,
        })
    }
}

/// Reads the arguments from the schema of their type.
fn arguments_of(schema: &serde_json::Value) -> Vec<PromptArgument> {
    let text = |value: &serde_json::Value, member: &str| {
        let text = value.get(member).and_then(|text| text.as_str());
        text.map(str::to_owned)
    };
    let required = schema.get("required").and_then(|it| it.as_array());
    let is_required = |name: &str| required.is_some_and(|it| it.iter().any(|it| it == name));
    let properties = schema.get("properties").and_then(|it| it.as_object());
    properties
        .into_iter()
        .flatten()
        .map(|(name, property)| PromptArgument {
            name: name.clone(),
            title: text(property, "title"),
            description: text(property, "description"),
            required: is_required(name),
        })
        .collect()
}

/// A checked prompt.
pub(crate) struct PromptParts {
    pub(crate) definition: PromptDefinition,
    /// Handles requests.
    pub(crate) handler: ArgumentsHandler,
    pub(crate) completers: Completers,
    /// Its upstream, if it has one: that checks arguments and handles requests.
    pub(crate) relayed: Option<Arc<RelayedEntry>>,
}

impl PromptParts {
    /// Whether every argument is there that must be given; null is none.
    ///
    /// # Errors
    /// Which one is missing, in words for the client.
    pub(crate) fn check(&self, arguments: Value<'_>) -> Result<(), String> {
        let members = arguments.as_object();
        let is_given = |name: &str| members.is_some_and(|it| it.optional(name).is_some());
        let mut arguments = self.definition.arguments.iter();
        match arguments.find(|it| it.required && !is_given(&it.name)) {
            None => Ok(()),
            Some(missing) => Err(format!("argument {:?} is missing", missing.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use corelane_protocol::jsonrpc::{Decoder, JsonLimits};
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, JsonSchema)]
    struct Review {
        /// The code to review.
        code: String,
        #[expect(dead_code, reason = "its schema is what is tested")]
        style: Option<String>,
    }

    #[test]
    fn the_arguments_of_a_prompt_come_from_their_type() {
        let review = async |_: &Call, Review { code, .. }| Ok(code);
        let parts = Prompt::new("review", "Reviews.", review)
            .into_parts()
            .unwrap();
        let arguments = &parts.definition.arguments;
        assert_eq!(arguments.len(), 2);
        assert_eq!(arguments[0].name, "code");
        assert_eq!(
            arguments[0].description.as_deref(),
            Some("The code to review.")
        );
        assert!(arguments[0].required && !arguments[1].required);
        let mut decoder = Decoder::new(JsonLimits::default());
        for (arguments, checked) in [
            (r#"{"code":"x"}"#, Ok(())),
            (r#"{"code":null}"#, Err("argument \"code\" is missing")),
            (r#"{"style":"s"}"#, Err("argument \"code\" is missing")),
        ] {
            let decoded = decoder.decode(arguments.as_bytes()).unwrap();
            let checked = checked.map_err(str::to_owned);
            assert_eq!(parts.check(decoded.root()), checked, "{arguments}");
        }
    }

    #[test]
    fn a_completer_needs_an_argument() {
        let prompt = Prompt::new("p", "d", async |_: &Call, _: Review| Ok("x"))
            .with_completer("other", async |_: &Call, _: CompleteRequest| Ok(vec!["a"]));
        let refusal = prompt.into_parts().err().unwrap();
        assert_eq!(
            refusal.to_string(),
            "it has no argument \"other\" to complete"
        );
    }
}
