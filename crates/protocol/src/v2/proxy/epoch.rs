//! What the enclave hands to the proxy once streams were re-keyed.

use std::marker::PhantomData;

use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::v2::{
    body::BodyHash,
    checkpoint::{Mark, Place},
    error::HeadError,
    fields::Reader,
    message::{Request, Response, Side},
    schedule::MessageKey,
    suite::Suite,
};

/// One direction's key from a `switch` on.
pub struct Epoch<S> {
    pub(crate) suite: Suite,
    pub(crate) place: Place,
    /// The checkpoint behind which the direction switches to it.
    pub(crate) mark: Mark,
    pub(crate) commitment: [u8; 32],
    pub(crate) key: MessageKey,
    pub(crate) side: PhantomData<S>,
}

/// Both directions' keys.
pub struct Epochs {
    /// The request's.
    pub request: Epoch<Request>,
    /// The response's.
    pub response: Epoch<Response>,
}

impl<S> ZeroizeOnDrop for Epoch<S> {}

impl<S: Side> Epoch<S> {
    /// The epoch's number.
    pub fn k(&self) -> u32 {
        self.place.k
    }

    /// The bytes, for the enclave's door.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(2 + 8 + 4 + Mark::LEN + 4 * 32));
        out.extend_from_slice(&[S::DIRECTION as u8, self.suite as u8]);
        out.extend_from_slice(&self.place.n.to_be_bytes());
        out.extend_from_slice(&self.place.ticket.0);
        out.extend_from_slice(&self.place.k.to_be_bytes());
        out.extend_from_slice(&self.place.session.0);
        out.extend_from_slice(&self.mark.to_bytes());
        out.extend_from_slice(&self.commitment);
        out.extend_from_slice(self.key.as_bytes());
        out
    }

    /// Reads what [`Epoch::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] or [`HeadError::Suite`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != S::DIRECTION as u8 {
            return Err(HeadError::Malformed);
        }
        let epoch = Self {
            suite: Suite::from_u8(reader.u8()?)?,
            place: Place {
                n: reader.u64()?,
                ticket: BodyHash(reader.array()?),
                k: reader.u32()?,
                session: BodyHash(reader.array()?),
            },
            mark: Mark::read(&mut reader)?,
            commitment: reader.array()?,
            key: MessageKey::read(&mut reader)?,
            side: PhantomData,
        };
        reader.end()?;
        Ok(epoch)
    }
}
