//! A decoded text that owns its bytes, to be decoded on one thread and read on another.

use self_cell::{MutBorrow, self_cell};
use simd_json::{Node, Tape};

use super::{Document, check_size, copy_padded, fill, small_buffers};
use crate::jsonrpc::error::DecodeError;
use crate::jsonrpc::limits::JsonLimits;

type Nodes<'a> = Vec<Node<'a>>;

self_cell!(
    /// Nodes, and the text with their strings.
    struct OwnedNodes {
        owner: MutBorrow<Vec<u8>>,
        #[covariant]
        dependent: Nodes,
    }
);

/// One decoded JSON text that borrows nothing.
pub struct OwnedDocument {
    nodes: OwnedNodes,
    /// The place among the nodes of a name that occurs twice in its object.
    duplicate_at: Option<usize>,
    limits: JsonLimits,
}

impl std::fmt::Debug for OwnedDocument {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nodes = self.nodes.borrow_dependent().len();
        formatter
            .debug_struct("OwnedDocument")
            .field("nodes", &nodes)
            .finish_non_exhaustive()
    }
}

impl OwnedDocument {
    /// Decodes one whole JSON text as [`Decoder::decode`](super::Decoder::decode) does, into
    /// memory of its own.
    ///
    /// # Errors
    /// If `bytes` are not exactly one JSON text, or it exceeds a limit.
    ///
    /// # Panics
    /// As [`Decoder::new`](super::Decoder::new) for limits that are not usable.
    pub fn decode(bytes: &[u8], limits: JsonLimits) -> Result<OwnedDocument, DecodeError> {
        limits.assert_usable();
        check_size(bytes, &limits)?;
        let mut input = Vec::new();
        copy_padded(bytes, &mut input);
        let mut duplicate_at = None;
        let nodes = OwnedNodes::try_new(MutBorrow::new(input), |input| {
            let mut tape = Tape(Vec::new());
            let input = (bytes, &mut input.borrow_mut()[..]);
            duplicate_at = fill(&mut tape, input, &mut small_buffers(&limits), &limits)?;
            Ok(tape.0)
        })?;
        Ok(OwnedDocument {
            nodes,
            duplicate_at,
            limits,
        })
    }

    /// The text itself.
    pub fn document(&self) -> Document<'_> {
        let nodes = self.nodes.borrow_dependent();
        Document::new(nodes, self.duplicate_at, &self.limits)
    }
}
