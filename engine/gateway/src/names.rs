//! The names that clients see of the tools and prompts of upstreams.
//!
//! An exposed name depends on the configuration of its upstream and on the original name alone, so
//! that no upstream that comes, goes or fails renames an entry of another one. Routing is one
//! look-up of the whole name: no name is ever split at a delimiter.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

/// The range of the greatest length of an exposed name, in characters. Some clients take 64.
pub const NAME_CHARS_RANGE: std::ops::RangeInclusive<usize> = 16..=128;
/// Characters of the digest at the end of a name that was too long, and of the `_` before it.
const DIGEST_CHARS: usize = 9;
/// The alphabet of RFC 4648 section 6, in lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// How the names of one upstream are exposed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// The name of the upstream.
    pub upstream: Box<str>,
    /// The start of its exposed names.
    pub prefix: Box<str>,
    /// Exposed names of single tools, by their original names.
    pub renamed: HashMap<Box<str>, Box<str>>,
}

impl Naming {
    /// The exposed name of a tool, which the configuration may have renamed; else as
    /// [`Naming::prefixed`].
    pub fn exposed(&self, original: &str, chars_max: usize) -> String {
        match self.renamed.get(original) {
            Some(name) => name.to_string(),
            None => self.prefixed(original, chars_max),
        }
    }

    /// The exposed name of an entry, of at most `chars_max` characters, which is in
    /// [`NAME_CHARS_RANGE`]. A character that is no letter, digit, `_`, `.` or `-` of ASCII becomes
    /// `_`. A name that is too long is cut, and ends with a part of a digest of the whole name.
    ///
    /// ```
    /// use corelane_gateway::names::Naming;
    ///
    /// let naming = Naming {
    ///     upstream: "git".into(),
    ///     prefix: "git_".into(),
    ///     ..Naming::default()
    /// };
    /// assert_eq!(naming.prefixed("log tail", 64), "git_log_tail");
    /// ```
    pub fn prefixed(&self, original: &str, chars_max: usize) -> String {
        let whole = self.prefix.chars().chain(original.chars());
        let allowed = |it: char| match it {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '_' | '.' | '-' => it,
            _ => '_',
        };
        let mut name: String = whole.map(allowed).collect();
        if name.len() > chars_max {
            name.truncate(chars_max - DIGEST_CHARS);
            name.push('_');
            name.extend(digest(&self.upstream, original));
        }
        name
    }
}

/// Eight characters of a digest: enough that two long names of one upstream do not meet by chance.
fn digest(upstream: &str, original: &str) -> impl Iterator<Item = char> {
    let mut hash = Sha256::new();
    hash.update(upstream);
    hash.update([0]);
    hash.update(original);
    let bytes = hash.finalize();
    let bits = bytes[..5]
        .iter()
        .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    (0..8).map(move |place| char::from(BASE32[(bits >> (35 - 5 * place)) as usize & 31]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Naming;
    use corelane_io::rng::Rng;

    fn naming(upstream: &str, prefix: &str) -> Naming {
        Naming {
            upstream: upstream.into(),
            prefix: prefix.into(),
            ..Naming::default()
        }
    }

    #[test]
    fn names_have_characters_that_every_client_takes() {
        for (original, expected) in [
            ("list", "a_list"),
            ("List.all-2", "a_List.all-2"),
            ("übung/eins zwei", "a__bung_eins_zwei"),
            ("", "a_"),
            ("\u{1f600}", "a__"),
        ] {
            assert_eq!(naming("a", "a_").exposed(original, 64), expected);
        }
        let long = "x".repeat(62);
        assert_eq!(naming("a", "a_").exposed(&long, 64), format!("a_{long}"));
    }

    #[test]
    fn a_long_name_is_cut_and_stays_distinct() {
        let long = |end: &str| "x".repeat(80) + end;
        let naming_a = naming("a", "");
        let (one, two) = (
            naming_a.exposed(&long("1"), 64),
            naming_a.exposed(&long("2"), 64),
        );
        assert_eq!((one.len(), two.len()), (64, 64));
        assert_eq!(one[..56], format!("{}_", "x".repeat(55)));
        assert_ne!(one, two);
        assert_ne!(one, naming("b", "").exposed(&long("1"), 64));
        // The first 40 bits of SHA-256 of "a", NUL and the name, in Base32.
        assert_eq!(&one[56..], "qol6ybjh");
        assert_eq!(naming_a.exposed(&long("1"), 16).len(), 16);
    }

    #[test]
    fn a_renamed_entry_has_its_name_as_it_is_written() {
        let mut naming = naming("a", "a_");
        naming.renamed.insert("list".into(), "everything".into());
        assert_eq!(naming.exposed("list", 64), "everything");
        assert_eq!(naming.exposed("other", 64), "a_other");
    }

    /// Upstreams come, go and change; the names of the others stay.
    #[test]
    fn no_change_of_one_upstream_renames_an_entry_of_another() {
        let mut rng = Rng::printed();
        let exposed = |upstreams: &BTreeMap<u64, Vec<u64>>| {
            let mut names = BTreeMap::new();
            for (upstream, tools) in upstreams {
                let naming = naming(&format!("u{upstream}"), &format!("u{upstream}_"));
                for tool in tools {
                    let original = format!("tool{tool}").repeat(1 + *tool as usize);
                    names.insert((*upstream, *tool), naming.exposed(&original, 64));
                }
            }
            names
        };
        let mut upstreams: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for _ in 0..100 {
            let before = exposed(&upstreams);
            let changed = rng.below(8);
            match rng.below(3) {
                0 => _ = upstreams.remove(&changed),
                _ => {
                    let tools = (0..rng.below(20)).collect();
                    upstreams.insert(changed, tools);
                }
            }
            let after = exposed(&upstreams);
            for ((upstream, tool), name) in before {
                if upstream != changed {
                    assert_eq!(after.get(&(upstream, tool)), Some(&name));
                }
            }
        }
    }
}
