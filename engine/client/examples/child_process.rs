//! Starts a server as a child process, lists its tools, and calls one.

use corelane_client::{Error, connect, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = connect("stdio:corelane serve --stdio").await?;
    let tools = client.tools().await?;
    println!("{} tools", tools.len());
    let sum: u64 = client.call("add", json!({"a": 1, "b": 2})).await?.parse()?;
    println!("1 + 2 = {sum}");
    Ok(())
}
