//! Opening: content stays out of reach until its sender's word for it has been verified.

use std::{marker::PhantomData, ops::Range, sync::Arc};

use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

use crate::v2::{
    checkpoint::{Mark, Place},
    content::{Disclosure, Running},
    context::Context,
    error::ContentError,
    message::{Response, Side},
    mode::Mode,
};

use super::{
    buffer::{Verified, Wiped},
    epoch::Epoch,
    keys::{Incoming, Keys},
    reader::StreamReader,
    segment::{SegmentCipher, SegmentHeader, SegmentKind, read_preamble, read_switch},
};

/// An opened first segment that is not known to be its sender's. Nobody can read it.
pub struct Unverified<S> {
    opened: Wiped,
    content: Range<usize>,
    preamble: Disclosure,
    mode: Mode,
    commitment: [u8; 32],
    cipher: SegmentCipher,
    place: Place,
    side: PhantomData<S>,
}

/// The switch that a response begins with.
pub struct FirstSwitch {
    k: u32,
    commitment: [u8; 32],
}

/// Verified content: all of a message, or what a stream begins with and the stream.
pub enum Arrived<S> {
    /// All of it.
    Whole(Verified),
    /// The beginning, and the rest.
    Stream(Verified, Box<StreamReader<S>>),
}

impl<S> ZeroizeOnDrop for Unverified<S> {}

impl<S: Side> Incoming<S> {
    /// Opens the first segment. It can be tried with other bytes if that fails.
    pub(super) fn open_first(
        &self,
        header: SegmentHeader,
        sealed: &[u8],
    ) -> Result<Unverified<S>, ContentError> {
        match (self.keys.mode, header.kind) {
            (Mode::Whole, SegmentKind::Whole) | (Mode::Stream, SegmentKind::First) => {}
            _ => return Err(ContentError::Malformed),
        }
        let mut cipher = self.keys.cipher();
        let opened = cipher.open(header, sealed)?;
        let (preamble, content) = read_preamble(&opened)?;
        Ok(Unverified {
            opened,
            content,
            preamble,
            mode: self.keys.mode,
            commitment: self.keys.commitment,
            cipher,
            place: self.keys.place,
            side: PhantomData,
        })
    }
}

impl Incoming<Response> {
    /// Opens the response's first segment. It can be tried with other bytes if that fails.
    ///
    /// # Errors
    /// [`ContentError`]; the bytes are not the ones that were sent.
    pub fn open(
        &self,
        header: SegmentHeader,
        sealed: &[u8],
    ) -> Result<Unverified<Response>, ContentError> {
        self.open_first(header, sealed)
    }

    /// Opens the switch that the response may begin with: its content follows under the key
    /// of that epoch. Nobody has signed a switch: what does not lead on may be forged, and the
    /// genuine beginning comes by another connection.
    ///
    /// # Errors
    /// [`ContentError`]; the bytes are not the ones that were sent.
    pub fn switch(
        &self,
        header: SegmentHeader,
        sealed: &[u8],
    ) -> Result<FirstSwitch, ContentError> {
        if header.kind != SegmentKind::Switch || self.keys.segments != 0 {
            return Err(ContentError::Malformed);
        }
        let opened = self.keys.cipher().open(header, sealed)?;
        let (k, commitment) = read_switch(&opened)?;
        match k > 0 {
            true => Ok(FirstSwitch { k, commitment }),
            false => Err(ContentError::Malformed),
        }
    }

    /// The response behind the switch that it began with, whose epoch's keys these are.
    ///
    /// # Errors
    /// [`ContentError::Switch`] for other keys.
    pub fn after(
        &self,
        switch: &FirstSwitch,
        epoch: &Epoch<Response>,
    ) -> Result<Self, ContentError> {
        let fits = epoch.place.is_beside(&self.keys.place)
            && epoch.place.k == switch.k
            && epoch.mark == Mark::NONE
            && bool::from(epoch.commitment.ct_eq(&switch.commitment));
        if !fits {
            return Err(ContentError::Switch);
        }
        Ok(Self {
            keys: Keys {
                place: epoch.place,
                segments: 1,
                key: epoch.key.again(),
                ..self.keys
            },
            begin_by: self.begin_by,
        })
    }
}

impl FirstSwitch {
    /// The epoch that the response begins in.
    pub fn k(&self) -> u32 {
        self.k
    }
}

impl Unverified<Response> {
    /// Compares the content with what the signed receipt committed to.
    ///
    /// # Errors
    /// [`ContentError::Commitment`]: it is not what the producer signed.
    pub fn verify(self, context: &Arc<Context>) -> Result<Arrived<Response>, ContentError> {
        self.verified(context)
    }
}

impl<S: Side> Unverified<S> {
    /// Compares the content with what the signed head committed to.
    pub(super) fn verified(self, context: &Arc<Context>) -> Result<Arrived<S>, ContentError> {
        let content = &self.opened[self.content.clone()];
        let commitment = self.preamble.commitment(S::DIRECTION, self.mode, content);
        if !bool::from(commitment.ct_eq(&self.commitment)) {
            return Err(ContentError::Commitment);
        }
        let Disclosure {
            blinding,
            kind,
            padding,
        } = self.preamble;
        let bytes = content.len() as u64;
        let running = (self.mode == Mode::Stream).then(|| {
            let mut running = Running::start(kind, &blinding);
            running.update(content);
            running
        });
        let verified = Verified::new(self.opened, self.content, Some(self.preamble));
        Ok(match running {
            None => Arrived::Whole(verified),
            Some(running) => {
                let sent = (self.place, padding, running, bytes);
                let reader = StreamReader::new(context.clone(), self.cipher, sent);
                Arrived::Stream(verified, Box::new(reader))
            }
        })
    }
}
