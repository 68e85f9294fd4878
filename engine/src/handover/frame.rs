//! Frames, and their bytes.

use serde::{Deserialize, Serialize};

use super::rows::{ConnectionRow, EndedRow, SessionRow, SocketRow};

/// The version of the hand-over that this release speaks, the only one so far.
pub(crate) const VERSION: u16 = 1;
/// Most bytes of a frame. A message of a socket has to fit into its send buffer
/// (net.core.wmem_default, 208 KiB).
pub(crate) const FRAME_BYTES_MAX: usize = 128 * 1024;
/// Most descriptors of a frame: the kernel takes 253 (SCM_MAX_FD, unix(7)).
pub(crate) const DESCRIPTORS_MAX: usize = 250;
/// Bytes of rows in one frame at most; the rest is for the frame around them.
const ROWS_BYTES_MAX: usize = FRAME_BYTES_MAX - 1024;

/// A message of one process to the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub(crate) enum Frame {
    /// Of the new process: the versions that it speaks, and its release.
    Hello {
        oldest: u16,
        newest: u16,
        release: String,
    },
    /// Of the old one: the chosen version, and how many sockets follow.
    Begin {
        version: u16,
        /// The texts of the addresses in its profile, by number.
        addresses: Vec<String>,
        sockets: usize,
        /// The random key of the process, in Base64.
        key: String,
    },
    /// Sockets, a descriptor for each.
    Sockets { rows: Vec<SocketRow> },
    /// The new process has started.
    Ready {
        /// For each address of the old one, whether the new one listens there.
        takes: Vec<bool>,
    },
    /// The new process does not start.
    Failed { reason: String },
    /// Sessions.
    Sessions { rows: Vec<SessionRow> },
    /// Sessions that ended for good.
    Ended { rows: Vec<EndedRow> },
    /// Connections, a descriptor for each.
    Connections { rows: Vec<ConnectionRow> },
    /// The answer to `Sessions`, `Ended` and `Connections`.
    Taken {
        /// The places of rows in the frame that the new process does not serve.
        #[serde(default)]
        refused: Vec<usize>,
    },
    /// The new process may serve.
    Commit {
        /// The fingerprints of the lists as clients know them.
        #[serde(default)]
        lists: Vec<u64>,
    },
    /// It does.
    Committed,
    /// The old process goes on alone.
    Abort,
}

/// Why bytes are no frame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameFault {
    #[error("a frame of {bytes} bytes exceeds the limit of {FRAME_BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error("invalid frame: {0}")]
    Malformed(serde_json::Error),
    #[error("a frame of {rows} rows came with {descriptors} descriptors")]
    Descriptors { rows: usize, descriptors: usize },
}

impl Frame {
    /// Its name, for messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Frame::Hello { .. } => "hello",
            Frame::Begin { .. } => "begin",
            Frame::Sockets { .. } => "sockets",
            Frame::Ready { .. } => "ready",
            Frame::Failed { .. } => "failed",
            Frame::Sessions { .. } => "sessions",
            Frame::Ended { .. } => "ended",
            Frame::Connections { .. } => "connections",
            Frame::Taken { .. } => "taken",
            Frame::Commit { .. } => "commit",
            Frame::Committed => "committed",
            Frame::Abort => "abort",
        }
    }

    /// How many descriptors come with it.
    pub(crate) fn descriptors(&self) -> usize {
        match self {
            Frame::Sockets { rows } => rows.len(),
            Frame::Connections { rows } => rows.len(),
            _ => 0,
        }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// [`FrameFault::TooLong`].
    pub(crate) fn encode(&self) -> Result<Vec<u8>, FrameFault> {
        let bytes = serde_json::to_vec(self).map_err(FrameFault::Malformed)?;
        match bytes.len() {
            bytes @ FRAME_BYTES_MAX.. => Err(FrameFault::TooLong { bytes }),
            _ => Ok(bytes),
        }
    }

    /// Reads the bytes of one frame, which came with so many descriptors.
    ///
    /// # Errors
    /// [`FrameFault`]: nothing of it may be used.
    pub(crate) fn decode(bytes: &[u8], descriptors: usize) -> Result<Frame, FrameFault> {
        if bytes.len() >= FRAME_BYTES_MAX {
            let bytes = bytes.len();
            return Err(FrameFault::TooLong { bytes });
        }
        let frame: Frame = serde_json::from_slice(bytes).map_err(FrameFault::Malformed)?;
        match frame.descriptors() {
            rows if rows != descriptors => Err(FrameFault::Descriptors { rows, descriptors }),
            _ => Ok(frame),
        }
    }
}

