//! The endpoint without sockets: messages in, dispositions and deliveries out.

mod calls;
mod events;
mod forwarding;
mod methods;
pub(crate) mod rig;
mod sessions;
mod streams;
mod tools;
