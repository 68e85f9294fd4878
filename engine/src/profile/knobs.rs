//! How knobs are declared: each once, with its reason, type, default and range.
//!
//! [`knobs!`] makes of a declaration the section's struct, its documentation, its defaults, the
//! check of its ranges and its part of the reference profile.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::cores::CoreList;
use super::error::ProfileError;

/// A day, the longest any deadline of a profile may be, in milliseconds.
pub(super) const DAY_MS: u64 = 24 * 3600 * 1000;

/// The parts of a knob's declaration besides its type and its default.
pub(super) struct Knob {
    pub(super) name: &'static str,
    /// Its documentation, line by line.
    pub(super) reason: &'static [&'static str],
    pub(super) allowed: Allowed,
    /// None if its declaration names no way; a test refuses that.
    pub(super) on_reload: Option<OnReload>,
}

/// The effect of another value of a knob in a profile that a running server reads again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReload {
    /// Everything uses the value from the reload on.
    Live,
    /// Connections, calls or deadlines that begin after the reload use the value.
    Next,
    /// The reload is refused: only a start applies the value.
    Restart,
}

/// Which numbers a knob takes.
pub(super) enum Allowed {
    /// It is no number.
    Anything,
    /// A multiple of `multiple` in the range; with `is_power_of_two` a power of two.
    Numbers {
        min: u64,
        max: u64,
        multiple: u64,
        is_power_of_two: bool,
    },
}

/// Any value, for a knob that is not a number; a section that restricts it does so itself.
pub(super) const fn anything() -> Allowed {
    Allowed::Anything
}

pub(super) const fn within(range: RangeInclusive<u64>) -> Allowed {
    multiples_of(1, range)
}

pub(super) const fn multiples_of(multiple: u64, range: RangeInclusive<u64>) -> Allowed {
    Allowed::Numbers {
        min: *range.start(),
        max: *range.end(),
        multiple,
        is_power_of_two: false,
    }
}

pub(super) const fn powers_of_two(range: RangeInclusive<u64>) -> Allowed {
    Allowed::Numbers {
        min: *range.start(),
        max: *range.end(),
        multiple: 1,
        is_power_of_two: true,
    }
}

impl Knob {
    /// The value of this knob of `section` is one that is allowed.
    fn check(&self, section: &str, value: u64) -> Result<(), ProfileError> {
        let Allowed::Numbers {
            min,
            max,
            multiple,
            is_power_of_two,
        } = self.allowed
        else {
            return Ok(());
        };
        let key = format!("{section}.{}", self.name);
        if !(min..=max).contains(&value) {
            return Err(ProfileError::OutOfRange {
                key,
                value,
                min,
                max,
            });
        }
        if is_power_of_two && !value.is_power_of_two() {
            let below = 1 << value.checked_ilog2().unwrap_or(0);
            return Err(ProfileError::NotPowerOfTwo { key, value, below });
        }
        if !value.is_multiple_of(multiple) {
            return Err(ProfileError::NotMultiple {
                key,
                value,
                multiple,
            });
        }
        Ok(())
    }
}

/// A section of the profile.
pub(super) trait Section {
    /// Its name in the file.
    fn name(&self) -> &'static str;
    /// The description of the section, line by line.
    fn about(&self) -> &'static [&'static str];
    /// Its knobs, in order.
    fn knobs(&self) -> &'static [Knob];
    /// The values of the knobs that are numbers and set, in the same order.
    fn numbers(&self) -> Vec<Option<u64>>;

    /// Each number is one that its knob takes; errors call the section `name`.
    fn check(&self, name: &str) -> Result<(), ProfileError> {
        let mut values = self.knobs().iter().zip(self.numbers());
        values.try_for_each(|(knob, value)| value.map_or(Ok(()), |it| knob.check(name, it)))
    }
}

/// A value of a knob.
pub(super) trait Value {
    /// As a number, if it is one and set. A number that does not fit exceeds every range.
    fn number(&self) -> Option<u64> {
        None
    }
}

