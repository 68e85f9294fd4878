//! The user data of a submission, which its completion returns: operation, generation,
//! slot.
//!
//! A slot is a direct descriptor's index. The kernel may give an index to a new connection before
//! the completion that closed the old one is read, so an index alone does not name a connection.

/// The submitted operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Of connections.
    Accept,
    /// Of bytes.
    Receive,
    /// Of bytes.
    Send,
    /// Of a receive.
    Cancel,
    /// Of a descriptor.
    Close,
    /// A message to another ring was sent.
    Notify,
    /// A message from another ring: every stream gets an event.
    Change,
}

const OPERATIONS: [Operation; 7] = [
    Operation::Accept,
    Operation::Receive,
    Operation::Send,
    Operation::Cancel,
    Operation::Close,
    Operation::Notify,
    Operation::Change,
];

/// The 64 bits of a completion's `user_data`: operation 8, generation 24, slot 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The submitted operation.
    pub operation: Operation,
    /// Below [`Token::GENERATIONS`]; wraps.
    pub generation: u32,
    /// The direct descriptor.
    pub slot: u32,
}

impl Token {
    /// How many generations there are.
    pub const GENERATIONS: u32 = 1 << 24;

    /// That of an operation of no connection.
    pub fn of_none(operation: Operation) -> Token {
        Token {
            operation,
            generation: 0,
            slot: 0,
        }
    }

    /// The bits for a submission.
    pub fn pack(self) -> u64 {
        debug_assert!(self.generation < Self::GENERATIONS);
        u64::from(self.operation as u8) << 56
            | u64::from(self.generation) << 32
            | u64::from(self.slot)
    }

    /// # Panics
    /// If `bits` did not come from [`Token::pack`]: the kernel returns user data unchanged.
    pub fn unpack(bits: u64) -> Self {
        Self {
            operation: OPERATIONS[(bits >> 56) as usize],
            generation: (bits >> 32) as u32 % Self::GENERATIONS,
            slot: bits as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OPERATIONS, Token};

    #[test]
    fn unpacks_packed_values() {
        for operation in OPERATIONS {
            for (generation, slot) in [(0, 0), (Token::GENERATIONS - 1, u32::MAX), (7, 19_999)] {
                let token = Token {
                    operation,
                    generation,
                    slot,
                };
                assert_eq!(Token::unpack(token.pack()), token);
            }
        }
    }
}
