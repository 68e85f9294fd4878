//! Calls a tool of a protected server, as a program with a secret of its own:
//! `JOB_SECRET=… client_credentials URL`.

use corelane_client::{Client, ClientCredentials, Error, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let auth = ClientCredentials::new("job", &std::env::var("JOB_SECRET").unwrap_or_default());
    let url = std::env::args().nth(1).unwrap_or_default();
    let client = Client::builder().auth(auth).connect(url).await?;
    let result = client.call("report", json!({})).await?;
    println!("{}", result.text());
    Ok(())
}