/// Divides rows among as few frames as hold them, no more than `rows_max` in each. A row that no
/// frame holds is left out; the second number is how many those are.
pub(crate) fn pack<T: Serialize>(rows: Vec<T>, rows_max: usize) -> (Vec<Vec<T>>, usize) {
    let (mut frames, mut bytes, mut left_out) = (Vec::<Vec<T>>::new(), 0, 0);
    for row in rows {
        let row_bytes = serde_json::to_vec(&row).map_or(usize::MAX, |it| it.len() + 1);
        if row_bytes > ROWS_BYTES_MAX {
            left_out += 1;
            continue;
        }
        let has_room = |frame: &&mut Vec<T>| frame.len() < rows_max;
        match frames.last_mut().filter(has_room) {
            Some(frame) if bytes + row_bytes <= ROWS_BYTES_MAX => {
                bytes += row_bytes;
                frame.push(row);
            }
            _ => {
                bytes = row_bytes;
                frames.push(vec![row]);
            }
        }
    }
    (frames, left_out)
}

#[cfg(test)]
mod tests {
    use super::{FRAME_BYTES_MAX, Frame, FrameFault, pack};
    use crate::handover::rows::SocketRow;

    /// Frames of version 1, as its first release writes them. They never change.
    const GOLDEN: [&str; 12] = [
        r#"{"frame":"hello","oldest":1,"newest":1,"release":"0.1.0"}"#,
        concat!(
            r#"{"frame":"begin","version":1,"addresses":["http://127.0.0.1:80"],"#,
            r#""sockets":2,"key":"a"}"#
        ),
        concat!(
            r#"{"frame":"sockets","rows":[{"socket":"listener","address":0,"shard":1},"#,
            r#"{"socket":"metrics"},{"socket":"control"}]}"#
        ),
        r#"{"frame":"ready","takes":[true,false]}"#,
        r#"{"frame":"failed","reason":"no memory"}"#,
        concat!(
            r#"{"frame":"sessions","rows":[{"id":"00000000000000000000000000000000000a","#,
            r#""revision":"2025-06-18","capabilities":3,"lists":1,"level":"error","#,
            r#""principal":"ann","holder":7,"age_ms":9,"is_more":false,"#,
            r#""subscriptions":["a://b"],"#,
            r#""streams":[{"stream":4,"next":5,"at":"0.1.2.3"}],"lost_stream":4}]}"#
        ),
        concat!(
            r#"{"frame":"ended","rows":[{"id":"00000000000000000000000000000000000a","#,
            r#""until_s":5}]}"#
        ),
        concat!(
            r#"{"frame":"connections","rows":[{"listener":0,"shard":1,"sequence":3,"#,
            r#""client":"10.0.0.1","stream":null},{"listener":0,"shard":0,"sequence":1,"#,
            r#""client":null,"stream":{"version_minor":1,"keep_alive":true,"is_post":false,"#,
            r#""expires_s":0,"of":{"session":{"id":"00000000000000000000000000000000000a","#,
            r#""at":"0.1.2.3"}}}},{"listener":1,"shard":0,"sequence":1,"client":null,"#,
            r#""stream":{"version_minor":1,"keep_alive":true,"is_post":true,"expires_s":9,"#,
            r#""of":{"listen":{"id":{"text":"a"},"lists":1,"uris":["a://b"],"holder":7}}}}]}"#
        ),
        r#"{"frame":"taken","refused":[1]}"#,
        r#"{"frame":"commit","lists":[1,18446744073709551615]}"#,
        r#"{"frame":"committed"}"#,
        r#"{"frame":"abort"}"#,
    ];

