//! Values of the server's author that handlers share, found by their type.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// The values of one shard by the type they were given as.
pub(crate) type States = HashMap<TypeId, Box<dyn Any>>;

/// A value of type `T`.
pub(super) enum Validated<T> {
    /// The same for all shards.
    Server(Arc<T>),
    /// This shard's own.
    Shard(T),
}

/// The maker of one value on each shard.
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

    /// The name of the first type that occurs twice in `makers`.
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
