//! The core of each shard.
//!
//! Invariant: the cores are distinct, at least one, and allowed to this process by its affinity
//! mask. This module pins nothing: the executor does, when the shard starts.

use std::fmt;
use std::num::IntErrorKind;
use std::str::FromStr;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Largest core id, the last bit of a `cpu_set_t` (CPU_SET(3)).
pub const CORE_ID_MAX: usize = 1023;

/// Cores in the order their shards take them; at least one, none twice, ids 0 to [`CORE_ID_MAX`].
///
/// Written as taskset(1) does, "0-3,6", in a profile and on the command line; a profile may also
/// write an array, [0, 1].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreList(Vec<usize>);

/// The fault of a list of cores.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoreListError {
    /// Nothing in the list.
    #[error("core list is empty; write cores and ranges as in \"0-3,6\"")]
    Empty,
    /// A part between commas that is neither a core nor a range.
    #[error("core list has {part:?} where a core or a range belongs, as in \"0-3,6\"")]
    NotACore {
        /// The part, cut to 40 characters.
        part: String,
    },
    /// A range from high to low.
    #[error("core range {first}-{last} runs backwards; write {last}-{first}")]
    Backwards {
        /// Before the dash.
        first: usize,
        /// After the dash.
        last: usize,
    },
    /// A core the kernel cannot have.
    #[error("core {id} exceeds limit of {id_max}")]
    TooLarge {
        /// As it was written, cut to 40 characters.
        id: String,
        /// [`CORE_ID_MAX`].
        id_max: usize,
    },
    /// A core more than once.
    #[error("core {id} is listed twice; to run several shards on a core, raise the shards")]
    Twice {
        /// The core.
        id: usize,
    },
}

/// Why there are no cores for the shards.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoreError {
    /// The kernel did not answer sched_getaffinity(2), or with no core at all.
    #[error("the cores of this process cannot be read from its affinity mask")]
    Unknown,
    /// A core of the profile that the process may not run on.
    #[error("core {id} is not available; this process may run on {available}")]
    NotAvailable {
        /// The core.
        id: usize,
        /// The cores of the affinity mask.
        available: CoreList,
    },
    /// Every core has another role.
    #[error(
        "no core is left for a shard: write role = \"shard\" in one of the [[core]] sections, or \
         remove it"
    )]
    NoneForShards,
    /// A `[[core]]` section for a core that the process may not run on.
    #[error(
        "[[core]] id = {id} is not available; this process may run on {available}: choose one of \
         these, or remove the section"
    )]
    TunedNotAvailable {
        /// The core.
        id: usize,
        /// The cores of the affinity mask.
        available: CoreList,
    },
}

/// The cores that the calling thread may run on, by its affinity mask: call it before any thread is
/// pinned.
///
/// # Errors
/// The mask cannot be read.
pub(super) fn available() -> Result<CoreList, CoreError> {
    let ids = core_affinity::get_core_ids().ok_or(CoreError::Unknown)?;
    let ids = ids.into_iter().map(|core| core.id).collect();
    CoreList::distinct(ids).map_err(|_| CoreError::Unknown)
}

/// Each core that has a `[[core]]` section is available.
pub(super) fn check_tuned(tuned: &[usize], available: &CoreList) -> Result<(), CoreError> {
    let cores = available.as_slice();
    match tuned.iter().find(|id| !cores.contains(id)) {
        None => Ok(()),
        Some(&id) => Err(CoreError::TunedNotAvailable {
            id,
            available: available.clone(),
        }),
    }
}

/// How many cores' worth of time the process has: the smaller of its mask and its CPU quota, of
/// both versions of control groups.
pub(super) fn parallelism() -> usize {
    std::thread::available_parallelism().map_or(usize::MAX, usize::from)
}

