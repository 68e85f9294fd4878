//! Where a message starts and ends on a byte stream.