impl Value for u32 {
    fn number(&self) -> Option<u64> {
        Some(u64::from(*self))
    }
}

impl Value for u64 {
    fn number(&self) -> Option<u64> {
        Some(*self)
    }
}

impl Value for usize {
    fn number(&self) -> Option<u64> {
        Some(u64::try_from(*self).unwrap_or(u64::MAX))
    }
}

impl<T: Value> Value for Option<T> {
    fn number(&self) -> Option<u64> {
        self.as_ref()?.number()
    }
}

impl Value for bool {}
impl Value for String {}
impl Value for CoreList {}
impl Value for Vec<String> {}
impl Value for Vec<PathBuf> {}
impl Value for PathBuf {}

/// The way that a declaration names, see [`OnReload`].
macro_rules! on_reload {
    () => {
        None
    };
    (live) => {
        Some($crate::profile::knobs::OnReload::Live)
    };
    (next) => {
        Some($crate::profile::knobs::OnReload::Next)
    };
    (restart) => {
        Some($crate::profile::knobs::OnReload::Restart)
    };
}

/// Declares a section: `name: type = default, allowed, reload;` under the reason for each knob,
/// where `reload` is `live`, `next` or `restart`: see [`OnReload`]. With `per core Override;` in
/// front, the same keys can deviate on single cores.
macro_rules! knobs {
    (per core $override:ident; $($section:tt)*) => {
        knobs! { $($section)* }
        overrides! { $override; $($section)* }
    };
    (
        $(#[doc = $about:literal])*
        $(#[derive($($derive:ident),*)])?
        $type:ident as $section:literal {
            $(
                $(#[doc = $reason:literal])*
                $(#[serde($($serde:tt)*)])?
                $knob:ident: $value:ty = $default:expr, $allowed:expr $(, $reload:ident)?;
            )*
        }
    ) => {
        #[doc = concat!("`[", $section, "]` of the profile.\n")]
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
        $(#[derive($($derive),*)])?
        #[serde(default, deny_unknown_fields)]
        pub struct $type {
            $(
                $(#[doc = $reason])*
                #[doc = concat!(
                    "\n\nDefault `", stringify!($default), "`; `", stringify!($allowed), "`."
                )]
                $(#[serde($($serde)*)])?
                pub $knob: $value,
            )*
        }

        impl Default for $type {
            fn default() -> Self {
                Self { $($knob: $default,)* }
            }
        }

        impl $crate::profile::knobs::Section for $type {
            fn name(&self) -> &'static str {
                $section
            }

            fn about(&self) -> &'static [&'static str] {
                &[$($about),*]
            }

            fn knobs(&self) -> &'static [$crate::profile::knobs::Knob] {
                const KNOBS: &[$crate::profile::knobs::Knob] = &[$(
                    $crate::profile::knobs::Knob {
                        name: stringify!($knob),
                        reason: &[$($reason),*],
                        allowed: $allowed,
                        on_reload: $crate::profile::knobs::on_reload!($($reload)?),
                    },
                )*];
                KNOBS
            }

            fn numbers(&self) -> Vec<Option<u64>> {
                vec![$($crate::profile::knobs::Value::number(&self.$knob)),*]
            }
        }
    };
}

/// The second half of [`knobs!`]: the knobs that may deviate on one core.
macro_rules! overrides {
    (
        $override:ident;
        $(#[$attribute:meta])*
        $type:ident as $section:literal {
            $(
                $(#[doc = $reason:literal])*
                $knob:ident: $value:ty = $default:expr, $allowed:expr $(, $reload:ident)?;
            )*
        }
    ) => {
        #[doc = concat!("`[core.", $section, "]` of the profile: see [`", stringify!($type), "`].")]
        #[expect(missing_docs, reason = "each knob is described once")]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $override {
            $(pub $knob: Option<$value>,)*
        }

        impl $override {
            pub(super) fn over(self, base: $type) -> $type {
                $type { $($knob: self.$knob.unwrap_or(base.$knob),)* }
            }
        }
    };
}

pub(super) use {knobs, on_reload, overrides};
