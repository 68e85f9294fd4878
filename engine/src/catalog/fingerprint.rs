//! Fingerprints of lists, by which a process sees whether those of the one before differ.

use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::mcp::subscription::{ListKind, ListKinds};

use super::plan::{List, Plan};

/// Lists that clients can be notified of, in the order of their fingerprints.
const KINDS: [(ListKind, &[List]); 3] = [
    (ListKind::Tools, &[List::Tools]),
    (ListKind::Resources, &[List::Resources, List::Templates]),
    (ListKind::Prompts, &[List::Prompts]),
];

/// FNV-1a of 64 bits: every release computes the same number. Nobody gains by two lists with one
/// number but a missing notification.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

impl Plan {
    /// A number for each list, which depends on its entries in all revisions.
    pub(crate) fn fingerprints(&self) -> Vec<u64> {
        let of = |(_, lists): &(ListKind, &[List])| {
            let mut hash = OFFSET;
            for list in *lists {
                for revision in 0..Revision::ALL.len() {
                    let encoded = self.pages[*list as usize][revision].encoded();
                    for byte in encoded.iter().chain(&[0]) {
                        hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
                    }
                }
            }
            hash
        };
        KINDS.iter().map(of).collect()
    }

    /// The lists whose fingerprints differ from these. One that these lack is the same.
    pub(crate) fn differing(&self, before: &[u64]) -> ListKinds {
        let mut kinds = ListKinds::default();
        let own = self.fingerprints();
        for ((kind, own), before) in KINDS.iter().zip(own).zip(before) {
            if own != *before {
                kinds.insert(kind.0);
            }
        }
        kinds
    }
}

#[cfg(test)]
mod tests {
    use corelane_protocol::mcp::subscription::ListKind;

    use crate::catalog::plan::{Entries, Plan};
    use crate::catalog::prompt::Prompt;
    use crate::handler::Call;

    fn plan(prompts: &[&str]) -> Plan {
        let prompt = |name: &&str| {
            let text = async |_: &Call, _: ()| Ok("text");
            Prompt::new(*name, "Says something.", text)
        };
        let entries = Entries {
            prompts: prompts.iter().map(prompt).collect(),
            ..Entries::default()
        };
        Plan::new(entries, 10).expect("usable entries")
    }

    #[test]
    fn lists_differ_if_an_entry_does() {
        let before = plan(&["a", "b"]).fingerprints();
        assert!(plan(&["a", "b"]).differing(&before).is_empty());
        for other in [&["a"][..], &["a", "c"], &["b", "a"], &[]] {
            let kinds = plan(other).differing(&before);
            let tools = kinds.contains(ListKind::Tools);
            let resources = kinds.contains(ListKind::Resources);
            assert!(kinds.contains(ListKind::Prompts) && !tools && !resources);
        }
        // Of a process with other kinds of lists.
        assert!(plan(&["a"]).differing(&[]).is_empty());
    }
}
