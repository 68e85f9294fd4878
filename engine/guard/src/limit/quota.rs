//! Calls and bytes of one day, by owner: a principal or a tenant.
//!
//! The home shard of an owner has the sum. Any other shard reports its own use after a second, or
//! after a thousandth of the quota, and learns the sum from the reply. So all shards together
//! exceed a quota by no more than a thousandth for each of them, and by the use of messages under
//! way. A day begins at midnight UTC.
//!
//! Sums outlive the process as text: see [`Quotas::snapshot`]. The use since the last snapshot is
//! lost with the process.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::table::{Entry, Table};
use super::{LimitKey, MS, SECOND};
use crate::holder::HolderKey;

const DAY_S: u64 = 24 * 3600;
/// A report is due after this part of a quota.
const REPORT_PART: u64 = 1000;
/// The first line of a snapshot, before the day.
const SNAPSHOT_START: &str = "corelane quotas 1 day ";

/// Calls and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Calls.
    pub calls: u64,
    /// Bytes.
    pub bytes: u64,
}

/// The use of one day that is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Calls, if they are limited.
    pub calls_max: Option<u64>,
    /// Bytes, if they are limited.
    pub bytes_max: Option<u64>,
}

/// The owner of a quota: the text that snapshots have, and the key that is made from it.
#[derive(Clone, Copy, Debug)]
pub struct QuotaOwner<'a> {
    /// The name of the principal or tenant, without control characters.
    pub name: &'a str,
    /// The key of [`QuotaOwner::key_of`].
    pub key: LimitKey,
}

/// A message between the shards of a server about one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaMessage {
    /// To the home: more was used.
    Report {
        /// The owner.
        key: LimitKey,
        /// Its name.
        name: Box<str>,
        /// The use since the report before.
        used: Use,
    },
    /// From the home: the sum.
    Sum {
        /// The owner.
        key: LimitKey,
        /// The use of the day, as the home knows it.
        sum: Use,
    },
}

/// The use of owners, as one shard knows it.
#[derive(Debug)]
pub struct Quotas {
    shard: u16,
    shards: u16,
    table: Table<Owner>,
    messages: VecDeque<(u16, QuotaMessage)>,
    /// Days since 1970.
    day: u64,
    day_ends_ns: u64,
}

#[derive(Debug)]
struct Owner {
    key: LimitKey,
    name: Box<str>,
    /// The use of all shards, as far as it is known.
    sum: Use,
    /// The part of it that the home does not know.
    unreported: Use,
}

/// A text that is no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not of a snapshot of quotas: restore the file, or remove it to begin anew")]
pub struct SnapshotError {
    /// The line, from 1.
    pub line: usize,
}

impl QuotaOwner<'_> {
    /// The key of an owner, from the key of its name as a holder.
    pub fn key_of(holder: HolderKey) -> LimitKey {
        LimitKey::new("quota", holder)
    }
}

