//! rmcp at its best, with Corelane's allocator: see `rmcp_peer::at_best`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::io::Result<()> {
    rmcp_peer::run(rmcp_peer::at_best::router)
}
