//! What a head says of content: a commitment that shows nothing of it without the 32
//! random bytes that are sealed in front of it.

use sha2::{Digest, Sha256};

use super::{
    body::Direction,
    error::HeadError,
    fields::{Reader, hmac},
    mode::Mode,
};

const LABEL_REQUEST: &[u8] = b"armour/2 content request";
const LABEL_RESPONSE: &[u8] = b"armour/2 content response";

/// How content is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DigestKind {
    /// SHA-256.
    Sha256 = 1,
    /// BLAKE3, faster for long content.
    Blake3 = 2,
}

/// How the length of content is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Padding {
    /// Not at all.
    None = 0,
    /// In PADMÉ's buckets (Nikitin et al., PETS 2019): at most 12 % more.
    Padme = 1,
}

/// What the proxy tells the enclave of content that is to be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentClaim {
    pub(crate) mode: Mode,
    pub(crate) kind: DigestKind,
    pub(crate) padding: Padding,
    pub(crate) length: u64,
    pub(crate) digest: [u8; 32],
}

/// What shows a third party, together with the content, that a head committed to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Disclosure {
    /// The random bytes that were sealed in front of the content.
    pub blinding: [u8; 32],
    /// How the content was hashed.
    pub kind: DigestKind,
    /// How its length was hidden.
    pub padding: Padding,
}

/// A digest over content that grows.
#[derive(Clone)]
pub(crate) enum Running {
    Sha256(Sha256),
    Blake3(Box<blake3::Hasher>),
}

impl DigestKind {
    /// What suits content of this many bytes.
    pub fn suited_to(length: usize) -> Self {
        match length {
            0..BLAKE3_FROM => Self::Sha256,
            _ => Self::Blake3,
        }
    }

    pub(crate) fn from_u8(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Sha256),
            2 => Some(Self::Blake3),
            _ => None,
        }
    }

    pub(crate) fn of(self, content: &[u8]) -> [u8; 32] {
        match self {
            Self::Sha256 => Sha256::digest(content).into(),
            Self::Blake3 => blake3::hash(content).into(),
        }
    }
}

impl Padding {
    pub(crate) fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Padme),
            _ => None,
        }
    }

    /// How many bytes content of this length takes.
    pub fn padded(self, length: usize) -> usize {
        match self {
            Self::Padme if length > 1 => {
                let exponent = length.ilog2();
                let kept = exponent.ilog2() + 1;
                let mask = (1 << (exponent - kept)) - 1;
                (length + mask) & !mask
            }
            _ => length,
        }
    }
}

impl ContentClaim {
    /// Bytes of a claim.
    pub const LEN: usize = 1 + 1 + 1 + 8 + 32;

    pub(crate) fn of(mode: Mode, content: &[u8], kind: DigestKind, padding: Padding) -> Self {
        Self {
            mode,
            kind,
            padding,
            length: content.len() as u64,
            digest: kind.of(content),
        }
    }

    /// Whole content, or a stream's first segment.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub(crate) fn commitment(&self, direction: Direction, blinding: &[u8; 32]) -> [u8; 32] {
        let label = match direction {
            Direction::Request => LABEL_REQUEST,
            Direction::Response => LABEL_RESPONSE,
        };
        let fields: [&[u8]; 5] = [
            &[self.mode as u8],
            &[self.kind as u8],
            &[self.padding as u8],
            &self.length.to_be_bytes(),
            &self.digest,
        ];
        hmac(blinding, label, &fields)
    }

    /// The claim's bytes, for the enclave's door.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..3].copy_from_slice(&[self.mode as u8, self.kind as u8, self.padding as u8]);
        out[3..11].copy_from_slice(&self.length.to_be_bytes());
        out[11..].copy_from_slice(&self.digest);
        out
    }

    /// Reads what [`ContentClaim::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`HeadError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        let claim = Self {
            mode: Mode::from_u8(reader.u8()?)?,
            kind: DigestKind::from_u8(reader.u8()?).ok_or(HeadError::Malformed)?,
            padding: Padding::from_u8(reader.u8()?).ok_or(HeadError::Malformed)?,
            length: reader.u64()?,
            digest: reader.array()?,
        };
        reader.end()?;
        match claim.mode.has_content() {
            true => Ok(claim),
            false => Err(HeadError::Malformed),
        }
    }
}

