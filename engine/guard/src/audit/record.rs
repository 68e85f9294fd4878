//! One event, and its packed form, which a shard leaves for the writer.
//!
//! Packing copies each part once and allocates nothing. It clips texts: peers choose some of them.
//! It deliberately lacks hashes and JSON, which cost more than a shard may spend.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::event::Event;

/// The most bytes of a text in a record.
pub const TEXT_BYTES_MAX: usize = 256;
/// The most bytes of a packed record.
pub const PACKED_BYTES_MAX: usize = 4096;

/// The most bytes of the copied arguments. Cut JSON is no JSON, so longer ones are left out.
const ARGUMENTS_BYTES_MAX: usize = 1024;
const TEXTS: usize = 11;
const NUMBERS: usize = 6;

const _: () = assert!(
    128 + TEXTS * (2 + TEXT_BYTES_MAX) + 2 + ARGUMENTS_BYTES_MAX <= PACKED_BYTES_MAX,
    "every record fits"
);

/// An event with its circumstances. Each part besides the event and the time is optional.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The event.
    pub event: Event,
    /// When it was, in microseconds since 1970.
    pub time_us: u64,
    /// The shard; none for events of the process.
    pub shard: Option<u16>,
    /// The key of the principal.
    pub principal: Option<&'a str>,
    /// The OAuth client, or the implementation that a session names.
    pub client: Option<&'a str>,
    /// The alias of the issuer.
    pub issuer: Option<&'a str>,
    /// The address of the peer.
    pub peer: Option<IpAddr>,
    /// The id of the session. Lines have the start of its hash only.
    pub session: Option<&'a [u8]>,
    /// The id of the request as JSON. Lines have the start of its hash only.
    pub request: Option<&'a [u8]>,
    /// The trace id (W3C Trace Context).
    pub trace: Option<[u8; 16]>,
    /// The method of the request.
    pub method: Option<&'a str>,
    /// The kind of the entry: `tool`, `prompt`, `resource` or `template`.
    pub kind: Option<&'a str>,
    /// The name or URI of the entry.
    pub name: Option<&'a str>,
    /// The decision of access control.
    pub decision: Option<&'a str>,
    /// The rule that decided.
    pub rule: Option<&'a str>,
    /// The start of the hash of the policy's file.
    pub policy: Option<[u8; 8]>,
    /// The outcome, one word.
    pub outcome: Option<&'a str>,
    /// From the arrival of the request to its end, in microseconds.
    pub duration_us: Option<u64>,
    /// Bytes of the message that came in.
    pub bytes_in: Option<u64>,
    /// Bytes of the answer.
    pub bytes_out: Option<u64>,
    /// The digest of the arguments. Lines have it under a key.
    pub arguments_digest: Option<[u8; 32]>,
    /// Chosen arguments, as one JSON object.
    pub arguments: Option<&'a str>,
    /// The first time of an event that stands for several, in microseconds since 1970.
    pub from_us: Option<u64>,
    /// The last time of such an event.
    pub to_us: Option<u64>,
    /// How many events it stands for.
    pub count: Option<u64>,
}

