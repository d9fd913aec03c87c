//! What a link is to the head that the control plane holds of its chain.

use ed25519_dalek::VerifyingKey;

use crate::v2::identity::{
    body::LinkKind,
    error::IdentityError,
    link::SignedLink,
    mark::{Incarnated, LinkHash, LinkMark},
};

/// What is recorded of an incarnation.
#[derive(Debug, Clone, Copy)]
pub struct LinkFacts<'a> {
    /// Whose chain it is.
    pub of: Incarnated,
    /// The last link that was taken; [`Incarnated::origin`] before the first.
    pub head: LinkMark,
    /// Its keys in the order in which they were made, the start's first. Of a link that the
    /// one signed which is due ([`due_key`]), that key and the one after it are enough.
    pub keys: &'a [KeySpan],
    /// A standby has taken over, and may lack the latest links: until the endpoint was heard
    /// and nothing from before can be under way any more. Meanwhile a link whose signature
    /// does not verify is answered with the head as well: its key may be lost. The endpoint
    /// sends its renewals above the head again, then what is in flight.
    pub fenced: bool,
    /// The incarnation has ended; and the link that came too late, if one did.
    pub ended: Option<Option<LinkHash>>,
}

/// Which links a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpan {
    /// The key.
    pub key: VerifyingKey,
    /// The renewal that made it current, or the chain's origin. It signs those after it,
    /// up to its own renewal.
    pub since: LinkMark,
}

/// What a well-signed link is. Each gets an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkVerdict {
    /// The next one: this is the head from here on.
    Next(LinkMark),
    /// Behind a fence: this is the head from here on, although links before it are missing.
    AfterGap(LinkMark),
    /// The head's bytes again: the same answer again.
    Repeat,
    /// Below the head: answered with the head, and accuses nobody.
    Below(LinkMark),
    /// Links before it are missing: it is not taken. Answered with the head.
    Gap(LinkMark),
    /// The one link that an incarnation may have had in flight when it ended: recorded as
    /// that, and answered with the end.
    Late(LinkHash),
    /// Somebody else holds the key. The identity ends.
    Collision(LinkCollision),
}

/// Two links that one incarnation does not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkCollision {
    /// Another link in the head's place.
    Head,
    /// The head's successor names another predecessor.
    Predecessor,
    /// A second renewal of a key.
    Renewal,
    /// A key of the incarnation signed what another of its keys signs.
    Key,
    /// The incarnation says that it did not sign the head.
    Disowned,
    /// A second, different link after the incarnation's end.
    Late,
}

/// The key that signs the link with this number: the last one that was made before it.
pub fn due_key(keys: &[KeySpan], k: u64) -> Option<&KeySpan> {
    keys.iter().rev().find(|span| span.since.k < k)
}

/// Judges a link.
///
/// # Errors
/// [`IdentityError::Subject`] or [`IdentityError::Signature`]: it is not this incarnation's
/// word.
pub fn judge_link(link: &SignedLink, facts: &LinkFacts<'_>) -> Result<LinkVerdict, IdentityError> {
    let (said, mark, head) = (link.head(), link.mark(), facts.head);
    if *said.of() != facts.of {
        return Err(IdentityError::Subject);
    }
    let signers = || {
        facts
            .keys
            .iter()
            .filter(|span| link.is_signed_by(&span.key))
    };
    let due = due_key(facts.keys, said.k()).filter(|span| link.is_signed_by(&span.key));
    let Some(due) = due else {
        return match signers().next() {
            Some(_) => Ok(LinkVerdict::Collision(LinkCollision::Key)),
            None => Err(IdentityError::Signature),
        };
    };
    let collision = |which| Ok(LinkVerdict::Collision(which));
    if mark == head {
        return Ok(LinkVerdict::Repeat);
    }
    if mark.k == head.k {
        return collision(LinkCollision::Head);
    }
    if mark.k < head.k {
        return match said.kind() {
            LinkKind::Renew if renewed_otherwise(link, due, facts.keys) => {
                collision(LinkCollision::Renewal)
            }
            LinkKind::Disown if link.body().disowns(&head) => collision(LinkCollision::Disowned),
            _ => Ok(LinkVerdict::Below(head)),
        };
    }
    let next = mark.k - head.k == 1;
    if next && said.previous() != head.hash {
        return collision(LinkCollision::Predecessor);
    }
    match facts.ended {
        // What a standby lost may all come late.
        Some(Some(late)) if late != mark.hash && !facts.fenced => collision(LinkCollision::Late),
        Some(_) => Ok(LinkVerdict::Late(mark.hash)),
        None if next => Ok(LinkVerdict::Next(mark)),
        None if facts.fenced => Ok(LinkVerdict::AfterGap(mark)),
        None => Ok(LinkVerdict::Gap(head)),
    }
}

