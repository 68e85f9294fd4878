//! The values of the server's author.

use std::any::{TypeId, type_name};

use super::Call;
use crate::handler::error::CallError;
use crate::handler::state::Validated;

impl Call {
    /// The value of type `T` that was given with [`Server::with_state`](crate::Server::with_state),
    /// or made for this shard with [`Server::with_shard_state`](crate::Server::with_shard_state).
    ///
    /// # Errors
    /// [`CallError`] when the server has no value of this type: a mistake of the author, which the
    /// client gets as an internal error.
    pub fn state<T: 'static>(&self) -> Result<&T, CallError> {
        let held = self.states().get(&TypeId::of::<T>());
        match held.and_then(|held| held.downcast_ref::<Validated<T>>()) {
            Some(Validated::Server(value)) => Ok(value),
            Some(Validated::Shard(value)) => Ok(value),
            None => Err(CallError::internal(format!(
                "the server has no state of type {}: give it one with Server::with_state",
                type_name::<T>()
            ))),
        }
    }
}
