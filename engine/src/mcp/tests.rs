//! The endpoint without sockets: messages in, dispositions and deliveries out.

mod batches;
mod broadcasts;
mod call_limits;
mod caller_info;
mod calls;
mod elicitation;
mod events;
mod features;
mod forwarding;
mod legacy_status;
mod legacy_tasks;
mod members;
pub(crate) mod messages;
mod methods;
mod outputs;
mod owned_tasks;
mod peers;
mod principals;
mod resumption;
mod revisions;
mod sessions;
mod states;
mod streams;
mod task_status;
mod tasks;
pub(crate) mod test_endpoint;
pub(crate) mod tools;