impl Disclosure {
    pub(crate) fn commitment(&self, direction: Direction, mode: Mode, content: &[u8]) -> [u8; 32] {
        let claim = ContentClaim::of(mode, content, self.kind, self.padding);
        claim.commitment(direction, &self.blinding)
    }
}

impl Running {
    /// A digest that starts with the sealed random bytes.
    pub(crate) fn start(kind: DigestKind, blinding: &[u8; 32]) -> Self {
        let mut running = match kind {
            DigestKind::Sha256 => Self::Sha256(Sha256::new()),
            DigestKind::Blake3 => Self::Blake3(Box::default()),
        };
        running.update(blinding);
        running
    }

    pub(crate) fn update(&mut self, content: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(content),
            Self::Blake3(hash) => {
                hash.update(content);
            }
        }
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        match self {
            Self::Sha256(hash) => hash.clone().finalize().into(),
            Self::Blake3(hash) => hash.finalize().into(),
        }
    }
}

/// From how many bytes on BLAKE3 pays.
const BLAKE3_FROM: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn padme_as_published() {
        for (length, padded) in [(0, 0), (1, 1), (7, 7), (9, 10), (1_000, 1_024)] {
            assert_eq!(Padding::Padme.padded(length), padded, "{length}");
        }
        assert_eq!(Padding::None.padded(9), 9);
        assert_eq!(Padding::Padme.padded(256 * 1024), 256 * 1024);
    }

    proptest! {
        #[test]
        fn padding_is_little_and_idempotent(length in 2usize..1 << 20) {
            let padded = Padding::Padme.padded(length);
            prop_assert!(padded >= length);
            prop_assert!((padded - length) * 100 <= length * 12);
            prop_assert_eq!(Padding::Padme.padded(padded), padded);
        }

        #[test]
        fn a_commitment_depends_on_all_that_it_is_of(length: u64, digest: [u8; 32], blinding: [u8; 32]) {
            let claim = ContentClaim {
                mode: Mode::Whole,
                kind: DigestKind::Sha256,
                padding: Padding::None,
                length,
                digest,
            };
            prop_assert_eq!(ContentClaim::from_bytes(&claim.to_bytes()), Ok(claim));
            let mut other_digest = digest;
            other_digest[0] ^= 1;
            let others = [
                ContentClaim { mode: Mode::Stream, ..claim },
                ContentClaim { kind: DigestKind::Blake3, ..claim },
                ContentClaim { padding: Padding::Padme, ..claim },
                ContentClaim { length: length ^ 1, ..claim },
                ContentClaim { digest: other_digest, ..claim },
            ];
            let made = claim.commitment(Direction::Request, &blinding);
            prop_assert_ne!(made, claim.commitment(Direction::Response, &blinding));
            for other in others {
                prop_assert_ne!(made, other.commitment(Direction::Request, &blinding));
            }
            let mut other = blinding;
            other[31] ^= 1;
            prop_assert_ne!(made, claim.commitment(Direction::Request, &other));
        }
    }

    #[test]
    fn running_digests_do_not_depend_on_the_cuts() {
        for kind in [DigestKind::Sha256, DigestKind::Blake3] {
            let (mut whole, mut cut) = (
                Running::start(kind, &[1; 32]),
                Running::start(kind, &[1; 32]),
            );
            whole.update(b"one two");
            cut.update(b"one");
            assert_ne!(whole.digest(), cut.digest());
            cut.update(b" two");
            assert_eq!(whole.digest(), cut.digest());
            assert_ne!(whole.digest(), Running::start(kind, &[2; 32]).digest());
        }
    }
}
