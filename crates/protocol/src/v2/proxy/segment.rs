//! Segments: what is sealed under a message's one-time key.

use std::ops::Range;

use crate::{
    crypto::{Cipher, TAG_LEN},
    v2::{
        body::BodyHash,
        checkpoint::TAIL_LEN,
        content::{DigestKind, Disclosure, Padding},
        error::{ContentError, HeadError},
        fields::Reader,
        proof::Proof,
        schedule::MessageKey,
        suite::Suite,
    },
};

use super::{
    buffer::{LENGTH_LEN, Wiped},
    limits::{MAX_PIECE, MAX_WHOLE},
};

/// Bytes of a segment's header.
pub const SEGMENT_HEADER_LEN: usize = 4;
/// Most bytes that follow it.
pub const MAX_SEGMENT: usize = CONTENT_START + MAX_WHOLE + TAG_LEN;
/// Bytes in front of whole content or a stream's first: random bytes, digest kind,
/// padding, length.
pub(super) const CONTENT_START: usize = 32 + 1 + 1 + LENGTH_LEN;

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SegmentKind {
    /// Content, all of it.
    Whole = 1,
    /// A stream's first content.
    First = 2,
    /// More of it.
    Data = 3,
    /// What vouches for it.
    Checkpoint = 4,
    /// The last under its key: from here on another epoch's.
    Switch = 5,
}

/// Bytes of a switch: the epoch's number, the commitment to its key.
pub(super) const SWITCH_LEN: usize = 4 + 32;

/// A segment's header: its kind, and how many bytes follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// What follows.
    pub kind: SegmentKind,
    /// How much.
    pub len: usize,
}

/// One message's key, and how many segments it has sealed or opened.
pub(super) struct SegmentCipher {
    /// On the heap: streams are moved about, and each move would leave a copy of the key.
    cipher: Box<Cipher>,
    body: BodyHash,
    counter: u64,
}

impl SegmentHeader {
    /// Reads a header.
    ///
    /// # Errors
    /// [`ContentError::Malformed`] for a kind or a length that no segment has.
    pub fn from_bytes(bytes: [u8; SEGMENT_HEADER_LEN]) -> Result<Self, ContentError> {
        let [kind, a, b, c] = bytes;
        let kind = match kind {
            1 => SegmentKind::Whole,
            2 => SegmentKind::First,
            3 => SegmentKind::Data,
            4 => SegmentKind::Checkpoint,
            5 => SegmentKind::Switch,
            _ => return Err(ContentError::Malformed),
        };
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        let (least, limit) = match kind {
            SegmentKind::Whole => (CONTENT_START, CONTENT_START + MAX_WHOLE),
            SegmentKind::First => (CONTENT_START, CONTENT_START + MAX_PIECE),
            // Data has some content.
            SegmentKind::Data => (LENGTH_LEN + 1, LENGTH_LEN + MAX_PIECE),
            SegmentKind::Checkpoint => (TAIL_LEN + Proof::MIN_LEN, TAIL_LEN + Proof::MAX_LEN),
            SegmentKind::Switch => (SWITCH_LEN, SWITCH_LEN),
        };
        match (least + TAG_LEN..=limit + TAG_LEN).contains(&len) {
            true => Ok(Self { kind, len }),
            false => Err(ContentError::Malformed),
        }
    }

    /// Bytes of what was sealed.
    pub(super) fn content_len(self) -> usize {
        self.len.saturating_sub(TAG_LEN)
    }

    fn to_bytes(self) -> [u8; SEGMENT_HEADER_LEN] {
        // Far below 2^24.
        let [_, a, b, c] = (self.len as u32).to_be_bytes();
        [self.kind as u8, a, b, c]
    }
}

impl SegmentCipher {
    pub(super) fn new(suite: Suite, key: &MessageKey, body: BodyHash) -> Self {
        Self {
            cipher: Box::new(suite.cipher(key.as_bytes())),
            body,
            counter: 0,
        }
    }