    fn decode(text: &str) -> Result<Frame, FrameFault> {
        let descriptors = text.matches("\"socket\"").count() + text.matches("listener\":").count();
        Frame::decode(text.as_bytes(), descriptors)
    }

    #[test]
    fn frames_of_version_1_stay_as_they_are() {
        for text in GOLDEN {
            let frame = decode(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let bytes = frame.encode().expect("it is short");
            assert_eq!(String::from_utf8_lossy(&bytes), text);
            assert!(text.contains(frame.name()));
        }
    }

    #[test]
    fn members_of_a_later_version_are_skipped() {
        for text in GOLDEN {
            let later = text.replacen('{', "{\"later\":[1,{}],", 1);
            let read = |text: &str| decode(text).expect("a frame");
            assert_eq!(read(&later), read(text));
        }
    }

    #[test]
    fn cut_changed_and_foreign_bytes_are_no_frames() {
        for text in GOLDEN {
            for end in 0..text.len() {
                assert!(decode(&text[..end]).is_err(), "{end} of {text}");
            }
            assert!(decode(&format!("{text}x")).is_err());
            // No byte of it makes the decoder panic.
            for at in 0..text.len() {
                for byte in [0, b'"', b'}', b'9', 0xff] {
                    let mut bytes = text.as_bytes().to_vec();
                    bytes[at] = byte;
                    let _ = Frame::decode(&bytes, 1);
                }
            }
        }
        let deep = "[".repeat(FRAME_BYTES_MAX - 1);
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"",
            b"null",
            deep.as_bytes(),
        ] {
            assert!(Frame::decode(bytes, 0).is_err());
        }
        let unknown = r#"{"frame":"execute","path":"/bin/sh"}"#;
        assert!(decode(unknown).is_err());
    }

    #[test]
    fn a_frame_has_a_descriptor_for_each_row_and_is_bounded() {
        let rows = vec![SocketRow::Metrics];
        let bytes = Frame::Sockets { rows }.encode().expect("it is short");
        for (descriptors, fits) in [(0, false), (1, true), (2, false)] {
            assert_eq!(Frame::decode(&bytes, descriptors).is_ok(), fits);
        }
        assert!(Frame::decode(b"{\"frame\":\"commit\"}", 1).is_err());
        let reason = "x".repeat(FRAME_BYTES_MAX);
        let long = Frame::Failed { reason };
        assert!(matches!(long.encode(), Err(FrameFault::TooLong { .. })));
        let spaces = [&b"{\"frame\":\"commit\"}"[..], &[b' '; FRAME_BYTES_MAX]].concat();
        let read = Frame::decode(&spaces, 0);
        assert!(matches!(read, Err(FrameFault::TooLong { .. })));
    }

    #[test]
    fn rows_are_divided_by_their_number_and_their_bytes() {
        let sizes = |rows: Vec<String>, rows_max| {
            let (frames, left_out) = pack(rows, rows_max);
            (frames.iter().map(Vec::len).collect::<Vec<_>>(), left_out)
        };
        let row = |bytes: usize| "x".repeat(bytes);
        assert_eq!(sizes(vec![row(1); 5], 2), (vec![2, 2, 1], 0));
        let large = FRAME_BYTES_MAX / 3;
        assert_eq!(sizes(vec![row(large); 5], 250), (vec![2, 2, 1], 0));
        let rows = vec![row(1), row(FRAME_BYTES_MAX), row(1)];
        assert_eq!(sizes(rows, 250), (vec![2], 1));
        assert_eq!(sizes(Vec::new(), 250), (vec![], 0));
    }
}
