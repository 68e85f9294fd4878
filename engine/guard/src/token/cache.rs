//! Verified and refused tokens, by a keyed hash of their bytes.
//!
//! No token is stored. The hash is the tag of AES-256-GCM over the token as additional data (GMAC,
//! NIST SP 800-38D), under a random key of the shard and one nonce. That is a universal hash: two
//! tokens that were chosen without the key have one tag with a probability of at most 2^-117, as a
//! token of 16 KiB is a polynomial of degree 2^10 over a field of 2^128. No tag leaves the process,
//! which makes the one nonce safe. A token of 1 KiB takes 0.4 x the time of SHA-256 with the
//! instructions of the processor, which was the larger part of the cost of a cached token.
//!
//! Both tables are bounded. A new entry takes the place of the first one that was not used since
//! the hand passed it (second chance). [`TokenCache::find`] allocates nothing.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::fault::TokenFault;
use super::verify::{Circumstances, Proof, Verified};
use crate::identity::Identity;

/// The bounds of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Most verified tokens; at least 1.
    pub entries_max: usize,
    /// Most refused tokens; at least 1.
    pub refused_max: usize,
    /// Longest time that a verified token stays, in seconds: as long as a claim that changed
    /// elsewhere has no effect.
    pub ttl_s: u64,
    /// How long a refused token stays, in seconds.
    pub refused_ttl_s: u64,
}

impl Default for CacheLimits {
    fn default() -> CacheLimits {
        CacheLimits {
            entries_max: 16_384,
            refused_max: 4_096,
            ttl_s: 300,
            refused_ttl_s: 10,
        }
    }
}

/// The keyed hash of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 16]);

/// The entry of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cached<'a> {
    /// It is valid.
    Valid(&'a Arc<Identity>),
    /// It was refused.
    Refused(TokenFault),
}

/// The tokens that one shard has seen.
#[derive(Debug)]
pub struct TokenCache {
    limits: CacheLimits,
    key: LessSafeKey,
    verified: SecondChance<Verified>,
    refused: SecondChance<TokenFault>,
}

impl TokenCache {
    /// An empty cache. Its hashes depend on 32 random bytes.
    pub fn new(limits: CacheLimits, secret: &[u8; 32]) -> TokenCache {
        let key = UnboundKey::new(&AES_256_GCM, secret).expect("AES-256 has keys of 32 bytes");
        TokenCache {
            limits,
            key: LessSafeKey::new(key),
            verified: SecondChance::new(limits.entries_max),
            refused: SecondChance::new(limits.refused_max),
        }
    }

    /// The hash of a token of less than 64 GiB.
    pub fn digest(&self, token: &[u8]) -> TokenDigest {
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(token), &mut []);
        let tag = tag.expect("AES-GCM takes additional data of this length");
        let mut digest = [0; 16];
        digest.copy_from_slice(tag.as_ref());
        TokenDigest(digest)
    }

    /// What is known about a token. None if nothing is, or if the entry is too old. A valid token
    /// is refused if it is bound to another certificate than that of this connection.
    pub fn find(
        &mut self,
        digest: &TokenDigest,
        circumstances: &Circumstances<'_>,
    ) -> Option<Cached<'_>> {
        let now_s = circumstances.now_s;
        if let Some(verified) = self.verified.find(digest, now_s) {
            return Some(match verified.is_bound_to(circumstances.certificate) {
                true => Cached::Valid(&verified.identity),
                false => Cached::Refused(TokenFault::Binding),
            });
        }
        self.refused
            .find(digest, now_s)
            .map(|fault| Cached::Refused(*fault))
    }

    /// Keeps a token that was verified now. API keys are not kept: a check of one is as fast.
    pub fn insert(&mut self, digest: TokenDigest, verified: Verified, now_s: u64) {
        if !matches!(verified.proof, Proof::ApiKey(_)) {
            let until_s = verified
                .until_s
                .min(now_s.saturating_add(self.limits.ttl_s));
            self.verified.insert(digest, verified, until_s);
        }
    }

    /// Keeps a token that was refused now, if it would be refused again anywhere.
    pub fn insert_refused(&mut self, digest: TokenDigest, fault: TokenFault, now_s: u64) {
        if fault.is_lasting() {
            let until_s = now_s.saturating_add(self.limits.refused_ttl_s);
            self.insert_refused_until(digest, fault, until_s);
        }
    }

    /// Keeps a token that was refused for so long, in seconds since 1970.
    pub(super) fn insert_refused_until(
        &mut self,
        digest: TokenDigest,
        fault: TokenFault,
        until_s: u64,
    ) {
        self.refused.insert(digest, fault, until_s);
    }

    /// Removes verified tokens, and all refused ones.
    pub fn retain(&mut self, keep: impl Fn(&Verified) -> bool) {
        self.verified.retain(keep);
        self.refused.retain(|_| false);
    }
}

