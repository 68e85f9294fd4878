//! The labels of operations, which are requests of MCP.

use super::label_key::LabelKey;
#[cfg(any(test, feature = "metrics"))]
use super::label_key::OVERFLOW;

/// The labels of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Labels {
    /// The number of a method, or [`Labels::OTHER_METHOD`].
    pub(crate) method: u8,
    /// The number of a revision, or [`Labels::NO_REVISION`].
    pub(crate) revision: u8,
    /// The number of a name of the catalog, or 0.
    pub(crate) name: u16,
    /// The failure, if it is one.
    pub(crate) failure: Failure,
    /// The place of the code of the answer in [`CODES`], from 1; 0 for a result.
    pub(crate) code: u8,
}

/// Why an operation failed, where its code does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Failure {
    /// It did not, or its code says why.
    #[default]
    None,
    /// The result of a tool is an error.
    ToolError,
    /// Its time was over.
    Timeout,
    /// Its client cancelled it, or the server ended it.
    Cancelled,
    /// Its handler panicked.
    Panic,
    /// It was refused for overload.
    Overloaded,
}

#[cfg(any(test, feature = "metrics"))]
/// All of them, by number.
const FAILURES: [Failure; 6] = [
    Failure::None,
    Failure::ToolError,
    Failure::Timeout,
    Failure::Cancelled,
    Failure::Panic,
    Failure::Overloaded,
];

/// Codes of JSON-RPC errors that are labels; a handler may send any other one, which counts as
/// another.
pub(crate) const CODES: [i64; 12] = [
    -32700, -32600, -32601, -32602, -32603, -32000, -32001, -32002, -32020, -32021, -32022, -32042,
];

#[cfg(any(test, feature = "metrics"))]
impl Failure {
    /// The value of the label `error_type`, as the conventions have it.
    pub(crate) fn text(self) -> Option<&'static str> {
        Some(match self {
            Failure::None => return None,
            Failure::ToolError => "tool_error",
            Failure::Timeout => "timeout",
            Failure::Cancelled => "cancelled",
            Failure::Panic => "panic",
            Failure::Overloaded => "overloaded",
        })
    }
}

impl Labels {
    /// For a method that the server does not know.
    pub(crate) const OTHER_METHOD: u8 = u8::MAX;
    /// For an operation before a revision was agreed on.
    pub(crate) const NO_REVISION: u8 = u8::MAX;

    /// The place of a code.
    #[cold]
    pub(crate) fn place_of(code: i64) -> u8 {
        let place = CODES.iter().position(|known| *known == code);
        place.map_or(CODES.len() as u8 + 1, |place| place as u8 + 1)
    }

    /// All in one word. It is not zero.
    #[inline]
    pub(crate) fn pack(self) -> LabelKey {
        LabelKey(
            u64::from(self.method)
                | u64::from(self.revision) << 8
                | u64::from(self.name) << 16
                | (self.failure as u64) << 32
                | u64::from(self.code) << 40
                | 1 << 63,
        )
    }

    #[cfg(any(test, feature = "metrics"))]
    /// The labels of a word of a page; nothing of the set that stands for all others.
    pub(crate) fn unpack(word: u64) -> Option<Labels> {
        let failure = FAILURES.get((word >> 32) as u8 as usize);
        (word != OVERFLOW).then(|| Labels {
            method: word as u8,
            revision: (word >> 8) as u8,
            name: (word >> 16) as u16,
            failure: failure.copied().unwrap_or_default(),
            code: (word >> 40) as u8,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Labels};

    fn labels(name: u16) -> Labels {
        Labels {
            method: 3,
            revision: 4,
            name,
            failure: Failure::Timeout,
            code: 5,
        }
    }

    #[test]
    fn labels_survive_the_packing() {
        let other = Labels {
            method: Labels::OTHER_METHOD,
            revision: Labels::NO_REVISION,
            name: u16::MAX,
            failure: Failure::None,
            code: Labels::place_of(12),
        };
        for labels in [labels(7), other] {
            assert_eq!(Labels::unpack(labels.pack().0), Some(labels));
        }
    }
}
