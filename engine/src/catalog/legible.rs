//! Names and descriptions that a reader sees as they are.
//!
//! A model reads a description whole, and a person only the characters that a screen shows. A name
//! that looks like another one is taken for it.

use super::defect::CatalogError;
use crate::guard::hidden::first_hidden;
use crate::guard::lookalike::DistinctNames;

/// The members of a definition that are texts for a reader, in schemas as well. Those that may have
/// several lines come first.
const TEXTS: [(&str, bool); 3] = [("description", true), ("title", false), ("name", false)];

/// No text of a definition, which is JSON, has a hidden character.
///
/// # Errors
/// The first one that has.
pub(super) fn check(kind: &'static str, name: &str, definition: &[u8]) -> Result<(), CatalogError> {
    let first = first_hidden(name, false).map(|character| ("name", character));
    let first = first.or_else(|| {
        // Text that is no JSON is refused elsewhere.
        let definition: serde_json::Value = serde_json::from_slice(definition).ok()?;
        hidden_in(&definition)
    });
    let Some((text, character)) = first else {
        return Ok(());
    };
    Err(CatalogError::Hidden {
        kind,
        name: name.to_owned(),
        text,
        character,
    })
}

/// The names of a list are different for a reader.
///
/// # Errors
/// The first one that looks like another one.
pub(super) fn check_names<'n>(
    kind: &'static str,
    names: impl Iterator<Item = &'n str>,
) -> Result<(), CatalogError> {
    let mut distinct = DistinctNames::default();
    for name in names {
        distinct
            .add(name)
            .map_err(|other| CatalogError::Lookalike {
                kind,
                name: name.to_owned(),
                other: other.into(),
            })?;
    }
    Ok(())
}

/// The first text with a hidden character: its member, and the character.
fn hidden_in(value: &serde_json::Value) -> Option<(&'static str, char)> {
    match value {
        serde_json::Value::Array(elements) => elements.iter().find_map(hidden_in),
        serde_json::Value::Object(members) => {
            let own = TEXTS.iter().find_map(|(member, has_lines)| {
                let text = members.get(*member)?.as_str()?;
                Some((*member, first_hidden(text, *has_lines)?))
            });
            own.or_else(|| members.values().find_map(hidden_in))
        }
        _ => None,
    }
}
