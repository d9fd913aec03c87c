//! The gate: a short MAC over every head, which the proxy checks before the enclave, the
//! ledger or the control plane hears anything. And the frame that carries both.

use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

use super::{
    body::Direction,
    error::HeadError,
    fields::hmac,
    message::{MAX_HEAD, MIN_HEAD},
    secret::Secret,
};

const LABEL_REQUEST: &[u8] = b"armour/2 gate request";
const LABEL_RESPONSE: &[u8] = b"armour/2 gate response";
const MAC_LEN: usize = 16;
/// Bytes of a frame before the head: its length.
pub const FRAME_PREFIX: usize = 2;

/// A bundle's gate key. It keeps strangers out, and proves nothing about the peer.
pub struct Gate(Secret);

impl Gate {
    pub(crate) fn new(key: Secret) -> Self {
        Self(key)
    }

    /// A gate from its key's bytes, as the enclave handed them to the proxy.
    pub fn from_bytes(key: [u8; 32]) -> Self {
        Self(Secret::from_bytes(key))
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The frame of a head: length, head, MAC.
    pub fn frame(&self, direction: Direction, head: &[u8]) -> Vec<u8> {
        // Heads are made by this crate and never longer than `MAX_HEAD`.
        let length = (head.len() + MAC_LEN) as u16;
        let mut out = Vec::with_capacity(FRAME_PREFIX + usize::from(length));
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(head);
        out.extend_from_slice(&self.mac(direction, head));
        out
    }

    /// The head in a frame, whose prefix has been taken off.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] or [`HeadError::Gate`].
    pub fn check<'a>(&self, direction: Direction, frame: &'a [u8]) -> Result<&'a [u8], HeadError> {
        let (head, mac) = frame
            .split_last_chunk::<MAC_LEN>()
            .ok_or(HeadError::Malformed)?;
        if !(MIN_HEAD..=MAX_HEAD).contains(&head.len()) {
            return Err(HeadError::Malformed);
        }
        match bool::from(self.mac(direction, head).ct_eq(mac)) {
            true => Ok(head),
            false => Err(HeadError::Gate),
        }
    }

    fn mac(&self, direction: Direction, head: &[u8]) -> [u8; MAC_LEN] {
        let label = match direction {
            Direction::Request => LABEL_REQUEST,
            Direction::Response => LABEL_RESPONSE,
        };
        let mut out = [0; MAC_LEN];
        out.copy_from_slice(&hmac(&self.0, label, &[head])[..MAC_LEN]);
        out
    }
}

impl ZeroizeOnDrop for Gate {}

/// Bytes of a frame that follow its prefix: a reader needs to hold no more.
///
/// # Errors
/// [`HeadError::Malformed`] for a length that no frame has.
pub fn frame_len(prefix: [u8; FRAME_PREFIX]) -> Result<usize, HeadError> {
    let length = usize::from(u16::from_be_bytes(prefix));
    match (MIN_HEAD + MAC_LEN..=MAX_HEAD + MAC_LEN).contains(&length) {
        true => Ok(length),
        false => Err(HeadError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_passes_its_own_gate_in_its_own_direction() {
        let gate = Gate::from_bytes([1; 32]);
        let head = vec![7; MIN_HEAD];
        let frame = gate.frame(Direction::Request, &head);
        let (prefix, rest) = frame.split_first_chunk().unwrap();
        assert_eq!(frame_len(*prefix), Ok(rest.len()));
        assert_eq!(gate.check(Direction::Request, rest), Ok(&head[..]));
        assert_eq!(gate.check(Direction::Response, rest), Err(HeadError::Gate));
        let stranger = Gate::from_bytes([2; 32]);
        assert_eq!(
            stranger.check(Direction::Request, rest),
            Err(HeadError::Gate)
        );
        for at in 0..rest.len() {
            let mut changed = rest.to_vec();
            changed[at] ^= 1;
            assert!(gate.check(Direction::Request, &changed).is_err());
        }
    }

    #[test]
    fn lengths_are_bounded() {
        for length in [0, 1, MIN_HEAD + MAC_LEN - 1, MAX_HEAD + MAC_LEN + 1] {
            let prefix = (length as u16).to_be_bytes();
            assert_eq!(frame_len(prefix), Err(HeadError::Malformed));
        }
        let gate = Gate::from_bytes([1; 32]);
        assert!(gate.check(Direction::Request, &[0; 15]).is_err());
    }
}
