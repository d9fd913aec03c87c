//! The chain of links at the endpoint's end: one in flight, the same bytes each time, until
//! it is answered.

use rand_core::CryptoRng;

use super::{
    body::{Disowned, LinkBody},
    error::IdentityError,
    incarnation::{Incarnation, Keys},
    link::SignedLink,
    mark::{Incarnated, LinkMark},
};

/// A chain with nothing in flight.
pub struct Chain {
    pub(super) of: Incarnated,
    pub(super) last: LinkMark,
}

/// A chain whose last link has no answer yet.
pub struct InFlight {
    pub(super) chain: Chain,
    link: SignedLink,
    /// The keys that the link makes current.
    renewal: Option<Box<Keys>>,
}

/// What an answer made of a chain.
pub enum Answered {
    /// The link is taken.
    Taken(Chain),
    /// It answers an earlier link, and says nothing of this one.
    Waiting(Box<InFlight>),
    /// The control plane holds a link that this incarnation did not sign.
    Foreign(Foreign),
}

/// A chain beside which somebody else signs. All that is left is to say so.
pub struct Foreign {
    chain: Chain,
    head: LinkMark,
}

/// What a head that the control plane tells of is to a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadStanding {
    /// The last link, or the one in flight.
    Own,
    /// Before the last: nothing can be told from it.
    Earlier,
    /// Not signed here. It is to be disowned.
    Foreign,
}

impl Chain {
    pub(super) fn new(of: Incarnated) -> Self {
        let last = of.origin();
        Self { of, last }
    }

    /// Signs the next link. Keys are renewed by [`Chain::renew`].
    ///
    /// # Errors
    /// [`IdentityError::Subject`] if this is another incarnation's chain or the body
    /// renews; [`IdentityError::TooLarge`] for a body that no parser takes. The chain comes
    /// back.
    pub fn link(
        self,
        body: LinkBody,
        by: &Incarnation,
    ) -> Result<InFlight, (Box<Self>, IdentityError)> {
        match body {
            LinkBody::Renew(_) => Err((Box::new(self), IdentityError::Subject)),
            body => self.signed(body, by, None),
        }
    }

    /// Signs the keys that follow the incarnation's. The old ones stay current until this
    /// is answered.
    ///
    /// # Errors
    /// As [`Chain::link`].
    pub fn renew<R: CryptoRng>(
        self,
        by: &Incarnation,
        rng: &mut R,
    ) -> Result<InFlight, (Box<Self>, IdentityError)> {
        let keys = Box::new(Keys::generate(rng));
        self.signed(LinkBody::Renew(keys.public), by, Some(keys))
    }

    /// What a head that the control plane tells of is to this chain.
    pub fn standing(&self, head: &LinkMark) -> HeadStanding {
        match head.k.cmp(&self.last.k) {
            std::cmp::Ordering::Less => HeadStanding::Earlier,
            _ if *head == self.last => HeadStanding::Own,
            _ => HeadStanding::Foreign,
        }
    }

    fn signed(
        self,
        body: LinkBody,
        by: &Incarnation,
        renewal: Option<Box<Keys>>,
    ) -> Result<InFlight, (Box<Self>, IdentityError)> {
        if by.of() != self.of {
            return Err((Box::new(self), IdentityError::Subject));
        }
        match SignedLink::sign(self.of, self.last, body, by.current()) {
            Ok(link) => Ok(InFlight {
                chain: self,
                link,
                renewal,
            }),
            Err(error) => Err((Box::new(self), error)),
        }
    }

    fn after(self, link: &SignedLink) -> Self {
        Self {
            last: link.mark(),
            ..self
        }
    }
}

impl InFlight {
    /// What is sent, the same each time.
    pub fn link(&self) -> &SignedLink {
        &self.link
    }

    /// What a head that the control plane tells of is to this chain.
    pub fn standing(&self, head: &LinkMark) -> HeadStanding {
        match *head == self.link.mark() {
            true => HeadStanding::Own,
            false => self.chain.standing(head),
        }
    }

    /// The control plane answered that this is the chain's head. A renewal's keys become
    /// the incarnation's.
    pub fn answered(self, head: &LinkMark, by: &mut Incarnation) -> Answered {
        if *head != self.link.mark() {
            return match self.chain.standing(head) {
                HeadStanding::Own | HeadStanding::Earlier => Answered::Waiting(Box::new(self)),
                HeadStanding::Foreign => Answered::Foreign(Foreign {
                    chain: self.chain.after(&self.link),
                    head: *head,
                }),
            };
        }
        let chain = self.chain.after(&self.link);
        match self.renewal {
            Some(keys) if by.of() == chain.of => by.renewed(self.link, *keys),
            _ => {}
        }
        Answered::Taken(chain)
    }
}

