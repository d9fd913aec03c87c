//! What a thief does with a copied folder or a copied key, and where it is found.

use armour_protocol::v2::identity::{
    body::LinkBody,
    chain::{Answered, Chain, InFlight},
    incarnation::Incarnation,
    judge::{
        ANSWER_MS, Asked, Choice, DISPUTE_MS, Dispute, LinkCollision, LinkVerdict, StartCollision,
        StartVerdict,
    },
    link::SignedLink,
    start::StartHash,
    starting::{StartRecord, Starting},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::control_plane::{ControlPlane, ENDPOINT, Found, LinkReply, long_term};

struct Owner {
    incarnation: Incarnation,
    chain: Chain,
    record: StartRecord,
}

fn begin(record: &StartRecord, seed: u8) -> Starting {
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    let record = StartRecord::from_bytes(&record.to_bytes()).unwrap();
    record.begin(long_term(), &mut rng).unwrap().kept()
}

fn hash(starting: &Starting) -> StartHash {
    starting.start().unverified().hash()
}

/// An endpoint that has started; the same seed makes the same keys, as a copy has them.
fn started(cp: &mut ControlPlane, record: &StartRecord, seed: u8) -> Owner {
    let starting = begin(record, seed);
    cp.start(&starting.start().to_bytes()).unwrap();
    let started = starting.accepted();
    Owner {
        incarnation: started.incarnation,
        chain: started.chain,
        record: started.record,
    }
}

/// The keys and the chain of the endpoint that [`started`] with seed 1.
fn copied(record: &StartRecord) -> Owner {
    let copy = begin(record, 1).accepted();
    Owner {
        incarnation: copy.incarnation,
        chain: copy.chain,
        record: copy.record,
    }
}

fn new() -> (ControlPlane, StartRecord) {
    (ControlPlane::new(), StartRecord::new(ENDPOINT))
}

fn beat(owner: Owner, told: &[u8]) -> (Incarnation, InFlight) {
    let body = LinkBody::Heartbeat(told.to_vec());
    let made = owner.chain.link(body, &owner.incarnation);
    (
        owner.incarnation,
        made.unwrap_or_else(|_| panic!("it can be signed")),
    )
}

fn renew(owner: Owner, seed: u8) -> SignedLink {
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    let made = owner.chain.renew(&owner.incarnation, &mut rng);
    let made = made.unwrap_or_else(|_| panic!("it can be signed"));
    made.link().clone()
}

fn send(cp: &mut ControlPlane, in_flight: &InFlight) -> Result<LinkReply, Found> {
    let reply = cp.link(&in_flight.link().to_bytes());
    reply.map(|(reply, _)| reply)
}

#[test]
fn a_copied_folder_beside_its_owner_is_refused_and_told() {
    let (mut cp, record) = new();
    let owner = started(&mut cp, &record, 1);
    let copy = begin(&owner.record, 2);
    let bytes = copy.start().to_bytes();
    assert_eq!(cp.start(&bytes), Ok(StartVerdict::Ask));
    let about = hash(&copy);
    let answer = owner.incarnation.present(about);
    cp.asked = Some(Asked {
        about,
        waited: 20,
        answer,
    });
    assert_eq!(cp.start(&bytes), Ok(StartVerdict::InUse));
    // It stays so, however often it is sent.
    let mut dispute = Dispute {
        newer: about,
        age: 1_000,
        choice: None,
    };
    cp.dispute = Some(dispute);
    assert_eq!(cp.start(&bytes), Ok(StartVerdict::InUse));
    dispute.choice = Some(Choice::Older);
    cp.dispute = Some(dispute);
    assert_eq!(cp.start(&bytes), Ok(StartVerdict::Declined));
    // The copy used up no counter: the owner's next start is taken.
    let next = begin(&owner.record, 3);
    cp.asked = Some(Asked {
        about: hash(&next),
        waited: ANSWER_MS + 1,
        answer: None,
    });
    let ends = cp.current;
    let verdict = cp.start(&next.start().to_bytes());
    assert_eq!(verdict, Ok(StartVerdict::Accept { ends }));
    dispute.choice = None;
    dispute.age = DISPUTE_MS + 1;
    cp.dispute = Some(dispute);
    let another = begin(&next.accepted().record, 4);
    let verdict = cp.start(&another.start().to_bytes());
    assert_eq!(verdict, Ok(StartVerdict::BothEnd));
}

#[test]
fn a_copied_folder_that_was_let_in_is_found_by_its_owners_next_start() {
    let (mut cp, record) = new();
    let owner = started(&mut cp, &record, 1);
    // The owner is off: nobody answers.
    let copy = begin(&owner.record, 2);
    cp.asked = Some(Asked {
        about: hash(&copy),
        waited: ANSWER_MS + 1,
        answer: None,
    });
    let taken = cp.start(&copy.start().to_bytes());
    assert!(matches!(taken, Ok(StartVerdict::Accept { .. })));
    let recorded = hash(&copy);
    let next = begin(&owner.record, 3);
    let found = cp.start(&next.start().to_bytes());
    let counter = StartCollision::Counter { recorded };
    assert_eq!(found, Err(Found::Start(counter)));
    // Also if the owner comes with a later one, whose first was lost on its way.
    let made = owner
        .record
        .begin(long_term(), &mut ChaCha20Rng::from_seed([4; 32]));
    let kept = StartRecord::from_bytes(made.unwrap().bytes()).unwrap();
    let found = cp.start(&begin(&kept, 5).start().to_bytes());
    let ancestor = StartCollision::Ancestor { recorded };
    assert_eq!(found, Err(Found::Start(ancestor)));
}

#[test]
fn a_copied_key_that_signs_another_link_is_found_by_its_owners() {
    let (mut cp, record) = new();
    let owner = started(&mut cp, &record, 1);
    let thief = copied(&record);
    let (mut keys, theirs) = beat(thief, b"theirs");
    let reply = send(&mut cp, &theirs);
    assert_eq!(reply, Ok(LinkReply::Head(theirs.link().mark())));
    let (_, own) = beat(owner, b"own");
    assert_eq!(send(&mut cp, &own), Err(Found::Link(LinkCollision::Head)));
    // The same where the thief is one ahead, and where its second names what is not there.
    let mark = theirs.link().mark();
    let Answered::Taken(chain) = theirs.answered(&mark, &mut keys) else {
        panic!("it is answered");
    };
    let more = chain.link(LinkBody::Heartbeat(b"more".to_vec()), &keys);
    let more = more.unwrap_or_else(|_| panic!("it can be signed"));
    let mut other = ControlPlane::new();
    other.start(&begin(&record, 1).start().to_bytes()).unwrap();
    send(&mut other, &own).unwrap();
    let found = send(&mut other, &more);
    assert_eq!(found, Err(Found::Link(LinkCollision::Predecessor)));
}

/// Wherever the key was copied and however far the thief went: the owner's next link finds
/// it, or the one that disowns what it is shown.
#[test]
fn an_owners_next_link_finds_what_went_on_without_it() {
    for (before, stolen) in [0, 1, 2]
        .into_iter()
        .flat_map(|i| (1..4).map(move |j| (i, j)))
    {
        let (mut cp, record) = new();
        let mut owner = started(&mut cp, &record, 1);
        let mut thief = copied(&record);
        for _ in 0..before {
            owner = beaten(&mut cp, owner, b"honest");
            // A copy made now has signed what the owner has.
            thief = beaten(&mut cp, thief, b"honest");
        }
        for _ in 0..stolen {
            thief = beaten(&mut cp, thief, b"stolen");
        }
        let (mut incarnation, own) = beat(owner, b"own");
        let found = match cp.link(&own.link().to_bytes()) {
            Err(found) => found,
            Ok((LinkReply::Head(head), Some(LinkVerdict::Below(_)))) => {
                let Answered::Foreign(foreign) = own.answered(&head, &mut incarnation) else {
                    panic!("the owner did not sign that");
                };
                let disowning = foreign.disown(&incarnation);
                let disowning = disowning.unwrap_or_else(|_| panic!("it can be signed"));
                send(&mut cp, &disowning).unwrap_err()
            }
            Ok(other) => panic!("{other:?}"),
        };
        let expected = match stolen {
            // The disowning link is in the head's place.
            1 | 2 => LinkCollision::Head,
            _ => LinkCollision::Disowned,
        };
        assert_eq!(found, Found::Link(expected));
    }
}

/// Sends a link and takes its answer.
fn beaten(cp: &mut ControlPlane, owner: Owner, told: &[u8]) -> Owner {
    let record = StartRecord::from_bytes(&owner.record.to_bytes()).unwrap();
    let (mut incarnation, in_flight) = beat(owner, told);
    send(cp, &in_flight).unwrap();
    let mark = in_flight.link().mark();
    let Answered::Taken(chain) = in_flight.answered(&mark, &mut incarnation) else {
        panic!("it is answered");
    };
    Owner {
        incarnation,
        chain,
        record,
    }
}

#[test]
fn a_key_that_is_renewed_twice_is_found() {
    let (mut cp, record) = new();
    let owner = started(&mut cp, &record, 1);
    let own = renew(owner, 7);
    let theirs = renew(copied(&record), 8);
    cp.link(&own.to_bytes()).unwrap();
    let found = cp.link(&theirs.to_bytes());
    assert_eq!(found, Err(Found::Link(LinkCollision::Head)));
    // And once the owner's chain has gone on.
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    let mut owner = copied(&record);
    let renewing = owner.chain.renew(&owner.incarnation, &mut rng);
    let renewing = renewing.unwrap_or_else(|_| panic!("it can be signed"));
    assert_eq!(renewing.link(), &own);
    let Answered::Taken(chain) = renewing.answered(&own.mark(), &mut owner.incarnation) else {
        panic!("it is answered");
    };
    let (_, further) = beat(Owner { chain, ..owner }, b"further");
    send(&mut cp, &further).unwrap();
    let found = cp.link(&theirs.to_bytes());
    assert_eq!(found, Err(Found::Link(LinkCollision::Renewal)));
    // A thief who goes on with the old key.
    let (_, old) = beat(copied(&record), b"old");
    let mut fresh = ControlPlane::new();
    fresh.start(&begin(&record, 1).start().to_bytes()).unwrap();
    send(&mut fresh, &old).unwrap();
    let found = fresh.link(&own.to_bytes());
    assert_eq!(found, Err(Found::Link(LinkCollision::Head)));
}
