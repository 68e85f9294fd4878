//! The shares of holders in a table or a budget.
//!
//! The rule is the dynamic threshold of shared-memory switches (Choudhury and Hahne, "Dynamic Queue
//! Length Thresholds in a Shared Memory Switch", 1998): a holder may have at most eight times as
//! much as is free then. One alone may have eight ninths; two may have eight seventeenths each. A
//! few holders never take everything, and a holder with nothing is always served from the rest. A
//! holder of less than a sixty-fourth is never limited: many small ones may fill the table
//! together.
//!
//! There is no fixed limit for a holder, because a proxy may be the only one there is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::holder::HolderKey;

/// The largest ratio of a holder's part to the free part.
const TIMES_FREE: usize = 8;
/// The part of the whole that every holder may have.
const SMALL_PART: usize = 64;
/// And so much of a small table.
const SMALL_SHARE: usize = 8;

/// The holders of a resource with the limit `max`.
#[derive(Debug)]
pub struct Shares {
    max: usize,
    used: usize,
    /// The holders with their parts. The hash needs no protection against attacks: a key is a keyed
    /// hash.
    held: HashMap<HolderKey, usize, foldhash::fast::RandomState>,
    /// The holders that have more than every holder may have: only these can exceed their shares.
    /// While no more than `max` is taken, they are fewer than [`SMALL_PART`].
    large: Vec<HolderKey>,
}

/// Why a holder gets no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Others have the rest.
    Free {
        /// How much is free.
        free: usize,
    },
    /// The holder has its share.
    Share {
        /// The part that it holds.
        held: usize,
    },
}

/// The share of one holder in `max`, of which `used` are taken, its own part included.
pub fn share_of(max: usize, used: usize) -> usize {
    let free = max.saturating_sub(used);
    free.saturating_mul(TIMES_FREE).max(least_share_of(max))
}

/// The part of `max` that every holder may have.
fn least_share_of(max: usize) -> usize {
    SMALL_SHARE.max(max / SMALL_PART)
}

impl Shares {
    /// Nothing is held of `max`.
    pub fn new(max: usize) -> Shares {
        Shares {
            max,
            used: 0,
            held: HashMap::default(),
            large: Vec::new(),
        }
    }

    /// Changes how much there is. Shares that are held past it stay until they are given back.
    pub fn set_max(&mut self, max: usize) {
        self.max = max;
        let least = least_share_of(max);
        let large = self.held.iter().filter(|(_, held)| **held > least);
        self.large = large.map(|(holder, _)| *holder).collect();
    }

    /// How much there is, taken or free.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Whether a small amount is free for any holder: less than half is taken, which is within the
    /// share of each.
    pub fn is_ample(&self) -> bool {
        self.used < self.max / 2
    }

    /// Whether it depends on the holder if one more is taken: some is free, but not for everyone.
    pub fn is_contested(&self) -> bool {
        self.max > SMALL_SHARE && self.used < self.max && !self.is_ample()
    }

    /// Whether `holder` may have `amount` more.
    ///
    /// # Errors
    /// The limit that it would exceed.
    pub fn check(&self, holder: HolderKey, amount: usize) -> Result<(), Lack> {
        let free = self.max.saturating_sub(self.used);
        if amount > free {
            return Err(Lack::Free { free });
        }
        let held = self.held_by(holder);
        if held + amount > share_of(self.max, self.used + amount) {
            return Err(Lack::Share { held });
        }
        Ok(())
    }

    /// Whether one more would exceed the share of `holder`.
    pub fn is_at_share(&self, holder: HolderKey) -> bool {
        self.exceeds_share(holder, 1)
    }

    /// Whether `amount` more would exceed the share of `holder`. An eviction for it does not count:
    /// that leaves as much free as before.
    pub fn exceeds_share(&self, holder: HolderKey, amount: usize) -> bool {
        self.held_by(holder) + amount > self.share_beside(amount)
    }

    /// The holder among those that `can_lose` that has the most, if it has more than its share once
    /// another holder takes `amount`.
    pub fn largest_past_share(
        &self,
        amount: usize,
        can_lose: impl Fn(HolderKey) -> bool,
    ) -> Option<HolderKey> {
        let share = self.share_beside(amount);
        let large = self.large.iter().copied();
        large
            .filter(|holder| self.held_by(*holder) > share && can_lose(*holder))
            .max_by_key(|holder| (self.held_by(*holder), *holder))
    }

    /// The share of a holder once `amount` more is taken.
    fn share_beside(&self, amount: usize) -> usize {
        share_of(self.max, self.max.min(self.used + amount))
    }