/// Whether the key that signed this renewal is known to have signed another.
fn renewed_otherwise(link: &SignedLink, signer: &KeySpan, keys: &[KeySpan]) -> bool {
    let mut pairs = keys.iter().zip(keys.iter().skip(1));
    pairs.any(|(old, new)| old.key == signer.key && new.since != link.mark())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v2::identity::{
        body::{Disowned, LinkBody},
        testing::{Endpoint, long_term},
    };

    /// Signs whatever it is told to, as a thief does.
    fn signed(by: &Endpoint, last: LinkMark, body: LinkBody) -> SignedLink {
        let of = by.incarnation.of();
        SignedLink::sign(of, last, body, by.incarnation.current()).unwrap()
    }

    fn beat(by: &Endpoint, last: LinkMark, told: &[u8]) -> SignedLink {
        signed(by, last, LinkBody::Heartbeat(told.to_vec()))
    }

    struct Record {
        of: Incarnated,
        head: LinkMark,
        keys: Vec<KeySpan>,
        fenced: bool,
        ended: Option<Option<LinkHash>>,
    }

    impl Record {
        fn of(endpoint: &Endpoint) -> Self {
            let of = endpoint.incarnation.of();
            Self {
                of,
                head: of.origin(),
                keys: vec![KeySpan {
                    key: endpoint.incarnation.keys().key,
                    since: of.origin(),
                }],
                fenced: false,
                ended: None,
            }
        }

        fn judge(&self, link: &SignedLink) -> Result<LinkVerdict, IdentityError> {
            let facts = LinkFacts {
                of: self.of,
                head: self.head,
                keys: &self.keys,
                fenced: self.fenced,
                ended: self.ended,
            };
            judge_link(link, &facts)
        }
    }

    fn collision(which: LinkCollision) -> Result<LinkVerdict, IdentityError> {
        Ok(LinkVerdict::Collision(which))
    }

    #[test]
    fn links_are_taken_in_order_and_again() {
        let endpoint = Endpoint::started(1);
        let mut record = Record::of(&endpoint);
        let first = beat(&endpoint, record.head, b"1");
        let second = beat(&endpoint, first.mark(), b"2");
        assert_eq!(
            record.judge(&second),
            Ok(LinkVerdict::Gap(record.of.origin()))
        );
        assert_eq!(record.judge(&first), Ok(LinkVerdict::Next(first.mark())));
        record.head = first.mark();
        assert_eq!(record.judge(&first), Ok(LinkVerdict::Repeat));
        record.head = second.mark();
        assert_eq!(record.judge(&first), Ok(LinkVerdict::Below(second.mark())));
        // Below the head nobody is accused.
        let other = beat(&endpoint, record.of.origin(), b"other");
        assert_eq!(record.judge(&other), Ok(LinkVerdict::Below(second.mark())));
    }

    #[test]
    fn a_gap_is_taken_behind_a_fence_alone() {
        let endpoint = Endpoint::started(1);
        let mut record = Record::of(&endpoint);
        let first = beat(&endpoint, record.head, b"1");
        let third = beat(&endpoint, beat(&endpoint, first.mark(), b"2").mark(), b"3");
        record.head = first.mark();
        record.fenced = true;
        assert_eq!(
            record.judge(&third),
            Ok(LinkVerdict::AfterGap(third.mark()))
        );
        // What the standby does have binds as ever.
        let other = beat(&endpoint, record.of.origin(), b"other");
        assert_eq!(record.judge(&other), collision(LinkCollision::Head));
        let after_other = beat(&endpoint, other.mark(), b"2");
        assert_eq!(
            record.judge(&after_other),
            collision(LinkCollision::Predecessor)
        );
    }

    #[test]
    fn a_copied_key_is_found() {
        let endpoint = Endpoint::started(1);
        let mut record = Record::of(&endpoint);
        let own = beat(&endpoint, record.head, b"own");
        let theirs = beat(&endpoint, record.head, b"theirs");
        record.head = theirs.mark();
        assert_eq!(record.judge(&own), collision(LinkCollision::Head));
        // The thief is two ahead: the owner disowns what it is shown.
        record.head = beat(&endpoint, theirs.mark(), b"more").mark();
        assert_eq!(record.judge(&own), Ok(LinkVerdict::Below(record.head)));
        let disown = LinkBody::Disown(vec![Disowned::Link(record.head)]);
        let link = signed(&endpoint, record.of.origin(), disown.clone());
        assert_eq!(record.judge(&link), collision(LinkCollision::Disowned));
        let link = signed(&endpoint, own.mark(), disown.clone());
        assert_eq!(record.judge(&link), collision(LinkCollision::Head));
        let link = signed(&endpoint, beat(&endpoint, own.mark(), b"2").mark(), disown);
        assert_eq!(record.judge(&link), collision(LinkCollision::Predecessor));
    }

    #[test]
    fn a_key_is_renewed_once_and_signs_its_own_span() {
        let (endpoint, other) = (Endpoint::started(1), Endpoint::started(2));
        let mut record = Record::of(&endpoint);
        let renew = |keys| LinkBody::Renew(keys);
        let origin = record.of.origin();
        let renewal = signed(&endpoint, origin, renew(*other.incarnation.keys()));
        let again = signed(&endpoint, origin, renew(*endpoint.incarnation.keys()));
        record.keys.push(KeySpan {
            key: other.incarnation.keys().key,
            since: renewal.mark(),
        });
        record.head = renewal.mark();
        assert_eq!(record.judge(&renewal), Ok(LinkVerdict::Repeat));
        assert_eq!(record.judge(&again), collision(LinkCollision::Head));
        // The old key signs nothing after it.
        let old = beat(&endpoint, renewal.mark(), b"old");
        assert_eq!(record.judge(&old), collision(LinkCollision::Key));
        let sign = |last| {
            let body = LinkBody::Heartbeat(b"new".to_vec());
            SignedLink::sign(record.of, last, body, other.incarnation.current()).unwrap()
        };
        let new = sign(renewal.mark());
        assert_eq!(record.judge(&new), Ok(LinkVerdict::Next(new.mark())));
        assert_eq!(record.judge(&sign(origin)), collision(LinkCollision::Key));
        // Once the chain has gone on, the renewal is below it, and another still is a copy.
        record.head = new.mark();
        assert_eq!(record.judge(&renewal), Ok(LinkVerdict::Below(new.mark())));
        assert_eq!(record.judge(&again), collision(LinkCollision::Renewal));
    }

    #[test]
    fn after_its_end_an_incarnation_has_one_late_link() {
        let endpoint = Endpoint::started(1);
        let mut record = Record::of(&endpoint);
        let first = beat(&endpoint, record.head, b"1");
        record.head = first.mark();
        record.ended = Some(None);
        assert_eq!(record.judge(&first), Ok(LinkVerdict::Repeat));
        let late = beat(&endpoint, first.mark(), b"2");
        let verdict = Ok(LinkVerdict::Late(late.mark().hash));
        assert_eq!(record.judge(&late), verdict);
        record.ended = Some(Some(late.mark().hash));
        assert_eq!(record.judge(&late), verdict);
        let second = beat(&endpoint, first.mark(), b"other");
        assert_eq!(record.judge(&second), collision(LinkCollision::Late));
        let further = beat(&endpoint, late.mark(), b"3");
        assert_eq!(record.judge(&further), collision(LinkCollision::Late));
        record.fenced = true;
        let verdict = Ok(LinkVerdict::Late(second.mark().hash));
        assert_eq!(record.judge(&second), verdict);
    }

    #[test]
    fn nobody_elses_link_is_judged() {
        let (endpoint, other) = (Endpoint::started(1), Endpoint::started(2));
        let record = Record::of(&endpoint);
        let foreign = beat(&other, other.incarnation.of().origin(), b"1");
        assert_eq!(record.judge(&foreign), Err(IdentityError::Subject));
        let body = LinkBody::Heartbeat(Vec::new());
        let forged = SignedLink::sign(record.of, record.head, body, &long_term()).unwrap();
        assert_eq!(record.judge(&forged), Err(IdentityError::Signature));
    }
}
