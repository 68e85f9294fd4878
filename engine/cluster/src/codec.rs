//! The envelope of records in the store: 24 bytes, then a payload of postcard.
//!
//! Format, all numbers little-endian: magic `CL`, kind u8, level u8, payload bytes u32, node u16
//! and incarnation u16 of the writer, write number u64, CRC-32C u32 of the bytes before it and of
//! the payload. A reader refuses levels above its own.

use crc::{CRC_32_ISCSI, Crc, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::id::Process;

/// The level that this version writes at most and reads at most.
pub const LEVEL_MAX: u8 = 1;
/// The lowest level that this version reads and writes.
pub const LEVEL_MIN: u8 = 1;
/// Bytes of an envelope without its payload.
pub const ENVELOPE_BYTES: usize = 24;
/// Bytes of a payload. The store has the same limit for values of sessions.
pub const PAYLOAD_BYTES_MAX: usize = 65_536 - ENVELOPE_BYTES;

const MAGIC: [u8; 2] = *b"CL";
const CRC_AT: usize = 20;
const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// Kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A session, alive or ended.
    Session = 1,
    /// The life of a bucket.
    Generation = 2,
    /// The claim of a node number.
    Node = 3,
    /// The level of the cluster.
    Level = 4,
}

/// The origin of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The process that wrote it.
    pub writer: Process,
    /// Its write number, which it never gives twice.
    pub number: u64,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// The envelope is short or does not start with the magic, or the length differs.
    #[error("no record: the envelope is cut or foreign; delete the key or restore it")]
    Envelope,
    /// The checksum differs.
    #[error("damaged record: its CRC-32C differs; delete the key or restore it")]
    Checksum,
    /// A newer version wrote it.
    #[error("record of level {0}, this version reads up to {LEVEL_MAX}: upgrade this node")]
    Level(u8),
    /// The kind or the payload does not fit.
    #[error("record of another kind or with a malformed payload")]
    Payload,
    /// The payload is longer than the store takes.
    #[error("record of {0} bytes exceeds the limit of {PAYLOAD_BYTES_MAX}")]
    Length(usize),
}

/// Encodes a record of `kind` at `level`.
///
/// # Errors
///
/// [`BadRecord::Length`] if the payload is longer than [`PAYLOAD_BYTES_MAX`].
///
/// # Example
///
/// ```
/// use corelane_cluster::codec::{Kind, Written, decode, encode};
/// use corelane_cluster::id::Process;
///
/// let written = Written { writer: Process { node: 1, incarnation: 2 }, number: 3 };
/// let bytes = encode(Kind::Level, 1, written, &7u8)?;
/// assert_eq!(decode::<u8>(Kind::Level, &bytes)?, (written, 7));
/// # Ok::<(), corelane_cluster::codec::BadRecord>(())
/// ```
pub fn encode<T: Serialize>(
    kind: Kind,
    level: u8,
    written: Written,
    payload: &T,
) -> Result<Vec<u8>, BadRecord> {
    let mut bytes = Vec::with_capacity(128);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[kind as u8, level, 0, 0, 0, 0]);
    bytes.extend_from_slice(&written.writer.node.to_le_bytes());
    bytes.extend_from_slice(&written.writer.incarnation.to_le_bytes());
    bytes.extend_from_slice(&written.number.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    let mut bytes = postcard::to_extend(payload, bytes).map_err(|_| BadRecord::Payload)?;
    let payload_bytes = bytes.len() - ENVELOPE_BYTES;
    let length = u32::try_from(payload_bytes).ok();
    let length = length.filter(|_| payload_bytes <= PAYLOAD_BYTES_MAX);
    let length = length.ok_or(BadRecord::Length(payload_bytes))?;
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(&[&bytes[..CRC_AT], &bytes[ENVELOPE_BYTES..]]);
    bytes[CRC_AT..ENVELOPE_BYTES].copy_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

/// Decodes a record of `kind`.
///
/// # Errors
///
/// [`BadRecord`] says which part is wrong. Bytes after the payload are an error.
pub fn decode<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<(Written, T), BadRecord> {
    let (head, payload) = bytes
        .split_at_checked(ENVELOPE_BYTES)
        .ok_or(BadRecord::Envelope)?;
    let length = u32::from_le_bytes(array(head, 4)) as usize;
    if head[..2] != MAGIC || length != payload.len() || length > PAYLOAD_BYTES_MAX {
        return Err(BadRecord::Envelope);
    }
    if checksum(&[&head[..CRC_AT], payload]) != u32::from_le_bytes(array(head, CRC_AT)) {
        return Err(BadRecord::Checksum);
    }
    if !(LEVEL_MIN..=LEVEL_MAX).contains(&head[3]) {
        return Err(BadRecord::Level(head[3]));
    }
    let written = Written {
        writer: Process {
            node: u16::from_le_bytes(array(head, 8)),
            incarnation: u16::from_le_bytes(array(head, 10)),
        },
        number: u64::from_le_bytes(array(head, 12)),
    };
    match postcard::take_from_bytes(payload) {
        Ok((value, [])) if head[2] == kind as u8 => Ok((written, value)),
        _ => Err(BadRecord::Payload),
    }
}

/// The bytes of a number at `at`, where the caller has checked that they are.
pub(crate) fn array<const N: usize>(head: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&head[at..at + N]);
    bytes
}

/// The CRC-32C of the parts, one after another.
pub(crate) fn checksum(parts: &[&[u8]]) -> u32 {
    let mut digest = CRC.digest();
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}
