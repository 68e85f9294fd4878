//! Answers a server of either era that elicits input during a call: `answer_elicitation URL`.

use corelane_client::{Client, Error, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::builder()
        .on_elicit(|form| async move { form.accept(json!({"name": "Ada"})) })
        .connect(std::env::args().nth(1).unwrap_or_default())
        .await?;
    let result = client.call("test_streaming_elicitation", json!({})).await?;
    println!("{}", result.text());
    Ok(())
}
