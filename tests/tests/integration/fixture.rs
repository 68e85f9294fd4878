//! A server in this process with handlers under the control of the tests: a test knows the running
//! calls without waiting, and changes the catalog at a chosen moment.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use corelane::meter::MeterSnapshot;
use corelane::{
    Call, CallError, CompleteRequest, LogLevel, Profile, Prompt, ReadRequest, Resource,
    ResourceTemplate, RunningServer, Server, ServerHandle, Suggestions, Tool, sleep,
};
use corelane_tests::{Connection, EventStream, Request, Session, wait_until};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::shards::one_on_each_shard;

/// Resources, templates and prompts of the fixture, each list as long as this.
pub(crate) const ENTRIES: usize = 5;

/// Between two looks of a handler at its gate.
const LOOK: Duration = Duration::from_millis(1);

/// A running server and the state of its handlers.
pub(crate) struct Fixture {
    running: RunningServer,
    handle: ServerHandle,
    gate: Arc<Gate>,
}

/// The gate at which calls of `hold` wait.
#[derive(Default)]
struct Gate {
    is_open: AtomicBool,
    inside: Mutex<Vec<String>>,
}

/// A running call; it is removed when its future is dropped, for any reason.
struct Inside<'g> {
    gate: &'g Gate,
    label: String,
}

#[derive(Deserialize, JsonSchema)]
struct Hold {
    /// Names the call to the test.
    label: String,
    /// Whether it reports progress all the time.
    #[serde(default)]
    talks: bool,
}

#[derive(Deserialize, JsonSchema)]
struct Steps {
    /// Progress is reported this often.
    steps: u32,
}

#[derive(Deserialize, JsonSchema)]
struct NoArguments {}

#[derive(Deserialize, JsonSchema)]
struct Place {
    /// Completed with ever so many suggestions.
    city: Option<String>,
    /// Completed with three of a thousand.
    street: Option<String>,
}

impl Fixture {
    /// Serves on `shards` shards.
    pub(crate) fn start(shards: usize) -> Fixture {
        Fixture::with(shards, |_| {}, |server| server)
    }

    /// Serves with changes to the profile and further catalog entries.
    pub(crate) fn with(
        shards: usize,
        tune: impl FnOnce(&mut Profile),
        extend: impl FnOnce(Server) -> Server,
    ) -> Fixture {
        let gate = Arc::new(Gate::default());
        let mut profile = Profile::default();
        profile.server.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
        profile.server.shards = Some(shards);
        tune(&mut profile);
        let server = extend(with_features(with_tools(&gate)));
        let handle = server.handle();
        let running = server.start(profile).expect("the server starts");
        Fixture {
            running,
            handle,
            gate,
        }
    }

    /// A connection to the server.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.running.address()).expect("the server takes connections")
    }

    /// Where its metrics are read.
    pub(crate) fn metrics_address(&self) -> SocketAddr {
        let address = self.running.metrics_address();
        address.expect("the profile sets metrics.listen")
    }

    /// A connection to the server, if it takes any.
    pub(crate) fn try_connect(&self) -> std::io::Result<Connection> {
        Connection::open(self.running.address())
    }

    /// A connection on each shard, with a session that lives there.
    pub(crate) fn on_each_shard(&self) -> Vec<(Connection, Session)> {
        one_on_each_shard(|| self.connect(), self.running.shards())
    }

    /// A stream that `request` opens, on a connection of its own.
    pub(crate) fn stream(&self, request: &Request) -> EventStream {
        let mut connection = self.connect();
        connection.send(request);
        EventStream::begin(connection)
    }

    /// The handle that changes the catalog.
    pub(crate) fn handle(&self) -> &ServerHandle {
        &self.handle
    }

    /// Waits until exactly these calls of `hold` run.
    pub(crate) fn wait_for_inside(&self, labels: &[&str]) {
        wait_until(&format!("exactly {labels:?} inside"), || {
            (self.inside() == labels).then_some(())
        });
    }

    /// The running calls of `hold`, by their labels in order.
    pub(crate) fn inside(&self) -> Vec<String> {
        let mut labels = self.gate.labels().clone();
        labels.sort_unstable();
        labels
    }

    /// Lets every call of `hold` continue.
    pub(crate) fn open_gate(&self) {
        self.gate.is_open.store(true, Ordering::Relaxed);
    }

    /// Ends the server and gives its counters.
    pub(crate) fn drain(self) -> MeterSnapshot {
        self.try_drain().expect("the server drains")
    }

    /// Ends the server and gives its counters, or why it failed.
    pub(crate) fn try_drain(self) -> corelane::Result<MeterSnapshot> {
        self.running.drain()
    }
}

