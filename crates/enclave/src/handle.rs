//! The proxy's handle on the enclave: starts it and calls it.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::Stdio,
};

use armour_dpop::{Claims, ProofError, Prover};
use futures::future::BoxFuture;
use tokio::process::{Child, Command};

use crate::{
    binding::LaneId,
    calls::Calls,
    error::EnclaveError,
    ipc::{
        Accepted, Begun, Call, ChainState, Concluded, Hardening, Install, Installed, Mark,
        Received, Reply, SubAccepted, SubReceived,
    },
};

/// The enclave, as the proxy sees it; cheap to clone. Each method is a [`Call`], and fails
/// if the enclave is gone or refuses; then nothing has changed.
#[derive(Clone)]
pub struct Enclave {
    calls: Calls,
}

/// Makes the methods whose reply is of one kind.
macro_rules! calls {
    ($(
        $(#[$doc:meta])*
        $name:ident($($argument:ident: $type:ty),*) -> $result:ty
        as $call:expr => $reply:pat => $value:expr;
    )*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`EnclaveError`].
        pub async fn $name(&self, $($argument: $type),*) -> Result<$result, EnclaveError> {
            match self.calls.call($call).await? {
                $reply => Ok($value),
                // Another program than ours.
                _ => Err(EnclaveError::Gone),
            }
        }
    )*};
}

