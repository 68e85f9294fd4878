//! The client of the official Rust SDK, authorized:
//!
//! ```sh
//! authorized_client REVISION URL [CLIENT_ID]
//! ```
//!
//! Without a CLIENT_ID it registers itself. It prints the URLs that a browser opens, and reads
//! those that the browser is sent back to. It is refused without a token, calls a tool with one,
//! then a tool that needs more scopes, and then one with a token that it refreshed, all in one
//! session.
//! `tests/auth/flow.mjs` runs it.

use std::io::stdin;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rmcp::model::{CallToolRequestParams, ClientConfig, ProtocolVersion};
use rmcp::service::{RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{
    AuthClient, AuthorizationCallback, AuthorizationManager, AuthorizationRequest, OAuthState,
};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig as Config;
use rmcp::{ClientLifecycleMode, ClientServiceExt, RoleClient};
use serde_json::json;
use tokio::sync::Mutex;

const REDIRECT_URI: &str = "http://127.0.0.1/callback";

type Running = RunningService<RoleClient, ClientConfig>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let revision = arguments.next().context("a revision")?;
    let url = arguments.next().context("a URL")?;
    let client_id = arguments.next();
    let lifecycle = lifecycle_of(&revision);

    let http = AuthClient::new(
        reqwest::Client::new(),
        AuthorizationManager::new(&url).await?,
    );
    let refused = connect(http, &url, lifecycle.clone()).await;
    let error = refused.err().context("served without a token")?;
    ensure!(error.to_string().contains("Auth required"), "{error}");

    let manager = authorize(&url, client_id).await?;
    let http = AuthClient::new(reqwest::Client::new(), manager);
    let manager = Arc::clone(&http.auth_manager);
    let client = connect(http, &url, lifecycle).await?;
    let negotiated = client
        .peer_info()
        .context("no server")?
        .protocol_version
        .clone();
    ensure!(negotiated.as_str() == revision, "{negotiated}");
    ensure!(call(&client, "echo").await?.contains('m'));

    let refused = call(&client, "test_simple_text").await;
    let error = refused.err().context("served without the scope")?;
    ensure!(error.to_string().contains("Insufficient scope"), "{error}");
    extend_scope(&manager, "mcp:read mcp:write").await?;
    ensure!(
        call(&client, "test_simple_text")
            .await?
            .contains("simple text")
    );

    let first = manager.lock().await.get_access_token().await?;
    manager.lock().await.refresh_token().await?;
    ensure!(manager.lock().await.get_access_token().await? != first);
    ensure!(call(&client, "echo").await?.contains('m'));
    client.cancel().await?;
    Ok(())
}

fn lifecycle_of(revision: &str) -> ClientLifecycleMode {
    if revision != "2026-07-28" {
        return ClientLifecycleMode::Initialize;
    }
    ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: Some(ProtocolVersion::V_2025_11_25),
    }
}

async fn connect(
    http: AuthClient<reqwest::Client>,
    url: &str,
    lifecycle: ClientLifecycleMode,
) -> Result<Running> {
    let transport = StreamableHttpClientTransport::with_client(http, Config::with_uri(url));
    let config = ClientConfig::default().with_protocol_version(ProtocolVersion::V_2025_11_25);
    Ok(config.serve_with_lifecycle(transport, lifecycle).await?)
}

/// The first authorization: with the scope of the challenge.
async fn authorize(url: &str, client_id: Option<String>) -> Result<AuthorizationManager> {
    let mut state = OAuthState::new(url, None).await?;
    let mut request = AuthorizationRequest::new(REDIRECT_URI).with_initial_scope_selection();
    if let Some(client_id) = client_id {
        request = request.with_preregistered_client(client_id);
    }
    state.start_authorization(request).await?;
    let callback = browse(&state.get_authorization_url().await?)?;
    state.handle_callback_url(&callback).await?;
    state
        .into_authorization_manager()
        .context("no authorization")
}

/// The step up: another authorization, for the running client.
async fn extend_scope(manager: &Mutex<AuthorizationManager>, scope: &str) -> Result<()> {
    let manager = manager.lock().await;
    let callback = browse(&manager.request_scope_upgrade(scope).await?)?;
    let callback = AuthorizationCallback::from_redirect_url(&callback)?;
    let (code, state) = (&callback.code, &callback.csrf_token);
    manager
        .exchange_code_for_token_with_issuer(code, state, callback.issuer.as_deref())
        .await?;
    Ok(())
}

/// Lets a browser open a page, and gives the URL that it is sent back to.
fn browse(page: &str) -> Result<String> {
    println!("{page}");
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

async fn call(client: &Running, name: &'static str) -> Result<String, ServiceError> {
    let arguments = json!({ "message": "m" }).as_object().cloned();
    let params = CallToolRequestParams::new(name).with_arguments(arguments.unwrap_or_default());
    let result = client.call_tool(params).await?;
    Ok(format!("{:?}", result.content))
}
