//! Frames between proxy and enclave: a 4-byte big-endian length, an 8-byte
//! call number, and a postcard-encoded [`Call`] or [`Reply`].

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::binding::{Binding, LaneId};

/// Largest frame, in bytes: a head of suite 2 with room to spare.
#[cfg(not(feature = "state-export"))]
pub const MAX_FRAME: usize = 16 * 1024;
/// Largest frame, in bytes: a bundle's whole state.
#[cfg(feature = "state-export")]
pub const MAX_FRAME: usize = 4 * 1024 * 1024;

/// Bytes that every frame of a release fits into: a head of suite 2 is the largest part.
const FRAME: usize = 4 * 1024;

/// What the proxy asks.
#[derive(Serialize, Deserialize)]
pub enum Call {
    /// What the enclave's process has given up.
    Hardening,
    /// The endpoint's public keys.
    Identity,
    /// A DPoP proof for the control plane (RFC 9449, section 4.2).
    Proof {
        jti: [u8; 16],
        htm: String,
        htu: String,
        iat: u64,
        ath: Option<String>,
        nonce: Option<String>,
    },
    /// Take a bundle's sealed secret.
    Install { binding: Binding, envelope: Vec<u8> },
    /// Erase a bundle.
    Erase { bundle: [u8; 16] },
    /// Consumer: begin the lane's next exchange; a new lane begins at 0. Content whose
    /// digest is known by then is signed with it, which saves a call.
    Begin {
        lane: LaneId,
        content: Option<[u8; 32]>,
    },
    /// Consumer: take a response's head.
    Receive { lane: LaneId, head: Vec<u8> },
    /// Consumer: whether the ledger's head of a lane is our own work.
    Owns {
        lane: LaneId,
        n: u64,
        hash: [u8; 32],
    },
    /// Producer: judge a request's head and accept it if it is the next.
    Accept { lane: LaneId, head: Vec<u8> },
    /// Producer: begin the response to the accepted ticket; content as in `Begin`.
    Respond {
        lane: LaneId,
        content: Option<[u8; 32]>,
    },
    /// Sign a payload.
    Sign {
        transcript: [u8; 32],
        digest: [u8; 32],
    },
    /// Hand out a bundle's whole state.
    #[cfg(feature = "state-export")]
    Export { bundle: [u8; 16] },
    /// Become the endpoint that the state was taken from.
    #[cfg(feature = "state-export")]
    Import { stolen: crate::stolen::Stolen },
}

/// How the enclave's process is shut off, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardening {
    /// What holds.
    pub in_force: Vec<String>,
    /// What does not, and why.
    pub missing: Vec<String>,
}

/// A one-time key on its way to the proxy.
#[derive(Clone, Serialize, Deserialize)]
pub struct OneTimeKey(pub Zeroizing<[u8; 32]>);

/// A head, its one-time key, and the transcript that the payload's signature
/// binds.
#[derive(Clone, Serialize, Deserialize)]
pub struct Keyed {
    /// The head's bytes.
    pub head: Vec<u8>,
    /// The key.
    pub key: OneTimeKey,
    /// The transcript.
    pub transcript: [u8; 32],
    /// The signature of content that was known.
    pub signed: Option<Signed>,
}

/// A payload's signature, made ahead.
#[derive(Clone, Serialize, Deserialize)]
pub struct Signed {
    /// Digest of the content.
    pub content: [u8; 32],
    /// Its signature, 64 bytes.
    pub signature: Vec<u8>,
}

/// What a request's head was.
#[derive(Serialize, Deserialize)]
pub enum Accepted {
    /// The next ticket; it is now the lane's last.
    Next(Keyed),
    /// The ticket accepted last, again.
    Repeat,
    /// A contradiction of the ticket accepted last.
    Conflict,
    /// A ticket that only the ledger can judge.
    Elsewhere,
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
    /// A signed proof.
    Proof(String),
    /// A message's key.
    Keyed(Keyed),
    /// What the head was.
    Accepted(Accepted),
    /// Whether it is our own.
    Owns(bool),
    /// A signature.
    Signature(Vec<u8>),
    /// A bundle's whole state.
    #[cfg(feature = "state-export")]
    Stolen(crate::stolen::Stolen),
    /// The call failed; a code of `docs/protocol.md` or of the enclave.
    Failed(String),
}

/// Writes a frame.
///
/// # Errors
/// If the socket is closed or the frame too large.
pub fn write<T: Serialize>(socket: &mut impl Write, id: u64, message: &T) -> io::Result<()> {
    socket.write_all(&encode(id, message)?)
}

/// Encodes a frame; it may hold a key and is erased when dropped.
///
/// # Errors
/// If it is too large.
pub fn encode<T: Serialize>(id: u64, message: &T) -> io::Result<Zeroizing<Vec<u8>>> {
    // Large enough for any frame but a stolen state: growing would leave copies behind.
    let body = Vec::with_capacity(FRAME);
    let body = Zeroizing::new(postcard::to_extend(message, body).map_err(io::Error::other)?);
    let length = u32::try_from(body.len() + 8).map_err(io::Error::other)?;
    if length as usize > MAX_FRAME {
        return Err(io::Error::other("frame too large"));
    }
    let mut frame = Zeroizing::new(Vec::with_capacity(body.len() + 12));
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Reads a frame.
///
/// # Errors
/// If the socket is closed or the frame malformed.
pub fn read<T: DeserializeOwned>(socket: &mut impl Read) -> io::Result<(u64, T)> {
    let mut length = [0u8; 4];
    socket.read_exact(&mut length)?;
    let length = frame_length(length)?;
    let mut frame = Zeroizing::new(vec![0u8; length]);
    socket.read_exact(&mut frame)?;
    decode(&frame)
}

/// Checks a frame's length.
///
/// # Errors
/// If it is out of range.
pub fn frame_length(bytes: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(bytes) as usize;
    if !(8..=MAX_FRAME).contains(&length) {
        return Err(io::Error::other("frame length out of range"));
    }
    Ok(length)
}

/// Decodes a frame without its length.
///
/// # Errors
/// If it is malformed.
pub fn decode<T: DeserializeOwned>(frame: &[u8]) -> io::Result<(u64, T)> {
    let (id, body) = frame
        .split_first_chunk::<8>()
        .ok_or_else(|| io::Error::other("frame too short"))?;
    let message = postcard::from_bytes(body).map_err(io::Error::other)?;
    Ok((u64::from_be_bytes(*id), message))
}