    /// Seals the parts as one segment, where it is sent from.
    pub(super) fn seal(
        &mut self,
        kind: SegmentKind,
        parts: &[&[u8]],
        zeros: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), ContentError> {
        let length = parts.iter().map(|part| part.len()).sum::<usize>() + zeros;
        let header = SegmentHeader {
            kind,
            len: length + TAG_LEN,
        };
        let header = header.to_bytes();
        out.reserve(header.len() + length + TAG_LEN);
        out.extend_from_slice(&header);
        let at = out.len();
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.resize(out.len() + zeros, 0);
        let nonce = self.nonce();
        self.cipher
            .seal(&nonce, &self.associated(header), out, at)
            .map_err(|_| ContentError::Seal)?;
        self.advance()
    }

    /// Opens the segment that is due. A failed call changes nothing.
    pub(super) fn open(
        &mut self,
        header: SegmentHeader,
        sealed: &[u8],
    ) -> Result<Wiped, ContentError> {
        let mut content = Wiped::zeros(header.content_len());
        self.open_into(header, sealed, &mut content)?;
        Ok(content)
    }

    /// The same, into a place of [`SegmentHeader::content_len`] bytes. What lies there if
    /// that fails is not to be read.
    pub(super) fn open_into(
        &mut self,
        header: SegmentHeader,
        sealed: &[u8],
        opened: &mut [u8],
    ) -> Result<(), ContentError> {
        if sealed.len() != header.len {
            return Err(ContentError::Malformed);
        }
        let associated = self.associated(header.to_bytes());
        self.cipher
            .open(&self.nonce(), &associated, sealed, opened)
            .map_err(|_| ContentError::Seal)?;
        self.advance()
    }

    /// Goes on under another key, and gives the one before. Segments are counted on.
    pub(super) fn switch(&mut self, suite: Suite, key: &MessageKey) -> Box<Cipher> {
        let next = Box::new(suite.cipher(key.as_bytes()));
        std::mem::replace(&mut self.cipher, next)
    }

    /// Goes back to the key before.
    pub(super) fn restore(&mut self, before: Box<Cipher>) {
        self.cipher = before;
    }

    /// Segments that were sealed or opened.
    pub(super) fn segments(&self) -> u64 {
        self.counter
    }

    /// Awaits the segment after the first `segments` once more. Only for what opens: to seal
    /// anew would use a nonce twice.
    pub(super) fn back_to(&mut self, segments: u64) {
        self.counter = segments;
    }

    fn advance(&mut self) -> Result<(), ContentError> {
        self.counter = self.counter.checked_add(1).ok_or(ContentError::TooLarge)?;
        Ok(())
    }

    fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.counter.to_be_bytes());
        nonce
    }

    fn associated(&self, header: [u8; SEGMENT_HEADER_LEN]) -> [u8; 32 + SEGMENT_HEADER_LEN] {
        let mut out = [0; 32 + SEGMENT_HEADER_LEN];
        out[..32].copy_from_slice(&self.body.0);
        out[32..].copy_from_slice(&header);
        out
    }
}

/// Where the content lies in an opened whole or first segment.
pub(super) fn read_preamble(opened: &[u8]) -> Result<(Disclosure, Range<usize>), ContentError> {
    let malformed = |_| ContentError::Malformed;
    let mut reader = Reader::new(opened);
    let preamble = Disclosure {
        blinding: reader.array().map_err(malformed)?,
        kind: DigestKind::from_u8(reader.u8().map_err(malformed)?)
            .ok_or(ContentError::Malformed)?,
        padding: Padding::from_u8(reader.u8().map_err(malformed)?)
            .ok_or(ContentError::Malformed)?,
    };
    let range = padded_range(opened, CONTENT_START - LENGTH_LEN, preamble.padding)?;
    Ok((preamble, range))
}

/// Where the content lies in an opened data segment, which has some.
pub(super) fn data_range(opened: &[u8], padding: Padding) -> Result<Range<usize>, ContentError> {
    let range = padded_range(opened, 0, padding)?;
    match range.is_empty() {
        true => Err(ContentError::Malformed),
        false => Ok(range),
    }
}

