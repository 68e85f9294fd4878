//! Checks of more than one knob, and of texts. Each failure names the key in full, so that the
//! author of a profile finds the line without knowing the engine.
//!
//! It deliberately lacks the ranges of knobs, which are part of their declarations.

use super::error::ProfileError;

/// The value of `key` is at most `max`.
pub(super) fn count(key: &str, value: usize, max: usize) -> Result<(), ProfileError> {
    if value <= max {
        return Ok(());
    }
    Err(ProfileError::OutOfRange {
        key: key.to_owned(),
        value: value as u64,
        min: 0,
        max: max as u64,
    })
}

/// So many times the value of `key` is at most that of `other`.
pub(super) fn at_most(
    times: u64,
    (key, value): (&str, u64),
    (other, other_value): (&'static str, u64),
) -> Result<(), ProfileError> {
    if value.saturating_mul(times) <= other_value {
        return Ok(());
    }
    Err(ProfileError::Exceeds {
        times,
        key: key.to_owned(),
        value,
        other,
        other_value,
    })
}

/// The text satisfies `holds`; `expected` completes the sentence "the value is not ...".
pub(super) fn text(
    key: &str,
    value: &str,
    holds: bool,
    expected: &'static str,
) -> Result<(), ProfileError> {
    if holds {
        return Ok(());
    }
    Err(ProfileError::Text {
        key: key.to_owned(),
        value: value.to_owned(),
        expected,
    })
}
