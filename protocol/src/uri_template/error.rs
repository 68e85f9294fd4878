//! Why a text is not a template.

/// The fault of a template and its byte. The author of the template is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriTemplateError {
    /// It is longer than [`super::TEMPLATE_BYTES_MAX`].
    #[error("template of {template_bytes} bytes exceeds limit of {template_bytes_max}")]
    TooLong {
        /// The length of the template.
        template_bytes: usize,
        /// The limit.
        template_bytes_max: usize,
    },
    /// It has more variables than [`super::VARIABLES_MAX`].
    #[error("variable at byte {offset} exceeds limit of {variables_max} variables")]
    TooManyVariables {
        /// The start of the first excess variable.
        offset: usize,
        /// The limit.
        variables_max: usize,
    },
    /// A character that no URI has stands outside expressions.
    #[error("character {character:?} at byte {offset} must be percent-encoded")]
    IllegalLiteral {
        /// Where it is.
        offset: usize,
        /// The character.
        character: char,
    },
    /// A percent sign encodes nothing.
    #[error("% at byte {offset} is not followed by two hex digits")]
    PercentEncoding {
        /// Where the percent sign is.
        offset: usize,
    },
    /// An expression has no end.
    #[error("{{ at byte {offset} is not closed")]
    Unclosed {
        /// Where the brace is.
        offset: usize,
    },
    /// An expression has no start.
    #[error("}} at byte {offset} closes nothing")]
    Unopened {
        /// Where the brace is.
        offset: usize,
    },
    /// An expression starts with a sign that is none of `+#./;?&`.
    #[error("operator {operator:?} at byte {offset} is unknown")]
    UnknownOperator {
        /// Where it is.
        offset: usize,
        /// The operator.
        operator: char,
    },
    /// A variable has a modifier, `:` or `*`.
    #[error("modifier {modifier:?} at byte {offset} is of level 4; levels 1 to 3 are supported")]
    Modifier {
        /// Where it is.
        offset: usize,
        /// The modifier.
        modifier: char,
    },
    /// There is no name where one must be.
    #[error("name at byte {offset} is empty")]
    EmptyName {
        /// Where it would start.
        offset: usize,
    },
    /// A name has a character that names do not have, or a dot that is not between two others.
    #[error("character {character:?} at byte {offset} is not allowed there in a name")]
    IllegalName {
        /// Where it is.
        offset: usize,
        /// The character.
        character: char,
    },
    /// A name stands for two variables: they could have different values in one URI.
    #[error("name {name:?} at byte {offset} is repeated")]
    RepeatedName {
        /// The start of the second one.
        offset: usize,
        /// The name.
        name: String,
    },
}
