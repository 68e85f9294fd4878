//! Messages to other shards that must arrive and whose lane was full.
//!
//! They wait here, lane by lane, so that one full lane delays no other. Invariant: while a message
//! waits for a lane, no other message enters that lane before it, so that the messages of a lane
//! arrive in the order they were sent in. The waiting messages are bounded by their subjects: calls
//! in flight, open streams, and task subscriptions, which are refused while a message waits.

use std::collections::{BTreeMap, VecDeque};

use corelane_io::lanes::{LaneSender, Tier};

/// The messages that wait, by receiver and tier. A lane without any is not in the map.
#[derive(Debug)]
pub(super) struct Overflow<M> {
    lanes: BTreeMap<(usize, Tier), VecDeque<M>>,
}

impl<M> Default for Overflow<M> {
    fn default() -> Overflow<M> {
        Overflow {
            lanes: BTreeMap::new(),
        }
    }
}

impl<M: Send> Overflow<M> {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Whether a message waits for the lane `tier` to the receiver `to`.
    pub(super) fn waits_for(&self, to: usize, tier: Tier) -> bool {
        self.lanes.contains_key(&(to, tier))
    }

    /// Sends a message, or lets it wait. Returns whether it was sent.
    pub(super) fn send_or_queue(
        &mut self,
        sender: &mut LaneSender<M>,
        (to, tier): (usize, Tier),
        message: M,
    ) -> bool {
        match self.try_send(sender, (to, tier), message) {
            Ok(()) => true,
            Err(message) => {
                self.lanes.entry((to, tier)).or_default().push_back(message);
                false
            }
        }
    }

    /// Sends a message, or gives it back while its lane is full or others wait for it.
    pub(super) fn try_send(
        &mut self,
        sender: &mut LaneSender<M>,
        (to, tier): (usize, Tier),
        message: M,
    ) -> Result<(), M> {
        if !self.lanes.is_empty() && self.waits_for(to, tier) {
            return Err(message);
        }
        sender.send(to, tier, message).map_err(|full| full.message)
    }

    /// Sends the waiting messages as far as they fit. Returns whether there was any.
    pub(super) fn flush(&mut self, sender: &mut LaneSender<M>) -> bool {
        let mut has_room = false;
        self.lanes.retain(|(to, tier), waiting| {
            while let Some(message) = waiting.pop_front() {
                if let Err(full) = sender.send(*to, *tier, message) {
                    waiting.push_front(full.message);
                    return true;
                }
                has_room = true;
            }
            false
        });
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corelane_io::lanes::{LaneLimits, LaneReceiver, Mesh};

    /// A sender to two receivers by lanes of one message.
    fn narrow() -> (LaneSender<u32>, Vec<LaneReceiver<u32>>) {
        let limits = LaneLimits {
            control_messages_max: 1,
            reply_messages_max: 1,
            request_messages_max: 1,
            bulk_messages_max: 1,
        };
        let mut mesh = Mesh::new(2, 0, limits);
        (mesh.senders.remove(0), mesh.receivers)
    }

    fn received(receiver: &mut LaneReceiver<u32>) -> Vec<u32> {
        let mut messages = Vec::new();
        receiver.drain(10, |_, _, message| messages.push(message));
        messages
    }

    #[test]
    fn each_message_arrives_once_and_in_the_order_of_its_lane() {
        let (mut sender, mut receivers) = narrow();
        let mut overflow = Overflow::default();
        let lane = (1, Tier::Reply);
        for message in 0..4 {
            let was_sent = overflow.send_or_queue(&mut sender, lane, message);
            assert_eq!(was_sent, message == 0);
        }
        for message in 0..4 {
            sender.flush(|_| ());
            assert_eq!(received(&mut receivers[1]), [message]);
            assert_eq!(overflow.flush(&mut sender), message < 3);
        }
        assert!(overflow.is_empty());
    }

    #[test]
    fn no_message_enters_a_lane_before_waiting_ones() {
        let (mut sender, mut receivers) = narrow();
        let mut overflow = Overflow::default();
        let lane = (1, Tier::Request);
        overflow.send_or_queue(&mut sender, lane, 1);
        overflow.send_or_queue(&mut sender, lane, 2);
        sender.flush(|_| ());
        assert_eq!(received(&mut receivers[1]), [1]);
        // The lane has capacity, and the second message has not used it yet.
        assert_eq!(overflow.try_send(&mut sender, lane, 3), Err(3));
        assert!(!overflow.send_or_queue(&mut sender, lane, 4));
        overflow.flush(&mut sender);
        sender.flush(|_| ());
        assert_eq!(received(&mut receivers[1]), [2]);
    }

    #[test]
    fn a_full_lane_holds_up_no_other() {
        let (mut sender, mut receivers) = narrow();
        let mut overflow = Overflow::default();
        for lane in [(0, Tier::Reply), (1, Tier::Reply), (1, Tier::Bulk)] {
            assert!(overflow.send_or_queue(&mut sender, lane, 1));
            assert!(!overflow.send_or_queue(&mut sender, lane, 2));
        }
        sender.flush(|_| ());
        assert_eq!(received(&mut receivers[1]), [1, 1]);
        assert!(overflow.flush(&mut sender));
        assert!(overflow.waits_for(0, Tier::Reply), "its lane is still full");
        assert!(!overflow.waits_for(1, Tier::Reply));
        assert_eq!(overflow.try_send(&mut sender, (0, Tier::Bulk), 3), Ok(()));
    }
}
