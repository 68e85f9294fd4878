//! The contents of the sealed states of relayed calls.
//!
//! A client returns the state with its answers; the seal binds it to the principal and to the call.
//! The contents lead to the upstream: its name and its own state, which goes back to it byte for
//! byte, or the call that stays open there.
//!
//! Invariant: no contents of a state of this server's own handlers, which are a JSON object, are
//! read as those of a relayed call.

use corelane_protocol::request_state::CONTENTS_BYTES_MAX;

/// The longest state of an upstream, as JSON, in bytes: with its name it can be sealed.
pub const STATE_BYTES_MAX: usize = CONTENTS_BYTES_MAX - 64;

const UPSTREAM: u8 = 1;
const PARKED: u8 = 2;

/// The contents of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayedState<'a> {
    /// A state of an upstream.
    Upstream {
        /// The name of the upstream.
        name: &'a str,
        /// The hash of its address: another server may have the name after a reload.
        address: u64,
        /// Its state, as JSON.
        state: &'a [u8],
    },
    /// A call that is open at its upstream.
    Parked(ParkedCall),
}

/// A call that is open at its upstream while its client answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedCall {
    /// Random bits of the life of its shard.
    pub life: u64,
    /// Its shard.
    pub shard: u16,
    /// Its number there, which is never used again.
    pub number: u64,
}

impl<'a> RelayedState<'a> {
    /// The contents that are sealed.
    ///
    /// ```
    /// use corelane_gateway::relay::RelayedState;
    /// let state = RelayedState::Upstream { name: "git", address: 7, state: br#""s\u0031""# };
    /// let contents = state.to_contents();
    /// assert_eq!(RelayedState::read(&contents), Some(state));
    /// assert_eq!(RelayedState::read(br#"{"answers":{}}"#), None);
    /// ```
    pub fn to_contents(self) -> Vec<u8> {
        match self {
            RelayedState::Upstream {
                name,
                address,
                state,
            } => {
                // A name in a configuration is far shorter.
                let name = &name.as_bytes()[..name.len().min(usize::from(u8::MAX))];
                let address = address.to_be_bytes();
                [&[UPSTREAM][..], &address, &[name.len() as u8], name, state].concat()
            }
            RelayedState::Parked(call) => {
                let mut contents = vec![PARKED];
                contents.extend_from_slice(&call.life.to_be_bytes());
                contents.extend_from_slice(&call.shard.to_be_bytes());
                contents.extend_from_slice(&call.number.to_be_bytes());
                contents
            }
        }
    }

    /// Reads contents. None if they are not those of a relayed call.
    pub fn read(contents: &'a [u8]) -> Option<RelayedState<'a>> {
        match contents.split_first()? {
            (&UPSTREAM, rest) => {
                let (address, rest) = rest.split_first_chunk()?;
                let (length, rest) = rest.split_first()?;
                let (name, state) = rest.split_at_checked(usize::from(*length))?;
                let name = str::from_utf8(name).ok()?;
                Some(RelayedState::Upstream {
                    name,
                    address: u64::from_be_bytes(*address),
                    state,
                })
            }
            (&PARKED, rest) => {
                let (life, rest) = rest.split_first_chunk()?;
                let (shard, rest) = rest.split_first_chunk()?;
                Some(RelayedState::Parked(ParkedCall {
                    life: u64::from_be_bytes(*life),
                    shard: u16::from_be_bytes(*shard),
                    number: u64::from_be_bytes(rest.try_into().ok()?),
                }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ParkedCall, RelayedState};

    #[test]
    fn contents_are_read_as_they_were_written_and_no_part_of_them_is() {
        let parked = ParkedCall {
            life: u64::MAX - 1,
            shard: 7,
            number: 9,
        };
        let contents = RelayedState::Parked(parked).to_contents();
        let read = RelayedState::read(&contents);
        assert_eq!(read, Some(RelayedState::Parked(parked)));
        for end in 0..contents.len() {
            assert_eq!(RelayedState::read(&contents[..end]), None);
        }
        let long = [&*contents, b"x"].concat();
        assert_eq!(RelayedState::read(&long), None);
        let state = RelayedState::Upstream {
            name: "a",
            address: 1,
            state: b"",
        };
        assert_eq!(RelayedState::read(&state.to_contents()), Some(state));
        let no_text = [&[1][..], &[0; 8], &[1, 0xff]].concat();
        let no_name = [&[1][..], &[0; 8], &[2, b'a']].concat();
        for malformed in [&[1][..], &no_name, &no_text, &[1, 1, b'a'], &[3, 0], b""] {
            assert_eq!(RelayedState::read(malformed), None);
        }
    }
}
