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
/// URIs of one message, and their bytes. A message without URIs stands for all of its partition.
const URIS_MAX: usize = 64;
const URIS_BYTES_MAX: usize = 16 << 10;

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
        let waiting = std::mem::take(&mut own.waiting);
        let uris: Vec<Box<str>> =
            match waiting.iter().map(|uri| uri.len()).sum::<usize>() > URIS_BYTES_MAX {
                true => Vec::new(),
                false => waiting.into_iter().collect(),
            };
        let (max, bytes_max) = (self.settings.updates_kept, self.settings.updates_kept_bytes);
        self.updates
            .keep((partition, number, uris.clone()), max, bytes_max);
        // One that has not joined has no number yet: the others find a gap when it has.
        if self.stage != Stage::Joining {
            self.publish(Frame::Update(partition, number, uris));
        }
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
            let heard = self.members.all().filter_map(|member| {
                let mut updates = member.heartbeat.updates.iter();
                let (_, last) = updates.find(|(other, _)| *other == partition)?;
                Some((member.process, *last))
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
        if number > 1 && !self.is_followed(from, partition) {
            return self.on_gap_lost(from, partition, number.saturating_add(1));
        }
        let follow = self.follow(from, partition);
        if number < follow.next {
            return;
        }
        if number == follow.next {
            follow.next = number.saturating_add(1);
        } else {
            self.request_gap(now, from, partition);
        }
        self.updated(partition, uris);
    }

    /// Resources of another process changed.
    pub(super) fn updated(&mut self, partition: u16, uris: Vec<Box<str>>) {
        if uris.is_empty() {
            return self.outputs.push_back(Output::AllUpdated(partition));
        }
        self.outputs.extend(uris.into_iter().map(Output::Updated));
    }

    /// Whether the updates of an origin in a partition are counted. At its first sign those before
    /// may have been missed, and nothing says since when: the whole partition counts as changed.
    fn is_followed(&self, from: Process, partition: u16) -> bool {
        self.updates.follows.contains_key(&(from, partition))
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
            if !self.updates.interest.contains(partition) {
                continue;
            }
            if !self.is_followed(from, *partition) {
                sim_point!("origin_first_heard");
                self.on_gap_lost(from, *partition, last.saturating_add(1));
            } else if self.follow(from, *partition).next <= *last {
                self.request_gap(now, from, *partition);
            }
        }
    }

    /// Sends all updates that are kept once more: nothing else repeats those of a process that
    /// ends.
    pub(super) fn repeat_updates(&mut self) {
        for (partition, number, uris) in self.updates.forget_kept() {
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

    /// The generations of the own lists: tools, resources, prompts; 0 for one that is not known.
    pub fn set_lists(&mut self, now: Now, generations: [u64; 3]) {
        self.begin(now);
        self.set_heartbeat(|own| own.lists = generations);
        if self.stage != Stage::Joining {
            self.heartbeat(now);
        }
    }

    /// A list of a node is another one than that node had when it was last heard, even if that was
    /// its process before.
    pub(super) fn compare_lists(&mut self, from: Process, heartbeat: &Heartbeat) {
        let Some(member) = self.members.get(from) else {
            return;
        };
        for (index, new) in heartbeat.lists.iter().enumerate() {
            // Before it was heard, clients here knew the own list only.
            let old = match member.lists[index] {
                0 => self.operators.own.lists[index],
                heard => heard,
            };
            if old != *new && old != 0 && *new != 0 {
                self.outputs.push_back(Output::ListChanged(index));
            }
        }
    }

    /// A process that was heard of, with the lists of its last heartbeat.
    pub fn lists_of(&self, process: Process) -> Option<[u64; 3]> {
        Some(self.members.get(process)?.heartbeat.lists)
    }
}
