//! Checkpoints: what vouches for a stream's content up to where they stand.

use ed25519_dalek::VerifyingKey;

use super::{
    body::{BodyHash, Direction},
    context::Context,
    error::{HeadError, LaneError},
    fields::Reader,
    message::signer,
    proof::{Proof, Signed, Stated, Statement, StatementKind, Unsigned},
};

const LABEL_REQUEST: &[u8] = b"armour/2 checkpoint request";
const LABEL_RESPONSE: &[u8] = b"armour/2 checkpoint response";
/// The flag of a direction's last checkpoint. The others are kept for later and zero.
const FINAL: u8 = 1;

/// The exchange whose streams these are, and how often they were re-keyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The exchange's number.
    pub(crate) n: u64,
    /// Its ticket.
    pub(crate) ticket: BodyHash,
    /// The epoch: the number of the last sub-receipt.
    pub(crate) k: u32,
    /// S: of the ticket, and of what re-keyed the stream.
    pub(crate) session: BodyHash,
}

/// A checkpoint as its receiver may name it: how far it has verified the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The checkpoint's number, from 1; 0 if there was none yet. The highest bit says that it
    /// is its direction's last.
    pub sequence: u64,
    /// Its running digest, or zeros.
    pub digest: [u8; 32],
}

/// What the proxy tells the enclave of a checkpoint that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointClaim {
    pub(crate) bytes: u64,
    pub(crate) digest: [u8; 32],
    pub(crate) peer: Mark,
    pub(crate) last: bool,
}

/// What a checkpoint says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    pub(crate) direction: Direction,
    pub(crate) place: Place,
    pub(crate) sequence: u64,
    pub(crate) claim: CheckpointClaim,
}

/// A checkpoint with its proof.
pub type SignedCheckpoint = Signed<Checkpoint>;

/// The enclave's own record of a direction that it signs for.
#[cfg_attr(feature = "state-export", derive(Clone))]
pub(crate) struct CheckpointSigner {
    direction: Direction,
    place: Place,
    sequence: u64,
    bytes: u64,
    done: bool,
    /// A checkpoint of the present epoch comes before anything else is agreed on.
    due: bool,
}

impl Place {
    /// Where an exchange's streams begin.
    pub(crate) fn first(n: u64, ticket: BodyHash) -> Self {
        Self {
            n,
            ticket,
            k: 0,
            session: ticket,
        }
    }

    /// Whether both are of one exchange.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        (self.n, self.ticket) == (other.n, other.ticket)
    }
}

impl Mark {
    /// Before the first checkpoint.
    pub const NONE: Self = Self {
        sequence: 0,
        digest: [0; 32],
    };
    /// Of the direction's last checkpoint.
    const LAST: u64 = 1 << 63;
    /// Bytes of a mark.
    pub const LEN: usize = 8 + 32;

    /// The mark's bytes: sequence, digest.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(&self.sequence.to_be_bytes());
        out[8..].copy_from_slice(&self.digest);
        out
    }

    /// Reads what [`Mark::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`HeadError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        let mark = Self::read(&mut reader)?;
        reader.end()?;
        Ok(mark)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, HeadError> {
        let mark = Self {
            sequence: reader.u64()?,
            digest: reader.array()?,
        };
        // Without a checkpoint there is no digest, and nothing is the last.
        match (
            mark.number() == 0,
            mark == Self::NONE,
            mark.digest == [0; 32],
        ) {
            (true, true, _) | (false, _, false) => Ok(mark),
            _ => Err(HeadError::Malformed),
        }
    }

    /// The checkpoint's number, from 1; 0 if there was none yet.
    pub fn number(&self) -> u64 {
        self.sequence & !Self::LAST
    }

    /// Whether the direction ended with it.
    pub fn is_last(&self) -> bool {
        self.sequence & Self::LAST != 0
    }

    /// Whether a direction can have come from `earlier` to this, or stands still.
    pub(crate) fn follows(&self, earlier: &Self) -> bool {
        self == earlier || (self.number() > earlier.number() && !earlier.is_last())
    }
}