/// The core of each shard: as many entries as shards, in the order of the shards. Without `cores`
/// all that are available are used. Without `shards` each core of `cores` has one; without either
/// there are no more than `parallelism`, because shards past the CPU quota stop all of them.
///
/// # Errors
/// `cores` has a core that is not available.
pub(super) fn choose_from(
    cores: Option<&CoreList>,
    shards: Option<usize>,
    (available, parallelism): (&CoreList, usize),
) -> Result<Vec<usize>, CoreError> {
    let used = cores.unwrap_or(available);
    for &id in used.as_slice() {
        if !available.as_slice().contains(&id) {
            return Err(CoreError::NotAvailable {
                id,
                available: available.clone(),
            });
        }
    }
    let by_default = cores.is_none().then_some(used.0.len().min(parallelism));
    Ok(place(used, shards.or(by_default)))
}

/// Places `shards` shards on the cores in turn; one on each core if no number is given.
///
/// With fewer shards than cores the cores at the end stay free.
#[must_use]
pub fn place(cores: &CoreList, shards: Option<usize>) -> Vec<usize> {
    let cores = cores.as_slice();
    let shards = shards.unwrap_or(cores.len());
    cores.iter().copied().cycle().take(shards).collect()
}

impl CoreList {
    /// The cores, in the order given.
    #[must_use]
    pub fn as_slice(&self) -> &[usize] {
        &self.0
    }

    /// The list, if it is not empty and each core is possible and there once.
    pub(super) fn distinct(ids: Vec<usize>) -> Result<Self, CoreListError> {
        if ids.is_empty() {
            return Err(CoreListError::Empty);
        }
        let mut seen = [false; CORE_ID_MAX + 1];
        for &id in &ids {
            let Some(seen) = seen.get_mut(id) else {
                return Err(too_large(&id.to_string()));
            };
            if std::mem::replace(seen, true) {
                return Err(CoreListError::Twice { id });
            }
        }
        Ok(Self(ids))
    }
}

impl FromStr for CoreList {
    type Err = CoreListError;

    fn from_str(text: &str) -> Result<Self, CoreListError> {
        if text.trim().is_empty() {
            return Err(CoreListError::Empty);
        }
        let mut ids = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (parse_id(first, part)?, parse_id(last, part)?);
            if first > last {
                return Err(CoreListError::Backwards { first, last });
            }
            // A text of repeated full ranges ends here, before it grows to any size.
            if let Some(id) = (first..=last).find(|id| ids.contains(id)) {
                return Err(CoreListError::Twice { id });
            }
            ids.extend(first..=last);
        }
        Self::distinct(ids)
    }
}

/// The core in `digits`, which is `part` or one side of its dash.
fn parse_id(digits: &str, part: &str) -> Result<usize, CoreListError> {
    let digits = digits.trim();
    // `parse` alone would take a sign.
    let unsigned = digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<usize>() {
        Ok(id) if unsigned && id <= CORE_ID_MAX => Ok(id),
        Ok(_) if unsigned => Err(too_large(digits)),
        Err(error) if unsigned && *error.kind() == IntErrorKind::PosOverflow => {
            Err(too_large(digits))
        }
        _ => Err(CoreListError::NotACore {
            part: part.trim().chars().take(40).collect(),
        }),
    }
}

fn too_large(id: &str) -> CoreListError {
    CoreListError::TooLarge {
        id: id.chars().take(40).collect(),
        id_max: CORE_ID_MAX,
    }
}

/// Runs of consecutive cores as ranges: the shortest text that parses to the same list.
impl fmt::Display for CoreList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.0.chunk_by(|before, after| before + 1 == *after);
        for (index, run) in runs.enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match run {
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [] | [_] => write!(f, "{comma}{}", run[0])?,
            }
        }
        Ok(())
    }
}

impl Serialize for CoreList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CoreList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CoreListVisitor)
    }
}

struct CoreListVisitor;

impl<'de> Visitor<'de> for CoreListVisitor {
    type Value = CoreList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of cores such as \"0-3,6\" or [0, 1]")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<CoreList, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<CoreList, A::Error> {
        let mut ids = Vec::new();
        while let Some(id) = items.next_element()? {
            ids.push(id);
        }
        CoreList::distinct(ids).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
