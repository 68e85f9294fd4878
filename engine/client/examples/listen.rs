//! Prints the changes of a server of either era, also after its connection broke: `listen URL`.

use corelane_client::{Error, Filter, connect};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = connect(std::env::args().nth(1).unwrap_or_default()).await?;
    let mut changes = client.listen(Filter::all()).await?;
    while let Some(change) = changes.next().await {
        println!("{change:?}");
    }
    Ok(())
}
