//! Lists the tools of a server of either era, and calls one: `list_and_call URL`.

use corelane_client::{Error, connect, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = connect(std::env::args().nth(1).unwrap_or_default()).await?;
    let tools = client.tools().await?;
    println!("{} tools", tools.len());
    let sum: u64 = client.call("add", json!({"a": 1, "b": 2})).await?.parse()?;
    println!("1 + 2 = {sum}");
    Ok(())
}
