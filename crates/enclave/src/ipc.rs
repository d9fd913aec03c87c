//! What proxy and enclave say to each other.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::binding::{Binding, LaneId};

/// What the proxy asks.
#[derive(Serialize, Deserialize)]
pub enum Call {
    /// What the enclave's process has given up, and its clock's zero.
    Hardening,
    /// The endpoint's long-term public keys.
    Identity,
    /// Begin this process's start. The long-term key signs it and is gone; what comes back
    /// has to be kept in the data folder before [`Call::StartKept`].
    BeginStart {
        endpoint: [u8; 16],
        /// The record of starts that the folder keeps; none before the first.
        record: Option<Vec<u8>>,
    },
    /// The record is kept: hand out the signed start.
    StartKept,
    /// The control plane has accepted the start; the record to be kept comes back.
    StartAccepted,
    /// A signature that this start lives, although another wants its place.
    Present { other: [u8; 32] },
    /// Sign the chain's next link; the same bytes again if this one is in flight.
    Link { kind: u8, body: Vec<u8> },
    /// Sign the link that renews the keys.
    Renew,
    /// The control plane answered that this is the chain's head.
    LinkAnswered { k: u64, hash: [u8; 32] },
    /// Sign the link that disowns the head that is not ours.
    DisownHead,
    /// A DPoP proof for the control plane (RFC 9449, section 4.2), by the current key.
    Proof {
        jti: [u8; 16],
        htm: String,
        htu: String,
        iat: u64,
        ath: Option<String>,
        nonce: Option<String>,
    },
    /// What earlier starts of this endpoint knew of peers and of pairs.
    KnownPeers {
        peers: Vec<Vec<u8>>,
        pairs: Vec<Vec<u8>>,
    },
    /// The log's head that is pinned, in the log's encoding; it goes into openings.
    LogHead { head: Vec<u8> },
    /// Verify the peer and take a bundle's sealed secret.
    Install(Box<Install>),
    /// End a bundle: nothing opens or seals in it any more. What its lanes came to is kept.
    End { bundle: [u8; 16] },
    /// Erase a bundle. What its lanes came to is gone as well.
    Erase { bundle: [u8; 16] },
    /// Sign nothing more of a bundle's lanes; how far each came, open and ended, ascending.
    Retire { bundle: [u8; 16] },
    /// Whether the ledger's head of a lane is our own work.
    Owns {
        lane: LaneId,
        n: u64,
        k: u32,
        hash: [u8; 32],
    },
    /// Consumer: open a new lane, in place of one that was given up.
    Open {
        bundle: [u8; 16],
        replaces: Option<u16>,
    },
    /// Consumer: begin a call, which the producer begins by then or never: on the clock of
    /// `clock::boot_ms`, so that what the call waits for the enclave is not added to it.
    Begin {
        lane: LaneId,
        /// `ContentClaim`'s bytes.
        claim: Vec<u8>,
        by_ms: u64,
    },
    /// Consumer: re-key an idle lane, and read the producer's clock.
    Refresh { lane: LaneId },
    /// Consumer: close an idle lane.
    Close { lane: LaneId },
    /// Consumer: take the head of an answer: a receipt, or a transient refusal.
    Receive { lane: LaneId, head: Vec<u8> },
    /// Consumer: whether the call under way surely cannot begin any more.
    IsPast { lane: LaneId },
    /// Consumer: the last receipt, with its proof, to be shown to the ledger.
    LastReceipt { lane: LaneId },
    /// Consumer: the last sub-receipt of an exchange, if it is number `k`, with its proof.
    LastSubReceipt { lane: LaneId, n: u64, k: u32 },
    /// Either end: give a lane up. Its state is erased, how far it came is kept.
    GiveUp { lane: LaneId },
    /// Producer: judge a ticket and accept it if it is the next.
    Accept { lane: LaneId, head: Vec<u8> },
    /// Producer: sign that a ticket, which would be the next, cannot be taken now.
    PutOff {
        lane: LaneId,
        head: Vec<u8>,
        reason: u8,
        after_ms: u32,
    },
    /// Producer: make the accepted call's one receipt. `Conclusion`'s bytes.
    Conclude { lane: LaneId, conclusion: Vec<u8> },
    /// Either end: sign the next checkpoint of the direction that this end sends.
    /// `CheckpointClaim`'s bytes; the proof's come back.
    Checkpoint { lane: LaneId, claim: Vec<u8> },
    /// Either end: both directions are final; the other's last checkpoint, where it was a
    /// stream, as `SignedCheckpoint`'s bytes.
    Finish { lane: LaneId, last: Option<Vec<u8>> },
    /// Consumer: sign the next sub-ticket, by which the streams of a lane's exchange re-key.
    /// `peer` is `Mark`'s bytes: the response's last verified checkpoint.
    SubTicket { lane: LaneId, peer: Vec<u8> },
    /// Consumer: take the sub-receipt that is awaited. Its streams' checkpoints are of its
    /// epoch from here on.
    SubReceipt { lane: LaneId, head: Vec<u8> },
    /// Producer: judge a sub-ticket, and answer it if it is the next. `peer` is `Mark`'s bytes:
    /// the request's last verified checkpoint. Checkpoints are of its epoch from here on.
    AnswerSub {
        lane: LaneId,
        head: Vec<u8>,
        peer: Vec<u8>,
    },
    /// Hand out a bundle's whole state.
    #[cfg(feature = "state-export")]
    Export { bundle: [u8; 16] },
    /// Become the endpoint that the state was taken from.
    #[cfg(feature = "state-export")]
    Import { stolen: Box<crate::stolen::Stolen> },
}

