//! Deadlines of connections: a hashed timing wheel over slot indexes.
//!
//! Simple version: every index has a deadline, and each turn looks at all of them. Deviations:
//!
//! 1. Time is cut into ticks and the wheel has one list per tick, used again every rotation, so a
//!    turn looks only at the lists whose tick has passed. A deadline more than a rotation away
//!    waits in its list and is passed over until its own round comes.
//! 2. The lists are linked through the nodes themselves and closed by head nodes in the same
//!    array, so a node leaves its list without knowing which list it is in.
//! 3. A deadline moved later, which happens with each request of a connection, is one store. The
//!    node stays in its early list and moves to the right one when that list is visited. Only a
//!    deadline moved earlier is relinked at once.
//! 4. A visited list is first detached as a whole, so a turn may stop in its middle: work per turn
//!    is bounded and the rest is done by the next.
//!
//! Invariant: a deadline never fires early; it fires at most one tick late plus the time until
//! [`Wheel::advance`] is called with enough budget. Time is an argument in milliseconds since a
//! start the caller chose; the wheel reads no clock. A node costs 12 bytes, touched only once its
//! index is used.

/// How far ahead of the present a deadline may lie, in ticks: ticks are compared modulo 2^32.
pub const DEADLINE_TICKS_MAX: u64 = (1 << 31) - 1;

/// How many nodes are made ready at a time when an index beyond the touched part is used.
const GROWTH_NODES: usize = 256;

/// In `next`: the node is in no list.
const UNLINKED: u32 = u32::MAX;

/// A timing wheel; see the module's text.
#[derive(Debug)]
pub struct Wheel {
    /// First one head per tick of the rotation, then the head of the detached list, then the
    /// nodes of the indexes.
    nodes: Vec<Node>,
    capacity: usize,
    ticks: u32,
    tick_ms: u32,
    /// The last tick whose list was detached; all deadlines up to it have fired or are detached.
    tick: u64,
    linked: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    previous: u32,
    next: u32,
    /// The tick at which the deadline fires, modulo 2^32. Meaningless in a head.
    due: u32,
}

const _: () = assert!(size_of::<Node>() == 12);

impl Wheel {
    /// A wheel for indexes below `capacity` with `ticks` lists of `tick_ms` milliseconds each.
    ///
    /// A rotation of `ticks * tick_ms` a little longer than the common deadline is best.
    ///
    /// # Panics
    /// If `ticks` or `tick_ms` is 0, or heads and nodes together exceed 2^32 - 2.
    pub fn new(capacity: u32, ticks: u32, tick_ms: u32) -> Wheel {
        assert!(ticks > 0 && tick_ms > 0, "a wheel needs ticks of some time");
        let heads = ticks as usize + 1;
        let reserved = heads + capacity as usize;
        assert!(reserved < UNLINKED as usize, "a wheel of {reserved} nodes");
        let mut nodes = Vec::with_capacity(reserved);
        nodes.extend((0..=ticks).map(|head| Node {
            previous: head,
            next: head,
            due: 0,
        }));
        Wheel {
            nodes,
            capacity: capacity as usize,
            ticks,
            tick_ms,
            tick: 0,
            linked: 0,
        }
    }

    /// Sets the deadline of `index`, replacing an earlier one.
    ///
    /// `deadline_ms` is rounded up to a whole tick; one that has passed fires at the next tick.
    ///
    /// # Panics
    /// If `index` is not below the capacity or the deadline lies more than
    /// [`DEADLINE_TICKS_MAX`] ticks ahead. For "never", use [`Wheel::cancel`].
    pub fn schedule(&mut self, index: u32, deadline_ms: u64) {
        let due = deadline_ms
            .div_ceil(u64::from(self.tick_ms))
            .max(self.tick + 1);
        let ahead = due - self.tick;
        assert!(
            ahead <= DEADLINE_TICKS_MAX,
            "deadline {ahead} ticks ahead exceeds limit of {DEADLINE_TICKS_MAX}"
        );
        let node = self.touch(index);
        let is_linked = self.nodes[node as usize].next != UNLINKED;
        let moves_earlier = is_linked && self.ticks_until_due(node) > ahead as i32;
        self.nodes[node as usize].due = due as u32;
        if moves_earlier {
            self.unlink(node);
            self.link(node);
        } else if !is_linked {
            self.link(node);
        }
    }

