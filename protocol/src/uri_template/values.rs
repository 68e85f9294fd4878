//! The values that a URI has for a template.

use super::program::Found;

/// The values of a template's variables in one URI, percent-decoded. Borrows both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values<'a> {
    names: &'a [String],
    values: Found<'a>,
}

impl<'a> Values<'a> {
    pub(super) fn new(names: &'a [String], values: Found<'a>) -> Values<'a> {
        Values { names, values }
    }

    /// The value of the variable `name`; none if the template has no such variable or the URI no
    /// such parameter.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.iter()
            .find_map(|(found, value)| (found == name).then_some(value))
    }

    /// Names and values in the order of the template, without parameters that are missing.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names
            .iter()
            .zip(&self.values)
            .filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)))
    }
}