/// A bundle, and what shows that its peer is who it should be.
#[derive(Serialize, Deserialize)]
pub struct Install {
    /// What the bundle is bound to.
    pub binding: Binding,
    /// Whether this endpoint is the consumer.
    pub consumer: bool,
    /// The peer's word.
    pub peer: Peer,
    /// The secret, sealed to this start's HPKE key.
    pub envelope: Vec<u8>,
    /// Most lanes at a time.
    pub max_lanes: u16,
    /// Seconds since 1970, for certificates; never 0. The enclave takes no earlier time than it
    /// knows of itself.
    pub now: u64,
}

/// What a peer has signed of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Peer {
    /// Its long-term Ed25519 key, which the log vouches for.
    pub signing_key: [u8; 32],
    /// Its long-term X25519 key.
    pub kem_key: [u8; 32],
    /// Its start.
    pub start: Vec<u8>,
    /// The renewals of its keys, in order.
    pub renewals: Vec<Vec<u8>>,
    /// Its party's certificate.
    pub certificate: Option<Vec<u8>>,
}

/// How the enclave's process is shut off, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardening {
    /// What holds.
    pub in_force: Vec<String>,
    /// What does not, and why.
    pub missing: Vec<String>,
    /// What CLOCK_BOOTTIME showed at the enclave's start, in milliseconds: the zero of the
    /// clock in a producer's receipts.
    pub started_ms: u64,
}

/// An installed bundle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Installed {
    /// Key of the bundle's gate.
    pub gate: Zeroizing<[u8; 32]>,
    /// H of the context, to be acknowledged.
    pub context: [u8; 32],
    /// What is known of the peer from now on, to be kept in the data folder; none if that
    /// has not changed.
    pub peer: Option<Vec<u8>>,
    /// What is known of the pair from now on, to be kept as well; none if that has not changed.
    pub pair: Option<Vec<u8>>,
    /// Whether a pinned party's certificate vouches for the peer.
    pub pinned: bool,
}

/// How far a lane came. If streams of its last exchange were re-keyed, another one follows
/// directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The lane.
    pub lane: u16,
    /// The last exchange.
    pub n: u64,
    /// The last sub-ticket of it; 0 of the exchange itself.
    pub k: u32,
    /// H of its ticket's body or, from a producer, of its receipt's; of the sub-ticket's or
    /// sub-receipt's if `k` is not 0.
    pub hash: [u8; 32],
}

/// A call that was begun.
#[derive(Clone, Serialize, Deserialize)]
pub struct Begun {
    /// The signed ticket.
    pub head: Vec<u8>,
    /// `Outgoing`'s bytes.
    pub outgoing: Zeroizing<Vec<u8>>,
}

/// What an answer's head was.
#[derive(Serialize, Deserialize)]
pub enum Received {
    /// The lane is open, or was refreshed.
    Ready,
    /// The lane is closed, at both ends.
    Closed,
    /// Content: `Incoming`'s bytes. The lane is free once both directions have ended.
    Content(Zeroizing<Vec<u8>>),
    /// The call was never begun.
    Refused {
        /// `Reason`'s number.
        reason: u8,
    },
    /// The call was begun and has no answer.
    Aborted {
        /// `Reason`'s number.
        reason: u8,
    },
    /// The same bytes may be sent again, to the same producer.
    PutOff {
        /// `Reason`'s number.
        reason: u8,
        /// When that may help.
        after_ms: u32,
    },
    /// The receipt that was taken before, again.
    Repeat,
    /// Another receipt for the same ticket: the producer was copied. Both, with proofs.
    Clone {
        /// The one that was taken.
        taken: Vec<u8>,
        /// The other.
        other: Vec<u8>,
    },
}