impl Gate {
    fn labels(&self) -> MutexGuard<'_, Vec<String>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, label: String) -> Inside<'_> {
        self.labels().push(label.clone());
        Inside { gate: self, label }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut labels = self.gate.labels();
        let at = labels.iter().position(|label| *label == self.label);
        labels.swap_remove(at.expect("whoever leaves was inside"));
    }
}

fn with_tools(gate: &Arc<Gate>) -> Server {
    let gate = Arc::clone(gate);
    Server::new("fixture", "1")
        .with_tool(Tool::new(
            "echo",
            "Says it again.",
            async |_: &Call, Steps { steps }| Ok(steps.to_string()),
        ))
        .with_tool(Tool::new(
            "hold",
            "Waits at the gate.",
            async move |call: &Call, Hold { label, talks }| {
                let _inside = gate.enter(label.clone());
                let mut looks = 0.0;
                while !gate.is_open.load(Ordering::Relaxed) {
                    if talks {
                        looks += 1.0;
                        call.progress(looks).await;
                    }
                    sleep(LOOK).await;
                }
                Ok(label)
            },
        ))
        .with_tool(Tool::new(
            "walk",
            "Reports progress step by step.",
            async |call: &Call, Steps { steps }| {
                for step in 1..=steps {
                    call.progress(f64::from(step)).await;
                    sleep(LOOK).await;
                }
                Ok("walked")
            },
        ))
        .with_tool(Tool::new("logs", "Logs once at every level.", logs))
}

async fn logs(call: &Call, _: NoArguments) -> Result<&'static str, CallError> {
    for level in LogLevel::ALL {
        call.log(level, Some("fixture"), &json!({ "said": level.as_str() }))
            .await?;
    }
    Ok("logged")
}

/// The name of a prompt and of the other entries, of which there are [`ENTRIES`] each.
fn name(number: usize) -> String {
    format!("entry-{number}")
}

/// The URI of a resource of the fixture.
pub(crate) fn uri(number: usize) -> String {
    format!("fixture:{number}")
}

/// A resource to be added while the server runs.
pub(crate) fn resource(uri: &str) -> Resource {
    Resource::fixed(uri, "a resource", "text/plain", "content")
}

/// A tool to be added while the server runs.
pub(crate) fn tool(name: &str) -> Tool {
    Tool::new(name, "Comes and goes.", async |_: &Call, _: NoArguments| {
        Ok("here")
    })
}

/// A prompt to be added while the server runs.
pub(crate) fn prompt(name: &str) -> Prompt {
    Prompt::new(name, "Comes and goes.", async |_: &Call, _: NoArguments| {
        Ok("here")
    })
}

fn with_features(mut server: Server) -> Server {
    for number in 0..ENTRIES {
        let template = ResourceTemplate::new(
            format!("fixture:{{id}}/{number}"),
            name(number),
            "text/plain",
            async |_: &Call, request: ReadRequest| Ok(request.uri().to_owned()),
        );
        server = server
            .with_resource(resource(&uri(number)))
            .with_template(template.with_completer("id", cities))
            .with_prompt(prompt(&name(number)));
    }
    let place = Prompt::new("place", "Says it.", async |_: &Call, place: Place| {
        let said = [place.city, place.street].map(Option::unwrap_or_default);
        Ok(said.join(" "))
    });
    server.with_prompt(place.with_completer("city", cities).with_completer(
        "street",
        async |_: &Call, _: CompleteRequest| {
            Ok(Suggestions::from(vec!["a", "b", "c"]).with_total(1000))
        },
    ))
}

/// As many suggestions as the value says; none for a value that is not a number.
async fn cities(_: &Call, request: CompleteRequest) -> Result<Vec<String>, CallError> {
    let count: u32 = request.value().parse().unwrap_or_default();
    Ok((0..count).map(|at| format!("city {at}")).collect())
}
