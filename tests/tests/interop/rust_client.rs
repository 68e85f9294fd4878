//! The client of the official Rust SDK, rmcp, in both eras, over every transport that it has: HTTP
//! without and with TLS and on a Unix socket, lines on TCP and Unix sockets, and standard input and
//! output.

use std::sync::Arc;
use std::time::Duration;

use corelane_tests::{Authority, PATIENCE, Setup, binary};
use rmcp::model::{
    CallToolRequestParams, ClientConfig, ClientRequest, ElicitRequestParams, ElicitResult,
    ElicitationAction, ErrorData, GetPromptRequestParams, Implementation,
    ProgressNotificationParam, ProtocolVersion, ReadResourceRequestParams, Request,
    ResourceUpdatedNotificationParam, SubscribeRequestParams, SubscriptionFilter,
};
use rmcp::service::{NotificationContext, PeerRequestOptions, RequestContext, RunningService};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig as Config;
use rmcp::transport::{
    IntoTransport, StreamableHttpClientTransport, TokioChildProcess, UnixSocketHttpClient,
};
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt, RoleClient};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;

const WATCHED: &str = "test://watched-resource";

type Running = RunningService<RoleClient, Client>;

/// A client that fills in forms, and keeps what it is notified of.
struct Client {
    events: mpsc::UnboundedSender<Value>,
}

impl Client {
    fn keep(&self, event: Value) {
        self.events.send(event).expect("the test reads it");
    }
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let capabilities = serde_json::from_value(json!({ "elicitation": {} }));
        let capabilities = capabilities.expect("they are of the specification");
        ClientConfig::new(capabilities, Implementation::new("rmcp", "1"))
            .with_protocol_version(ProtocolVersion::V_2025_11_25)
    }

    async fn create_elicitation(
        &self,
        _request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let content = json!({ "username": "ann", "email": "ann@example.com" });
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(content))
    }

    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        self.keep(json!(params.progress));
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.keep(json!("tools changed"));
    }

    async fn on_resource_updated(
        &self,
        params: ResourceUpdatedNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        self.keep(json!(params.uri));
    }
}

fn tool(name: &'static str, arguments: Value) -> CallToolRequestParams {
    CallToolRequestParams::new(name).with_arguments(object(arguments))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("no object: {other}"),
    }
}

/// A result as JSON, to look into.
fn value(result: impl Serialize) -> Value {
    serde_json::to_value(result).expect("it came as JSON")
}

