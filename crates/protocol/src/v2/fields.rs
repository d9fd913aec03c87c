//! Fields joined so that they can be told apart, and a cursor that reads fixed layouts.
//!
//! Every hash, MAC, derivation and signature takes a label and fields, each preceded by
//! its length in four bytes. Fixed layouts on the wire need no lengths.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::error::HeadError;

/// The label and the fields, each preceded by its length.
pub(crate) fn join(label: &[u8], fields: &[&[u8]]) -> Vec<u8> {
    let length = fields.iter().map(|field| 4 + field.len()).sum::<usize>();
    let mut out = Vec::with_capacity(4 + label.len() + length);
    each(label, fields, |bytes| out.extend_from_slice(bytes));
    out
}

/// SHA-256 of [`join`].
pub(crate) fn hash(label: &[u8], fields: &[&[u8]]) -> [u8; 32] {
    #[cfg(test)]
    HASHED.with(|count| count.set(count.get() + 1));
    let mut hash = Sha256::new();
    each(label, fields, |bytes| hash.update(bytes));
    hash.finalize().into()
}

/// HMAC-SHA-256 (RFC 2104) over a label and fields.
pub(crate) fn hmac(key: &[u8; 32], label: &[u8], fields: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
    each(label, fields, |bytes| mac.update(bytes));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
thread_local! {
    static HASHED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// What the work gives, and how often this thread called [`hash`] for it.
#[cfg(test)]
pub(crate) fn hashes<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HASHED.get();
    let done = work();
    (done, HASHED.get() - before)
}

/// Hands [`join`]'s bytes on, piece by piece.
fn each(label: &[u8], fields: &[&[u8]], mut sink: impl FnMut(&[u8])) {
    for field in std::iter::once(&label).chain(fields) {
        // No field comes near four gibibytes: the longest is a head.
        sink(&(field.len() as u32).to_be_bytes());
        sink(field);
    }
}

/// Reads a fixed layout from the front.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], HeadError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(HeadError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], HeadError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(HeadError::Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, HeadError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, HeadError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, HeadError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, HeadError> {
        self.array().map(u64::from_be_bytes)
    }

    /// What is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Refuses bytes that are left over.
    pub(crate) fn end(self) -> Result<(), HeadError> {
        match self.0 {
            [] => Ok(()),
            _ => Err(HeadError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cannot_be_moved_across_their_borders() {
        assert_ne!(join(b"l", &[b"ab", b"c"]), join(b"l", &[b"a", b"bc"]));
        assert_ne!(join(b"l", &[b"a"]), join(b"la", &[]));
        assert_eq!(join(b"l", &[b"a"]), b"\0\0\0\x01l\0\0\0\x01a");
        let whole: [u8; 32] = Sha256::digest(join(b"l", &[b"ab"])).into();
        assert_eq!(hash(b"l", &[b"ab"]), whole);
    }

    #[test]
    fn a_reader_stops_where_the_bytes_do() {
        let mut reader = Reader::new(&[0, 1, 2]);
        assert_eq!(reader.u16(), Ok(1));
        assert_eq!(reader.u16(), Err(HeadError::Malformed));
        assert_eq!(reader.u8(), Ok(2));
        assert_eq!(reader.end(), Ok(()));
        assert_eq!(Reader::new(&[0]).end(), Err(HeadError::Malformed));
    }
}
