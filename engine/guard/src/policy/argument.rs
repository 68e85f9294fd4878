//! Conditions on the arguments of a tool.

use super::file::{ConditionText, Value};

/// A top-level member of the arguments of a call, as the reader of the arguments gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Argument<'a> {
    /// A string.
    Text(&'a str),
    /// A whole number, 5.0 included; past the range of the type, its nearest end.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// Anything else.
    Other,
}

impl Argument<'_> {
    /// A number of JSON, as an integer where it is one of the type, and as a float.
    pub fn of_number(integer: Option<i64>, float: Option<f64>) -> Argument<'static> {
        // A float becomes the nearest integer of the type.
        let whole = float.filter(|number| number.fract() == 0.0);
        let integer = integer.or(whole.map(|number| number as i64));
        integer.map_or(Argument::Other, Argument::Integer)
    }
}

/// An argument of a tool, as its input schema describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArgumentSchema {
    /// The name.
    pub name: String,
    /// The types of JSON Schema that its values have; any type if there is none.
    pub types: Vec<String>,
}

/// A condition on one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// The line of the list in which it stands.
    pub(super) line: usize,
    pub(super) name: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    OneOf(Vec<Value>),
    Prefix(String),
    Range(i64, i64),
}

impl Condition {
    /// None if the text has no test or several.
    pub(super) fn new(line: usize, text: ConditionText) -> Option<Condition> {
        let is_range = text.min.is_some() || text.max.is_some();
        let test = match (text.equals, text.one_of, text.prefix, is_range) {
            (Some(value), None, None, false) => Test::OneOf(vec![value]),
            (None, Some(values), None, false) if !values.is_empty() => Test::OneOf(values),
            (None, None, Some(prefix), false) => Test::Prefix(prefix),
            (None, None, None, true) => {
                let (min, max) = (text.min.unwrap_or(i64::MIN), text.max.unwrap_or(i64::MAX));
                Some(Test::Range(min, max)).filter(|_| min <= max)?
            }
            _ => return None,
        };
        let name = text.name;
        Some(Condition { line, name, test })
    }

    /// The types of JSON Schema with a value for which it can hold.
    pub(super) fn types(&self) -> Vec<&'static str> {
        let of_value = |value: &Value| -> &[&str] {
            match value {
                Value::Boolean(_) => &["boolean"],
                Value::Integer(_) => &["integer", "number"],
                Value::Text(_) => &["string"],
            }
        };
        match &self.test {
            Test::Prefix(_) => vec!["string"],
            Test::Range(..) => vec!["integer", "number"],
            Test::OneOf(values) => values.iter().flat_map(of_value).copied().collect(),
        }
    }

    /// Whether the member that `read` gives holds. An absent one does not. `is_deny`: a member of
    /// another type than the condition's is denied, because a handler may read it as that type.
    pub(super) fn holds<'a>(
        &self,
        is_deny: bool,
        read: &dyn Fn(&str) -> Option<Argument<'a>>,
    ) -> bool {
        let Some(argument) = read(&self.name) else {
            return false;
        };
        match (&self.test, argument) {
            (Test::Prefix(prefix), Argument::Text(text)) => text.starts_with(prefix),
            (Test::Range(min, max), Argument::Integer(number)) => (min..=max).contains(&&number),
            (Test::OneOf(values), argument) => {
                let is_comparable = values.iter().any(|value| is_same_type(value, argument));
                let is_equal = values.iter().any(|value| is_equal(value, argument));
                is_equal || (is_deny && !is_comparable)
            }
            _ => is_deny,
        }
    }
}

fn is_same_type(value: &Value, argument: Argument<'_>) -> bool {
    matches!(
        (value, argument),
        (Value::Text(_), Argument::Text(_))
            | (Value::Integer(_), Argument::Integer(_))
            | (Value::Boolean(_), Argument::Boolean(_))
    )
}

fn is_equal(value: &Value, argument: Argument<'_>) -> bool {
    match (value, argument) {
        (Value::Text(value), Argument::Text(text)) => value == text,
        (Value::Integer(value), Argument::Integer(number)) => *value == number,
        (Value::Boolean(value), Argument::Boolean(argument)) => *value == argument,
        _ => false,
    }
}
