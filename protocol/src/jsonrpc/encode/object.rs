//! Objects member by member, of values that are written and of text that is copied.

use super::write_string;

/// Writes one object into a buffer. Its members have values of the caller's, or are copied from
/// another text as they stand there.
#[derive(Debug)]
pub struct ObjectWriter<'o> {
    out: &'o mut Vec<u8>,
    has_members: bool,
}

impl<'o> ObjectWriter<'o> {
    /// Begins an object.
    ///
    /// ```
    /// use corelane_protocol::jsonrpc::encode::{ObjectWriter, write_string};
    ///
    /// let mut out = Vec::new();
    /// let mut object = ObjectWriter::begin(&mut out);
    /// write_string(object.name("a"), "x");
    /// object.copy(b"n", b"[1,\n 1e400]");
    /// object.end();
    /// assert_eq!(out, br#"{"a":"x","n":[1,  1e400]}"#);
    /// ```
    pub fn begin(out: &'o mut Vec<u8>) -> ObjectWriter<'o> {
        out.push(b'{');
        ObjectWriter {
            out,
            has_members: false,
        }
    }

    /// Begins a member. The caller appends exactly one value to the buffer.
    pub fn name(&mut self, name: &str) -> &mut Vec<u8> {
        self.separate();
        write_string(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// Copies a member of a valid text on one line; its name is given without the quotes.
    pub fn copy(&mut self, raw_name: &[u8], json: &[u8]) {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(raw_name);
        self.out.extend_from_slice(b"\":");
        write_json_line(self.out, json);
    }

    /// Ends the object.
    pub fn end(self) {
        self.out.push(b'}');
    }

    fn separate(&mut self) {
        if std::mem::replace(&mut self.has_members, true) {
            self.out.push(b',');
        }
    }
}

/// Appends valid JSON on one line: CR and LF, which stand only between tokens, become spaces.
pub fn write_json_line(out: &mut Vec<u8>, json: &[u8]) {
    let start = out.len();
    out.extend_from_slice(json);
    if memchr::memchr2(b'\r', b'\n', json).is_some() {
        for byte in &mut out[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
    }
}