    /// Takes the deadline of `index` away, if it has one.
    pub fn cancel(&mut self, index: u32) {
        let node = self.node_of(index);
        if (node as usize) < self.nodes.len() && self.nodes[node as usize].next != UNLINKED {
            self.unlink(node);
        }
    }

    /// Moves the time to `now_ms` and hands each index whose deadline has passed to `expired`.
    ///
    /// At most `budget` lists and nodes are visited. Returns whether the wheel has caught up with
    /// `now_ms`; if not, the next call goes on where this one stopped. Time that goes backwards
    /// changes nothing. An index that expired has no deadline until it is scheduled again.
    pub fn advance(&mut self, now_ms: u64, budget: usize, mut expired: impl FnMut(u32)) -> bool {
        let now = now_ms / u64::from(self.tick_ms);
        let detached = self.ticks;
        for _ in 0..budget {
            let node = self.nodes[detached as usize].next;
            if node != detached {
                self.unlink(node);
                if self.ticks_until_due(node) <= 0 {
                    expired(node - self.ticks - 1);
                } else {
                    self.link(node);
                }
            } else if self.tick < now {
                // After a long pause one visit of each list is enough: a list's latest visit
                // finds everything its missed visits would have found.
                let earliest = now.saturating_sub(u64::from(self.ticks));
                self.tick = self.tick.max(earliest) + 1;
                self.detach((self.tick % u64::from(self.ticks)) as u32);
            } else {
                return true;
            }
        }
        self.tick >= now && self.nodes[detached as usize].next == detached
    }

    /// The earliest time in milliseconds at which [`Wheel::advance`] could have something to do.
    ///
    /// It may be too early, because deadlines moved later are noticed late, and is never too
    /// late. Nothing if there is no deadline. It walks up to one rotation of lists: for use
    /// before a shard goes to sleep, not on each turn.
    pub fn next_due_hint(&self) -> Option<u64> {
        if self.linked == 0 {
            return None;
        }
        let is_empty = |head: u32| self.nodes[head as usize].next == head;
        if !is_empty(self.ticks) {
            return Some(self.tick * u64::from(self.tick_ms));
        }
        (self.tick + 1..=self.tick + u64::from(self.ticks))
            .find(|tick| !is_empty((tick % u64::from(self.ticks)) as u32))
            .map(|tick| tick * u64::from(self.tick_ms))
    }

    /// Milliseconds from `now_ms` until the deadline of `index`, as whole ticks; nothing if it has
    /// none.
    pub fn time_left_ms(&self, index: u32, now_ms: u64) -> Option<u64> {
        let node = self.node_of(index);
        let is_linked = self.nodes.get(node as usize)?.next != UNLINKED;
        let ticks = u64::try_from(self.ticks_until_due(node)).unwrap_or(0);
        let due_ms = (self.tick + ticks) * u64::from(self.tick_ms);
        is_linked.then(|| due_ms.saturating_sub(now_ms))
    }

    /// How many indexes have a deadline.
    pub fn len(&self) -> usize {
        self.linked
    }

    /// Whether no index has a deadline.
    pub fn is_empty(&self) -> bool {
        self.linked == 0
    }

    fn node_of(&self, index: u32) -> u32 {
        assert!(
            (index as usize) < self.capacity,
            "index {index} exceeds capacity of {}",
            self.capacity
        );
        self.ticks + 1 + index
    }

    /// Makes the nodes up to that of `index` ready, within the reserved memory.
    fn touch(&mut self, index: u32) -> u32 {
        let node = self.node_of(index);
        if node as usize >= self.nodes.len() {
            let reserved = self.ticks as usize + 1 + self.capacity;
            let ready = (node as usize + 1).next_multiple_of(GROWTH_NODES);
            self.nodes.resize(
                ready.min(reserved),
                Node {
                    previous: UNLINKED,
                    next: UNLINKED,
                    due: 0,
                },
            );
        }
        node
    }

