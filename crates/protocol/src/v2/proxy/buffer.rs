//! Buffers of content that are wiped when they are dropped and when they grow.

use std::ops::Range;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::v2::content::Disclosure;

/// Bytes that grow without leaving copies behind.
#[derive(Default)]
pub(crate) struct Held(Zeroizing<Vec<u8>>);

/// Content that its sender signed, directly or by a commitment. It can be handed on.
pub struct Verified {
    bytes: Zeroizing<Vec<u8>>,
    content: Range<usize>,
    disclosure: Option<Disclosure>,
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn extend(&mut self, more: &[u8]) {
        let length = self.0.len() + more.len();
        if length > self.0.capacity() {
            let mut larger = Vec::with_capacity(length.next_power_of_two());
            larger.extend_from_slice(&self.0);
            // The one that is given up is wiped as it is dropped.
            self.0 = Zeroizing::new(larger);
        }
        self.0.extend_from_slice(more);
    }

    /// What was held, now that it has been verified.
    pub(crate) fn verified(&mut self) -> Verified {
        let bytes = std::mem::take(&mut self.0);
        let content = 0..bytes.len();
        Verified::new(bytes, content, None)
    }
}

impl Verified {
    /// The range must lie within the bytes.
    pub(crate) fn new(
        bytes: Zeroizing<Vec<u8>>,
        content: Range<usize>,
        disclosure: Option<Disclosure>,
    ) -> Self {
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
        let mut bytes = std::mem::take(&mut self.bytes);
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

    #[test]
    fn what_was_held_comes_out_in_order() {
        let mut held = Held::default();
        for piece in 0..100u8 {
            held.extend(&[piece; 3]);
        }
        assert_eq!(held.len(), 300);
        let verified = held.verified();
        assert_eq!(verified.content()[297..], [99; 3]);
        assert_eq!(held.len(), 0);
    }

    #[test]
    fn only_the_content_is_handed_out() {
        let verified = Verified::new(Zeroizing::new(b"head content tail".to_vec()), 5..12, None);
        assert_eq!(verified.as_ref(), b"content");
        assert_eq!(&verified.into_bytes()[..], b"content");
    }
}
