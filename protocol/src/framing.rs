//! Where a message starts and ends on a byte stream.
//!
//! Each framing takes the bytes a transport has read and answers with one whole message, a demand
//! for more bytes, or a refusal; and it writes the framing of the output. It knows neither
//! JSON-RPC nor MCP.

pub mod http1;
pub mod line;
pub mod proxy;
pub mod sse;
pub mod sse_reader;
pub mod websocket;