impl Foreign {
    /// What the control plane holds.
    pub fn head(&self) -> &LinkMark {
        &self.head
    }

    /// The link that disowns it. It follows the one that was in flight, so that this end
    /// signs nothing twice.
    ///
    /// # Errors
    /// As [`Chain::link`].
    pub fn disown(self, by: &Incarnation) -> Result<InFlight, (Box<Chain>, IdentityError)> {
        let head = Disowned::Link(self.head);
        self.chain.link(LinkBody::Disown(vec![head]), by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v2::identity::{mark::LinkHash, testing::Endpoint};

    fn beat() -> LinkBody {
        LinkBody::Heartbeat(b"beat".to_vec())
    }

    fn taken(answered: Answered) -> Chain {
        match answered {
            Answered::Taken(chain) => chain,
            _ => panic!("it is the link in flight"),
        }
    }

    fn sent<E>(made: Result<InFlight, E>) -> InFlight {
        made.unwrap_or_else(|_| panic!("it can be signed"))
    }

    #[test]
    fn each_link_names_the_one_before() {
        let Endpoint {
            mut incarnation,
            mut chain,
            ..
        } = Endpoint::started(1);
        let mut last = chain.last;
        assert_eq!(last.hash.0, incarnation.start().unverified().hash().0);
        for k in 1..4 {
            let in_flight = sent(chain.link(beat(), &incarnation));
            let head = *in_flight.link().head();
            assert_eq!((head.k, head.previous), (k, last.hash));
            // An answer to an earlier link leaves this one in flight.
            let Answered::Waiting(waiting) = in_flight.answered(&last, &mut incarnation) else {
                panic!("that is no answer to it");
            };
            last = waiting.link().mark();
            chain = taken(waiting.answered(&last, &mut incarnation));
        }
    }

    #[test]
    fn a_renewal_counts_once_it_is_answered() {
        let mut endpoint = Endpoint::started(1);
        let old = endpoint.incarnation.keys().key;
        let in_flight = sent(
            endpoint
                .chain
                .renew(&endpoint.incarnation, &mut endpoint.rng),
        );
        assert_eq!(endpoint.incarnation.keys().key, old);
        let mark = in_flight.link().mark();
        let chain = taken(in_flight.answered(&mark, &mut endpoint.incarnation));
        let new = endpoint.incarnation.keys().key;
        assert!(new != old && endpoint.incarnation.renewals().len() == 1);
        assert!(endpoint.incarnation.renewals()[0].is_signed_by(&old));
        let next = sent(chain.link(beat(), &endpoint.incarnation));
        assert!(next.link().is_signed_by(&new) && !next.link().is_signed_by(&old));
        // The old one signs for its bundles until they end.
        let bundle = endpoint.incarnation.signer(&old).cloned();
        endpoint.incarnation.forget_unused();
        assert!(bundle.is_some() && endpoint.incarnation.signer(&old).is_some());
        drop(bundle);
        endpoint.incarnation.forget_unused();
        assert!(endpoint.incarnation.signer(&old).is_none());
        assert!(endpoint.incarnation.signer(&new).is_some());
    }

    #[test]
    fn a_foreign_head_is_disowned_after_what_was_in_flight() {
        let Endpoint {
            mut incarnation,
            chain,
            ..
        } = Endpoint::started(1);
        let in_flight = sent(chain.link(beat(), &incarnation));
        let own = in_flight.link().mark();
        let foreign = LinkMark {
            k: 1,
            hash: LinkHash([9; 32]),
        };
        assert_eq!(in_flight.standing(&own), HeadStanding::Own);
        assert_eq!(in_flight.standing(&foreign), HeadStanding::Foreign);
        let Answered::Foreign(found) = in_flight.answered(&foreign, &mut incarnation) else {
            panic!("nobody here signed that");
        };
        assert_eq!(found.head(), &foreign);
        let disowning = sent(found.disown(&incarnation));
        let link = disowning.link();
        assert_eq!((link.head().k, link.head().previous), (2, own.hash));
        assert!(link.body().disowns(&foreign) && !link.body().disowns(&own));
    }

    #[test]
    fn an_incarnation_signs_its_own_chain() {
        let (one, other) = (Endpoint::started(1), Endpoint::started(2));
        let refused = one.chain.link(beat(), &other.incarnation).err().unwrap();
        assert_eq!(refused.1, IdentityError::Subject);
        let renewal = LinkBody::Renew(*one.incarnation.keys());
        let refused = refused.0.link(renewal, &one.incarnation).err().unwrap();
        assert_eq!(refused.1, IdentityError::Subject);
    }
}
