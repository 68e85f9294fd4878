//! A decoded text, borrowed from its decoder or its owner.

use simd_json::Node;

use crate::jsonrpc::error::ShapeError;
use crate::jsonrpc::limits::JsonLimits;
use crate::jsonrpc::message::{self, Message};
use crate::jsonrpc::value::{ArrayIter, Kind, Value};

/// One decoded JSON text, borrowed from its owner.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    root: Value<'a>,
    duplicate: Option<&'a str>,
    limits: &'a JsonLimits,
}

impl<'a> Document<'a> {
    /// The text with these nodes; the name at `duplicate_at` occurs twice in its object.
    pub(super) fn new(
        nodes: &'a [Node<'a>],
        duplicate_at: Option<usize>,
        limits: &'a JsonLimits,
    ) -> Document<'a> {
        Document {
            root: Value::from_tape(nodes),
            duplicate: duplicate_at.map(|at| match nodes[at] {
                Node::String(name) => name,
                _ => unreachable!("the name of a member is a string"),
            }),
            limits,
        }
    }

    /// The name of a member that an object of the text has twice, at any depth.
    pub fn duplicate_member(self) -> Option<&'a str> {
        self.duplicate
    }

    /// The whole text as a value.
    pub fn root(self) -> Value<'a> {
        self.root
    }

    /// Reads the text as a message.
    ///
    /// # Errors
    /// If the text is not an object in the form of a message, or an object within it has a member
    /// twice; for a batch too.
    pub fn message(self) -> Result<Message<'a>, ShapeError<'a>> {
        message::from_value(self.root, self.duplicate, self.limits)
    }

    /// Whether the text is an array: a batch, possibly an empty one, which JSON-RPC 2.0 section 6
    /// calls invalid.
    pub fn is_batch(self) -> bool {
        self.root.kind() == Kind::Array
    }

    /// The messages of a batch in order; none if the text is not a batch. A member that occurs
    /// twice in one of them is a fault of all.
    pub fn batch(self) -> Batch<'a> {
        let array = self.root.as_array();
        Batch {
            elements: array.map_or(ArrayIter::empty(), |array| array.iter()),
            duplicate: self.duplicate,
            limits: self.limits,
        }
    }
}

/// Iterates over the messages of a batch.
pub struct Batch<'a> {
    elements: ArrayIter<'a>,
    duplicate: Option<&'a str>,
    limits: &'a JsonLimits,
}

impl<'a> Iterator for Batch<'a> {
    type Item = Result<Message<'a>, ShapeError<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let element = self.elements.next()?;
        Some(message::from_value(element, self.duplicate, self.limits))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.elements.size_hint()
    }
}

impl ExactSizeIterator for Batch<'_> {}