    /// Ticks from the present to the deadline of `node`; 0 or less if it has passed.
    fn ticks_until_due(&self, node: u32) -> i32 {
        self.nodes[node as usize]
            .due
            .wrapping_sub(self.tick as u32)
            .cast_signed()
    }

    /// Appends `node` to the list that is visited at its due tick.
    fn link(&mut self, node: u32) {
        let ahead = u64::from(self.ticks_until_due(node).cast_unsigned());
        let head = ((self.tick + ahead) % u64::from(self.ticks)) as u32;
        let last = self.nodes[head as usize].previous;
        self.nodes[node as usize].previous = last;
        self.nodes[node as usize].next = head;
        self.nodes[last as usize].next = node;
        self.nodes[head as usize].previous = node;
        self.linked += 1;
    }

    fn unlink(&mut self, node: u32) {
        let Node { previous, next, .. } = self.nodes[node as usize];
        self.nodes[previous as usize].next = next;
        self.nodes[next as usize].previous = previous;
        self.nodes[node as usize].next = UNLINKED;
        self.linked -= 1;
    }

    /// Moves the whole list of `head` to the detached list, which must be empty.
    fn detach(&mut self, head: u32) {
        let detached = self.ticks;
        let Node { previous, next, .. } = self.nodes[head as usize];
        if next == head {
            return;
        }
        self.nodes[detached as usize].next = next;
        self.nodes[detached as usize].previous = previous;
        self.nodes[next as usize].previous = detached;
        self.nodes[previous as usize].next = detached;
        self.nodes[head as usize].next = head;
        self.nodes[head as usize].previous = head;
    }
}

#[cfg(test)]
mod tests {
    use super::Wheel;
    use crate::rng::Rng;
    use std::collections::{BTreeMap, BTreeSet};

    const PLENTY: usize = 1_000_000;

    fn advanced(wheel: &mut Wheel, now_ms: u64, budget: usize) -> BTreeSet<u32> {
        let mut expired = BTreeSet::new();
        while !wheel.advance(now_ms, budget, |index| assert!(expired.insert(index))) {}
        expired
    }

    /// Schedules the deadlines of one index in turn and checks when it fires.
    fn check(deadlines_ms: &[u64], silent_until_ms: u64, fires_at_ms: u64) {
        let mut wheel = Wheel::new(8, 16, 10);
        for &deadline_ms in deadlines_ms {
            wheel.schedule(3, deadline_ms);
        }
        assert!(advanced(&mut wheel, silent_until_ms, PLENTY).is_empty());
        assert!(wheel.next_due_hint().is_some_and(|ms| ms <= fires_at_ms));
        assert_eq!(
            advanced(&mut wheel, fires_at_ms, PLENTY),
            BTreeSet::from([3])
        );
        assert!(wheel.is_empty());
        assert_eq!(wheel.next_due_hint(), None);
    }

    #[test]
    fn fires_at_the_first_tick_that_is_not_early() {
        check(&[100], 99, 100);
        check(&[101], 109, 110);
        check(&[0], 9, 10);
        check(&[50, 120], 119, 120);
        check(&[120, 50], 49, 50);
        check(&[160], 159, 160);
        check(&[1_000_000], 999_999, 1_000_000);
        check(&[10, 320, 1_600], 1_599, 1_600);
    }

    #[test]
    fn the_time_left_follows_the_deadline_wherever_its_node_is() {
        let mut wheel = Wheel::new(8, 16, 10);
        wheel.advance(40, PLENTY, |_| ());
        assert_eq!(wheel.time_left_ms(3, 40), None);
        for deadline_ms in [100, 1_000, 50] {
            wheel.schedule(3, deadline_ms);
            assert_eq!(wheel.time_left_ms(3, 45), Some(deadline_ms - 45));
        }
        assert_eq!(wheel.time_left_ms(3, 60), Some(0), "it is due");
        wheel.cancel(3);
        assert_eq!(wheel.time_left_ms(3, 45), None);
    }

