//! The server for random clients: small tools, and small limits on everything.

use std::net::SocketAddr;
use std::time::Duration;

use corelane::{
    Call, CallError, Elicitation, Profile, RunningServer, Server, ServerHandle, TaskSupport, Tool,
    sleep,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) const SHARDS: usize = 4;

/// The lifetime of tasks, in milliseconds: the least that a profile allows.
pub(crate) const TASK_TTL_MS: u64 = 1000;

#[derive(Deserialize, JsonSchema)]
struct Echo {
    message: String,
}

#[derive(Deserialize, JsonSchema)]
struct Nap {
    ms: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

#[derive(Deserialize, JsonSchema)]
struct Name {
    name: String,
}

async fn nap(_: &Call, Nap { ms }: Nap) -> Result<&'static str, CallError> {
    sleep(Duration::from_millis(ms)).await;
    Ok("slept")
}

/// Reports 1, 2 and 3, then answers.
async fn steps(call: &Call, _: Nothing) -> Result<&'static str, CallError> {
    for step in 1..=3 {
        call.progress(f64::from(step)).total(3.0).await;
        sleep(Duration::from_millis(2)).await;
    }
    Ok("climbed")
}

async fn greet(call: &Call, _: Nothing) -> Result<String, CallError> {
    let question = Elicitation::form::<Name>("Who are you?")?;
    let name: Name = call.elicit("name", question).await?.into_form()?;
    Ok(format!("hello {}", name.name))
}

pub(crate) fn echo(description: &str) -> Tool {
    let echo = async |_: &Call, Echo { message }| Ok(message);
    Tool::new("echo", description, echo)
}

/// Starts the server on loopback.
pub(crate) fn start() -> (RunningServer, ServerHandle) {
    let mut profile = Profile::default();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let lines = "tcp://127.0.0.1:0".parse().expect("an address");
    profile.server.listen = vec![any_port.into(), lines];
    profile.server.shards = Some(SHARDS);
    // Fewer than there are clients, if their sessions meet on one shard.
    profile.sessions.per_shard_max = 3;
    profile.tasks.per_shard_max = 6;
    profile.tasks.per_owner_max = 6;
    profile.tasks.ttl_default_ms = TASK_TTL_MS;
    profile.tasks.ttl_max_ms = TASK_TTL_MS;
    let server = Server::new("random", "1")
        .with_tool(echo("Says it again."))
        .with_tool(Tool::new("nap", "Sleeps.", nap).with_task_support(TaskSupport::Optional))
        .with_tool(Tool::new("steps", "Climbs three steps.", steps))
        .with_tool(Tool::new("greet", "Asks for a name.", greet));
    let handle = server.handle();
    (server.start(profile).expect("the server starts"), handle)
}
