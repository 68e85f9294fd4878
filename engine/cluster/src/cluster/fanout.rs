//! Changes of resources and lists, to all processes. A lost message is noticed and repaired.

use crate::cluster::Cluster;
use crate::frame::{Frame, Heartbeat, Stage};
use crate::id::{Now, Process};
use crate::membership::Health;
use crate::sim::{mutated, sim_point};
use crate::updates::{Follow, REPEATED_MAX, partition_of};
use crate::vocabulary::Output;

/// Microseconds between two messages of one partition; changes between them go together.
const COALESCE_US: u64 = 20_000;
/// URIs of one message.
const URIS_MAX: usize = 64;

impl Cluster {
    /// A resource changed here: all processes are notified.
    pub fn resource_updated(&mut self, now: Now, uri: &str) {
        self.begin(now);
        let partition = partition_of(uri);
        let own = self.updates.own.entry(partition).or_default();
        own.waiting.insert(uri.into());
        let is_quiet = own.last == 0 || now.us - own.sent_us >= COALESCE_US;
        if is_quiet || own.waiting.len() >= URIS_MAX {
            self.flush_partition(now, partition);
        } else {
            self.updates.waiting.insert(partition);
        }
    }

    fn flush_partition(&mut self, now: Now, partition: u16) {
        self.updates.waiting.remove(&partition);
        let Some(own) = self.updates.own.get_mut(&partition) else {
            return;
        };
        own.last += 1;
        own.sent_us = now.us;
        let number = own.last;
        let uris: Vec<Box<str>> = std::mem::take(&mut own.waiting).into_iter().collect();
        let kept = &mut self.updates.kept;
        kept.push_back((partition, number, uris.clone()));
        if kept.len() > self.settings.updates_kept {
            kept.pop_front();
        }
        self.publish(Frame::Update(partition, number, uris));
    }

    pub(super) fn flush_updates(&mut self, now: Now) {
        let waiting: Vec<u16> = self.updates.waiting.iter().copied().collect();
        for partition in waiting {
            let own = self.updates.own.get(&partition);
            if own.is_some_and(|own| now.us - own.sent_us >= COALESCE_US) {
                self.flush_partition(now, partition);
            }
        }
    }

    /// Whether clients of this process subscribe to URIs of a partition.
    pub fn set_interest(&mut self, now: Now, partition: u16, is_interested: bool) {
        self.begin(now);
        if !is_interested {
            self.updates.interest.remove(&partition);
            self.updates
                .follows
                .retain(|(_, other), _| *other != partition);
        } else if self.updates.interest.insert(partition) {
            // Earlier updates are of no interest, but those between two heartbeats are.
            let heard = self.members.all().map(|member| {
                let updates = &member.heartbeat.updates;
                let last = updates.iter().find(|(other, _)| *other == partition);
                (member.process, last.map_or(0, |(_, last)| *last))
            });
            for (process, last) in heard.collect::<Vec<_>>() {
                self.follow(process, partition).next = last + 1;
            }
        }
    }

    fn follow(&mut self, from: Process, partition: u16) -> &mut Follow {
        let is_known = self.updates.follows.contains_key(&(from, partition));
        if !is_known
            && self.updates.follows.len() >= self.settings.followed_max
            && let Some(((_, lost), _)) = self.updates.follows.pop_first()
        {
            self.outputs.push_back(Output::AllUpdated(lost));
        }
        let follow = Follow {
            next: 1,
            gap_us: None,
        };
        let entry = self.updates.follows.entry((from, partition));
        entry.or_insert(follow)
    }

    pub(super) fn on_update(
        &mut self,
        now: Now,
        from: Process,
        (partition, number): (u16, u64),
        uris: Vec<Box<str>>,
    ) {
        if from == self.me || !self.updates.interest.contains(&partition) {
            return;
        }
        let follow = self.follow(from, partition);
        if number < follow.next {
            return;
        }
        if number == follow.next {
            follow.next += 1;
        } else {
            self.request_gap(now, from, partition);
        }
        let updated = uris.into_iter().map(Output::Updated);
        self.outputs.extend(updated);
    }

    fn request_gap(&mut self, now: Now, from: Process, partition: u16) {
        let gap_us = self.settings.gap_us;
        let follow = self.follow(from, partition);
        if mutated!("no_gap_repair") {
            return;
        }
        if follow.gap_us.is_none_or(|at| now.us - at >= gap_us) {
            sim_point!("gap_requested");
            follow.gap_us = Some(now.us);
            let next = follow.next;
            self.send(from, Frame::Gap(partition, next));
        }
    }