impl<'a> Record<'a> {
    /// A record without circumstances.
    pub fn new(event: Event, time_us: u64) -> Record<'a> {
        Record {
            event,
            time_us,
            shard: None,
            principal: None,
            client: None,
            issuer: None,
            peer: None,
            session: None,
            request: None,
            trace: None,
            method: None,
            kind: None,
            name: None,
            decision: None,
            rule: None,
            policy: None,
            outcome: None,
            duration_us: None,
            bytes_in: None,
            bytes_out: None,
            arguments_digest: None,
            arguments: None,
            from_us: None,
            to_us: None,
            count: None,
        }
    }

    /// The record of `count` lost records in a time, in microseconds since 1970.
    ///
    /// ```
    /// use corelane_guard::audit::{Event, Record};
    ///
    /// let record = Record::gap(10, 20, 3);
    /// assert_eq!((record.event, record.count), (Event::AuditGap, Some(3)));
    /// ```
    pub fn gap(from_us: u64, to_us: u64, count: u64) -> Record<'a> {
        Record {
            from_us: Some(from_us),
            to_us: Some(to_us),
            count: Some(count),
            ..Record::new(Event::AuditGap, to_us)
        }
    }

    /// Packs the record at the start of `out` and returns its length in bytes. Texts are clipped
    /// to [`TEXT_BYTES_MAX`].
    pub fn pack(&self, out: &mut [u8; PACKED_BYTES_MAX]) -> usize {
        let mut packer = Packer { out, at: 0 };
        packer.put(&[self.event as u8]);
        packer.put(&self.present().to_le_bytes());
        packer.put(&self.time_us.to_le_bytes());
        if let Some(shard) = self.shard {
            packer.put(&shard.to_le_bytes());
        }
        match self.peer {
            Some(IpAddr::V4(address)) => packer.put(&address.octets()),
            Some(IpAddr::V6(address)) => packer.put(&address.octets()),
            None => {}
        }
        if let Some(trace) = &self.trace {
            packer.put(trace);
        }
        if let Some(policy) = &self.policy {
            packer.put(policy);
        }
        if let Some(digest) = &self.arguments_digest {
            packer.put(digest);
        }
        for number in self.numbers().into_iter().flatten() {
            packer.put(&number.to_le_bytes());
        }
        for text in self.texts().into_iter().flatten() {
            packer.put_text(clip(text));
        }
        if let Some(arguments) = self.kept_arguments() {
            packer.put_text(arguments.as_bytes());
        }
        packer.at
    }

    /// The record that was packed as `bytes`; nothing if they are no packed record.
    pub fn unpack(bytes: &'a [u8]) -> Option<Record<'a>> {
        let mut unpacker = Unpacker(bytes);
        let event = Event::from_byte(unpacker.array::<1>()?[0])?;
        let present = u32::from_le_bytes(unpacker.array()?);
        let mut record = Record::new(event, u64::from_le_bytes(unpacker.array()?));
        let has = |bit: usize| present & (1 << bit) != 0;
        if has(bit::SHARD) {
            record.shard = Some(u16::from_le_bytes(unpacker.array()?));
        }
        if has(bit::PEER_V4) {
            record.peer = Some(Ipv4Addr::from(unpacker.array::<4>()?).into());
        } else if has(bit::PEER_V6) {
            record.peer = Some(Ipv6Addr::from(unpacker.array::<16>()?).into());
        }
        if has(bit::TRACE) {
            record.trace = Some(unpacker.array()?);
        }
        if has(bit::POLICY) {
            record.policy = Some(unpacker.array()?);
        }
        if has(bit::DIGEST) {
            record.arguments_digest = Some(unpacker.array()?);
        }
        for (place, number) in record.numbers_mut().into_iter().enumerate() {
            if has(bit::NUMBERS + place) {
                *number = Some(u64::from_le_bytes(unpacker.array()?));
            }
        }
        let mut texts = [None; TEXTS];
        for (place, text) in texts.iter_mut().enumerate() {
            if has(place) {
                *text = Some(unpacker.text()?);
            }
        }
        record.set_texts(texts)?;
        if has(bit::ARGUMENTS) {
            record.arguments = Some(str::from_utf8(unpacker.text()?).ok()?);
        }
        unpacker.0.is_empty().then_some(record)
    }

    /// A bit for each part that is there.
    fn present(&self) -> u32 {
        let mut present = 0;
        let mut set = |bit: usize, is_there: bool| present |= u32::from(is_there) << bit;
        for (place, text) in self.texts().iter().enumerate() {
            set(place, text.is_some());
        }
        for (place, number) in self.numbers().iter().enumerate() {
            set(bit::NUMBERS + place, number.is_some());
        }
        set(bit::SHARD, self.shard.is_some());
        set(bit::PEER_V4, matches!(self.peer, Some(IpAddr::V4(_))));
        set(bit::PEER_V6, matches!(self.peer, Some(IpAddr::V6(_))));
        set(bit::TRACE, self.trace.is_some());
        set(bit::POLICY, self.policy.is_some());
        set(bit::DIGEST, self.arguments_digest.is_some());
        set(bit::ARGUMENTS, self.kept_arguments().is_some());
        present
    }

    fn kept_arguments(&self) -> Option<&'a str> {
        self.arguments.filter(|it| it.len() <= ARGUMENTS_BYTES_MAX)
    }

    fn texts(&self) -> [Option<&'a [u8]>; TEXTS] {
        [
            self.principal.map(str::as_bytes),
            self.client.map(str::as_bytes),
            self.issuer.map(str::as_bytes),
            self.session,
            self.request,
            self.method.map(str::as_bytes),
            self.kind.map(str::as_bytes),
            self.name.map(str::as_bytes),
            self.decision.map(str::as_bytes),
            self.rule.map(str::as_bytes),
            self.outcome.map(str::as_bytes),
        ]
    }

    /// Sets the parts that [`Record::texts`] gives; nothing if one is not UTF-8.
    fn set_texts(&mut self, texts: [Option<&'a [u8]>; TEXTS]) -> Option<()> {
        let text = |place: usize| texts[place].map(str::from_utf8).transpose().ok();
        self.principal = text(0)?;
        self.client = text(1)?;
        self.issuer = text(2)?;
        self.session = texts[3];
        self.request = texts[4];
        self.method = text(5)?;
        self.kind = text(6)?;
        self.name = text(7)?;
        self.decision = text(8)?;
        self.rule = text(9)?;
        self.outcome = text(10)?;
        Some(())
    }

    fn numbers(&self) -> [Option<u64>; NUMBERS] {
        [
            self.duration_us,
            self.bytes_in,
            self.bytes_out,
            self.from_us,
            self.to_us,
            self.count,
        ]
    }

    fn numbers_mut(&mut self) -> [&mut Option<u64>; NUMBERS] {
        [
            &mut self.duration_us,
            &mut self.bytes_in,
            &mut self.bytes_out,
            &mut self.from_us,
            &mut self.to_us,
            &mut self.count,
        ]
    }
}