impl CheckpointClaim {
    /// Bytes of a claim.
    pub const LEN: usize = 8 + 32 + 8 + 32 + 1;

    /// The claim's bytes, for the enclave's door.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(&self.bytes.to_be_bytes());
        out[8..40].copy_from_slice(&self.digest);
        out[40..].copy_from_slice(&tail(&self.peer, self.last));
        out
    }

    /// Reads what [`CheckpointClaim::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`HeadError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        let claim = Self::read(&mut reader)?;
        reader.end()?;
        Ok(claim)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, HeadError> {
        let (bytes, digest) = (reader.u64()?, reader.array()?);
        let (peer, last) = read_tail(reader)?;
        Ok(Self {
            bytes,
            digest,
            peer,
            last,
        })
    }
}

impl Checkpoint {
    /// The direction that it vouches for.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The exchange's number, and how often its streams had been re-keyed.
    pub fn place(&self) -> (u64, u32) {
        (self.place.n, self.place.k)
    }

    /// How far the checkpoint's sender has verified the other direction.
    pub fn peer(&self) -> Mark {
        self.claim.peer
    }

    /// Whether it ends its direction.
    pub fn is_final(&self) -> bool {
        self.claim.last
    }

    /// How its receiver names it.
    pub fn mark(&self) -> Mark {
        let last = if self.claim.last { Mark::LAST } else { 0 };
        Mark {
            sequence: self.sequence | last,
            digest: self.claim.digest,
        }
    }
}

impl Stated for Checkpoint {
    fn statement(&self, context: &Context) -> Statement {
        let (label, to) = match self.direction {
            Direction::Request => (LABEL_REQUEST, &context.binding().producer),
            Direction::Response => (LABEL_RESPONSE, &context.binding().consumer),
        };
        let claim = &self.claim;
        let fields: [&[u8]; 10] = [
            &self.place.n.to_be_bytes(),
            &self.place.k.to_be_bytes(),
            &self.place.ticket.0,
            &self.place.session.0,
            &self.sequence.to_be_bytes(),
            &claim.bytes.to_be_bytes(),
            &claim.digest,
            &claim.peer.sequence.to_be_bytes(),
            &claim.peer.digest,
            &[flags(claim.last)],
        ];
        Statement::new(StatementKind::Checkpoint, label, context, to, &fields)
    }

    fn signer<'a>(&self, context: &'a Context) -> &'a VerifyingKey {
        signer(self.direction, context)
    }
}

impl SignedCheckpoint {
    /// The bytes, for the enclave's door: k, S, sequence, claim, proof. Direction and exchange
    /// are the lane's.
    pub fn to_bytes(&self) -> Vec<u8> {
        let place = &self.message.place;
        let epoch = [&place.k.to_be_bytes()[..], &place.session.0].concat();
        let sequence = self.message.sequence.to_be_bytes();
        let claim = self.message.claim.to_bytes();
        [&epoch[..], &sequence, &claim, &self.proof.to_bytes()].concat()
    }

    /// The bytes of a checkpoint that is shown to others, who have the bundle's context alone:
    /// 0 if it is of the request, 1 of the response; n, H(ticket), and
    /// [`SignedCheckpoint::to_bytes`].
    pub fn to_evidence(&self) -> Vec<u8> {
        let place = &self.message.place;
        let direction = match self.message.direction {
            Direction::Request => 0,
            Direction::Response => 1,
        };
        let exchange = [&place.n.to_be_bytes()[..], &place.ticket.0].concat();
        [&[direction][..], &exchange, &self.to_bytes()].concat()
    }

    /// Whether the key of the direction's end signed it, in a bundle of this context.
    pub fn is_signed(&self, context: &Context) -> bool {
        self.verify(context).is_ok()
    }

