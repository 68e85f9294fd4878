//! Why a catalog cannot be built.

use super::{prompt, resource, tool};

/// Why a catalog cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Two entries of one kind have one name.
    #[error("{kind} {name:?} is registered twice")]
    Duplicate {
        /// The kind of the entries.
        kind: &'static str,
        /// Their name, URI or template.
        name: String,
    },
    /// A tool is not usable.
    #[error("tool {name:?}: {reason}")]
    Tool {
        /// The tool's name.
        name: String,
        /// The fault of the tool.
        reason: tool::ToolDefect,
    },
    /// A resource or a template is not usable.
    #[error("resource {uri:?}: {reason}")]
    Resource {
        /// Its URI or template.
        uri: String,
        /// The fault of the resource.
        reason: resource::ResourceDefect,
    },
    /// A prompt is not usable.
    #[error("prompt {name:?}: {reason}")]
    Prompt {
        /// The prompt's name.
        name: String,
        /// The fault of the prompt.
        reason: prompt::PromptDefect,
    },
    /// A reader does not see a text as it is.
    #[error(
        "{kind} {name:?}: its {text} has the hidden character {character:?}: remove it, or call \
         Server::allow_hidden_characters"
    )]
    Hidden {
        /// The kind of the entry.
        kind: &'static str,
        /// Its name, URI or template.
        name: String,
        /// The member with the character, of the definition or of a schema in it.
        text: &'static str,
        /// The character.
        character: char,
    },
    /// A reader takes a name for another one.
    #[error("{kind} {name:?} looks like {other:?}: choose a name that differs more")]
    Lookalike {
        /// The kind of the entries.
        kind: &'static str,
        /// The name.
        name: String,
        /// The other name.
        other: String,
    },
    /// An entry differs from its pin.
    #[cfg(feature = "auth")]
    #[error("{0}, so it is refused: review it, and write its pin anew")]
    Pinned(crate::guard::pins::Difference),
    /// An entry has no hash.
    #[cfg(feature = "auth")]
    #[error(transparent)]
    Pins(#[from] crate::guard::pins::PinsError),
}
