//! The probe of the files of `server.state_key_files`.

use corelane::{Profile, StateKeyError, check_state_keys};

use super::finding::{Fault, Outcome, Probe};

const KEYS: Probe = Probe {
    name: "state_keys",
    examine: |_, _| None,
    reason: "a server does not start with such a key",
};

/// The outcome for the keys of a profile.
pub(super) fn examine(profile: &Profile) -> Outcome {
    let fault = check_state_keys(&profile.server.state_key_files).err();
    Outcome {
        probe: &KEYS,
        faults: Some(fault.iter().map(fault_of).collect()),
    }
}

fn fault_of(error: &StateKeyError) -> Fault {
    let change = match error {
        StateKeyError::LooseMode { path, .. } => format!("chmod 0400 {}", path.display()),
        StateKeyError::Unreadable { .. } => "name files that the server can read".to_owned(),
        StateKeyError::Malformed { .. } => "make a key with openssl rand -base64 32".to_owned(),
    };
    Fault::change(error.to_string(), change)
}
