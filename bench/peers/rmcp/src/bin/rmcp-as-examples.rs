//! rmcp as its examples show it, with the default allocator: see `rmcp_peer::as_examples`.

fn main() -> std::io::Result<()> {
    rmcp_peer::run(rmcp_peer::as_examples::router)
}
