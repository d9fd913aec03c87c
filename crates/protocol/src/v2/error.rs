//! What can be wrong, one enumeration for each kind of operation, by what the caller can
//! do about it.

use thiserror::Error;

/// Why a head was not taken. Nothing has changed: drop the bytes, and send or await the
/// same ones again. No error of this kind is a word of the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeadError {
    /// Not the one way to write a head: too short, too long, or a field out of range.
    #[error("malformed head")]
    Malformed,
    /// Another version of the protocol.
    #[error("unknown protocol version")]
    Version,
    /// Another suite than the bundle's.
    #[error("wrong suite")]
    Suite,
    /// Another bundle, lane or message than is awaited here.
    #[error("wrong bundle, lane or message")]
    Address,
    /// The gate's MAC is wrong: it comes from nobody who holds the bundle.
    #[error("the gate's MAC does not match")]
    Gate,
    /// Not signed by the peer's incarnation key.
    #[error("signature does not verify")]
    Signature,
    /// Signed by the peer, but not what this lane awaits: judge it.
    #[error("not the message that this lane awaits")]
    Unexpected,
    /// Signed by the peer, which verified a checkpoint of ours that we did not sign, or signed
    /// one where it says that it signed none: one of the keys is in other hands. An alarm.
    #[error("a checkpoint that its end did not sign")]
    ForeignCheckpoint,
    /// A mode that does not fit what it answers.
    #[error("wrong mode")]
    Mode,
    /// The share is of low order, or no key.
    #[error("bad key share")]
    KeyShare,
    /// The two ends' roots differ.
    #[error("key commitment does not match")]
    KeyCommitment,
}

/// Why a lane cannot begin, sign or answer. The lane is given up, unless it is handed
/// back together with the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LaneError {
    /// The numbers of exchanges or checkpoints are used up.
    #[error("numbers exhausted")]
    Exhausted,
    /// The peer's share cannot be answered.
    #[error("the peer's share cannot be answered")]
    KeyShare,
    /// A log head longer than a message may carry.
    #[error("the log head is too long")]
    LogHead,
    /// A checkpoint that does not follow the one before, or none is due in this direction.
    #[error("checkpoint out of order")]
    Checkpoint,
    /// The conclusion of another ticket.
    #[error("the conclusion is of another ticket")]
    Conclusion,
    /// A sub-ticket has not been answered yet.
    #[error("a sub-ticket is not answered")]
    Rekeying,
    /// The exchange has no stream.
    #[error("the exchange has no stream")]
    NoStream,
    /// A last checkpoint that the peer's key signed, though not where its direction ended: the
    /// key is in other hands. An alarm.
    #[error("a last checkpoint that its end did not sign")]
    ForeignCheckpoint,
    /// A stream whose final checkpoint is missing or is not its sender's.
    #[error("a stream is not final")]
    NotFinal,
}

/// Why a lane's number cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LanesError {
    /// As many lanes are open as the policy allows: wait, or close one.
    #[error("too many open lanes")]
    Busy,
    /// The bundle's 65,536 numbers are used up: draw a new bundle.
    #[error("the bundle's lanes are used up")]
    UsedUp,
    /// The number was used before: its lane is not opened again.
    #[error("lane number used before")]
    Used,
    /// Further ahead than the network can have reordered.
    #[error("lane number too far ahead")]
    Ahead,
}

/// Why content was not taken. Nothing of it has been handed on. Whole content and the
/// first segment of a stream can come once more; a stream that has begun is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ContentError {
    /// Not the one way to write a segment, or one of another kind than is due.
    #[error("malformed segment")]
    Malformed,
    /// The segment does not open under this key.
    #[error("segment does not open")]
    Seal,
    /// It opens, but is not what the signed head committed to.
    #[error("content is not what its sender committed to")]
    Commitment,
    /// A checkpoint that the peer did not sign.
    #[error("checkpoint's signature does not verify")]
    Signature,
    /// A checkpoint that the peer's key signed, though not where its sender was: in an epoch
    /// that was over, or in the place of another one. The key is in other hands: an alarm.
    #[error("a checkpoint that its end did not sign")]
    ForeignCheckpoint,
    /// Keys of another exchange or epoch than is switched to.
    #[error("not the keys that the stream switches to")]
    Switch,
    /// More than a receiver holds unverified: a checkpoint is due.
    #[error("too much content without a checkpoint")]
    CheckpointDue,
    /// More content than one segment takes, or more segments than there are numbers.
    #[error("too much content")]
    TooLarge,
}

/// Why several messages cannot share one signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BatchError {
    /// None, or more than 64.
    #[error("a batch holds 1 to 64 messages")]
    Count,
    /// Messages to different peers.
    #[error("a batch holds one peer's messages")]
    Peers,
}