/// The epoch's number and the commitment to its key, of an opened switch.
pub(super) fn read_switch(opened: &[u8]) -> Result<(u32, [u8; 32]), ContentError> {
    let mut reader = Reader::new(opened);
    let mut read = || Ok((reader.u32()?, reader.array()?));
    read().map_err(|_: HeadError| ContentError::Malformed)
}

/// Reads a length at `at`; what follows the content must be its padding exactly.
fn padded_range(opened: &[u8], at: usize, padding: Padding) -> Result<Range<usize>, ContentError> {
    let start = at + LENGTH_LEN;
    let length = opened
        .get(at..start)
        .and_then(|bytes| bytes.try_into().ok());
    let length = u32::from_be_bytes(length.ok_or(ContentError::Malformed)?) as usize;
    let padded = opened.len() - start;
    let zeros = opened[start..].get(length..);
    match zeros {
        Some(zeros) if padding.padded(length) == padded && zeros.iter().all(|byte| *byte == 0) => {
            Ok(start..start + length)
        }
        _ => Err(ContentError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cipher(suite: Suite) -> SegmentCipher {
        SegmentCipher::new(suite, &MessageKey::from_bytes([3; 32]), BodyHash([4; 32]))
    }

    fn split(out: &[u8]) -> (SegmentHeader, &[u8]) {
        let (header, sealed) = out.split_first_chunk().unwrap();
        (SegmentHeader::from_bytes(*header).unwrap(), sealed)
    }

    proptest! {
        #[test]
        fn headers_are_read_as_they_are_written(bytes: [u8; 4]) {
            if let Ok(header) = SegmentHeader::from_bytes(bytes) {
                prop_assert_eq!(header.to_bytes(), bytes);
                prop_assert!(header.len <= MAX_SEGMENT);
            }
        }

        #[test]
        fn ranges_never_panic(opened: Vec<u8>) {
            let _ = data_range(&opened, Padding::Padme);
            let _ = read_preamble(&opened);
        }
    }

    #[test]
    fn a_segment_opens_in_its_place_and_kind_only() {
        for suite in Suite::ALL {
            let mut out = Vec::new();
            let mut sealer = cipher(suite);
            for content in [b"one one", b"two two"] {
                sealer
                    .seal(
                        SegmentKind::Data,
                        &[&7u32.to_be_bytes(), content],
                        0,
                        &mut out,
                    )
                    .unwrap();
            }
            let (header, both) = split(&out);
            let (first, second) = both.split_at(header.len);
            let mut opener = cipher(suite);
            let other = SegmentHeader {
                kind: SegmentKind::First,
                ..header
            };
            assert_eq!(opener.open(other, first).err(), Some(ContentError::Seal));
            assert_eq!(
                opener.open(header, &second[4..]).err(),
                Some(ContentError::Seal)
            );
            assert_eq!(&opener.open(header, first).unwrap()[4..], b"one one");
            assert_eq!(opener.open(header, first).err(), Some(ContentError::Seal));
            assert_eq!(&opener.open(header, &second[4..]).unwrap()[4..], b"two two");
        }
    }

    #[test]
    fn padding_is_zeros_and_as_long_as_it_must_be() {
        let padded = |length: u32, bytes: &[u8]| [&length.to_be_bytes()[..], bytes].concat();
        assert_eq!(
            data_range(&padded(9, &[1, 1, 1, 1, 1, 1, 1, 1, 1, 0]), Padding::Padme),
            Ok(4..13)
        );
        for (length, bytes) in [
            (9, &[1; 10][..]),
            (9, &[1; 9]),
            (9, &[0; 12]),
            (11, &[0; 10]),
        ] {
            let opened = padded(length, bytes);
            assert_eq!(
                data_range(&opened, Padding::Padme),
                Err(ContentError::Malformed)
            );
        }
        assert!(data_range(&padded(1, &[1, 0]), Padding::None).is_err());
    }
}
