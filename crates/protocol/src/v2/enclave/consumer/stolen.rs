//! Copies of a lane's state, for the demonstration of a theft.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::{
    agreement::PeerShare,
    v2::{
        body::{BODY_LEN, Body, BodyHash},
        context::Context,
        enclave::core::Core,
        error::HeadError,
        fields::Reader,
        message::Evidence,
        schedule::{Root, Transcript},
        time::{LocalTime, ProducerClock, ProducerTime},
    },
};

use super::states::Idle;

impl Idle {
    /// The lane's whole state: what a thief takes. That of its streams is
    /// [`Streaming`](crate::v2::enclave::Streaming)'s.
    pub fn steal(&self) -> Zeroizing<Vec<u8>> {
        let peer = self.peer.to_bytes();
        let mut out = Zeroizing::new(Vec::with_capacity(1024 + peer.len()));
        out.extend_from_slice(&self.core.lane.to_be_bytes());
        out.extend_from_slice(self.core.consumer_root.as_bytes());
        out.extend_from_slice(self.core.producer_root.as_bytes());
        out.extend_from_slice(self.core.transcript.as_bytes());
        out.extend_from_slice(&self.ticket.to_bytes());
        out.extend_from_slice(&self.clock.read.0.to_be_bytes());
        out.extend_from_slice(&self.clock.arrived.0.to_be_bytes());
        out.extend_from_slice(&(peer.len() as u16).to_be_bytes());
        out.extend_from_slice(&peer);
        let sub = self.sub_receipt.map_or([0; 32], |hash| hash.0);
        out.extend_from_slice(&sub);
        out.extend_from_slice(&self.receipt.to_bytes());
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
        let ticket = Body::from_bytes(reader.bytes(BODY_LEN)?)?;
        let clock = ProducerClock {
            read: ProducerTime(reader.u64()?),
            arrived: LocalTime(reader.u64()?),
        };
        let length = usize::from(reader.u16()?);
        let suite = core.context.suite().agreement();
        let peer =
            PeerShare::from_bytes(suite, reader.bytes(length)?).map_err(|_| HeadError::KeyShare)?;
        let sub: [u8; 32] = reader.array()?;
        let receipt = Evidence::from_bytes(reader.rest())?;
        let next = ticket.header.n.checked_add(1).ok_or(HeadError::Malformed)?;
        Ok(Self {
            core,
            next,
            ticket,
            peer,
            clock,
            receipt,
            sub_receipt: (sub != [0; 32]).then_some(BodyHash(sub)),
            sub_evidence: None,
            asking: None,
            asked: None,
        })
    }
}
