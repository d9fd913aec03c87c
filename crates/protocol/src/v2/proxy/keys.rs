//! What the enclave hands to the proxy for one message: a one-time key and what it is
//! for. Their bytes cross the enclave's door and nothing else.

use std::marker::PhantomData;

use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::v2::{
    body::BodyHash, checkpoint::Place, error::HeadError, fields::Reader, message::Side, mode::Mode,
    schedule::MessageKey, secret::Secret, suite::Suite, time::ProducerTime,
};

use super::segment::SegmentCipher;

/// For one message that is to be sealed.
pub struct Outgoing<S> {
    pub(crate) keys: Keys<S>,
    /// The random bytes that blind the commitment.
    pub(crate) blinding: Secret,
}

/// For one message that is to be opened.
pub struct Incoming<S> {
    pub(crate) keys: Keys<S>,
    /// Of a request: by when it must begin.
    pub(crate) begin_by: ProducerTime,
}

pub(crate) struct Keys<S> {
    pub(crate) suite: Suite,
    pub(crate) mode: Mode,
    pub(crate) place: Place,
    pub(crate) body: BodyHash,
    pub(crate) commitment: [u8; 32],
    pub(crate) key: MessageKey,
    pub(crate) side: PhantomData<S>,
}

impl<S> ZeroizeOnDrop for Outgoing<S> {}
impl<S> ZeroizeOnDrop for Incoming<S> {}

impl<S: Side> Keys<S> {
    pub(super) fn cipher(&self) -> SegmentCipher {
        SegmentCipher::new(self.suite, &self.key, self.body)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[S::DIRECTION as u8, self.suite as u8, self.mode as u8]);
        out.extend_from_slice(&self.place.n.to_be_bytes());
        out.extend_from_slice(&self.place.ticket.0);
        out.extend_from_slice(&self.body.0);
        out.extend_from_slice(&self.commitment);
        out.extend_from_slice(self.key.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, HeadError> {
        if reader.u8()? != S::DIRECTION as u8 {
            return Err(HeadError::Malformed);
        }
        Ok(Self {
            suite: Suite::from_u8(reader.u8()?)?,
            mode: Mode::from_u8(reader.u8()?)?,
            place: Place::first(reader.u64()?, BodyHash(reader.array()?)),
            body: BodyHash(reader.array()?),
            commitment: reader.array()?,
            key: MessageKey::from_bytes(reader.array()?),
            side: PhantomData,
        })
    }
}

impl<S: Side> Outgoing<S> {
    /// The bytes, for the enclave's door.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(KEYS_LEN + 32));
        self.keys.write(&mut out);
        out.extend_from_slice(&*self.blinding);
        out
    }

    /// Reads what [`Outgoing::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] or [`HeadError::Suite`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        let outgoing = Self {
            keys: Keys::read(&mut reader)?,
            blinding: Secret::from_bytes(reader.array()?),
        };
        reader.end()?;
        Ok(outgoing)
    }
}

impl<S: Side> Incoming<S> {
    /// Whether the message is whole or a stream.
    pub fn mode(&self) -> Mode {
        self.keys.mode
    }

    /// The bytes, for the enclave's door.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(KEYS_LEN + 8));
        self.keys.write(&mut out);
        out.extend_from_slice(&self.begin_by.0.to_be_bytes());
        out
    }

    /// Reads what [`Incoming::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] or [`HeadError::Suite`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        let incoming = Self {
            keys: Keys::read(&mut reader)?,
            begin_by: ProducerTime(reader.u64()?),
        };
        reader.end()?;
        Ok(incoming)
    }
}

const KEYS_LEN: usize = 3 + 8 + 4 * 32;