    /// Gives `holder` more. An unchecked amount may exceed its share, and the limit.
    pub fn take(&mut self, holder: HolderKey, amount: usize) {
        if amount > 0 {
            self.used += amount;
            let least = least_share_of(self.max);
            let held = self.held.entry(holder).or_default();
            if *held <= least && *held + amount > least {
                self.large.push(holder);
            }
            *held += amount;
        }
    }

    /// Takes a part of `holder` back.
    pub fn give_back(&mut self, holder: HolderKey, amount: usize) {
        if amount == 0 {
            return;
        }
        let Entry::Occupied(mut held) = self.held.entry(holder) else {
            unreachable!("a holder gives back what it was given");
        };
        self.used -= amount;
        let before = *held.get();
        let after = before - amount;
        *held.get_mut() = after;
        if after == 0 {
            held.remove();
        }
        let least = least_share_of(self.max);
        if before > least && after <= least {
            self.large.retain(|other| *other != holder);
        }
    }

    /// The part of `holder`.
    pub fn held_by(&self, holder: HolderKey) -> usize {
        self.held.get(&holder).copied().unwrap_or(0)
    }

    /// The parts of all together.
    pub fn used(&self) -> usize {
        #[cfg(test)]
        assert_eq!(self.held.values().sum::<usize>(), self.used);
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::{HolderKey, Lack, Shares, share_of};
    use crate::holder::Holders;
    use corelane_io::rng::Rng;

    fn keys(count: usize) -> Vec<HolderKey> {
        let holders = Holders::default();
        let key = |number: usize| holders.of_principal(&number.to_string());
        (0..count).map(key).collect()
    }

    #[test]
    fn another_limit_keeps_what_is_held_and_finds_the_holders_past_it() {
        let mut shares = Shares::new(6400);
        let holders = keys(2);
        shares.take(holders[0], 90);
        shares.take(holders[1], 20);
        assert_eq!(shares.largest_past_share(0, |_| true), None);
        shares.set_max(64);
        assert_eq!(shares.used(), 110);
        assert_eq!(shares.check(holders[1], 1), Err(Lack::Free { free: 0 }));
        assert_eq!(shares.largest_past_share(0, |_| true), Some(holders[0]));
        // Fewer than every holder may have: it is no longer among the large ones.
        shares.give_back(holders[0], 85);
        assert_eq!(shares.largest_past_share(64, |_| true), Some(holders[1]));
        shares.set_max(6400);
        assert!(shares.check(holders[1], 1).is_ok());
        assert_eq!(shares.largest_past_share(0, |_| true), None);
        shares.give_back(holders[1], 20);
        shares.give_back(holders[0], 5);
        assert_eq!(shares.used(), 0);
    }

    /// Lets each of `holders` take one after the other, in turns, until none gets any more.
    fn fill(shares: &mut Shares, holders: &[HolderKey]) {
        loop {
            let mut took = false;
            for holder in holders {
                if shares.check(*holder, 1).is_ok() {
                    shares.take(*holder, 1);
                    took = true;
                }
            }
            if !took {
                return;
            }
        }
    }

    #[test]
    fn greedy_holders_share_alike_and_leave_room_for_one_more() {
        let keys = keys(9);
        let (newcomer, greedy) = keys.split_last().expect("nine keys");
        // With 9, 17, 33 and 65 parts of each size, all figures are whole.
        for (count, size) in [(1, 9), (2, 17), (4, 33), (8, 65)] {
            let mut shares = Shares::new(size * 1000);
            fill(&mut shares, &greedy[..count]);
            for holder in &greedy[..count] {
                let held = shares.held_by(*holder);
                assert!(held.abs_diff(8000) <= 8, "{held} of {size}000");
                assert_eq!(shares.check(*holder, 1), Err(Lack::Share { held }));
            }
            assert_eq!(shares.check(*newcomer, 800), Ok(()));
        }
    }

    #[test]
    fn many_small_holders_may_have_everything() {
        let keys = keys(64);
        let mut shares = Shares::new(6400);
        fill(&mut shares, &keys);
        assert_eq!(shares.used(), 6400);
        let full = Err(Lack::Free { free: 0 });
        assert_eq!(shares.check(keys[0], 1), full);
        shares.give_back(keys[0], 100);
        fill(&mut shares, &keys[1..2]);
        assert!(shares.held_by(keys[1]) > 100, "what is free is anyone's");
        assert_eq!(shares.check(keys[0], 1), Ok(()));
    }

    #[test]
    fn a_small_table_can_be_filled_by_one() {
        let holder = keys(1)[0];
        for max in 1..=8 {
            let mut shares = Shares::new(max);
            fill(&mut shares, &[holder]);
            assert_eq!(shares.held_by(holder), max);
        }
    }

    #[test]
    fn ample_means_that_everyone_is_within_its_share() {
        for max in 1..1000 {
            let mut shares = Shares::new(max);
            let holder = HolderKey::ANONYMOUS;
            while shares.is_ample() {
                assert_eq!(shares.check(holder, 1), Ok(()), "{max}");
                shares.take(holder, 1);
            }
            assert_eq!(shares.held_by(holder), max / 2);
        }
    }

    #[test]
    fn a_holder_without_a_part_is_removed() {
        let (mut rng, keys) = (Rng::printed(), keys(5));
        let mut shares = Shares::new(10_000);
        let mut model: Vec<(usize, usize)> = Vec::new();
        for _ in 0..5000 {
            let (at, amount) = (rng.below(5) as usize, rng.below(100) as usize);
            if rng.below(2) == 0 && shares.check(keys[at], amount).is_ok() {
                shares.take(keys[at], amount);
                model.push((at, amount));
            } else if !model.is_empty() {
                let which = rng.below(model.len() as u64) as usize;
                let (at, amount) = model.swap_remove(which);
                shares.give_back(keys[at], amount);
            }
            let used: usize = model.iter().map(|(_, amount)| amount).sum();
            assert_eq!(shares.used(), used);
        }
        for (at, amount) in model {
            shares.give_back(keys[at], amount);
        }
        assert!(shares.held.is_empty() && shares.large.is_empty());
    }

    #[test]
    fn the_largest_holder_past_its_share_is_found_and_nobody_within_a_share() {
        let keys = keys(4);
        let [greedy, second, small, newcomer] = keys[..] else {
            panic!("four keys");
        };
        let mut shares = Shares::new(6400);
        shares.take(greedy, 5000);
        let largest = |shares: &Shares, amount| shares.largest_past_share(amount, |_| true);
        assert_eq!(largest(&shares, 0), None, "it is alone");
        shares.take(second, 1300);
        shares.take(small, 100);
        assert_eq!(largest(&shares, 0), Some(greedy));
        let others = shares.largest_past_share(0, |holder| holder != greedy);
        assert_eq!(others, Some(second));
        let others = shares.largest_past_share(0, |holder| holder == small);
        assert_eq!(others, None, "every holder may have a 64th");
        shares.give_back(greedy, 1000);
        assert_eq!(largest(&shares, 0), None, "1000 are free: a share is 8000");
        assert_eq!(
            largest(&shares, 600),
            Some(greedy),
            "of which 600 are wanted"
        );
        assert!(!shares.exceeds_share(newcomer, 800) && shares.exceeds_share(greedy, 800));
    }

    #[test]
    fn one_at_its_share_stays_so_when_others_take_the_rest() {
        let keys = keys(30);
        let (greedy, others) = keys.split_first().expect("thirty keys");
        let mut shares = Shares::new(640);
        assert!(!shares.is_at_share(*greedy));
        fill(&mut shares, &keys[..1]);
        assert!(shares.is_at_share(*greedy) && !shares.is_at_share(others[0]));
        fill(&mut shares, others);
        assert_eq!(shares.used(), 640);
        assert!(shares.is_at_share(*greedy));
        assert!(!shares.is_at_share(others[0]), "a small holder is never");
    }

    /// The greedy one comes first each time that something becomes free.
    #[test]
    fn what_a_greedy_holder_gives_back_goes_to_those_with_less() {
        let keys = keys(2);
        let (greedy, newcomer) = (keys[0], keys[1]);
        for max in [64, 640, 6400] {
            let mut shares = Shares::new(max);
            fill(&mut shares, &[greedy]);
            fill(&mut shares, &[newcomer]);
            let at_first = shares.held_by(newcomer);
            assert!(at_first >= max / 18, "{at_first} of {max}");
            for _ in 0..max {
                shares.give_back(greedy, 1);
                fill(&mut shares, &[greedy]);
                fill(&mut shares, &[newcomer]);
            }
            let (more, less) = (shares.held_by(greedy), shares.held_by(newcomer));
            assert!(
                more.abs_diff(less) <= max / 16,
                "{more} and {less} of {max}"
            );
        }
    }

    #[test]
    fn a_share_is_never_nothing() {
        assert_eq!(share_of(0, 0), 8);
        assert_eq!(share_of(10, 20), 8);
        assert_eq!(share_of(6400, 6400), 100);
        assert_eq!(share_of(900, 800), 800);
    }
}
