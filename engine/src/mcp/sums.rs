//! Requests of the same kind in one second, for the audit log: one record for each client, kind and
//! second, so that a flood costs the log no more than that.

use crate::audit::now_us;

/// Clients and kinds that are counted apart from each other in one second. Others are counted
/// together.
const SUMS_MAX: usize = 64;

/// A kind of requests that are counted together.
pub(super) trait Kind: PartialEq {
    /// The kind in which requests of any client are counted past the bound. There are few of them.
    fn of_many(&self) -> Self;
}

/// The requests of one second.
#[derive(Debug)]
pub(super) struct Sums<K> {
    sums: Vec<Sum<K>>,
    second: u64,
}

/// Requests of one client and one kind.
#[derive(Debug)]
pub(super) struct Sum<K> {
    pub(super) kind: K,
    /// The key of the principal; none of anonymous clients, and of those past the bound.
    pub(super) principal: Option<Box<str>>,
    pub(super) count: u64,
    /// The first and the last time, in microseconds since 1970.
    pub(super) from_us: u64,
    pub(super) to_us: u64,
}

impl<K> Default for Sums<K> {
    fn default() -> Sums<K> {
        Sums {
            sums: Vec::new(),
            second: 0,
        }
    }
}

impl<K: Kind> Sums<K> {
    /// Counts a request. Returns how many there were of its client and kind in this second.
    #[cold]
    pub(super) fn count(&mut self, kind: K, principal: Option<&str>) -> u64 {
        let is_full = self.sums.len() >= SUMS_MAX;
        let place = self.place(&kind, principal);
        let (kind, principal, place) = match place {
            None if is_full => {
                let many = kind.of_many();
                let place = self.place(&many, None);
                (many, None, place)
            }
            place => (kind, principal, place),
        };
        let now_us = now_us();
        let place = place.unwrap_or_else(|| {
            self.sums.push(Sum {
                kind,
                principal: principal.map(Box::from),
                count: 0,
                from_us: now_us,
                to_us: now_us,
            });
            self.sums.len() - 1
        });
        let sum = &mut self.sums[place];
        sum.count += 1;
        sum.to_us = now_us;
        sum.count
    }

    fn place(&self, kind: &K, principal: Option<&str>) -> Option<usize> {
        let is_it = |it: &Sum<K>| it.kind == *kind && it.principal.as_deref() == principal;
        self.sums.iter().position(is_it)
    }

    /// Whether nothing was counted.
    pub(super) fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Takes the sums of seconds before this one, since 1970.
    pub(super) fn take_before(&mut self, unix_s: u64) -> Vec<Sum<K>> {
        match unix_s == self.second {
            true => Vec::new(),
            false => {
                self.second = unix_s;
                self.take()
            }
        }
    }

    /// Takes all sums.
    pub(super) fn take(&mut self) -> Vec<Sum<K>> {
        std::mem::take(&mut self.sums)
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, SUMS_MAX, Sums};

    /// Another kind for each number, and 0 past the bound.
    #[derive(Debug, PartialEq)]
    struct Number(u32);

    impl Kind for Number {
        fn of_many(&self) -> Number {
            Number(0)
        }
    }

    #[test]
    fn each_client_and_kind_has_one_sum_in_a_second() {
        let mut sums = Sums::default();
        for count in 1..=3 {
            assert_eq!(sums.count(Number(1), Some("ann")), count);
            assert_eq!(sums.count(Number(2), Some("ann")), count);
            assert_eq!(sums.count(Number(1), None), count);
        }
        let taken = sums.take_before(7);
        let counts: Vec<u64> = taken.iter().map(|sum| sum.count).collect();
        assert_eq!(counts, [3, 3, 3]);
        sums.count(Number(1), Some("ann"));
        assert!(sums.take_before(7).is_empty(), "the second goes on");
        assert_eq!(sums.take_before(8).len(), 1);
    }

    #[test]
    fn a_flood_is_bounded_and_counted() {
        let mut sums = Sums::default();
        for client in 0..500 {
            sums.count(Number(1), Some(&client.to_string()));
            sums.count(Number(client), Some("ann"));
        }
        let taken = sums.take();
        assert_eq!(taken.len(), SUMS_MAX + 1);
        assert_eq!(taken.iter().map(|sum| sum.count).sum::<u64>(), 1000);
    }
}