/// What a ticket was.
#[derive(Serialize, Deserialize)]
pub enum Accepted {
    /// Nothing to do but answer with this receipt. The lane may have replaced another one,
    /// or have ended with it.
    Answered {
        /// The signed receipt.
        receipt: Vec<u8>,
        /// The lane that is no more.
        ended: Option<u16>,
    },
    /// A call: `Incoming`'s bytes.
    Call(Zeroizing<Vec<u8>>),
    /// The ticket accepted last, again.
    Repeat,
    /// Another one in its place: the consumer was copied.
    Conflict,
    /// The next, but it names a receipt that is not ours.
    ForeignReceipt,
    /// A ticket that only the ledger can judge.
    Elsewhere,
}

/// Both directions' keys of an epoch.
#[derive(Clone, Serialize, Deserialize)]
pub struct Epochs {
    /// `Epoch<Request>`'s bytes.
    pub request: Zeroizing<Vec<u8>>,
    /// `Epoch<Response>`'s bytes.
    pub response: Zeroizing<Vec<u8>>,
}

/// What a sub-receipt was.
#[derive(Serialize, Deserialize)]
pub enum SubReceived {
    /// The one that was awaited.
    Rekeyed(Epochs),
    /// The one that was taken before, again.
    Repeat,
    /// Another one for the sub-ticket that was answered last: the producer was copied. Both,
    /// `SubEvidence`'s bytes.
    Clone {
        /// The one that was taken.
        taken: Vec<u8>,
        /// The other.
        other: Vec<u8>,
    },
}

/// What a sub-ticket was.
#[derive(Serialize, Deserialize)]
pub enum SubAccepted {
    /// The next one.
    Answered {
        /// The signed sub-receipt.
        receipt: Vec<u8>,
        /// For the proxy.
        epochs: Epochs,
    },
    /// The one accepted last, again.
    Repeat,
    /// Another one in its place: the consumer was copied.
    Conflict,
    /// The next, but it names a sub-receipt that is not ours.
    Foreign,
    /// The next, and it says of a stream what this end has seen otherwise: an alarm.
    ForeignCheckpoint,
    /// A sub-ticket that only the ledger can judge.
    Elsewhere,
}

/// How a call was concluded.
#[derive(Clone, Serialize, Deserialize)]
pub struct Concluded {
    /// The signed receipt.
    pub head: Vec<u8>,
    /// `Outgoing`'s bytes, if there is content.
    pub outgoing: Option<Zeroizing<Vec<u8>>>,
}

/// What the answer to a link made of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChainState {
    /// The link is taken; the next may be signed.
    Taken,
    /// The answer says nothing of this link: send it again.
    Waiting,
    /// The control plane holds a link that was not signed here: disown it.
    Foreign,
}

/// What the enclave answers.
#[derive(Serialize, Deserialize)]
pub enum Reply {
    /// Done.
    Done,
    /// What the enclave's process has given up, and what it could not.
    Hardening(Hardening),
    /// Ed25519 and X25519 public keys.
    Identity {
        signing_key: [u8; 32],
        kem_key: [u8; 32],
    },
    /// Bytes, as the call says.
    Bytes(Vec<u8>),
    /// What became of the chain.
    Chain(ChainState),
    /// A signed proof.
    Proof(String),
    /// A bundle's gate and context.
    Installed(Installed),
    /// How far lanes came.
    Marks(Vec<Mark>),
    /// Yes or no.
    Is(bool),
    /// A new lane's number, and its ticket 0.
    Opened {
        /// The number.
        lane: u16,
        /// The signed ticket.
        head: Vec<u8>,
    },
    /// A call that was begun.
    Begun(Begun),
    /// What an answer was.
    Received(Received),
    /// What a ticket was.
    Accepted(Accepted),
    /// How a call was concluded.
    Concluded(Concluded),
    /// What a sub-receipt was.
    SubReceived(SubReceived),
    /// What a sub-ticket was.
    SubAccepted(SubAccepted),
    /// A bundle's whole state.
    #[cfg(feature = "state-export")]
    Stolen(Box<crate::stolen::Stolen>),
    /// The call failed; a code of `docs/protocol.md` or of the enclave.
    Failed(String),
}
