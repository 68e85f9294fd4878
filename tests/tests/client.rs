//! The client library against the server, in both eras and over every transport that both have.

#[path = "client/binding.rs"]
mod binding;
#[path = "client/catalog.rs"]
mod catalog;
#[path = "client/conformance.rs"]
mod conformance;
#[path = "client/endings.rs"]
mod endings;
#[path = "client/examples.rs"]
mod examples;
#[path = "client/gateway.rs"]
mod gateway;
#[path = "client/gateway_questions.rs"]
mod gateway_questions;
#[path = "client/interop.rs"]
mod interop;
#[path = "client/vectors.rs"]
mod vectors;
