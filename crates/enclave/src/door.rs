//! The enclave's door. The proxy sets a key by its first frame; each of its calls counts on
//! from the one before, under a MAC with that key. So nobody else's call is answered, and
//! none goes unnoticed: neither one that is put in nor one that is taken out.

use std::io;

use armour_protocol::v2::identity::body::Intrusion;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    frame::{decode, encode, frame},
    ipc::Call,
};

const LABEL: &[u8] = b"armour/2 enclave call";
const KEY_LEN: usize = 32;
const MAC_LEN: usize = 16;

/// The proxy's side: what it writes.
pub(crate) struct Caller {
    key: Zeroizing<[u8; KEY_LEN]>,
    next: u64,
}

/// The enclave's side: what it lets in.
#[derive(Default)]
pub(crate) struct Door {
    key: Option<Zeroizing<[u8; KEY_LEN]>>,
    next: u64,
}

/// What came to the door.
pub(crate) enum Entry {
    /// The proxy's first frame.
    Opened,
    /// A call of the proxy's, if it can be read.
    Call(Option<Box<Call>>),
    /// A call of the proxy's that does not count on from the one before; it is not
    /// answered if it was answered before.
    Miscounted(Option<Box<Call>>),
    /// Not the proxy's.
    Stranger,
}

impl Caller {
    /// A side with this key, and its first frame.
    ///
    /// # Errors
    /// None that can happen: the frame is short.
    pub(crate) fn new(key: Zeroizing<[u8; KEY_LEN]>) -> io::Result<(Self, Zeroizing<Vec<u8>>)> {
        let first = frame(0, &[&mac(&key, 0, &*key), &*key])?;
        Ok((Self { key, next: 1 }, first))
    }

    /// The next call's number and frame.
    ///
    /// # Errors
    /// If it is too large; then the number is not used up.
    pub(crate) fn frame(&mut self, call: &Call) -> io::Result<(u64, Zeroizing<Vec<u8>>)> {
        let (number, body) = (self.next, encode(call)?);
        let frame = frame(number, &[&mac(&self.key, number, &body), &body])?;
        self.next += 1;
        Ok((number, frame))
    }
}

impl Door {
    /// Judges what a frame holds after its number.
    pub(crate) fn enter(&mut self, number: u64, rest: &[u8]) -> Entry {
        let Some((tag, body)) = rest.split_first_chunk::<MAC_LEN>() else {
            return Entry::Stranger;
        };
        let first = self.key.is_none();
        let key = match (&self.key, <[u8; KEY_LEN]>::try_from(body)) {
            (Some(key), _) => key.clone(),
            (None, Ok(key)) => Zeroizing::new(key),
            (None, Err(_)) => return Entry::Stranger,
        };
        if !bool::from(mac(&key, number, body).ct_eq(tag)) {
            return Entry::Stranger;
        }
        let due = number == self.next;
        let past = number < self.next;
        self.next = self.next.max(number.saturating_add(1));
        if first {
            self.key = due.then_some(key);
            return if due { Entry::Opened } else { Entry::Stranger };
        }
        let call = match past {
            false => decode(body).ok().map(Box::new),
            true => None,
        };
        match due {
            true => Entry::Call(call),
            false => Entry::Miscounted(call),
        }
    }
}

impl Entry {
    /// What it shows to be wrong at the door.
    pub(crate) fn intrusion(&self) -> Option<Intrusion> {
        match self {
            Self::Opened | Self::Call(_) => None,
            Self::Miscounted(_) => Some(Intrusion::Gap),
            Self::Stranger => Some(Intrusion::Stranger),
        }
    }
}

fn mac(key: &[u8; KEY_LEN], number: u64, body: &[u8]) -> [u8; MAC_LEN] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
    mac.update(LABEL);
    mac.update(&number.to_be_bytes());
    mac.update(body);
    let whole: [u8; 32] = mac.finalize().into_bytes().into();
    let mut tag = [0; MAC_LEN];
    tag.copy_from_slice(&whole[..MAC_LEN]);
    tag
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::read;

    fn entered(door: &mut Door, frame: &[u8]) -> Entry {
        let (number, rest) = read(&mut &frame[..]).unwrap();
        door.enter(number, &rest)
    }

    fn opened() -> (Caller, Door) {
        let (caller, first) = Caller::new(Zeroizing::new([1; 32])).unwrap();
        let mut door = Door::default();
        assert!(matches!(entered(&mut door, &first), Entry::Opened));
        (caller, door)
    }

    #[test]
    fn calls_that_count_on_come_in() {
        let (mut caller, mut door) = opened();
        for _ in 0..3 {
            let (_, frame) = caller.frame(&Call::Identity).unwrap();
            let entry = entered(&mut door, &frame);
            assert!(matches!(entry, Entry::Call(Some(call)) if matches!(*call, Call::Identity)));
        }
    }

    #[test]
    fn a_call_that_is_taken_out_leaves_a_gap() {
        let (mut caller, mut door) = opened();
        caller.frame(&Call::Identity).unwrap();
        let (_, frame) = caller.frame(&Call::Identity).unwrap();
        let entry = entered(&mut door, &frame);
        assert_eq!(entry.intrusion(), Some(Intrusion::Gap));
        assert!(matches!(entry, Entry::Miscounted(Some(_))));
        // From there on the proxy's calls count again.
        let (_, frame) = caller.frame(&Call::Identity).unwrap();
        assert!(matches!(entered(&mut door, &frame), Entry::Call(Some(_))));
    }

    #[test]
    fn a_call_that_comes_again_is_noticed_and_not_answered() {
        let (mut caller, mut door) = opened();
        let (_, frame) = caller.frame(&Call::Identity).unwrap();
        entered(&mut door, &frame);
        let entry = entered(&mut door, &frame);
        assert_eq!(entry.intrusion(), Some(Intrusion::Gap));
        assert!(matches!(entry, Entry::Miscounted(None)));
    }

    #[test]
    fn a_stranger_has_no_key_and_cannot_set_one() {
        let (mut caller, mut door) = opened();
        let (mut stranger, first) = Caller::new(Zeroizing::new([2; 32])).unwrap();
        let (_, call) = stranger.frame(&Call::Identity).unwrap();
        for frame in [&first, &call] {
            let entry = entered(&mut door, frame);
            assert_eq!(entry.intrusion(), Some(Intrusion::Stranger));
        }
        let (_, mut frame) = caller.frame(&Call::Identity).unwrap();
        *frame.last_mut().unwrap() ^= 1;
        let entry = entered(&mut door, &frame);
        assert_eq!(entry.intrusion(), Some(Intrusion::Stranger));
        assert!(matches!(door.enter(9, b"short"), Entry::Stranger));
    }
}
