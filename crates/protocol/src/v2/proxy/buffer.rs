//! Buffers of content that are wiped when they are dropped and when they grow.

use std::ops::{Deref, DerefMut, Range};

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::v2::content::Disclosure;

use super::spare;

/// Bytes in front of a stream's further content.
pub(super) const LENGTH_LEN: usize = 4;

/// Bytes that are wiped when they are dropped. As [`Zeroizing`], which wipes a vector byte
/// by byte: for much content that takes longer than to decrypt it.
#[derive(Default)]
pub(crate) struct Wiped(Vec<u8>);

/// Content that grows without leaving copies behind.
#[derive(Default)]
pub(crate) struct Held {
    /// Begins with room for a length.
    bytes: Wiped,
    /// How much it was up to the checkpoint before.
    expected: usize,
}

/// Content that its sender signed, directly or by a commitment. It can be handed on.
pub struct Verified {
    bytes: Wiped,
    content: Range<usize>,
    disclosure: Option<Disclosure>,
}

impl Wiped {
    #[cfg(test)]
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// So many zeros.
    pub(crate) fn zeros(length: usize) -> Self {
        let mut zeros = Self::with_room(length);
        zeros.resize(length, 0);
        zeros
    }

    fn with_room(room: usize) -> Self {
        Self(spare::take(room))
    }
}

impl Deref for Wiped {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Wiped {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        // All of it is spare now, which is wiped in one go.
        self.0.clear();
        self.0.zeroize();
        spare::keep(std::mem::take(&mut self.0));
    }
}

impl ZeroizeOnDrop for Wiped {}

impl Held {
    /// Bytes that are held.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len().saturating_sub(LENGTH_LEN)
    }

    /// What is held, to be hashed: nobody has vouched for it.
    pub(crate) fn unverified(&self) -> &[u8] {
        self.bytes.get(LENGTH_LEN..).unwrap_or_default()
    }

    /// Appends content that `open` writes into a place of so many bytes, behind its length
    /// and before its padding, and returns where it lies; returns how much it is. If `open`
    /// fails what was held before is useless.
    pub(crate) fn extend<E>(
        &mut self,
        room: usize,
        open: impl FnOnce(&mut [u8]) -> Result<Range<usize>, E>,
    ) -> Result<usize, E> {
        if self.bytes.is_empty() {
            self.grow(LENGTH_LEN + room);
            self.bytes.resize(LENGTH_LEN, 0);
        }
        // The length is written over the end of what is held, which is put back: so the
        // content follows it without another copy.
        let at = self.bytes.len() - LENGTH_LEN;
        let mut end = [0; LENGTH_LEN];
        end.copy_from_slice(&self.bytes[at..]);
        self.grow(at + room);
        self.bytes.resize(at + room, 0);
        let content = open(&mut self.bytes[at..]);
        self.bytes[at..at + LENGTH_LEN].copy_from_slice(&end);
        end.zeroize();
        let content = content?;
        self.bytes.truncate(at + content.end);
        Ok(content.len())
    }

    /// What was held, now that it has been verified.
    pub(crate) fn verified(&mut self) -> Verified {
        let bytes = std::mem::take(&mut self.bytes);
        self.expected = bytes.len();
        let content = bytes.len().min(LENGTH_LEN)..bytes.len();
        Verified::new(bytes, content, None)
    }

    /// Makes room for so many bytes, or as many as there were the last time.
    fn grow(&mut self, length: usize) {
        if length > self.bytes.capacity() {
            let content = length.saturating_sub(LENGTH_LEN).next_power_of_two();
            let room = (LENGTH_LEN + content).max(self.expected);
            let mut larger = Wiped::with_room(room);
            larger.extend_from_slice(&self.bytes);
            // The one that is given up is wiped as it is dropped.
            self.bytes = larger;
        }
    }
}

impl Verified {
    /// The range must lie within the bytes.
    pub(crate) fn new(bytes: Wiped, content: Range<usize>, disclosure: Option<Disclosure>) -> Self {
        Self {
            bytes,
            content,
            disclosure,
        }
    }

    /// What shows a third party that the head committed to this content; none of what
    /// follows in a stream.
    pub fn disclosure(&self) -> Option<&Disclosure> {
        self.disclosure.as_ref()
    }

    /// The content.
    pub fn content(&self) -> &[u8] {
        &self.bytes[self.content.clone()]
    }

    /// The content as a buffer of the caller's own, which has to wipe it.
    pub fn into_bytes(mut self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(std::mem::take(&mut *self.bytes));
        bytes[self.content.end..].zeroize();
        bytes.truncate(self.content.end);
        bytes.copy_within(self.content.start.., 0);
        let length = self.content.len();
        bytes[length..].zeroize();
        bytes.truncate(length);
        bytes
    }
}

impl AsRef<[u8]> for Verified {
    fn as_ref(&self) -> &[u8] {
        self.content()
    }
}

impl ZeroizeOnDrop for Verified {}

#[cfg(test)]
mod tests {
    use super::*;

    fn extend(held: &mut Held, content: &[u8], padding: usize) -> Result<usize, ()> {
        held.extend(LENGTH_LEN + content.len() + padding, |opened| {
            opened[..LENGTH_LEN].fill(0xff);
            opened[LENGTH_LEN..].fill(0);
            opened[LENGTH_LEN..][..content.len()].copy_from_slice(content);
            Ok(LENGTH_LEN..LENGTH_LEN + content.len())
        })
    }

    #[test]
    fn what_was_held_comes_out_in_order() {
        let mut held = Held::default();
        for again in 0..2u8 {
            for piece in again..100 {
                let content = vec![piece; usize::from(piece) % 7];
                let padding = usize::from(piece) % 5;
                assert_eq!(extend(&mut held, &content, padding), Ok(content.len()));
            }
            let all: Vec<u8> = (again..100)
                .flat_map(|piece| vec![piece; usize::from(piece) % 7])
                .collect();
            assert_eq!((held.len(), held.unverified()), (all.len(), &all[..]));
            assert_eq!(held.verified().content(), all);
            assert_eq!((held.len(), held.unverified()), (0, &[][..]));
            assert!(held.verified().content().is_empty());
        }
    }

    #[test]
    fn only_the_content_is_handed_out() {
        let verified = Verified::new(Wiped::new(b"head content tail".to_vec()), 5..12, None);
        assert_eq!(verified.as_ref(), b"content");
        assert_eq!(&verified.into_bytes()[..], b"content");
    }
}
