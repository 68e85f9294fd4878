//! What handlers share: values of the server's author, found by their type.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::call::Call;
use super::error::CallError;

/// The values of one shard by the type they were given as.
pub(crate) type States = HashMap<TypeId, Box<dyn Any>>;

/// A value of type `T`.
enum Validated<T> {
    /// The same for all shards.
    Server(Arc<T>),
    /// This shard's own.
    Shard(T),
}

/// How one value is made on each shard.
pub(crate) struct StateMaker {
    type_id: TypeId,
    type_name: &'static str,
    make: Box<dyn Fn() -> Box<dyn Any> + Send + Sync>,
}

impl StateMaker {
    /// Gives every shard `value`.
    pub(crate) fn of_server<T: Send + Sync + 'static>(value: T) -> StateMaker {
        let shared = Arc::new(value);
        StateMaker::new::<T>(move || Validated::Server(Arc::clone(&shared)))
    }

    /// Gives every shard a value of its own.
    pub(crate) fn of_shard<T: 'static>(make: impl Fn() -> T + Send + Sync + 'static) -> StateMaker {
        StateMaker::new::<T>(move || Validated::Shard(make()))
    }

    fn new<T: 'static>(make: impl Fn() -> Validated<T> + Send + Sync + 'static) -> StateMaker {
        StateMaker {
            type_id: TypeId::of::<T>(),
            type_name: type_name::<T>(),
            make: Box::new(move || Box::new(make())),
        }
    }

    /// The name of the first type that stands twice in `makers`.
    pub(crate) fn duplicate(makers: &[StateMaker]) -> Option<&'static str> {
        let mut rest = makers.iter();
        while let Some(maker) = rest.next() {
            if rest
                .as_slice()
                .iter()
                .any(|other| other.type_id == maker.type_id)
            {
                return Some(maker.type_name);
            }
        }
        None
    }

    /// The values of the calling shard.
    pub(crate) fn make_all(makers: &[StateMaker]) -> Rc<States> {
        let made = makers.iter().map(|maker| (maker.type_id, (maker.make)()));
        Rc::new(made.collect())
    }
}

impl Call {
    /// The value of type `T` that the server was given with
    /// [`Server::with_state`](crate::Server::with_state), or that was made for this shard with
    /// [`Server::with_shard_state`](crate::Server::with_shard_state).
    ///
    /// # Errors
    /// [`CallError`] when the server was given none of this type: the author's mistake, of which
    /// the client is told as an internal error.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_type_is_given_once() {
        let number = || StateMaker::of_server(1_u32);
        let text = || StateMaker::of_shard(String::new);
        assert_eq!(StateMaker::duplicate(&[]), None);
        assert_eq!(StateMaker::duplicate(&[number(), text()]), None);
        let twice = [number(), text(), StateMaker::of_shard(|| 2_u32)];
        assert_eq!(StateMaker::duplicate(&twice), Some("u32"));
    }
}
