//! Copies of a lane's state, for the demonstration of a theft.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::{
    agreement::ShareSecret,
    v2::{
        body::{BODY_LEN, Body},
        context::Context,
        enclave::{core::Core, line::Line},
        error::HeadError,
        fields::Reader,
        message::Evidence,
        schedule::{Root, Transcript},
    },
};

use super::{states::Ready, told::Told};

impl Ready {
    /// The lane's whole state: what a thief takes.
    pub fn steal(&self) -> Zeroizing<Vec<u8>> {
        let secret = self.secret.steal();
        let mut out = Zeroizing::new(Vec::with_capacity(1024 + secret.len()));
        out.extend_from_slice(&self.core.lane.to_be_bytes());
        out.extend_from_slice(self.core.consumer_root.as_bytes());
        out.extend_from_slice(self.core.producer_root.as_bytes());
        out.extend_from_slice(self.core.transcript.as_bytes());
        out.extend_from_slice(&self.receipt.to_bytes());
        // 32 bytes, or 96.
        out.extend_from_slice(&(secret.len() as u16).to_be_bytes());
        out.extend_from_slice(&secret);
        out.push(u8::from(self.told.is_some()));
        if let Some(told) = &self.told {
            told.line.steal(&mut out);
        }
        out.extend_from_slice(&self.ticket.to_bytes());
        out
    }

    /// A second lane from a stolen state.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] or [`HeadError::KeyShare`].
    pub fn from_stolen(context: Arc<Context>, stolen: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(stolen);
        let lane = reader.u16()?;
        let core = Core {
            lane,
            consumer_root: Root::from_stolen(reader.array()?),
            producer_root: Root::from_stolen(reader.array()?),
            transcript: Transcript::from_stolen(reader.array()?),
            context,
        };
        let receipt = Body::from_bytes(reader.bytes(BODY_LEN)?)?;
        let length = usize::from(reader.u16()?);
        let suite = core.context.suite().agreement();
        let secret = ShareSecret::from_stolen(suite, reader.bytes(length)?)
            .map_err(|_| HeadError::KeyShare)?;
        let told = match reader.u8()? {
            0 => None,
            _ => Some(Box::new(Told::new(Line::from_stolen(&mut reader)?))),
        };
        let ticket = Evidence::from_bytes(reader.rest())?;
        let next = receipt
            .header
            .n
            .checked_add(1)
            .ok_or(HeadError::Malformed)?;
        Ok(Self {
            core,
            next,
            ticket,
            receipt,
            secret,
            told,
        })
    }
}
