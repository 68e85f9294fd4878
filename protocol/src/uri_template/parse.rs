//! A template's text to its parts: the grammar of RFC 6570 section 2.
//!
//! Invariant: the names of [`Parsed`] are unique, the template is within the limits, and literals
//! have their form in a URI. Apostrophes are allowed in them, as erratum 6937 requires.

use std::ops::Range;

use super::characters::{is_reserved, is_unreserved, push_encoded, triplet};
use super::error::UriTemplateError;
use super::operator::{Operator, SIMPLE};

/// The longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 1024;
/// The most variables of one template.
pub const VARIABLES_MAX: usize = 16;

/// A piece of a template.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// Text that stands in the URI.
    Literal(String),
    /// A place for values.
    Expression {
        /// Its kind.
        operator: Operator,
        /// Its variables: places in the list of names.
        variables: Range<usize>,
    },
}

/// A template that follows the grammar.
pub(super) struct Parsed {
    /// Its pieces, in order.
    pub(super) parts: Vec<Part>,
    /// The names of its variables, in order.
    pub(super) names: Vec<String>,
}

/// Reads a template.
///
/// # Errors
/// The first fault from the left.
pub(super) fn parse(template: &str) -> Result<Parsed, UriTemplateError> {
    if template.len() > TEMPLATE_BYTES_MAX {
        return Err(UriTemplateError::TooLong {
            template_bytes: template.len(),
            template_bytes_max: TEMPLATE_BYTES_MAX,
        });
    }
    let mut parsed = Parsed {
        parts: Vec::new(),
        names: Vec::new(),
    };
    let mut at = 0;
    while at < template.len() {
        let literal_bytes = template[at..].find(['{', '}']);
        let brace = literal_bytes.map_or(template.len(), |bytes| at + bytes);
        if brace > at {
            check_literal(template, at..brace)?;
            let mut literal = String::new();
            push_encoded(&mut literal, &template[at..brace], true);
            parsed.parts.push(Part::Literal(literal));
        }
        if brace == template.len() {
            break;
        }
        if template[brace..].starts_with('}') {
            return Err(UriTemplateError::Unopened { offset: brace });
        }
        let inner_bytes = template[brace + 1..]
            .find('}')
            .ok_or(UriTemplateError::Unclosed { offset: brace })?;
        let end = brace + 1 + inner_bytes;
        parsed.add_expression(&template[brace + 1..end], brace + 1)?;
        at = end + 1;
    }
    Ok(parsed)
}

fn check_literal(template: &str, range: Range<usize>) -> Result<(), UriTemplateError> {
    for (at, character) in template[range.clone()].char_indices() {
        let offset = range.start + at;
        let is_allowed = match u8::try_from(character) {
            Ok(b'%') if triplet(template.as_bytes(), offset).is_none() => {
                return Err(UriTemplateError::PercentEncoding { offset });
            }
            Ok(byte) if byte.is_ascii() => byte == b'%' || is_unreserved(byte) || is_reserved(byte),
            _ => !character.is_control(),
        };
        if !is_allowed {
            return Err(UriTemplateError::IllegalLiteral { offset, character });
        }
    }
    Ok(())
}

impl Parsed {
    /// Adds the expression between two braces, from `offset` on.
    fn add_expression(&mut self, inner: &str, offset: usize) -> Result<(), UriTemplateError> {
        let sign = inner.chars().next();
        let operator = sign.and_then(Operator::of_sign);
        if let Some(sign) = sign.filter(|_| operator.is_none())
            && sign.is_ascii_punctuation()
            && !matches!(sign, '_' | '%')
        {
            let operator = sign;
            return Err(UriTemplateError::UnknownOperator { offset, operator });
        }
        let first = self.names.len();
        // All signs are one byte long.
        let mut at = usize::from(operator.is_some());
        for name in inner[at..].split(',') {
            self.add_name(name, offset + at)?;
            at += name.len() + 1;
        }
        self.parts.push(Part::Expression {
            operator: operator.unwrap_or(SIMPLE),
            variables: first..self.names.len(),
        });
        Ok(())
    }

    fn add_name(&mut self, name: &str, offset: usize) -> Result<(), UriTemplateError> {
        check_name(name, offset)?;
        if self.names.iter().any(|other| other == name) {
            let name = name.to_owned();
            return Err(UriTemplateError::RepeatedName { offset, name });
        }
        if self.names.len() == VARIABLES_MAX {
            return Err(UriTemplateError::TooManyVariables {
                offset,
                variables_max: VARIABLES_MAX,
            });
        }
        self.names.push(name.to_owned());
        Ok(())
    }
}

fn check_name(name: &str, offset: usize) -> Result<(), UriTemplateError> {
    if name.is_empty() {
        return Err(UriTemplateError::EmptyName { offset });
    }
    let mut is_after_dot = true;
    for (at, character) in name.char_indices() {
        let offset = offset + at;
        match character {
            '%' if triplet(name.as_bytes(), at).is_none() => {
                return Err(UriTemplateError::PercentEncoding { offset });
            }
            ':' | '*' => {
                let modifier = character;
                return Err(UriTemplateError::Modifier { offset, modifier });
            }
            '.' if !is_after_dot && at + 1 < name.len() => {}
            '_' | '%' => {}
            _ if character.is_ascii_alphanumeric() => {}
            _ => return Err(UriTemplateError::IllegalName { offset, character }),
        }
        is_after_dot = character == '.';
    }
    Ok(())
}
