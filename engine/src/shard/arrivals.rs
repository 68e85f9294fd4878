//! Input that waits for its turn.
//!
//! The connections take turns, in the order in which they began to wait, and each has its input
//! handled together: answers in one send bring further requests in one receive, and a client that
//! pipelines costs half as much. Waiting input holds its receive buffer and nothing else.

use std::collections::VecDeque;

use corelane_io::ring::Completion;
use corelane_io::slots::SlotKey;

/// Input that waits.
#[derive(Default)]
pub(super) struct Arrivals {
    /// In the order of arrival.
    pieces: VecDeque<(SlotKey, Completion)>,
    /// Further input of the connection that has its turn.
    current: VecDeque<(SlotKey, Completion)>,
    /// Pieces of all kinds by the index of their slot, as far as there were any.
    counts: Vec<u16>,
}

impl Arrivals {
    /// Pieces of input of all connections.
    pub(super) fn len(&self) -> usize {
        self.pieces.len() + self.current.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.current.is_empty()
    }

    /// Whether input of a connection waits, or of an earlier one in its slot.
    pub(super) fn has(&self, key: SlotKey) -> bool {
        self.count(key) > 0
    }

    /// Pieces of input of a connection, or of an earlier one in its slot.
    pub(super) fn count(&self, key: SlotKey) -> usize {
        let count = self.counts.get(key.index as usize);
        count.map_or(0, |count| usize::from(*count))
    }

    /// Adds input behind that of its connection.
    pub(super) fn push(&mut self, key: SlotKey, completion: Completion) {
        let index = key.index as usize;
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        // Fewer pieces than buffers, which are fewer than this type counts.
        self.counts[index] += 1;
        self.pieces.push_back((key, completion));
    }

    /// Takes input of the connection that has its turn; without more, the next one has it.
    pub(super) fn next(&mut self) -> Option<Completion> {
        if let Some((key, completion)) = self.current.pop_front() {
            self.counts[key.index as usize] -= 1;
            return Some(completion);
        }
        let (key, completion) = self.pieces.pop_front()?;
        self.counts[key.index as usize] -= 1;
        if self.has(key) {
            for _ in 0..self.pieces.len() {
                let piece = self.pieces.pop_front().expect("it was counted");
                match piece.0.index == key.index {
                    true => self.current.push_back(piece),
                    false => self.pieces.push_back(piece),
                }
            }
        }
        Some(completion)
    }

    /// Ends the turn of a connection. Its further input waits behind that of all others.
    pub(super) fn end_turn(&mut self) {
        self.pieces.append(&mut self.current);
    }
}