/// Calls a tool, which must succeed, and gives the text of its result.
async fn call(client: &Running, name: &'static str, arguments: Value) -> String {
    let result = client.call_tool(tool(name, arguments)).await;
    let result = value(result.unwrap_or_else(|error| panic!("{name}: {error}")));
    assert_ne!(result["isError"], true, "{result}");
    let text = result["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("{name}: {result}"))
        .to_owned()
}

async fn use_catalog(client: &Running, events: &mut mpsc::UnboundedReceiver<Value>) {
    let tools = client.list_all_tools().await.expect("a list");
    assert!(tools.iter().any(|tool| tool.name == "echo"));
    let message = "x".repeat(1 << 20);
    assert_eq!(
        call(client, "echo", json!({ "message": message })).await,
        message
    );
    call(client, "test_tool_with_progress", json!({})).await;
    for expected in [0.0, 50.0, 100.0] {
        assert_eq!(events.recv().await, Some(json!(expected)));
    }

    let failed = client
        .call_tool(tool("test_error_handling", json!({})))
        .await;
    assert_eq!(failed.expect("a result").is_error, Some(true));
    let unknown = client.call_tool(tool("absent", json!({}))).await;
    let unknown = unknown.expect_err("there is no such tool").to_string();
    assert!(unknown.contains("absent"), "{unknown}");

    let read = ReadResourceRequestParams::new("test://static-text");
    let resource = value(client.read_resource(read).await.expect("a resource"));
    let text = resource["contents"][0]["text"].as_str().unwrap_or_default();
    assert!(text.contains("static text resource"), "{resource}");
    let arguments = object(json!({ "arg1": "one", "arg2": "two" }));
    let get = GetPromptRequestParams::new("test_prompt_with_arguments").with_arguments(arguments);
    let prompt = value(client.get_prompt(get).await.expect("a prompt"));
    let text = prompt["messages"][0]["content"]["text"].as_str();
    assert!(
        text.unwrap_or_default().contains("arg1='one', arg2='two'"),
        "{prompt}"
    );
    let name = "test_prompt_with_arguments";
    let completed = client
        .complete_prompt_argument(name, "arg1", "te", None)
        .await;
    assert_eq!(
        completed.expect("values").values,
        ["test", "testing", "tested"]
    );

    let elicited = call(client, "test_elicitation", json!({ "message": "Who?" })).await;
    assert!(elicited.contains("ann@example.com"), "{elicited}");

    let sleep =
        ClientRequest::CallToolRequest(Request::new(tool("sleep", json!({ "ms": 60_000 }))));
    let options = PeerRequestOptions::no_options();
    let handle = client
        .send_cancellable_request(sleep, options)
        .await
        .expect("it is sent");
    handle
        .cancel(Some("enough".to_owned()))
        .await
        .expect("it is cancelled");
}

/// The catalog changes, and the client hears of it: on a stream of its own in the modern era.
#[expect(deprecated, reason = "sessions subscribe to resources one by one")]
async fn hear_of_changes(
    client: &Running,
    events: &mut mpsc::UnboundedReceiver<Value>,
    is_modern: bool,
) {
    if !is_modern {
        client
            .subscribe(SubscribeRequestParams::new(WATCHED))
            .await
            .expect("a subscription");
        call(client, "test_trigger_tool_change", json!({})).await;
        assert_eq!(events.recv().await, Some(json!("tools changed")));
        call(client, "test_trigger_resource_change", json!({})).await;
        assert_eq!(events.recv().await, Some(json!(WATCHED)));
        return;
    }
    let mut filter = SubscriptionFilter::builder().tools_list_changed().build();
    filter.resource_subscriptions = Some(vec![WATCHED.to_owned()]);
    let mut subscription = client.listen(filter).await.expect("a subscription");
    for (change, method) in [
        (
            "test_trigger_tool_change",
            "notifications/tools/list_changed",
        ),
        (
            "test_trigger_resource_change",
            "notifications/resources/updated",
        ),
    ] {
        call(client, change, json!({})).await;
        let event = subscription.next().await.expect("an event");
        assert_eq!(value(event)["method"], method);
    }
    subscription.cancel().await.expect("its end");
}

/// A client in each era, from connect to close, over the transports that `connect` makes.
fn check<T, E, A>(connect: impl AsyncFn() -> T)
where
    T: IntoTransport<RoleClient, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let modern = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: Some(ProtocolVersion::V_2025_11_25),
    };
    let run = async |lifecycle: ClientLifecycleMode| {
        let is_modern = lifecycle != ClientLifecycleMode::Initialize;
        let (sender, mut events) = mpsc::unbounded_channel();
        let client = Client { events: sender };
        let client = client
            .serve_with_lifecycle(connect().await, lifecycle)
            .await
            .expect("a session");
        use_catalog(&client, &mut events).await;
        hear_of_changes(&client, &mut events, is_modern).await;
        client.cancel().await.expect("it closes");
    };
    runtime.expect("a runtime").block_on(async {
        for lifecycle in [modern, ClientLifecycleMode::Initialize] {
            let name = format!("{lifecycle:?}");
            let within: Duration = 4 * PATIENCE;
            let ended = tokio::time::timeout(within, run(lifecycle)).await;
            ended.unwrap_or_else(|_| panic!("{name} took more than {within:?}"));
        }
    });
}

#[test]
fn the_rust_sdk_is_served_over_http() {
    let server = Setup::shards(2).start();
    let uri: Arc<str> = format!("http://{}/mcp", server.address()).into();
    check(async || StreamableHttpClientTransport::from_uri(Arc::clone(&uri)));
}

#[test]
fn the_rust_sdk_is_served_over_https() {
    let server = Setup::shards(2).secured().start();
    let uri = format!("https://{}/mcp", server.address());
    check(async || {
        let tls = (*Authority::shared().client()).clone();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .build();
        let http = http.expect("a client");
        StreamableHttpClientTransport::with_client(http, Config::with_uri(&*uri))
    });
}

#[test]
fn the_rust_sdk_is_served_over_http_on_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("socket");
    let path = path.to_str().expect("it is UTF-8");
    let server = Setup::shards(2)
        .listen(&format!("http+unix://{path}"))
        .start();
    let uri = "http://localhost/mcp";
    check(async || {
        let http = UnixSocketHttpClient::new(path, uri);
        StreamableHttpClientTransport::with_client(http, Config::with_uri(uri))
    });
    server.assert_alive();
}

#[test]
fn the_rust_sdk_is_served_over_lines_on_tcp() {
    let server = Setup::shards(2).listen("tcp://127.0.0.1:0").start();
    let address = server.addresses()[1].trim_start_matches("tcp://");
    check(async || TcpStream::connect(address).await.expect("it listens"));
}

#[test]
fn the_rust_sdk_is_served_over_lines_on_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("socket");
    let server = Setup::shards(2)
        .listen(&format!("unix://{}", path.display()))
        .start();
    check(async || UnixStream::connect(&path).await.expect("it listens"));
    server.assert_alive();
}

#[test]
fn the_rust_sdk_is_served_over_standard_input_and_output() {
    check(async || {
        let mut command = tokio::process::Command::new(binary());
        command.args(["serve", "--demo", "conformance", "--stdio"]);
        TokioChildProcess::new(command).expect("it starts")
    });
}
