//! A sealed body: segments under one key, the last one carrying the signature.
//!
//! Each segment is a 4-byte header (bit 31: last; bits 0..31: bytes that
//! follow) and a ChaCha20-Poly1305 ciphertext. The nonce is seven zero bytes, a
//! 32-bit counter and a byte that is 1 on the last segment (the STREAM
//! construction of Hoang, Reyhanitabar, Rogaway and Vizár), so that reordering,
//! truncation and extension show. The last segment's content ends with the
//! payload's 64-byte signature.

use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

use crate::{
    Error, Result,
    crypto::Cipher,
    message::{SIGNATURE_LEN, verify_payload},
    schedule::{MessageKey, Transcript},
};

/// Most content bytes of one segment.
pub const MAX_CONTENT: usize = 64 * 1024;
/// Bytes of a segment's header.
pub const HEADER_LEN: usize = 4;
const TAG_LEN: usize = 16;
const LAST: u32 = 1 << 31;
/// Most bytes that follow a segment's header.
pub const MAX_SEALED: usize = MAX_CONTENT + SIGNATURE_LEN + TAG_LEN;

/// A segment's header, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether this is the last segment.
    pub last: bool,
    /// Bytes that follow the header.
    pub len: usize,
}

/// Seals the segments of one body.
pub struct Sealer {
    cipher: Cipher,
    associated_data: Vec<u8>,
    counter: u32,
    digest: Sha256,
}

/// Opens the segments of one body.
pub struct Opener {
    cipher: Cipher,
    associated_data: Vec<u8>,
    counter: u32,
    digest: Sha256,
    done: bool,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a length no segment can have.
    pub fn from_bytes(bytes: [u8; HEADER_LEN]) -> Result<Self> {
        let word = u32::from_be_bytes(bytes);
        let header = Self {
            last: word & LAST != 0,
            len: (word & !LAST) as usize,
        };
        let least = if header.last {
            SIGNATURE_LEN + TAG_LEN
        } else {
            TAG_LEN
        };
        let limit = if header.last {
            MAX_SEALED
        } else {
            MAX_CONTENT + TAG_LEN
        };
        if header.len < least || header.len > limit {
            return Err(Error::Malformed);
        }
        Ok(header)
    }

    fn to_bytes(self) -> [u8; HEADER_LEN] {
        // A length is at most MAX_SEALED, far below 2^31.
        let flag = if self.last { LAST } else { 0 };
        (self.len as u32 | flag).to_be_bytes()
    }
}

impl Sealer {
    /// Starts a body. The key must not have sealed before.
    pub fn new(key: &MessageKey, associated_data: &[u8]) -> Self {
        Self {
            cipher: Cipher::new(key.as_bytes()),
            associated_data: associated_data.to_vec(),
            counter: 0,
            digest: Sha256::new(),
        }
    }

    /// Seals content that more will follow; appends header and ciphertext.
    ///
    /// # Errors
    /// [`Error::Exhausted`] after 2^32 segments, [`Error::Malformed`] for more
    /// than [`MAX_CONTENT`] bytes.
    pub fn push(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.digest.update(content);
        self.seal(content, &[], out)
    }

    /// Adds the last content to the digest and returns the digest to be signed.
    pub fn finish_digest(&mut self, last_content: &[u8]) -> [u8; 32] {
        self.digest.update(last_content);
        self.digest.clone().finalize().into()
    }

    /// Seals the last segment: the content that [`Sealer::finish_digest`] took,
    /// followed by the signature over the digest.
    ///
    /// # Errors
    /// As [`Sealer::push`].
    pub fn finish(
        mut self,
        last_content: &[u8],
        signature: &[u8; SIGNATURE_LEN],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.seal(last_content, signature, out)
    }

    /// Seals a segment where it is sent from; the last is the one with a signature.
    fn seal(&mut self, content: &[u8], signature: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if content.len() > MAX_CONTENT {
            return Err(Error::Malformed);
        }
        let last = !signature.is_empty();
        let len = content.len() + signature.len() + TAG_LEN;
        out.reserve(HEADER_LEN + len);
        out.extend_from_slice(&Header { last, len }.to_bytes());
        let at = out.len();
        out.extend_from_slice(content);
        out.extend_from_slice(signature);
        let nonce = nonce(self.counter, last);
        self.cipher.seal(&nonce, &self.associated_data, out, at)?;
        self.counter = self.counter.checked_add(1).ok_or(Error::Exhausted)?;
        Ok(())
    }
}

impl Opener {
    /// Starts a body.
    pub fn new(key: &MessageKey, associated_data: &[u8]) -> Self {
        Self {
            cipher: Cipher::new(key.as_bytes()),
            associated_data: associated_data.to_vec(),
            counter: 0,
            digest: Sha256::new(),
            done: false,
        }
    }

    /// Opens a segment. The last one's content is returned after its signature
    /// has been checked, and without it.
    ///
    /// # Errors
    /// [`Error::Seal`], [`Error::Truncated`] after the last segment, or
    /// [`Error::PayloadSignature`].
    pub fn open(
        &mut self,
        header: Header,
        sealed: &[u8],
        signer: &VerifyingKey,
        transcript: &Transcript,
    ) -> Result<Vec<u8>> {
        if self.done {
            return Err(Error::Truncated);
        }
        if sealed.len() != header.len {
            return Err(Error::Malformed);
        }
        let mut content = sealed.to_vec();
        self.cipher.open(
            &nonce(self.counter, header.last),
            &self.associated_data,
            &mut content,
        )?;
        if header.last {
            let at = content
                .len()
                .checked_sub(SIGNATURE_LEN)
                .ok_or(Error::Malformed)?;
            let signature = crate::ticket::take(&content, at);
            content.truncate(at);
            self.digest.update(&content);
            let digest = self.digest.clone().finalize().into();
            verify_payload(signer, transcript, &digest, &signature)?;
            self.done = true;
        } else {
            self.digest.update(&content);
            self.counter = self.counter.checked_add(1).ok_or(Error::Exhausted)?;
        }
        Ok(content)
    }

    /// Whether the last segment has been opened.
    pub fn is_done(&self) -> bool {
        self.done
    }
}

fn nonce(counter: u32, last: bool) -> [u8; 12] {
    let mut nonce = [0u8; 12];
    nonce[7..11].copy_from_slice(&counter.to_be_bytes());
    nonce[11] = u8::from(last);
    nonce
}
