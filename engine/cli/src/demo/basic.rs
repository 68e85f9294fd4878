//! The catalog for a first try: a few tools, a prompt and a resource, each showing something else
//! that a server can do.

use std::time::Duration;

use corelane::{Call, CallError, Elicitation, Resource, Server, prompt, tool};
use schemars::JsonSchema;
use serde::Deserialize;

const ABOUT: &str = "Corelane is a thread-per-core server engine for the Model Context Protocol.\n";

pub(super) fn add_to(server: Server) -> Server {
    add_plain_tools(server)
        .with_tool(countdown())
        .with_tool(greet())
        .with_prompt(explain())
        .with_resource(
            Resource::fixed("demo://about", "about", "text/plain", ABOUT)
                .with_description("What this server is."),
        )
}

/// Adds the tools that need nothing of their client.
pub(super) fn add_plain_tools(server: Server) -> Server {
    server
        .with_tool(echo())
        .with_tool(add())
        .with_tool(sleep())
        .with_tool(fibonacci())
}

/// Sends the message back.
#[tool]
fn echo(
    /// The text to send back.
    message: String,
) -> String {
    message
}

/// Adds two numbers.
#[tool]
fn add(a: f64, b: f64) -> f64 {
    a + b
}

/// Counts down to zero, one number each second, and reports progress.
#[tool]
async fn countdown(
    call: &Call,
    /// The number to start with.
    #[schemars(range(max = 60))]
    from: u32,
) -> Result<String, CallError> {
    for done in 0..from {
        let left = (from - done).to_string();
        call.progress(done).total(from).message(&left).await;
        corelane::sleep(Duration::from_secs(1)).await;
    }
    call.progress(from).total(from).message("0").await;
    Ok(format!("counted down from {from}"))
}

#[derive(Deserialize, JsonSchema)]
struct Name {
    /// Your name.
    name: String,
}

/// Elicits a name from the user and greets them.
#[tool]
async fn greet(call: &Call) -> Result<String, CallError> {
    let question = Elicitation::form::<Name>("What is your name?")?;
    let Name { name } = call.elicit("name", question).await?.into_form()?;
    Ok(format!("Hello, {name}!"))
}

/// Computes a Fibonacci number the slow way, on the pool for heavy work.
#[tool]
async fn fibonacci(
    call: &Call,
    /// The index of the number.
    #[schemars(range(max = 40))]
    n: u32,
) -> Result<u64, CallError> {
    call.offload(move || slow_fibonacci(n)).await
}

/// Deliberately exponential: it stands for work that would block a shard.
fn slow_fibonacci(n: u32) -> u64 {
    match n {
        0 | 1 => u64::from(n),
        _ => slow_fibonacci(n - 1) + slow_fibonacci(n - 2),
    }
}

/// Waits, then says so.
#[tool]
async fn sleep(
    /// How long to wait, in milliseconds.
    #[schemars(range(max = 60_000))]
    ms: u64,
) -> String {
    corelane::sleep(Duration::from_millis(ms)).await;
    format!("slept {ms} ms")
}

/// Lets the model explain a subject.
#[prompt]
fn explain(
    /// The subject.
    subject: String,
    /// The reader, such as "a child"; an engineer if nothing is given.
    audience: Option<String>,
) -> String {
    let audience = audience.as_deref().unwrap_or("an engineer");
    format!("Explain {subject} to {audience}, in at most ten sentences.")
}