impl Enclave {
    /// Starts the enclave: this program again, as `enclave`, with the socket as its
    /// standard input. It ends when the socket closes. `pin_file` names the keys that
    /// peers' parties are held to.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub fn start(
        program: &Path,
        key_file: &Path,
        pin_file: Option<&Path>,
    ) -> io::Result<(Self, Child)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(program);
        command.arg("enclave").arg("--key-file").arg(key_file);
        if let Some(pins) = pin_file {
            command.arg("--pins").arg(pins);
        }
        let child = command
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            // Ctrl-C is for the proxy; the enclave lives until the proxy ends.
            .process_group(0)
            .spawn()?;
        Ok((Self::on(ours)?, child))
    }

    /// Starts an enclave as a thread of this process, for tests: nothing keeps its keys
    /// from the proxy. It has not begun to be an endpoint.
    ///
    /// # Errors
    /// If there are no sockets.
    #[cfg(feature = "in-process")]
    pub fn in_process() -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        std::thread::spawn(move || crate::process::serve_here(theirs));
        Self::on(ours)
    }

    /// The enclave at the other end of this socket.
    pub(crate) fn on(socket: UnixStream) -> io::Result<Self> {
        let calls = Calls::new(socket)?;
        Ok(Self { calls })
    }

    calls! {
        /// What the enclave's process has given up, and its clock's zero.
        hardening() -> Hardening
        as Call::Hardening => Reply::Hardening(hardening) => hardening;

        /// The endpoint's long-term public keys, Ed25519 and X25519.
        identity() -> ([u8; 32], [u8; 32])
        as Call::Identity
        => Reply::Identity { signing_key, kem_key } => (signing_key, kem_key);
    }

    calls! {
        /// Begins this process's start. What comes back has to be kept, in the place of
        /// `record`, before [`Enclave::start_kept`]. The long-term key is gone.
        begin_start(endpoint: [u8; 16], record: Option<Vec<u8>>) -> Vec<u8>
        as Call::BeginStart { endpoint, record } => Reply::Bytes(record) => record;

        /// The record is kept: the signed start.
        start_kept() -> Vec<u8>
        as Call::StartKept => Reply::Bytes(start) => start;

        /// The control plane has accepted the start; the record comes back, to be kept
        /// when it suits.
        start_accepted() -> Vec<u8>
        as Call::StartAccepted => Reply::Bytes(record) => record;

        /// A signature that this start lives, although another wants its place.
        present(other: [u8; 32]) -> Vec<u8>
        as Call::Present { other } => Reply::Bytes(signature) => signature;
    }

    calls! {
        /// Signs the chain's next link; the same bytes again if this one is in flight.
        /// `body` is `LinkBody`'s bytes.
        link(kind: u8, body: Vec<u8>) -> Vec<u8>
        as Call::Link { kind, body } => Reply::Bytes(link) => link;

        /// Signs the link that renews the keys; the same bytes again if it is in flight.
        renew() -> Vec<u8>
        as Call::Renew => Reply::Bytes(link) => link;

        /// The control plane answered that this is the chain's head.
        link_answered(k: u64, hash: [u8; 32]) -> ChainState
        as Call::LinkAnswered { k, hash } => Reply::Chain(state) => state;

        /// Signs the link that disowns the head that is not ours.
        disown_head() -> Vec<u8>
        as Call::DisownHead => Reply::Bytes(link) => link;
    }

    calls! {
        /// What earlier starts of this endpoint knew of peers and of pairs. Several calls add up.
        known_peers(peers: Vec<Vec<u8>>, pairs: Vec<Vec<u8>>) -> ()
        as Call::KnownPeers { peers, pairs } => Reply::Done => ();

        /// The log's head that is pinned, which goes into openings.
        log_head(head: Vec<u8>) -> ()
        as Call::LogHead { head } => Reply::Done => ();

        /// Verifies the peer and takes a bundle's sealed secret.
        install(install: Install) -> Installed
        as Call::Install(Box::new(install)) => Reply::Installed(installed) => installed;

        /// Ends a bundle: nothing opens or seals in it any more. How far its lanes came is
        /// kept until it is erased.
        end(bundle: [u8; 16]) -> ()
        as Call::End { bundle } => Reply::Done => ();

        /// Erases a bundle, and what its lanes came to.
        erase(bundle: [u8; 16]) -> ()
        as Call::Erase { bundle } => Reply::Done => ();

        /// Signs nothing more of a bundle's lanes, from here on and for good. How far each
        /// came, open and ended, ascending; the same again if it was retired before.
        retire(bundle: [u8; 16]) -> Vec<Mark>
        as Call::Retire { bundle } => Reply::Marks(marks) => marks;

        /// Whether the ledger's head of a lane is our own work.
        owns(lane: LaneId, n: u64, k: u32, hash: [u8; 32]) -> bool
        as Call::Owns { lane, n, k, hash } => Reply::Is(owns) => owns;
    }

    calls! {
        /// Consumer: opens a new lane, in the place of one that was given up. Its number
        /// and the signed ticket 0.
        open(bundle: [u8; 16], replaces: Option<u16>) -> (u16, Vec<u8>)
        as Call::Open { bundle, replaces } => Reply::Opened { lane, head } => (lane, head);

        /// Consumer: begins a call, which the producer begins by then or never; in milliseconds
        /// of [`clock::boot_ms`](crate::clock::boot_ms).
        /// `claim` is `ContentClaim`'s bytes.
        begin(lane: LaneId, claim: Vec<u8>, by_ms: u64) -> Begun
        as Call::Begin { lane, claim, by_ms } => Reply::Begun(begun) => begun;

        /// Consumer: a ticket without content, which re-keys an idle lane and reads the
        /// producer's clock.
        refresh(lane: LaneId) -> Vec<u8>
        as Call::Refresh { lane } => Reply::Bytes(head) => head;

        /// Consumer: an idle lane's last ticket.
        close(lane: LaneId) -> Vec<u8>
        as Call::Close { lane } => Reply::Bytes(head) => head;

        /// Consumer: takes the head of an answer. A lane that awaits one waits on if this
        /// fails.
        receive(lane: LaneId, head: Vec<u8>) -> Received
        as Call::Receive { lane, head } => Reply::Received(received) => received;

        /// Consumer: whether the call under way surely cannot begin any more.
        is_past(lane: LaneId) -> bool
        as Call::IsPast { lane } => Reply::Is(past) => past;

        /// Consumer: the last receipt, `Evidence`'s bytes, to be shown to the ledger.
        last_receipt(lane: LaneId) -> Vec<u8>
        as Call::LastReceipt { lane } => Reply::Bytes(receipt) => receipt;

        /// Consumer: the last sub-receipt of exchange `n`, if it is number `k`: `SubEvidence`'s
        /// bytes, to be shown to the ledger.
        last_sub_receipt(lane: LaneId, n: u64, k: u32) -> Vec<u8>
        as Call::LastSubReceipt { lane, n, k } => Reply::Bytes(receipt) => receipt;
    }

    calls! {
        /// Either end: gives a lane up. Its state is erased, how far it came is kept.
        give_up(lane: LaneId) -> ()
        as Call::GiveUp { lane } => Reply::Done => ();

        /// Either end: signs the next checkpoint of the direction that this end sends. The
        /// proof's bytes, of `CheckpointClaim`'s.
        checkpoint(lane: LaneId, claim: Vec<u8>) -> Vec<u8>
        as Call::Checkpoint { lane, claim } => Reply::Bytes(proof) => proof;

        /// Either end: both directions are final; `last` is the other's last checkpoint,
        /// where it was a stream, as `SignedCheckpoint`'s bytes.
        finish(lane: LaneId, last: Option<Vec<u8>>) -> ()
        as Call::Finish { lane, last } => Reply::Done => ();
    }

    calls! {
        /// Producer: judges a ticket and accepts it if it is the next.
        accept(lane: LaneId, head: Vec<u8>) -> Accepted
        as Call::Accept { lane, head } => Reply::Accepted(accepted) => accepted;

        /// Producer: signs that a ticket, which would be the next, cannot be taken now.
        /// The transient refusal's head.
        put_off(lane: LaneId, head: Vec<u8>, reason: u8, after_ms: u32) -> Vec<u8>
        as Call::PutOff { lane, head, reason, after_ms } => Reply::Bytes(head) => head;

        /// Producer: makes the accepted call's one receipt, of `Conclusion`'s bytes.
        conclude(lane: LaneId, conclusion: Vec<u8>) -> Concluded
        as Call::Conclude { lane, conclusion } => Reply::Concluded(concluded) => concluded;
    }

    calls! {
        /// Consumer: signs the next sub-ticket of the streams of a lane's exchange. `peer` is the
        /// response's last verified checkpoint, `Mark`'s bytes. The signed sub-ticket.
        sub_ticket(lane: LaneId, peer: Vec<u8>) -> Vec<u8>
        as Call::SubTicket { lane, peer } => Reply::Bytes(head) => head;

        /// Consumer: takes the sub-receipt that is awaited. From the sub-ticket until the
        /// request's stream has switched no checkpoint may be asked for, and the first one is
        /// that behind the switch.
        sub_receipt(lane: LaneId, head: Vec<u8>) -> SubReceived
        as Call::SubReceipt { lane, head } => Reply::SubReceived(received) => received;

        /// Producer: judges a sub-ticket and answers it if it is the next. `peer` is the
        /// request's last verified checkpoint, `Mark`'s bytes. Until the response's stream has
        /// switched no checkpoint may be asked for, and the first one is that behind the switch.
        answer_sub(lane: LaneId, head: Vec<u8>, peer: Vec<u8>) -> SubAccepted
        as Call::AnswerSub { lane, head, peer } => Reply::SubAccepted(accepted) => accepted;
    }
}

#[cfg(feature = "state-export")]
impl Enclave {
    calls! {
        /// A bundle's whole state.
        export(bundle: [u8; 16]) -> crate::stolen::Stolen
        as Call::Export { bundle } => Reply::Stolen(stolen) => *stolen;

        /// Becomes the endpoint that the state was taken from.
        import(stolen: crate::stolen::Stolen) -> ()
        as Call::Import { stolen: Box::new(stolen) } => Reply::Done => ();
    }
}

/// The endpoint's key is in the enclave alone.
impl Prover for Enclave {
    fn prove(&self, claims: Claims) -> BoxFuture<'_, Result<String, ProofError>> {
        let call = Call::Proof {
            jti: claims.jti.into_bytes(),
            htm: claims.htm,
            htu: claims.htu,
            iat: claims.iat,
            ath: claims.ath,
            nonce: claims.nonce,
        };
        Box::pin(async move {
            match self.calls.call(call).await {
                Ok(Reply::Proof(proof)) => Ok(proof),
                Ok(_) => Err(ProofError(EnclaveError::Gone.to_string())),
                Err(error) => Err(ProofError(error.to_string())),
            }
        })
    }
}
