//! Bytes on their way to a peer: those of the send under way stay in place, later ones wait.

/// The bytes that a connection is still to send.
#[derive(Debug, Default)]
pub struct Outbox {
    sending: Vec<u8>,
    sent: usize,
    waiting: Vec<u8>,
}

impl Outbox {
    /// Where the next bytes are appended.
    pub fn waiting(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// How many bytes are not sent.
    pub fn len(&self) -> usize {
        self.sending.len() - self.sent + self.waiting.len()
    }

    /// Whether everything is sent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// So many bytes of the last send are sent.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    /// The bytes of the next send, none if everything is sent. They stay in place until
    /// [`Outbox::sent`] has counted them and this is called again.
    pub fn next_send(&mut self) -> &[u8] {
        if self.sent == self.sending.len() {
            self.sent = 0;
            self.sending.clear();
            std::mem::swap(&mut self.sending, &mut self.waiting);
        }
        &self.sending[self.sent..]
    }
}

#[cfg(test)]
mod tests {
    use super::Outbox;

    #[test]
    fn sends_each_byte_once_and_in_order() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.next_send(), b"");
        outbox.waiting().extend_from_slice(b"abc");
        assert_eq!(outbox.next_send(), b"abc");
        outbox.waiting().extend_from_slice(b"de");
        outbox.sent(2);
        assert_eq!(outbox.next_send(), b"c");
        assert_eq!(outbox.len(), 3);
        outbox.sent(1);
        assert_eq!(outbox.next_send(), b"de");
        outbox.sent(2);
        assert!(outbox.is_empty());
        assert_eq!(outbox.next_send(), b"");
    }
}