    /// Reads what [`SignedCheckpoint::to_evidence`] wrote. Who signed it is not checked by this.
    ///
    /// # Errors
    /// [`HeadError::Malformed`].
    pub fn from_evidence(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        let direction = match reader.u8()? {
            0 => Direction::Request,
            1 => Direction::Response,
            _ => return Err(HeadError::Malformed),
        };
        let exchange = Place::first(reader.u64()?, BodyHash(reader.array()?));
        Self::from_bytes(direction, exchange, reader.rest())
    }

    pub(crate) fn from_bytes(
        direction: Direction,
        exchange: Place,
        bytes: &[u8],
    ) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        let message = Checkpoint {
            direction,
            place: Place {
                k: reader.u32()?,
                session: BodyHash(reader.array()?),
                ..exchange
            },
            sequence: reader.u64()?,
            claim: CheckpointClaim::read(&mut reader)?,
        };
        let proof = Proof::read(&mut reader)?;
        reader.end()?;
        Ok(Self { message, proof })
    }
}

impl CheckpointSigner {
    pub(crate) fn new(direction: Direction, place: Place) -> Self {
        Self {
            direction,
            place,
            sequence: 0,
            bytes: 0,
            done: false,
            due: false,
        }
    }

    /// The streams were re-keyed: the direction's switch is followed by a checkpoint.
    pub(crate) fn rekeyed(&mut self, place: Place) {
        self.place = place;
        self.due = !self.done;
    }

    /// Whether the checkpoint behind the switch has not been signed yet.
    pub(crate) fn is_due(&self) -> bool {
        self.due
    }

    /// Whether the direction has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// The direction's next checkpoint. A failed call changes nothing.
    pub(crate) fn next(
        &mut self,
        claim: CheckpointClaim,
        context: &Context,
    ) -> Result<Unsigned<Checkpoint>, LaneError> {
        if self.done || claim.bytes < self.bytes {
            return Err(LaneError::Checkpoint);
        }
        let sequence = self
            .sequence
            .checked_add(1)
            .filter(|next| *next < Mark::LAST);
        let sequence = sequence.ok_or(LaneError::Exhausted)?;
        let checkpoint = Checkpoint {
            direction: self.direction,
            place: self.place,
            sequence,
            claim,
        };
        (self.sequence, self.bytes, self.done) = (sequence, claim.bytes, claim.last);
        self.due = false;
        Ok(Unsigned::new(checkpoint, context))
    }
}

/// Copies for the demonstration of a theft.
#[cfg(feature = "state-export")]
pub(crate) mod stolen {
    use super::*;

    /// The direction that `as u8` wrote.
    pub(crate) fn direction(reader: &mut Reader<'_>) -> Result<Direction, HeadError> {
        match reader.u8()? {
            0 => Ok(Direction::Request),
            1 => Ok(Direction::Response),
            _ => Err(HeadError::Malformed),
        }
    }

    impl Place {
        pub(crate) fn steal(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.n.to_be_bytes());
            out.extend_from_slice(&self.ticket.0);
            out.extend_from_slice(&self.k.to_be_bytes());
            out.extend_from_slice(&self.session.0);
        }

        pub(crate) fn from_stolen(reader: &mut Reader<'_>) -> Result<Self, HeadError> {
            Ok(Self {
                n: reader.u64()?,
                ticket: BodyHash(reader.array()?),
                k: reader.u32()?,
                session: BodyHash(reader.array()?),
            })
        }
    }

    impl CheckpointSigner {
        pub(crate) fn steal(&self, out: &mut Vec<u8>) {
            out.push(self.direction as u8);
            self.place.steal(out);
            out.extend_from_slice(&self.sequence.to_be_bytes());
            out.extend_from_slice(&self.bytes.to_be_bytes());
            out.push(u8::from(self.done));
            out.push(u8::from(self.due));
        }

        pub(crate) fn from_stolen(reader: &mut Reader<'_>) -> Result<Self, HeadError> {
            Ok(Self {
                direction: direction(reader)?,
                place: Place::from_stolen(reader)?,
                sequence: reader.u64()?,
                bytes: reader.u64()?,
                done: reader.u8()? != 0,
                due: reader.u8()? != 0,
            })
        }
    }
}

