//! What the enclave hands to the proxy for one message: a one-time key and what it is
//! for. Their bytes cross the enclave's door and nothing else.

use std::marker::PhantomData;

use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::v2::{
    body::BodyHash,
    checkpoint::Place,
    error::{ContentError, HeadError},
    fields::Reader,
    message::Side,
    mode::Mode,
    schedule::MessageKey,
    secret::Secret,
    suite::Suite,
    time::ProducerTime,
};

use super::{epoch::Epoch, segment::SegmentCipher};

/// For one message that is to be sealed.
pub struct Outgoing<S> {
    pub(crate) keys: Keys<S>,
    /// The random bytes that blind the commitment.
    pub(crate) blinding: Secret,
    /// What its content is sealed in, once the message has switched to it at its beginning.
    pub(crate) epoch: Option<Epoch<S>>,
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
    /// The exchange, and how often it had been re-keyed when the head was signed.
    pub(crate) place: Place,
    /// Segments before the content: 1 behind a switch.
    pub(crate) segments: u64,
    pub(crate) body: BodyHash,
    pub(crate) commitment: [u8; 32],
    pub(crate) key: MessageKey,
    pub(crate) side: PhantomData<S>,
}

impl<S> ZeroizeOnDrop for Outgoing<S> {}
impl<S> ZeroizeOnDrop for Incoming<S> {}

impl<S: Side> Keys<S> {
    pub(super) fn cipher(&self) -> SegmentCipher {
        let mut cipher = SegmentCipher::new(self.suite, &self.key, self.body);
        cipher.back_to(self.segments);
        cipher
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[S::DIRECTION as u8, self.suite as u8, self.mode as u8]);
        out.extend_from_slice(&self.place.n.to_be_bytes());
        out.extend_from_slice(&self.place.ticket.0);
        out.extend_from_slice(&self.place.k.to_be_bytes());
        out.extend_from_slice(&self.place.session.0);
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
            place: Place {
                n: reader.u64()?,
                ticket: BodyHash(reader.array()?),
                k: reader.u32()?,
                session: BodyHash(reader.array()?),
            },
            segments: 0,
            body: BodyHash(reader.array()?),
            commitment: reader.array()?,
            key: MessageKey::read(reader)?,
            side: PhantomData,
        })
    }
}

impl<S: Side> Outgoing<S> {
    /// How often the exchange had been re-keyed when the head was signed. If at all, the
    /// content is sealed in that epoch or a later one.
    pub fn k(&self) -> u32 {
        self.keys.place.k
    }

    /// The message begins with a switch to this epoch: whoever copied what the head's key
    /// follows from, before the streams were re-keyed, reads nothing of it.
    ///
    /// # Errors
    /// [`ContentError::Switch`] for another exchange's keys, or an epoch before
    /// [`Outgoing::k`].
    pub fn in_epoch(self, epoch: Epoch<S>) -> Result<Self, ContentError> {
        match epoch.place.is_beside(&self.keys.place) && epoch.place.k >= self.keys.place.k {
            true => Ok(Self {
                epoch: Some(epoch),
                ..self
            }),
            false => Err(ContentError::Switch),
        }
    }

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
            blinding: reader.secret()?,
            epoch: None,
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

const KEYS_LEN: usize = 3 + 8 + 4 + 5 * 32;
