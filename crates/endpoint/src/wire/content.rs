//! Content in the clear: buffers that are wiped when they are given up and when they grow.

use bytes::Bytes;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes in the clear. What has been taken off the front is wiped with the rest.
#[derive(Default)]
pub struct Content {
    bytes: Vec<u8>,
    start: usize,
}

impl Drop for Content {
    fn drop(&mut self) {
        self.clear();
    }
}

impl ZeroizeOnDrop for Content {}

impl Content {
    /// What has not been taken off yet.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// How many bytes that are.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends, without leaving copies behind.
    pub fn extend(&mut self, more: &[u8]) {
        if self.is_empty() {
            self.clear();
        }
        let length = self.bytes.len() + more.len();
        if length > self.bytes.capacity() {
            let kept = self.as_slice();
            let room = (kept.len() + more.len()).next_power_of_two();
            let mut larger = Vec::with_capacity(room);
            larger.extend_from_slice(kept);
            self.clear();
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(more);
    }

    /// Appends one byte.
    pub fn put_u8(&mut self, byte: u8) {
        self.extend(&[byte]);
    }

    /// Takes so many bytes off the front, at most all.
    pub fn advance(&mut self, count: usize) {
        self.start += count.min(self.len());
    }

    /// Takes so many bytes off the front, at most all, as a buffer of their own.
    pub fn split_to(&mut self, count: usize) -> Content {
        let front = &self.as_slice()[..count.min(self.len())];
        let bytes = front.to_vec();
        self.advance(count);
        Self { bytes, start: 0 }
    }

    /// Wipes all of it; the room stays.
    pub fn clear(&mut self) {
        // What is spare is wiped in one go; elements are one by one, which takes longer than to
        // decrypt them. Beyond its length the room has been wiped before, or was never used.
        let used = self.bytes.len();
        self.bytes.clear();
        if let Some(used) = self.bytes.spare_capacity_mut().get_mut(..used) {
            used.zeroize();
        }
        self.start = 0;
    }

    /// The same bytes, as HTTP wants them; wiped once the last that holds them is done.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let mut content = Content::default();
        for byte in 0..200u8 {
            content.extend(&[byte; 3]);
        }
        assert_eq!(content.len(), 600);
        assert_eq!(content.split_to(4).as_slice(), [0, 0, 0, 1]);
        content.advance(2);
        assert_eq!(content.as_slice()[..3], [2; 3]);
        content.advance(10_000);
        assert!(content.is_empty());
        content.extend(b"again");
        assert_eq!(&content.into_bytes()[..], b"again");
    }

    #[test]
    fn what_was_taken_off_is_wiped_with_the_rest() {
        let mut content = Content::default();
        content.extend(b"secret");
        content.advance(3);
        content.clear();
        assert!(content.is_empty());
        assert!(content.bytes.capacity() >= 6);
    }
}
