//! Sealed states and names of tasks, which either principal returns.

use corelane_gateway::relay::{RelayedState, TaskName};
use corelane_protocol::request_state::{Binding, Sealer};

use crate::simulation::{Checked, violated};

/// The ids of clients are equal on purpose.
pub(crate) const CLIENT_IDS: u64 = 3;
const PRINCIPALS: [&str; 2] = ["ann", "bob"];
/// How long a state is good, in milliseconds.
const STATE_MS: u64 = 300;

/// What clients have of calls that were answered.
pub(crate) struct Sealed {
    sealer: Sealer,
    is_for_nobody: bool,
    answers: Vec<Answer>,
}

struct Answer {
    principal: usize,
    client_id: u64,
    key: u64,
    state: String,
    expires_ms: u64,
    task: String,
}

impl Sealed {
    pub(crate) fn new(seed: u64, is_for_nobody: bool) -> Sealed {
        Sealed {
            sealer: Sealer::new(&[[seed as u8; 32]]),
            is_for_nobody,
            answers: Vec::new(),
        }
    }

    /// The answer of a call, at a time, has a state and the name of a task.
    pub(crate) fn add(&mut self, principal: usize, client_id: u64, (key, now_ms): (u64, u64)) {
        let contents = RelayedState::Upstream {
            name: "up",
            address: 7,
            state: key.to_string().as_bytes(),
        }
        .to_contents();
        let mut bound = binding(principal, client_id);
        if self.is_for_nobody {
            bound.principal = None;
        }
        let name = TaskName {
            upstream: "up",
            address: 7,
            shard: 0,
            capabilities: Default::default(),
            session: key,
            // The upstream gives tasks of all its clients the same ids.
            id: "task-1",
        };
        let expires_ms = now_ms + STATE_MS;
        self.answers.push(Answer {
            principal,
            client_id,
            key,
            state: self.sealer.seal(&contents, &bound, expires_ms),
            expires_ms,
            task: self
                .sealer
                .seal_name(&name.to_contents(), &of_task(principal)),
        });
    }

    /// A principal returns a state and a name, its own or those of the other one, with some call.
    pub(crate) fn check(
        &self,
        principal: usize,
        client_id: u64,
        (drawn, now_ms): (u64, u64),
    ) -> Checked {
        let Some(at) = drawn.checked_rem(self.answers.len() as u64) else {
            return Ok(());
        };
        let answer = &self.answers[at as usize];
        let bound = binding(principal, client_id);
        let opened = self.sealer.open(&answer.state, &bound, now_ms).ok();
        let is_own = answer.principal == principal;
        let is_good = is_own && answer.client_id == client_id && now_ms < answer.expires_ms;
        let read = opened.as_deref().and_then(RelayedState::read);
        let key = answer.key.to_string();
        let expected = is_good.then_some(RelayedState::Upstream {
            name: "up",
            address: 7,
            state: key.as_bytes(),
        });
        let by = PRINCIPALS[principal];
        violated(read != expected, || {
            format!("{by} returns a state: {read:?}, not {expected:?}")
        })?;
        let opened = self.sealer.open(&answer.task, &of_task(principal), now_ms);
        let opened = opened.ok();
        let name = opened.as_deref().and_then(TaskName::read);
        let session = name.map(|name| name.session);
        violated(session != is_own.then_some(answer.key), || {
            format!("{by} names a task: {session:?}, own {is_own}")
        })
    }
}

fn binding(principal: usize, client_id: u64) -> Binding<'static> {
    Binding {
        principal: Some(PRINCIPALS[principal]),
        method: "tools/call",
        params_digest: [client_id as u8; 32],
    }
}

fn of_task(principal: usize) -> Binding<'static> {
    Binding {
        method: "tasks/get",
        ..binding(principal, 0)
    }
}
