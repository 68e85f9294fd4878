//! JSON-RPC 2.0: bytes to messages and back.
