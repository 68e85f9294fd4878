//! Matching in bounded time for any URI.
//!
//! A template becomes a regular expression with a group for each value, and one for the parameters
//! of each `{;x}`, `{?x}` and `{&x}`. Parameters come in any order, so theirs is one group, which
//! is split at its separators after the match. The crate `regex` takes a time in proportion to the
//! size of the expression times the bytes of the URI. A lazy repetition makes an earlier value as
//! short as possible.
//!
//! Invariant: a percent-encoded character is all of its triplets, so no value begins or ends within
//! one. Whether triplets are UTF-8 is checked when a value is decoded: no other split can help.

use std::borrow::Cow;
use std::ops::Range;

use regex::{Regex, RegexBuilder};

use super::characters::{decode, is_literal, triplet};
use super::operator::{Operator, SIMPLE};
use super::parse::Part;

/// The longest URI that is matched, in bytes; a longer one matches no template.
pub const URI_BYTES_MAX: usize = 4096;
/// The most memory of a compiled expression, in bytes; templates within their limits need less.
const EXPRESSION_BYTES_MAX: usize = 1024 * 1024;
/// The most memory of the states that matching keeps on each thread, in bytes.
const STATES_BYTES_MAX: usize = 256 * 1024;

/// A value for each variable; none if the URI lacks it.
pub(super) type Found<'u> = Vec<Option<Cow<'u, str>>>;

/// The meaning of a group of the expression.
#[derive(Clone, Debug)]
enum Group {
    /// The value of a variable.
    Value(usize),
    /// Parameters, each after a separator.
    Parameters {
        variables: Range<usize>,
        separator: &'static str,
    },
}

/// What a template matches.
#[derive(Clone, Debug)]
pub(super) struct Program {
    expression: Regex,
    /// In the order of the expression's groups.
    groups: Vec<Group>,
}

impl Program {
    /// The program that matches the expansions of `parts`.
    pub(super) fn new(parts: &[Part], names: &[String]) -> Program {
        let mut groups = Vec::new();
        let mut pattern = String::from("^");
        for part in parts {
            match part {
                Part::Literal(text) => push_literal(&mut pattern, text),
                Part::Expression {
                    operator,
                    variables,
                } if operator.is_named() => {
                    push_parameters(&mut pattern, *operator, &names[variables.clone()]);
                    groups.push(Group::Parameters {
                        variables: variables.clone(),
                        separator: operator.separator,
                    });
                }
                Part::Expression {
                    operator,
                    variables,
                } => {
                    push_values(&mut pattern, *operator, variables.len());
                    groups.extend(variables.clone().map(Group::Value));
                }
            }
        }
        pattern.push('$');
        let expression = RegexBuilder::new(&pattern)
            .size_limit(EXPRESSION_BYTES_MAX)
            .dfa_size_limit(STATES_BYTES_MAX)
            .build()
            .expect("a template within its limits makes a small expression");
        Program { expression, groups }
    }

    /// The values of the variables called `names` in `uri`, if it matches.
    pub(super) fn run<'u>(&self, uri: &'u str, names: &[String]) -> Option<Found<'u>> {
        // Captures allocate; most templates that do not match have another scheme or directory.
        if uri.len() > URI_BYTES_MAX || !self.expression.is_match(uri) {
            return None;
        }
        let captures = self.expression.captures(uri)?;
        let mut values = vec![None; names.len()];
        for (group, found) in self.groups.iter().zip(captures.iter().skip(1)) {
            let text = found?.as_str();
            match group {
                Group::Value(variable) => values[*variable] = Some(decode(text)?),
                Group::Parameters {
                    variables,
                    separator,
                } => {
                    // The first byte is the separator before the first parameter.
                    let parameters = text.get(1..).map(|text| text.split(separator));
                    for parameter in parameters.into_iter().flatten() {
                        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                        let is_named = |variable: &usize| is_literal(&names[*variable], name);
                        let variable = variables.clone().find(is_named)?;
                        // A parameter that comes twice is ambiguous.
                        if values[variable].replace(decode(value)?).is_some() {
                            return None;
                        }
                    }
                }
            }
        }
        Some(values)
    }
}

/// Values one after the other.
fn push_values(pattern: &mut String, operator: Operator, count: usize) {
    let character = match operator {
        SIMPLE if count > 1 => character_without("/?#,"),
        _ => character_without(operator.excluded),
    };
    for at in 0..count {
        let before = [operator.first, operator.separator][at.min(1)];
        push_literal(pattern, before);
        *pattern += &format!("({character}+?)");
    }
}

/// Parameters in any order, or none.
fn push_parameters(pattern: &mut String, operator: Operator, names: &[String]) {
    let character = character_without(operator.excluded);
    let names = names.iter().map(|name| {
        let mut pattern = String::new();
        push_literal(&mut pattern, name);
        pattern
    });
    let names = names.collect::<Vec<_>>().join("|");
    let parameter = format!("(?:{names})(?:={character}*?)?");
    let [first, separator] = [operator.first, operator.separator].map(regex::escape);
    *pattern += &format!("((?:{first}{parameter}(?:{separator}{parameter})*)?)");
}

/// A pattern of one character of a URI: plain and none of `excluded`, beyond ASCII, or encoded.
fn character_without(excluded: &str) -> String {
    let plain = r"A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=";
    let excluded = match excluded {
        "" => String::new(),
        excluded => format!("--[{excluded}]"),
    };
    let digit = "[0-9A-Fa-f]";
    // A byte of ASCII, or a first byte with all that continue it.
    let encoded = format!("%[0-7]{digit}|%[c-fC-F]{digit}(?:%[89abAB]{digit})+");
    format!(r"(?:[[{plain}]{excluded}]|[^\x00-\x7F]|{encoded})")
}

/// A pattern of `text`, an expanded literal.
fn push_literal(pattern: &mut String, text: &str) {
    let mut at = 0;
    while at < text.len() {
        let encoded: Vec<u8> = (0..4)
            .map_while(|place| triplet(text.as_bytes(), at + 3 * place))
            .collect();
        let character = encoded
            .utf8_chunks()
            .next()
            .and_then(|chunk| chunk.valid().chars().next());
        let end = match (character, &encoded[..]) {
            (_, []) => at + 1,
            (None, _) => at + 3,
            (Some(character), _) => at + 3 * character.len_utf8(),
        };
        // Digits of triplets have no case.
        let literal = match encoded[..] {
            [] => regex::escape(&text[at..end]),
            _ => format!("(?i-u:{})", &text[at..end]),
        };
        *pattern += &match character {
            Some(character) if !character.is_ascii() => format!("(?:{literal}|{character})"),
            _ => literal,
        };
        at = end;
    }
}
