//! Calls a tool, and prints its progress as it arrives: `progress URL`.

use corelane_client::{Error, connect, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = connect(std::env::args().nth(1).unwrap_or_default()).await?;
    let call = client.call("test_tool_with_progress", json!({}));
    let call = call.on_progress(|it| println!("{} of {:?}", it.progress, it.total));
    let result = call.await?;
    println!("{}", result.text());
    Ok(())
}