/// The bits of parts; the texts come first.
mod bit {
    pub(super) const NUMBERS: usize = super::TEXTS;
    pub(super) const SHARD: usize = NUMBERS + super::NUMBERS;
    pub(super) const PEER_V4: usize = SHARD + 1;
    pub(super) const PEER_V6: usize = SHARD + 2;
    pub(super) const TRACE: usize = SHARD + 3;
    pub(super) const POLICY: usize = SHARD + 4;
    pub(super) const DIGEST: usize = SHARD + 5;
    pub(super) const ARGUMENTS: usize = SHARD + 6;
}

/// The start of a text, which ends at the end of a character.
fn clip(text: &[u8]) -> &[u8] {
    if text.len() <= TEXT_BYTES_MAX {
        return text;
    }
    let is_inside = |byte: u8| byte & 0b1100_0000 == 0b1000_0000;
    let mut end = TEXT_BYTES_MAX;
    while end > 0 && is_inside(text[end]) {
        end -= 1;
    }
    &text[..end]
}

struct Packer<'b> {
    out: &'b mut [u8; PACKED_BYTES_MAX],
    at: usize,
}

impl Packer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn put_text(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).expect("texts are clipped");
        self.put(&length.to_le_bytes());
        self.put(bytes);
    }
}

struct Unpacker<'a>(&'a [u8]);

impl<'a> Unpacker<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{ARGUMENTS_BYTES_MAX, Event, PACKED_BYTES_MAX, Record, TEXT_BYTES_MAX};

    /// A record with every part.
    fn full() -> Record<'static> {
        Record {
            shard: Some(3),
            principal: Some("jwt:corp:alice"),
            client: Some("app"),
            issuer: Some("corp"),
            peer: "10.0.0.1".parse().ok(),
            session: Some(b"session"),
            request: Some(b"\"7\""),
            trace: Some([1; 16]),
            method: Some("tools/call"),
            kind: Some("tool"),
            name: Some("get_x"),
            decision: Some("allowed"),
            rule: Some("line 7"),
            policy: Some([2; 8]),
            outcome: Some("ok"),
            duration_us: Some(5),
            bytes_in: Some(6),
            bytes_out: Some(u64::MAX),
            arguments_digest: Some([3; 32]),
            arguments: Some("{\"a\":1}"),
            from_us: Some(1),
            to_us: Some(2),
            count: Some(0),
            ..Record::new(Event::Call, 99)
        }
    }

    fn packed(record: &Record<'_>) -> Vec<u8> {
        let mut out = [0; PACKED_BYTES_MAX];
        let bytes = record.pack(&mut out);
        out[..bytes].to_vec()
    }

    #[test]
    fn a_packed_record_is_unpacked_with_all_of_its_parts() {
        let mut v6 = full();
        v6.peer = "2001:db8::1".parse().ok();
        let mut some = full();
        (some.principal, some.trace, some.shard) = (None, None, None);
        for record in [full(), v6, some, Record::new(Event::AuditStopped, 0)] {
            assert_eq!(Record::unpack(&packed(&record)), Some(record));
        }
    }

    #[test]
    fn a_cut_or_longer_packed_record_is_refused() {
        let whole = packed(&full());
        for end in 0..whole.len() {
            assert_eq!(Record::unpack(&whole[..end]), None, "{end}");
        }
        assert_eq!(Record::unpack(&[&whole[..], &[0]].concat()), None);
        let mut unknown = whole.clone();
        unknown[0] = 0xff;
        assert_eq!(Record::unpack(&unknown), None);
    }

    #[test]
    fn texts_are_clipped_at_a_character_and_the_longest_record_fits() {
        let long = "\u{e4}".repeat(1000);
        let odd = format!("a{long}");
        let (long, odd) = (long.as_str(), odd.as_str());
        let arguments = format!("\"{}\"", "x".repeat(ARGUMENTS_BYTES_MAX - 2));
        let mut record = full();
        record.principal = Some(long);
        record.client = Some(odd);
        record.session = Some(long.as_bytes());
        (record.issuer, record.method, record.kind) = (Some(long), Some(long), Some(long));
        (record.name, record.decision, record.rule) = (Some(long), Some(long), Some(long));
        (record.outcome, record.request) = (Some(long), Some(odd.as_bytes()));
        record.arguments = Some(&arguments);
        let bytes = packed(&record);
        let read = Record::unpack(&bytes).expect("it is whole");
        assert_eq!(read.principal, Some(&long[..TEXT_BYTES_MAX]));
        assert_eq!(read.client, Some(&odd[..TEXT_BYTES_MAX - 1]));
        assert_eq!(read.arguments, Some(&*arguments));
        let longer = format!("{arguments} ");
        record.arguments = Some(&longer);
        let bytes = packed(&record);
        let read = Record::unpack(&bytes).expect("it is whole");
        assert_eq!(read.arguments, None);
    }

    #[test]
    fn packing_allocates_nothing() {
        let mut out = [0; PACKED_BYTES_MAX];
        let record = full();
        let counted = allocation_counter::measure(|| {
            assert!(record.pack(&mut out) > 0);
        });
        assert_eq!(counted.count_total, 0);
    }
}
