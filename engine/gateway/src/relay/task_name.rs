//! The contents of the sealed names of tasks that upstreams execute.
//!
//! The seal binds the name to the principal, or to the session of a legacy client. The contents
//! lead to the task: its upstream, the session with that, and its id there. Nothing of a task is
//! stored.
//!
//! Invariant: no contents of a sealed state are read as those of a name: their first byte differs.

use corelane_protocol::mcp::capability::ClientCapabilities;

const TASK: u8 = 3;

/// The way to a task of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskName<'a> {
    /// The name of the upstream.
    pub upstream: &'a str,
    /// The hash of the address of the replica that has the task.
    pub address: u64,
    /// The shard that has the session, if the upstream has sessions.
    pub shard: u16,
    /// The capabilities of the client for which the session was opened.
    pub capabilities: ClientCapabilities,
    /// The number of the session; 0 if the upstream has none.
    pub session: u64,
    /// The id of the task there.
    pub id: &'a str,
}

impl<'a> TaskName<'a> {
    /// The contents that are sealed.
    ///
    /// ```
    /// use corelane_gateway::relay::TaskName;
    /// let name = TaskName {
    ///     upstream: "git",
    ///     address: 7,
    ///     shard: 1,
    ///     capabilities: Default::default(),
    ///     session: 9,
    ///     id: "t-1",
    /// };
    /// assert_eq!(TaskName::read(&name.to_contents()), Some(name));
    /// ```
    pub fn to_contents(self) -> Vec<u8> {
        // A name in a configuration is far shorter.
        let upstream = self.upstream.as_bytes();
        let upstream = &upstream[..upstream.len().min(usize::from(u8::MAX))];
        let mut contents = vec![TASK];
        contents.extend_from_slice(&self.address.to_be_bytes());
        contents.extend_from_slice(&self.session.to_be_bytes());
        contents.extend_from_slice(&self.shard.to_be_bytes());
        contents.extend_from_slice(&[self.capabilities.bits(), upstream.len() as u8]);
        contents.extend_from_slice(upstream);
        contents.extend_from_slice(self.id.as_bytes());
        contents
    }

    /// Reads contents. None if they are not those of a name.
    pub fn read(contents: &'a [u8]) -> Option<TaskName<'a>> {
        let rest = contents.strip_prefix(&[TASK])?;
        let (address, rest) = rest.split_first_chunk()?;
        let (session, rest) = rest.split_first_chunk()?;
        let (shard, rest) = rest.split_first_chunk()?;
        let (&[capabilities, length], rest) = rest.split_first_chunk()?;
        let (upstream, id) = rest.split_at_checked(usize::from(length))?;
        Some(TaskName {
            upstream: str::from_utf8(upstream).ok()?,
            address: u64::from_be_bytes(*address),
            shard: u16::from_be_bytes(*shard),
            capabilities: ClientCapabilities::from_bits(capabilities),
            session: u64::from_be_bytes(*session),
            id: str::from_utf8(id).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use corelane_protocol::mcp::capability::{ClientCapabilities, ClientCapability};

    use super::TaskName;
    use crate::relay::RelayedState;

    #[test]
    fn names_are_read_as_they_were_written_and_states_are_none() {
        let mut capabilities = ClientCapabilities::default();
        capabilities.insert(ClientCapability::Roots);
        let name = TaskName {
            upstream: "git",
            address: u64::MAX - 1,
            shard: 513,
            capabilities,
            session: 77,
            id: "\u{e4}-1",
        };
        let contents = name.to_contents();
        assert_eq!(TaskName::read(&contents), Some(name));
        assert_eq!(RelayedState::read(&contents), None);
        // All but the id has its place.
        for end in 0..contents.len() - name.id.len() {
            assert_eq!(TaskName::read(&contents[..end]), None, "{end}");
        }
        let state = RelayedState::Upstream {
            name: "git",
            address: 7,
            state: b"",
        };
        assert_eq!(TaskName::read(&state.to_contents()), None);
        assert_eq!(TaskName::read(br#"{"answers":{}}"#), None);
    }
}