impl Use {
    fn add(&mut self, more: Use) {
        self.calls = self.calls.saturating_add(more.calls);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

impl Quotas {
    /// The quotas on one of `shards` shards, with at most `owners_max` owners.
    pub fn new((shard, shards): (u16, u16), owners_max: usize) -> Quotas {
        Quotas {
            shard,
            shards,
            table: Table::new(owners_max),
            messages: VecDeque::new(),
            day: 0,
            day_ends_ns: u64::MAX,
        }
    }

    /// Uses a part of a quota, unless all of it is used.
    ///
    /// # Errors
    /// The quota is used: the milliseconds until the next day, at least 1.
    pub fn spend(
        &mut self,
        owner: QuotaOwner<'_>,
        quota: Quota,
        used: Use,
        now_ns: u64,
    ) -> Result<(), u64> {
        let is_home = owner.key.home(self.shards) == self.shard;
        let place = self.place_of(owner, now_ns);
        let entry = self.table.at(place);
        let is_used = |sum: u64, max: Option<u64>| max.is_some_and(|max| sum >= max);
        if is_used(entry.sum.calls, quota.calls_max) || is_used(entry.sum.bytes, quota.bytes_max) {
            let left_ns = self.day_ends_ns.saturating_sub(now_ns);
            return Err(left_ns.div_ceil(MS).max(1));
        }
        entry.sum.add(used);
        if !is_home {
            entry.unreported.add(used);
            let is_large = |used: u64, max: Option<u64>| {
                max.is_some_and(|max| used > 0 && used >= max / REPORT_PART)
            };
            if is_large(entry.unreported.calls, quota.calls_max)
                || is_large(entry.unreported.bytes, quota.bytes_max)
            {
                self.report(place);
            }
        }
        Ok(())
    }

    /// Handles a message of another shard.
    pub fn handle_message(&mut self, from: u16, message: QuotaMessage, now_ns: u64) {
        match message {
            QuotaMessage::Report { key, name, used } => {
                let place = self.place_of(QuotaOwner { name: &name, key }, now_ns);
                let entry = self.table.at(place);
                entry.sum.add(used);
                let sum = entry.sum;
                self.messages
                    .push_back((from, QuotaMessage::Sum { key, sum }));
            }
            QuotaMessage::Sum { key, sum } => {
                if let Some(place) = self.table.find(key) {
                    let entry = self.table.at(place);
                    entry.sum = sum;
                    entry.sum.add(entry.unreported);
                }
            }
        }
    }

    /// The next message to another shard.
    pub fn poll_message(&mut self) -> Option<(u16, QuotaMessage)> {
        self.messages.pop_front()
    }

    /// Reports the use since the last call, and begins a day when it is time. To be called once a
    /// second, with the seconds since 1970. A clock that is set back begins no day.
    pub fn handle_time(&mut self, now_ns: u64, unix_s: u64) {
        let day = unix_s / DAY_S;
        if day > self.day {
            self.day = day;
            self.table.clear();
            self.messages.clear();
        }
        let day_end_s = (self.day + 1) * DAY_S;
        self.day_ends_ns = now_ns + day_end_s.saturating_sub(unix_s) * SECOND;
        for place in 0..self.table.len() {
            if self.table.at(place).unreported != Use::default() {
                self.report(place);
            }
        }
    }

    /// The sums of this shard as lines of text, without the first one: [`snapshot_head`] is that
    /// for all shards.
    pub fn snapshot(&self) -> String {
        let mut text = String::new();
        let is_mine = |owner: &&Owner| owner.key.home(self.shards) == self.shard;
        for Owner { name, sum, .. } in self.table.iter().filter(is_mine) {
            let Use { calls, bytes } = sum;
            writeln!(text, "{calls} {bytes} {name}").expect("a string takes all");
        }
        text
    }

    /// Takes sums of a snapshot over, those of which this shard is the home.
    pub fn restore(&mut self, sum: Use, owner: QuotaOwner<'_>) {
        if owner.key.home(self.shards) == self.shard {
            let place = self.place_of(owner, 0);
            self.table.at(place).sum.add(sum);
        }
    }

    /// The day that sums are of, in days since 1970.
    pub fn day(&self) -> u64 {
        self.day
    }

    fn report(&mut self, place: usize) {
        let entry = self.table.at(place);
        let used = std::mem::take(&mut entry.unreported);
        let (key, name) = (entry.key, entry.name.clone());
        let message = QuotaMessage::Report { key, name, used };
        self.messages.push_back((key.home(self.shards), message));
    }

    fn place_of(&mut self, owner: QuotaOwner<'_>, now_ns: u64) -> usize {
        let QuotaOwner { name, key } = owner;
        self.table.find(key).unwrap_or_else(|| {
            let entry = Owner {
                key,
                name: name.into(),
                sum: Use::default(),
                unreported: Use::default(),
            };
            self.table.insert(entry, now_ns).0
        })
    }
}

impl Entry for Owner {
    fn key(&self) -> LimitKey {
        self.key
    }

    fn loss(&self, _: u64) -> u64 {
        // A full table forgets the owner that used least.
        self.sum.calls.saturating_add(self.sum.bytes / 1024)
    }
}

/// The sums of all shards, read from text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot<'a> {
    /// The day that they are of, in days since 1970.
    pub day: u64,
    /// The use of each owner, by name.
    pub owners: Vec<(Use, &'a str)>,
}

/// The first line of a snapshot.
pub fn snapshot_head(day: u64) -> String {
    format!("{SNAPSHOT_START}{day}\n")
}

/// Reads a snapshot.
///
/// # Errors
/// It is none.
pub fn read_snapshot(text: &str) -> Result<Snapshot<'_>, SnapshotError> {
    let mut lines = (1..).zip(text.lines());
    let first = lines.next().and_then(|(_, line)| {
        let day = line.strip_prefix(SNAPSHOT_START)?;
        day.parse().ok()
    });
    let day = first.ok_or(SnapshotError { line: 1 })?;
    let read = |text: &'_ str| -> Option<(u64, u64)> {
        let (calls, bytes) = text.split_once(' ')?;
        Some((calls.parse().ok()?, bytes.parse().ok()?))
    };
    let owners = lines.map(|(line, text)| {
        let second = text.match_indices(' ').nth(1);
        let numbers = second.and_then(|(at, _)| Some((read(&text[..at])?, &text[at + 1..])));
        let ((calls, bytes), name) = numbers.ok_or(SnapshotError { line })?;
        Ok((Use { calls, bytes }, name))
    });
    let owners = owners.collect::<Result<_, _>>()?;
    Ok(Snapshot { day, owners })
}