    /// A receiver lacks updates from `number` on.
    pub(super) fn on_gap(&mut self, from: Process, partition: u16, number: u64) {
        let last = self.updates.own.get(&partition).map_or(0, |own| own.last);
        let kept = self.updates.kept.iter();
        let missing: Vec<_> = kept
            .filter(|(other, own, _)| *other == partition && *own >= number)
            .take(REPEATED_MAX)
            .cloned()
            .collect();
        if number <= last && missing.first().is_none_or(|(_, first, _)| *first > number) {
            sim_point!("gap_lost");
            return self.send(from, Frame::GapLost(partition, last + 1));
        }
        for (partition, own, uris) in missing {
            sim_point!("gap_repeated");
            self.send(from, Frame::Update(partition, own, uris));
        }
    }

    pub(super) fn on_gap_lost(&mut self, from: Process, partition: u16, next: u64) {
        if self.updates.interest.contains(&partition) {
            let follow = self.follow(from, partition);
            follow.next = follow.next.max(next);
            self.outputs.push_back(Output::AllUpdated(partition));
        }
    }

    pub(super) fn find_gaps(&mut self, now: Now, from: Process, updates: &[(u16, u64)]) {
        for (partition, last) in updates {
            let is_interesting = self.updates.interest.contains(partition);
            if is_interesting && self.follow(from, *partition).next <= *last {
                self.request_gap(now, from, *partition);
            }
        }
    }

    /// Sends all updates that are kept once more: nothing else repeats those of a process that
    /// ends.
    pub(super) fn repeat_updates(&mut self) {
        for (partition, number, uris) in std::mem::take(&mut self.updates.kept) {
            self.publish(Frame::Update(partition, number, uris));
        }
    }

    /// Processes may have come, published and gone while this one could not hear them.
    pub(super) fn doubt_updates(&mut self) {
        let interest = self.updates.interest.iter().copied();
        self.outputs.extend(interest.map(Output::AllUpdated));
    }

    /// Processes that are gone cannot repeat their updates: the last of them may be lost.
    pub(super) fn follow_gone(&mut self, now: Now) {
        let others: Vec<(Process, Health)> = self
            .members
            .all()
            .filter(|member| member.process != self.me)
            .map(|member| (member.process, member.health(now.us, &self.settings)))
            .collect();
        for (other, health) in others {
            if health != Health::Gone {
                self.updates.gone.remove(&other);
            } else if self.updates.gone.insert(other) {
                sim_point!("origin_gone");
                self.doubt_updates();
            }
        }
    }

    /// A process has a successor. It may have published between its silence and its end.
    pub(super) fn follow_successor(&mut self, successor: Process) {
        sim_point!("origin_replaced");
        let is_kept = |other: &Process| other.node != successor.node || *other == successor;
        self.updates.follows.retain(|(from, _), _| is_kept(from));
        self.updates.gone.retain(is_kept);
        self.doubt_updates();
    }

    /// The generation of one of the own lists: 0 tools, 1 resources, 2 prompts.
    pub fn set_list(&mut self, now: Now, index: usize, generation: u64) {
        self.begin(now);
        self.set_heartbeat(|heartbeat| {
            if let Some(own) = heartbeat.lists.get_mut(index) {
                *own = generation;
            }
        });
        if self.stage != Stage::Joining {
            self.heartbeat(now);
        }
    }

    pub(super) fn compare_lists(&mut self, from: Process, heartbeat: &Heartbeat) {
        let Some(member) = self.members.get(from) else {
            return;
        };
        if member.heartbeat.stage == Stage::Joining {
            // The first heartbeat: there is nothing to compare with.
            return;
        }
        let pairs = member.heartbeat.lists.iter().zip(&heartbeat.lists);
        let changed: Vec<usize> = pairs
            .enumerate()
            .filter(|(_, (old, new))| old != new)
            .map(|(index, _)| index)
            .collect();
        let changed = changed.into_iter().map(Output::ListChanged);
        self.outputs.extend(changed);
    }

    /// A process that was heard of, with the lists of its last heartbeat.
    pub fn lists_of(&self, process: Process) -> Option<[u64; 3]> {
        Some(self.members.get(process)?.heartbeat.lists)
    }
}
