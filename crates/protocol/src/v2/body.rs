//! Bodies of tickets and receipts: what is signed, recorded and compared. Each names the
//! one before it, so that the two make one chain.

use super::{
    VERSION,
    context::Context,
    error::HeadError,
    fields::{Reader, hash},
    suite::Suite,
};

pub(crate) const LABEL_BODY: &[u8] = b"armour/2 body";
const LABEL_OPENING: &[u8] = b"armour/2 opening";
const LABEL_LINK: &[u8] = b"armour/2 link";

/// Bytes of a header.
pub const HEADER_LEN: usize = 1 + 1 + 1 + 16 + 2 + 8 + 4;
/// Bytes of a body.
pub const BODY_LEN: usize = HEADER_LEN + 32 + 32;
/// Place of the kind in a header.
pub(crate) const KIND_AT: usize = 2;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the consumer.
    Request,
    /// From the producer.
    Response,
}

/// What a head is. 3 and 4 are the sub-tickets and sub-receipts of streams, whose heads
/// are [others](super::rekey).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The consumer's half of an exchange.
    Ticket = 1,
    /// The producer's half of it.
    Receipt = 2,
    /// A transient refusal, which is no part of the chain.
    Transient = 5,
}

/// What a body is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// The bundle's suite.
    pub suite: Suite,
    /// What it heads.
    pub kind: Kind,
    /// The bundle.
    pub bundle: [u8; 16],
    /// The lane within the bundle.
    pub lane: u16,
    /// The exchange's number within the lane, from 0.
    pub n: u64,
}

/// SHA-256 over a body, or what takes its place before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BodyHash(pub [u8; 32]);

/// A ticket's or receipt's place in the chain, and the hash of all else that it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Body {
    /// What it is about.
    pub header: Header,
    /// Of the body before it.
    pub previous: BodyHash,
    /// Hash of the rest of the head.
    pub rest: [u8; 32],
}

impl Kind {
    fn from_u8(number: u8) -> Result<Self, HeadError> {
        match number {
            1 => Ok(Self::Ticket),
            2 => Ok(Self::Receipt),
            5 => Ok(Self::Transient),
            _ => Err(HeadError::Malformed),
        }
    }
}

impl Header {
    /// The header's bytes: version, suite, kind, bundle, lane, n, and four zero bytes
    /// where sub-tickets will have their number.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[0] = VERSION;
        out[1] = self.suite as u8;
        out[KIND_AT] = self.kind as u8;
        out[3..19].copy_from_slice(&self.bundle);
        out[19..21].copy_from_slice(&self.lane.to_be_bytes());
        out[21..29].copy_from_slice(&self.n.to_be_bytes());
        out
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, HeadError> {
        if reader.u8()? != VERSION {
            return Err(HeadError::Version);
        }
        let header = Self {
            suite: Suite::from_u8(reader.u8()?)?,
            kind: Kind::from_u8(reader.u8()?)?,
            bundle: reader.array()?,
            lane: reader.u16()?,
            n: reader.u64()?,
        };
        match reader.u32()? {
            0 => Ok(header),
            _ => Err(HeadError::Malformed),
        }
    }

    /// Whether this is of the context's bundle, on this lane.
    pub(crate) fn belongs(&self, context: &Context, lane: u16) -> Result<(), HeadError> {
        if self.suite != context.suite() {
            return Err(HeadError::Suite);
        }
        if self.bundle != context.binding().bundle || self.lane != lane {
            return Err(HeadError::Address);
        }
        Ok(())
    }
}

impl BodyHash {
    /// What a lane's ticket 0 names as the body before it.
    pub fn opening(context: &Context, lane: u16) -> Self {
        let fields: [&[u8]; 2] = [context.hash(), &lane.to_be_bytes()];
        Self(hash(LABEL_OPENING, &fields))
    }

    /// What ticket n + 1 names: receipt n, and no sub-receipt.
    pub fn after(receipt: &Body) -> Self {
        Self::after_rekeyed(receipt, None)
    }

    /// The same, of an exchange whose last sub-receipt has this hash.
    pub fn after_rekeyed(receipt: &Body, last: Option<Self>) -> Self {
        let last = last.map_or([0; 32], |last| last.0);
        Self(hash(LABEL_LINK, &[&receipt.to_bytes(), &last]))
    }
}

impl Body {
    /// The body's bytes, as signed and hashed.
    pub fn to_bytes(&self) -> [u8; BODY_LEN] {
        let mut out = [0; BODY_LEN];
        out[..HEADER_LEN].copy_from_slice(&self.header.to_bytes());
        out[HEADER_LEN..HEADER_LEN + 32].copy_from_slice(&self.previous.0);
        out[HEADER_LEN + 32..].copy_from_slice(&self.rest);
        out
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`HeadError::Malformed`], [`HeadError::Version`] or [`HeadError::Suite`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        let body = Self {
            header: Header::read(&mut reader)?,
            previous: BodyHash(reader.array()?),
            rest: reader.array()?,
        };
        reader.end()?;
        match body.header.kind {
            Kind::Ticket | Kind::Receipt => Ok(body),
            Kind::Transient => Err(HeadError::Malformed),
        }
    }

    /// The body's hash.
    pub fn hash(&self) -> BodyHash {
        BodyHash(hash(LABEL_BODY, &[&self.to_bytes()]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::v2::testing::context;

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(mut bytes in proptest::collection::vec(any::<u8>(), BODY_LEN)) {
            prop_assert!(Body::from_bytes(&bytes[1..]).is_err());
            bytes[0] = VERSION;
            bytes[1] = 1 + bytes[1] % 3;
            bytes[2] = 1 + bytes[2] % 2;
            bytes[29..33].fill(0);
            prop_assert_eq!(&Body::from_bytes(&bytes).unwrap().to_bytes()[..], &bytes[..]);
            bytes[32] = 1;
            prop_assert_eq!(Body::from_bytes(&bytes), Err(HeadError::Malformed));
        }
    }

    #[test]
    fn links_differ_by_what_they_follow() {
        let context = context(Suite::X25519ChaCha20Poly1305);
        let header = Header {
            suite: context.suite(),
            kind: Kind::Receipt,
            bundle: context.binding().bundle,
            lane: 0,
            n: 0,
        };
        let body = Body {
            header,
            previous: BodyHash::opening(&context, 0),
            rest: [1; 32],
        };
        assert_ne!(
            BodyHash::opening(&context, 0),
            BodyHash::opening(&context, 1)
        );
        assert_ne!(body.hash(), BodyHash::after(&body));
        assert_eq!(header.belongs(&context, 1), Err(HeadError::Address));
    }
}
