//! URI templates of levels 1 to 3 (RFC 6570): matches a URI with a template and reads its values.
//!
//! A [`UriTemplate`] is read once and then matched against the URIs of requests, or expanded with
//! values. RFC 6570 defines expansion only; matching is its inverse, with these choices where
//! several inverses exist:
//!
//! - Each variable of `{x}`, `{+x}`, `{#x}`, `{.x}` and `{/x}` takes at least one character. A URI
//!   without it names another resource, and the missing one of several variables would be
//!   ambiguous.
//! - The parameters of `{;x,y}`, `{?x,y}` and `{&x,y}` come in any order, each at most once, and
//!   may be missing; `x` and `x=` are both the empty value. No other parameter is allowed: a URI
//!   with one more names something else.
//! - A value of `{x}`, `{.x}` and `{/x}` holds no `/`, `?` or `#`, and none of `{x,y}` a comma. A
//!   value of `{;x}` holds no `;`, `/`, `?` or `#`, one of `{?x}` and `{&x}` no `&` or `#`. A value
//!   of `{+x}` and `{#x}` may hold every character of a URI. All of them may be percent-encoded
//!   everywhere.
//! - Where there is more than one way, an earlier value is as short as possible, and a parameter is
//!   a parameter rather than a part of the text after it.
//! - Literals are equal byte for byte but for the case of hex digits in percent-encoding.
//!   Characters beyond ASCII are the same encoded or plain.
//!
//! Invariant: a match costs time in proportion to the bytes of the template times the bytes of the
//! URI, for any URI. Values are percent-decoded and UTF-8; a URI with
//! broken percent-encoding, or one that does not decode to UTF-8, matches no variable. It lacks
//! normalization of schemes, hosts and dots, and checks of values: `%2F` and `..` are accepted, and
//! code that opens files must check them.

mod characters;
mod error;
mod expand;
mod operator;
mod parse;
mod program;
mod values;

pub use error::UriTemplateError;
pub use parse::{TEMPLATE_BYTES_MAX, VARIABLES_MAX};
pub use program::URI_BYTES_MAX;
pub use values::Values;

use parse::{Parsed, Part};
use program::Program;

/// A template that has been read.
#[derive(Clone, Debug)]
pub struct UriTemplate {
    parts: Vec<Part>,
    names: Vec<String>,
    program: Program,
}

impl UriTemplate {
    /// Reads a template of level 1, 2 or 3.
    ///
    /// # Errors
    /// If it does not follow the grammar of RFC 6570 section 2, uses a modifier of level 4 or an
    /// operator that is unknown, names a variable twice, or exceeds a limit.
    pub fn parse(template: &str) -> Result<UriTemplate, UriTemplateError> {
        let Parsed { parts, names } = parse::parse(template)?;
        let program = Program::new(&parts, &names);
        Ok(UriTemplate {
            parts,
            names,
            program,
        })
    }

    /// The names of the variables, in order.
    pub fn variables(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The values with which the template makes `uri`, if there are any.
    pub fn matches<'a>(&'a self, uri: &'a str) -> Option<Values<'a>> {
        let values = self.program.run(uri, &self.names)?;
        Some(Values::new(&self.names, values))
    }

    /// The URI that the template makes of `values`, pairs of name and value. A variable without a
    /// value is undefined in the sense of RFC 6570; of several values the first one counts.
    pub fn expand(&self, values: &[(&str, &str)]) -> String {
        expand::expand(&self.parts, &self.names, values)
    }
}

/// A path as a part of a URI: everything in it but its slashes stands for itself and nothing else,
/// so that no two paths have one URI (RFC 3986 3.3).
pub fn encode_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            encoded.push('/');
        }
        characters::push_encoded(&mut encoded, segment, false);
    }
    encoded
}

#[cfg(test)]
mod tests;
