//! What a producer's proxy knows of a lane, so that it need not ask the enclave about
//! tickets that it has seen.

use crate::v2::body::{Body, BodyHash};

/// The last ticket of a lane whose signature the enclave verified.
#[derive(Debug, Clone, Copy, Default)]
pub struct Screen {
    seen: Option<(u64, BodyHash)>,
    /// The one other ticket under the same number that was reported.
    conflict: Option<BodyHash>,
}

/// What to do with a ticket that passed the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Ask the enclave.
    Ask,
    /// It is the last one, again: answer it from the cache.
    Repeat,
    /// It is older: refuse it without a word from the enclave.
    Older,
}

impl Screen {
    /// Judges a ticket without changing anything.
    pub fn look(&self, ticket: &Body) -> Look {
        match self.seen {
            Some((n, _)) if ticket.header.n < n => Look::Older,
            Some((n, hash)) if ticket.header.n == n && ticket.hash() == hash => Look::Repeat,
            Some((n, _)) if ticket.header.n == n && self.conflict == Some(ticket.hash()) => {
                Look::Older
            }
            _ => Look::Ask,
        }
    }

    /// The enclave has verified and accepted this ticket.
    pub fn accepted(&mut self, ticket: &Body) {
        if self.seen.is_none_or(|(n, _)| n < ticket.header.n) {
            self.seen = Some((ticket.header.n, ticket.hash()));
            self.conflict = None;
        }
    }

    /// The last ticket that was accepted, its number and hash.
    pub fn last(&self) -> Option<(u64, BodyHash)> {
        self.seen
    }

    /// The enclave has verified another ticket under the last one's number. Whether it is
    /// to be reported: the first is.
    pub fn conflicts(&mut self, ticket: &Body) -> bool {
        let news = self.conflict.is_none()
            && self
                .seen
                .is_some_and(|(n, hash)| n == ticket.header.n && hash != ticket.hash());
        if news {
            self.conflict = Some(ticket.hash());
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v2::{
        body::{Header, Kind},
        suite::Suite,
    };

    fn ticket(n: u64, rest: u8) -> Body {
        Body {
            header: Header {
                suite: Suite::X25519ChaCha20Poly1305,
                kind: Kind::Ticket,
                bundle: [0; 16],
                lane: 0,
                n,
            },
            previous: BodyHash([0; 32]),
            rest: [rest; 32],
        }
    }

    #[test]
    fn the_enclave_is_asked_about_news_only() {
        let mut screen = Screen::default();
        assert_eq!(screen.look(&ticket(3, 0)), Look::Ask);
        screen.accepted(&ticket(3, 0));
        assert_eq!(screen.look(&ticket(3, 0)), Look::Repeat);
        assert_eq!(screen.look(&ticket(2, 0)), Look::Older);
        assert_eq!(screen.look(&ticket(4, 0)), Look::Ask);
        assert_eq!(screen.look(&ticket(3, 1)), Look::Ask);
        assert!(screen.conflicts(&ticket(3, 1)));
        assert_eq!(screen.look(&ticket(3, 1)), Look::Older);
        assert!(!screen.conflicts(&ticket(3, 2)));
        screen.accepted(&ticket(2, 0));
        assert_eq!(screen.look(&ticket(3, 0)), Look::Repeat);
    }
}
