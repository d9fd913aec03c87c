//! What may be used only once it is kept.

/// A value that cannot be had before its bytes are kept.
#[must_use = "keep the bytes, then take the value"]
pub struct Keep<T> {
    bytes: Vec<u8>,
    value: T,
}

impl<T> Keep<T> {
    pub(super) fn new(bytes: Vec<u8>, value: T) -> Self {
        Self { bytes, value }
    }

    /// What has to be kept, in the place of what was kept before.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes are kept: file and folder are synced. Who calls this before they are
    /// makes an honest restart look like a theft.
    pub fn kept(self) -> T {
        self.value
    }
}