/// What a sealed checkpoint carries in front of its proof: the rest its receiver knows.
pub(crate) fn tail(peer: &Mark, last: bool) -> [u8; TAIL_LEN] {
    let mut out = [0; TAIL_LEN];
    out[..8].copy_from_slice(&peer.sequence.to_be_bytes());
    out[8..40].copy_from_slice(&peer.digest);
    out[40] = flags(last);
    out
}

pub(crate) fn read_tail(reader: &mut Reader<'_>) -> Result<(Mark, bool), HeadError> {
    let peer = Mark::read(reader)?;
    match reader.u8()? {
        0 => Ok((peer, false)),
        FINAL => Ok((peer, true)),
        _ => Err(HeadError::Malformed),
    }
}

/// Bytes of [`tail`].
pub(crate) const TAIL_LEN: usize = 8 + 32 + 1;

fn flags(last: bool) -> u8 {
    if last { FINAL } else { 0 }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::v2::{suite::Suite, testing::context};

    const PLACE: Place = Place {
        n: 1,
        ticket: BodyHash([1; 32]),
        k: 2,
        session: BodyHash([3; 32]),
    };

    fn claim(bytes: u64, last: bool) -> CheckpointClaim {
        CheckpointClaim {
            bytes,
            digest: [2; 32],
            peer: Mark::NONE,
            last,
        }
    }

    #[test]
    fn a_signer_goes_forward_only_and_ends_once() {
        let context = context(Suite::X25519ChaCha20Poly1305);
        let mut signer = CheckpointSigner::new(Direction::Request, PLACE);
        assert!(signer.next(claim(10, false), &context).is_ok());
        let back = signer.next(claim(9, false), &context).err();
        assert_eq!(back, Some(LaneError::Checkpoint));
        assert!(signer.next(claim(10, true), &context).is_ok());
        assert!(signer.is_done());
        let again = signer.next(claim(10, true), &context).err();
        assert_eq!(again, Some(LaneError::Checkpoint));
    }

    #[test]
    fn a_proof_is_of_every_part() {
        let context = context(Suite::X25519ChaCha20Poly1305);
        let key = SigningKey::from_bytes(&[1; 32]);
        let mut signer = CheckpointSigner::new(Direction::Request, PLACE);
        let signed = signer.next(claim(10, false), &context).unwrap().sign(&key);
        assert_eq!(signed.verify(&context), Ok(()));
        let changes: [fn(&mut Checkpoint); 11] = [
            |it| it.direction = Direction::Response,
            |it| it.place.n += 1,
            |it| it.place.ticket.0[0] ^= 1,
            |it| it.place.k += 1,
            |it| it.place.session.0[0] ^= 1,
            |it| it.sequence += 1,
            |it| it.claim.bytes += 1,
            |it| it.claim.digest[0] ^= 1,
            |it| it.claim.peer.sequence += 1,
            |it| it.claim.peer.digest[0] ^= 1,
            |it| it.claim.last = true,
        ];
        for change in changes {
            let mut other = signed.clone();
            change(&mut other.message);
            assert_eq!(other.verify(&context), Err(HeadError::Signature));
        }
        let bytes = signed.to_bytes();
        let read = SignedCheckpoint::from_bytes(Direction::Request, PLACE, &bytes);
        assert_eq!(read.as_ref(), Ok(&signed));
        let shown = signed.to_evidence();
        let read = SignedCheckpoint::from_evidence(&shown);
        assert_eq!(read, Ok(signed));
        for cut in 0..shown.len() {
            let read = SignedCheckpoint::from_evidence(&shown[..cut]);
            assert_eq!(read, Err(HeadError::Malformed));
        }
    }
}