/// A bounded map. The index leads to a slot; the hand goes round the slots.
#[derive(Debug)]
struct SecondChance<T> {
    entries_max: usize,
    index: HashMap<TokenDigest, usize, foldhash::fast::RandomState>,
    slots: Vec<Slot<T>>,
    hand: usize,
}

#[derive(Debug)]
struct Slot<T> {
    digest: TokenDigest,
    value: T,
    /// The first second in which it is too old.
    until_s: u64,
    is_used: bool,
}

impl<T> SecondChance<T> {
    fn new(entries_max: usize) -> SecondChance<T> {
        SecondChance {
            entries_max: entries_max.max(1),
            index: HashMap::default(),
            slots: Vec::new(),
            hand: 0,
        }
    }

    fn find(&mut self, digest: &TokenDigest, now_s: u64) -> Option<&T> {
        let slot = &mut self.slots[*self.index.get(digest)?];
        if slot.until_s <= now_s {
            slot.is_used = false;
            return None;
        }
        slot.is_used = true;
        Some(&slot.value)
    }

    fn insert(&mut self, digest: TokenDigest, value: T, until_s: u64) {
        let slot = Slot {
            digest,
            value,
            until_s,
            is_used: false,
        };
        if let Some(place) = self.index.get(&digest) {
            self.slots[*place] = slot;
        } else if self.slots.len() < self.entries_max {
            self.index.insert(digest, self.slots.len());
            self.slots.push(slot);
        } else {
            let place = self.unused();
            self.index.remove(&self.slots[place].digest);
            self.index.insert(digest, place);
            self.slots[place] = slot;
        }
    }

    /// The place of the next entry that was not used since the hand passed it. Ends after one
    /// round, as the hand leaves no used entry behind.
    fn unused(&mut self) -> usize {
        loop {
            let place = self.hand;
            self.hand = (place + 1) % self.slots.len();
            if !std::mem::take(&mut self.slots[place].is_used) {
                return place;
            }
        }
    }

    fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.slots.retain(|slot| keep(&slot.value));
        self.hand = 0;
        let places = self.slots.iter().enumerate();
        self.index = places.map(|(place, slot)| (slot.digest, place)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::{SecondChance, TokenCache, TokenDigest};

    fn digest(number: u8) -> TokenDigest {
        TokenDigest([number; 16])
    }

    #[test]
    fn a_used_entry_has_a_second_chance() {
        let mut table = SecondChance::new(3);
        for number in 0..3 {
            table.insert(digest(number), number, 10);
        }
        assert_eq!(table.find(&digest(0), 9), Some(&0));
        table.insert(digest(3), 3, 10);
        let found = [0, 1, 2, 3].map(|number| table.find(&digest(number), 9).copied());
        assert_eq!(found, [Some(0), None, Some(2), Some(3)]);
        // All are used: the hand passes each once.
        table.insert(digest(4), 4, 10);
        assert_eq!((table.slots.len(), table.index.len()), (3, 3));
    }

    #[test]
    fn entries_end_at_their_time_and_are_replaced() {
        let mut table = SecondChance::new(2);
        table.insert(digest(1), 'a', 10);
        assert_eq!(table.find(&digest(1), 9), Some(&'a'));
        assert_eq!(table.find(&digest(1), 10), None);
        table.insert(digest(1), 'b', 20);
        assert_eq!(table.find(&digest(1), 19), Some(&'b'));
        assert_eq!(table.slots.len(), 1);
    }

    #[test]
    fn a_table_keeps_its_bound_and_its_index() {
        let mut table = SecondChance::new(8);
        for number in 0..=255 {
            table.insert(digest(number), number, 10);
            assert_eq!(table.find(&digest(number), 0), Some(&number));
        }
        assert_eq!((table.slots.len(), table.index.len()), (8, 8));
        table.retain(|number| number % 2 == 0);
        for slot in &table.slots {
            assert_eq!(table.index.len(), table.slots.len());
            assert_eq!(table.slots[table.index[&slot.digest]].value, slot.value);
        }
    }

    #[test]
    fn hashes_depend_on_the_secret_and_the_whole_token() {
        let cache = |secret| TokenCache::new(super::CacheLimits::default(), &[secret; 32]);
        let token = [b'a'; 1024];
        let one = cache(1);
        assert_eq!(one.digest(&token), one.digest(&token));
        assert_ne!(one.digest(&token), cache(2).digest(&token));
        assert_ne!(one.digest(&token), one.digest(&token[..1023]));
        let mut other = token;
        other[1023] = b'b';
        assert_ne!(one.digest(&token), one.digest(&other));
    }
}
