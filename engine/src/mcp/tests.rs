//! The endpoint without sockets: messages in, dispositions and deliveries out.

mod asking;
mod batches;
mod calls;
mod events;
mod features;
mod forwarding;
mod legacy_status;
mod legacy_tasks;
mod methods;
mod outputs;
mod owned_tasks;
mod principals;
mod provenance;
mod resumption;
mod revisions;
pub(crate) mod rig;
mod sessions;
mod states;
mod streams;
mod task_status;
mod tasks;
mod tellings;
mod tools;