#[cfg(test)]
mod tests {
    use super::{DAY_S, Quota, QuotaOwner, Quotas, Snapshot, SnapshotError, Use};
    use super::{read_snapshot, snapshot_head};
    use crate::holder::Holders;
    use crate::limit::SECOND;

    const CALL: Use = Use {
        calls: 1,
        bytes: 100,
    };

    fn owner(name: &str) -> QuotaOwner<'_> {
        let key = QuotaOwner::key_of(Holders::default().of_principal(name));
        QuotaOwner { name, key }
    }

    fn quota(calls: u64) -> Quota {
        Quota {
            calls_max: Some(calls),
            bytes_max: None,
        }
    }

    fn server(shards: u16) -> Vec<Quotas> {
        let shard = |number| {
            let mut shard = Quotas::new((number, shards), 100);
            shard.handle_time(0, DAY_S * 100 + 3600);
            shard
        };
        (0..shards).map(shard).collect()
    }

    fn pass_messages(shards: &mut [Quotas]) {
        while let Some((from, (to, message))) =
            (0..shards.len()).find_map(|shard| Some((shard, shards[shard].poll_message()?)))
        {
            shards[usize::from(to)].handle_message(from as u16, message, 0);
        }
    }

    #[test]
    fn shards_keep_one_quota_together_within_a_thousandth_each() {
        for shards in [1, 2, 4] {
            let mut server = server(shards);
            let mut admitted = 0;
            for number in 0..30_000 {
                let shard = &mut server[number % usize::from(shards)];
                admitted += u64::from(shard.spend(owner("ann"), quota(10_000), CALL, 0).is_ok());
                if number % 7 == 0 {
                    pass_messages(&mut server);
                }
            }
            let most = 10_000 + 10 * u64::from(shards);
            assert!((10_000..=most).contains(&admitted), "{shards}: {admitted}");
        }
    }

    #[test]
    fn a_used_quota_is_free_at_midnight() {
        let mut shard = server(1).remove(0);
        let bytes = Quota {
            calls_max: None,
            bytes_max: Some(150),
        };
        assert_eq!(shard.spend(owner("ann"), bytes, CALL, 0), Ok(()));
        assert_eq!(shard.spend(owner("ann"), bytes, CALL, 0), Ok(()));
        let left_ms = 23 * 3600 * 1000;
        assert_eq!(shard.spend(owner("ann"), bytes, CALL, 0), Err(left_ms));
        assert_eq!(shard.spend(owner("bob"), bytes, CALL, 0), Ok(()));
        shard.handle_time(SECOND, DAY_S * 99);
        assert!(shard.spend(owner("ann"), bytes, CALL, SECOND).is_err());
        shard.handle_time(2 * SECOND, DAY_S * 101);
        assert_eq!(shard.spend(owner("ann"), bytes, CALL, 2 * SECOND), Ok(()));
    }

    #[test]
    fn a_snapshot_is_restored() {
        let mut before = server(2);
        for name in ["key::a b", "jwt:corp:ann", "tenant:x"] {
            for shard in &mut before {
                shard.spend(owner(name), quota(9), CALL, 0).unwrap();
            }
        }
        pass_messages(&mut before);
        let lines: String = before.iter().map(Quotas::snapshot).collect();
        let text = snapshot_head(before[0].day()) + &lines;
        let Snapshot { day, owners } = read_snapshot(&text).unwrap();
        assert_eq!((day, owners.len()), (100, 3));
        let mut after = server(4);
        for (sum, name) in owners {
            assert_eq!(
                sum,
                Use {
                    calls: 2,
                    bytes: 200
                }
            );
            for shard in &mut after {
                shard.restore(sum, owner(name));
            }
        }
        let key = owner("key::a b").key;
        let home = &mut after[usize::from(key.home(4))];
        let spent = (0..20).filter(|_| home.spend(owner("key::a b"), quota(9), CALL, 0).is_ok());
        assert_eq!(spent.count(), 7);
    }

    #[test]
    fn other_texts_are_no_snapshots() {
        let head = snapshot_head(7);
        for (text, line) in [
            (String::new(), 1),
            ("corelane quotas 2 day 7\n".to_owned(), 1),
            ("corelane quotas 1 day x\n".to_owned(), 1),
            (format!("{head}1 2 a\n1 2\n"), 3),
            (format!("{head}1 x a\n"), 2),
            (format!("{head}\n"), 2),
        ] {
            assert_eq!(read_snapshot(&text), Err(SnapshotError { line }), "{text}");
        }
        let nothing = Snapshot {
            day: 7,
            owners: vec![],
        };
        assert_eq!(read_snapshot(&head), Ok(nothing));
    }
}
