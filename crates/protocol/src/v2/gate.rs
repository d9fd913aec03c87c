//! The gate: a short MAC over every head, which the proxy checks before the enclave, the
//! ledger or the control plane hears anything. And the frame that carries both.

use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

use super::{
    body::{Body, Direction},
    error::HeadError,
    fields::hmac,
    message::{MAX_HEAD, MIN_HEAD},
    secret::Secret,
};

const LABEL_REQUEST: &[u8] = b"armour/2 gate request";
const LABEL_RESPONSE: &[u8] = b"armour/2 gate response";
const LABEL_BEGUN: &[u8] = b"armour/2 gate begun";
/// Bytes of a MAC, and of all that follows the prefix of a begun notice.
pub const MAC_LEN: usize = 16;
/// Bytes of a frame before the head: its length.
pub const FRAME_PREFIX: usize = 2;
/// The prefix of a begun notice. No frame with a head is as short.
pub const BEGUN_PREFIX: [u8; FRAME_PREFIX] = (MAC_LEN as u16).to_be_bytes();

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
        out.extend_from_slice(&self.head_mac(direction, head));
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
        match bool::from(self.head_mac(direction, head).ct_eq(mac)) {
            true => Ok(head),
            false => Err(HeadError::Gate),
        }
    }

    /// The begun notice: a frame without a head, by which a producer's proxy says that this
    /// ticket's call has begun and that its receipt will come when the API has answered.
    pub fn begun(&self, ticket: &Body) -> Vec<u8> {
        let mut out = BEGUN_PREFIX.to_vec();
        out.extend_from_slice(&self.mac(LABEL_BEGUN, &ticket.to_bytes()));
        out
    }

    /// Checks a begun notice of this ticket, whose prefix has been taken off.
    ///
    /// # Errors
    /// [`HeadError::Gate`].
    pub fn check_begun(&self, ticket: &Body, mac: &[u8]) -> Result<(), HeadError> {
        match bool::from(self.mac(LABEL_BEGUN, &ticket.to_bytes()).ct_eq(mac)) {
            true => Ok(()),
            false => Err(HeadError::Gate),
        }
    }

    fn head_mac(&self, direction: Direction, head: &[u8]) -> [u8; MAC_LEN] {
        let label = match direction {
            Direction::Request => LABEL_REQUEST,
            Direction::Response => LABEL_RESPONSE,
        };
        self.mac(label, head)
    }

    fn mac(&self, label: &[u8], of: &[u8]) -> [u8; MAC_LEN] {
        let mut out = [0; MAC_LEN];
        out.copy_from_slice(&hmac(&self.0, label, &[of])[..MAC_LEN]);
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
    use crate::v2::{
        body::{BodyHash, Header, Kind},
        suite::Suite,
    };

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
    fn a_begun_notice_is_of_one_ticket_and_one_bundle() {
        let ticket = |n| Body {
            header: Header {
                suite: Suite::X25519ChaCha20Poly1305,
                kind: Kind::Ticket,
                bundle: [3; 16],
                lane: 0,
                n,
            },
            previous: BodyHash([4; 32]),
            rest: [5; 32],
        };
        let gate = Gate::from_bytes([1; 32]);
        let notice = gate.begun(&ticket(1));
        let (prefix, mac) = notice.split_first_chunk().unwrap();
        assert_eq!(*prefix, BEGUN_PREFIX);
        assert_eq!(frame_len(*prefix), Err(HeadError::Malformed));
        assert_eq!(gate.check_begun(&ticket(1), mac), Ok(()));
        assert_eq!(gate.check_begun(&ticket(2), mac), Err(HeadError::Gate));
        assert_eq!(
            gate.check_begun(&ticket(1), &mac[1..]),
            Err(HeadError::Gate)
        );
        let stranger = Gate::from_bytes([2; 32]);
        assert_eq!(stranger.check_begun(&ticket(1), mac), Err(HeadError::Gate));
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
