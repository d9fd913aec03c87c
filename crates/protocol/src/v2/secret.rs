//! 32 secret bytes on the heap, so that moves leave no copy, erased when dropped.

use std::ops::Deref;

use zeroize::{Zeroize, ZeroizeOnDrop};

pub(crate) struct Secret(Box<[u8; 32]>);

impl Secret {
    pub(crate) fn from_bytes(mut bytes: [u8; 32]) -> Self {
        let secret = Self(Box::new(bytes));
        bytes.zeroize();
        secret
    }

    /// Secret bytes that are written in place.
    pub(crate) fn written(write: impl FnOnce(&mut [u8; 32])) -> Self {
        let mut secret = Self(Box::new([0; 32]));
        write(&mut secret.0);
        secret
    }
}

impl Deref for Secret {
    type Target = [u8; 32];

    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for Secret {}