    #[test]
    fn a_cancelled_deadline_never_fires() {
        let mut wheel = Wheel::new(8, 16, 10);
        wheel.schedule(1, 50);
        wheel.schedule(2, 50);
        wheel.cancel(1);
        wheel.cancel(7);
        assert_eq!(advanced(&mut wheel, 500, PLENTY), BTreeSet::from([2]));
    }

    #[test]
    fn a_turn_visits_no_more_than_its_budget() {
        let mut wheel = Wheel::new(100, 16, 10);
        for index in 0..100 {
            wheel.schedule(index, 10);
        }
        let mut expired = Vec::new();
        assert!(!wheel.advance(10, 11, |index| expired.push(index)));
        assert_eq!(expired.len(), 10);
        assert_eq!(wheel.next_due_hint(), Some(10));
        // Changes reach the indexes that the stopped turn left over.
        wheel.cancel(50);
        wheel.schedule(51, 40);
        assert!(wheel.advance(10, 200, |index| expired.push(index)));
        assert_eq!(expired.len(), 98);
        assert_eq!(advanced(&mut wheel, 40, 5), BTreeSet::from([51]));
    }

    #[test]
    fn moving_a_deadline_later_does_not_relink() {
        let mut wheel = Wheel::new(2, 16, 10);
        wheel.schedule(0, 50);
        let linked = wheel.nodes[17].previous;
        wheel.schedule(0, 90);
        assert_eq!(wheel.nodes[17].previous, linked);
        wheel.schedule(0, 20);
        assert_ne!(wheel.nodes[17].previous, linked);
    }

    #[test]
    fn ticks_may_pass_two_to_the_thirty_second() {
        let mut wheel = Wheel::new(2, 16, 1);
        let before = u64::from(u32::MAX) - 5;
        assert!(advanced(&mut wheel, before, PLENTY).is_empty());
        wheel.schedule(0, before + 3);
        wheel.schedule(1, before + 30);
        assert_eq!(
            advanced(&mut wheel, before + 29, PLENTY),
            BTreeSet::from([0])
        );
        assert_eq!(
            advanced(&mut wheel, before + 30, PLENTY),
            BTreeSet::from([1])
        );
    }

    #[test]
    fn agrees_with_a_sorted_map_under_random_use() {
        let mut rng = Rng::printed();
        for (ticks, tick_ms) in [(1, 1), (7, 3), (64, 10), (512, 1)] {
            let mut wheel = Wheel::new(300, ticks, tick_ms);
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now_ms = 0;
            for _ in 0..20_000 {
                let index = rng.below(300) as u32;
                match rng.below(8) {
                    0 => {
                        wheel.cancel(index);
                        model.remove(&index);
                    }
                    1 => {
                        now_ms += rng.below(u64::from(ticks * tick_ms) / 2 + 2);
                        let budget = 1 + rng.below(40) as usize;
                        let tick = u64::from(tick_ms);
                        let due = |deadline: &u64| deadline.div_ceil(tick) <= now_ms / tick;
                        let fired = model.iter().filter(|(_, deadline)| due(deadline));
                        let expected: BTreeSet<u32> = fired.map(|(index, _)| *index).collect();
                        model.retain(|_, deadline| !due(deadline));
                        assert_eq!(advanced(&mut wheel, now_ms, budget), expected);
                    }
                    _ => {
                        let deadline_ms = now_ms + rng.below(u64::from(ticks * tick_ms) * 3);
                        wheel.schedule(index, deadline_ms);
                        // A deadline of the present tick fires at the next one.
                        let next_ms = (now_ms / u64::from(tick_ms) + 1) * u64::from(tick_ms);
                        model.insert(index, deadline_ms.max(next_ms));
                    }
                }
                assert_eq!(wheel.len(), model.len());
                let earliest = model.values().min().copied();
                assert_eq!(wheel.next_due_hint().is_some(), earliest.is_some());
                assert!(wheel.next_due_hint() <= earliest.map(|ms| ms + u64::from(tick_ms)));
            }
        }
    }
}
