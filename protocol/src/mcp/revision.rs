//! Protocol revisions and which of them are served.

use super::era::Era;

/// A revision of the specification that this implementation serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Revision {
    /// 2024-11-05: the first one.
    V2024_11_05,
    /// 2025-03-26: the only one with batches.
    V2025_03_26,
    /// 2025-06-18: sessions, no tasks, no icons.
    V2025_06_18,
    /// 2025-11-25: the last revision with sessions.
    V2025_11_25,
    /// 2026-07-28: the first stateless revision.
    V2026_07_28,
}

impl Revision {
    /// Revisions a legacy handshake can agree on, newest first.
    pub const LEGACY: &'static [Revision] = &[
        Revision::V2025_11_25,
        Revision::V2025_06_18,
        Revision::V2025_03_26,
        Revision::V2024_11_05,
    ];
    /// Revisions a modern claim can name, newest first.
    pub const MODERN: &'static [Revision] = &[Revision::V2026_07_28];

    /// Every revision, oldest first: the place of each is its discriminant.
    pub const ALL: [Revision; 5] = [
        Revision::V2024_11_05,
        Revision::V2025_03_26,
        Revision::V2025_06_18,
        Revision::V2025_11_25,
        Revision::V2026_07_28,
    ];

    /// The date that names this revision on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Revision::V2024_11_05 => "2024-11-05",
            Revision::V2025_03_26 => "2025-03-26",
            Revision::V2025_06_18 => "2025-06-18",
            Revision::V2025_11_25 => "2025-11-25",
            Revision::V2026_07_28 => "2026-07-28",
        }
    }

    /// The era this revision belongs to.
    pub const fn era(self) -> Era {
        match self {
            Revision::V2026_07_28 => Era::Modern,
            _ => Era::Legacy,
        }
    }

    /// Whether tasks are part of this revision; in the modern era they are an extension.
    pub fn has_tasks(self) -> bool {
        self == Revision::V2025_11_25
    }

    /// Whether a POST of a session may hold an array of messages: JSON-RPC batches came with
    /// 2025-03-26 and went with the next revision.
    pub const fn has_batches(self) -> bool {
        matches!(self, Revision::V2025_03_26)
    }

    /// Whether it has audio content, annotations of tools, a capability for completion and messages
    /// in progress (MCP 2025-03-26, "Key Changes").
    pub fn has_audio(self) -> bool {
        self >= Revision::V2025_03_26
    }

    /// Whether it has structured content, titles, links to resources, `_meta` of entries and
    /// elicitation (MCP 2025-06-18, "Key Changes").
    pub fn has_structured_content(self) -> bool {
        self >= Revision::V2025_06_18
    }

    /// Whether it has icons, elicitation by URL, and tools in sampling (MCP 2025-11-25, "Key
    /// Changes").
    pub fn has_icons(self) -> bool {
        self >= Revision::V2025_11_25
    }

    /// The modern revision called `name`, if it is served.
    pub fn modern(name: &str) -> Option<Revision> {
        Self::MODERN
            .iter()
            .copied()
            .find(|revision| revision.as_str() == name)
    }

    /// The legacy revision called `name`, if it is served.
    pub fn legacy(name: &str) -> Option<Revision> {
        Self::LEGACY
            .iter()
            .copied()
            .find(|revision| revision.as_str() == name)
    }

    /// The revision of a legacy handshake for a client that requested `requested`.
    ///
    /// A served legacy revision is echoed; any other text, a modern revision included, gets the
    /// newest legacy one (MCP 2025-11-25 basic/lifecycle, "Version Negotiation").
    pub fn negotiate(requested: &str) -> Revision {
        Self::legacy(requested).unwrap_or(Self::LEGACY[0])
    }
}

/// Whether `name` is a date at or after the first modern revision.
///
/// Revisions are ISO dates, so they compare as text; a text that is not a date is not modern.
pub fn names_modern_era(name: &[u8]) -> bool {
    let is_date = name.len() == 10
        && name.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_date && name >= Revision::V2026_07_28.as_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negotiates_down_and_never_into_the_modern_era() {
        for (requested, expected) in [
            ("2025-11-25", Revision::V2025_11_25),
            ("2025-06-18", Revision::V2025_06_18),
            ("2025-03-26", Revision::V2025_03_26),
            ("2024-11-05", Revision::V2024_11_05),
            ("2026-07-28", Revision::V2025_11_25),
            ("2099-01-01", Revision::V2025_11_25),
            ("1900-01-01", Revision::V2025_11_25),
            ("", Revision::V2025_11_25),
        ] {
            assert_eq!(Revision::negotiate(requested), expected, "{requested}");
        }
    }

    #[test]
    fn revisions_are_in_order_and_each_stands_in_its_place() {
        for (place, revision) in Revision::ALL.into_iter().enumerate() {
            assert_eq!(revision as usize, place);
        }
        assert!(Revision::ALL.is_sorted_by_key(|revision| revision.as_str()));
        assert!(Revision::LEGACY.is_sorted_by(|newer, older| newer > older));
        let served = Revision::LEGACY.len() + Revision::MODERN.len();
        assert_eq!(served, Revision::ALL.len());
    }

    #[test]
    fn only_dates_from_the_first_modern_revision_on_are_modern() {
        for (name, expected) in [
            ("2026-07-28", true),
            ("2026-07-29", true),
            ("2099-12-31", true),
            ("2025-11-25", false),
            ("v999.0.0", false),
            ("9999", false),
            ("2026-07-28x", false),
            ("", false),
        ] {
            assert_eq!(names_modern_era(name.as_bytes()), expected, "{name}");
        }
    }
}
