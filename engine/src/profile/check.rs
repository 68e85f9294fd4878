//! The checks that sections share. Each failure names the key in full, so that the author of a
//! profile finds the line without knowing the engine.
//!
//! What this room lacks on purpose: the ranges themselves, which stand beside their knobs.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::ProfileError;

/// A day, the longest any deadline of a profile may be, in milliseconds.
pub(super) const DAY_MS: u64 = 24 * 3600 * 1000;

/// A section of the profile as its author wrote it: what goes before the names of its knobs.
pub(super) struct Section {
    name: Cow<'static, str>,
}

impl Section {
    /// The section with the given name; the empty name is the top of the file.
    pub(super) fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into() }
    }

    /// `knob` in full, as error messages name it.
    pub(super) fn key(&self, knob: &str) -> String {
        if self.name.is_empty() {
            return knob.to_owned();
        }
        format!("{}.{knob}", self.name)
    }

    /// The value lies within `allowed`.
    pub(super) fn range(
        &self,
        knob: &str,
        value: impl TryInto<u64>,
        allowed: RangeInclusive<u64>,
    ) -> Result<(), ProfileError> {
        let value = number(value);
        if allowed.contains(&value) {
            return Ok(());
        }
        Err(ProfileError::OutOfRange {
            key: self.key(knob),
            value,
            min: *allowed.start(),
            max: *allowed.end(),
        })
    }

    /// The value lies within `allowed` and is a power of two.
    pub(super) fn power_of_two(
        &self,
        knob: &str,
        value: u32,
        allowed: RangeInclusive<u64>,
    ) -> Result<(), ProfileError> {
        self.range(knob, value, allowed)?;
        if value.is_power_of_two() {
            return Ok(());
        }
        Err(ProfileError::NotPowerOfTwo {
            key: self.key(knob),
            value: u64::from(value),
            below: 1 << value.checked_ilog2().unwrap_or(0),
        })
    }

    /// The value is a multiple of `multiple`.
    pub(super) fn multiple(
        &self,
        knob: &str,
        value: impl TryInto<u64>,
        multiple: u64,
    ) -> Result<(), ProfileError> {
        let value = number(value);
        if value.is_multiple_of(multiple) {
            return Ok(());
        }
        Err(ProfileError::NotMultiple {
            key: self.key(knob),
            value,
            multiple,
        })
    }

    /// The first knob, one of this section, is at most the second, whose key is given in full.
    pub(super) fn at_most(
        &self,
        (knob, value): (&str, impl TryInto<u64>),
        (other, other_value): (&'static str, impl TryInto<u64>),
    ) -> Result<(), ProfileError> {
        let (value, other_value) = (number(value), number(other_value));
        if value <= other_value {
            return Ok(());
        }
        Err(ProfileError::Exceeds {
            key: self.key(knob),
            value,
            other,
            other_value,
        })
    }

    /// The text satisfies `holds`; `expected` completes the sentence "the value is not ...".
    pub(super) fn text(
        &self,
        knob: &str,
        value: &str,
        holds: bool,
        expected: &'static str,
    ) -> Result<(), ProfileError> {
        if holds {
            return Ok(());
        }
        Err(ProfileError::Text {
            key: self.key(knob),
            value: value.to_owned(),
            expected,
        })
    }
}

/// Every number of a profile as one type; what does not fit is out of every range anyway.
fn number(value: impl TryInto<u64>) -> u64 {
    value.try_into().unwrap_or(u64::MAX)
}
