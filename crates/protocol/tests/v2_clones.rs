//! Version 2: copies of a consumer's and of a producer's state, and who is found out.

use armour_protocol::v2::{
    body::{Body, BodyHash, Header, Kind},
    enclave::{
        consumer::{Idle, ReceiptStanding},
        producer::{NotAccepted, Ready, Standing},
    },
    error::HeadError,
    ledger::{Exchange, Run, Verdict, compare},
    message::{Evidence, SignedReceipt, SignedTicket},
    run_builder::RunBuilder,
    suite::Suite,
};
use proptest::prelude::*;

use crate::{
    recording::Recording,
    v2_common::{Replied, Sent, World},
};

/// A run of these bodies, as an end reports it.
fn run(w: &World, bodies: &[&Evidence]) -> Run {
    let (first, rest) = bodies.split_first().unwrap();
    let mut run = RunBuilder::of(first);
    for next in rest {
        assert!(run.push(&w.context, next));
    }
    run.finish()
}

fn verdict(w: &World, recorded: &Run, reported: &Run) -> Verdict {
    let verified = |run: &Run| run.verified(&w.context).unwrap();
    compare(&verified(recorded), None, &verified(reported))
}

/// Worlds that drew the same random bytes hold the same lanes: one is the other's copy.
/// From then on they draw others.
fn copies(suite: Suite) -> [(World, Idle, Ready); 2] {
    [20, 21].map(|seed| {
        let mut w = World::new(suite);
        let (idle, ready) = w.opened();
        w.rng = Recording::new([seed; 32]);
        (w, idle, ready)
    })
}

/// One exchange at this producer, up to its response.
fn answered(w: &mut World, ready: Ready, sent: &Sent, response: &[u8]) -> (Ready, Replied) {
    let (answering, undecided) = w.accept(ready, sent);
    let (begun, _) = w.run(undecided, sent);
    w.reply(answering, begun, response)
}

#[test]
fn a_consumers_clone_is_found_by_two_tickets_in_one_place() {
    for suite in Suite::ALL {
        for clone_first in [true, false] {
            let [(mut owner, idle, ready), (mut thief, stolen, _)] = copies(suite);
            let (_, ours) = owner.begin(idle, b"mine");
            let (_, theirs) = thief.begin(stolen, b"the thief's");
            let (first, second) = match clone_first {
                true => (&theirs, &ours),
                false => (&ours, &theirs),
            };
            let (answering, _) = owner.accept(ready, first);
            let found = answering.judge(&second.ticket).unwrap();
            let Standing::Conflict { accepted } = found else {
                panic!("{found:?}");
            };
            assert_eq!(*accepted, first.ticket.evidence());
            assert_eq!(second.ticket.evidence().verify(&owner.context), Ok(()));
            let one = |sent: &Sent| run(&owner, &[&sent.ticket.evidence()]);
            let found = verdict(&owner, &one(first), &one(second));
            assert_eq!(found, Verdict::ConsumerClone { n: 1 });
        }
    }
}

/// A copy of the producer answers in its victim's place; the victim is reached again.
#[test]
fn a_producers_clone_is_found_when_its_victim_is_reached_again() {
    for suite in Suite::ALL {
        let [(mut victim, idle, ready), (mut clone, _, stolen)] = copies(suite);
        let opening = idle.receipt().clone();
        let (waiting, sent) = victim.begin(idle, b"one");
        let (_, theirs) = answered(&mut clone, stolen, &sent, b"forged");
        // The consumer cannot tell yet: the key that signed is the producer's.
        let (idle, content) = victim.take(waiting, &theirs);
        assert_eq!(content, b"forged");
        // The victim answers the same ticket, too: two receipts for one ticket.
        let (ready, ours) = answered(&mut victim, ready, &sent, b"genuine");
        let found = idle.judge(&victim.receipt(&ours.receipt)).unwrap();
        let ReceiptStanding::Clone { taken, other } = found else {
            panic!("{found:?}");
        };
        for evidence in [&taken, &other] {
            assert_eq!(evidence.verify(&victim.context), Ok(()));
        }
        let half = |w: &World, receipt: &SignedReceipt| {
            run(w, &[&sent.ticket.evidence(), &receipt.evidence()])
        };
        let found = verdict(
            &victim,
            &half(&victim, &ours.receipt),
            &half(&victim, &theirs.receipt),
        );
        assert_eq!(found, Verdict::ProducerClone { n: 1 });
        // And the next ticket names a receipt that is not the victim's.
        let shown = idle.receipt().clone();
        let (_, next) = victim.begin(idle, b"two");
        let standing = ready.judge(&victim.ticket(&next.ticket)).unwrap();
        assert_eq!(standing, Standing::ForeignReceipt);
        let (_, error) = ready.accept(&next.ticket).err().unwrap();
        assert_eq!(error, NotAccepted::Stands(Standing::ForeignReceipt));
        // The ticket alone does not say whose fault that is; the receipt does.
        let next = Run::of(&next.ticket.evidence());
        let recorded = half(&victim, &ours.receipt);
        let foreign = Verdict::ForeignReceipt { n: 1 };
        assert_eq!(verdict(&victim, &recorded, &next), foreign);
        let shown = run(&victim, &[&sent.ticket.evidence(), &shown]);
        let clone = Verdict::ProducerClone { n: 1 };
        assert_eq!(verdict(&victim, &recorded, &shown), clone);
        assert_eq!(opening.body.header.n, 0);
    }
}

/// The clone answered and its victim was never asked: the ledger's head of receipts is none
/// that the victim signed.
#[test]
fn a_producer_disowns_a_receipt_that_it_did_not_sign() {
    let suite = Suite::X25519ChaCha20Poly1305;
    let [(mut victim, idle, ready), (mut clone, _, stolen)] = copies(suite);
    let own = ready.mark();
    assert!(own.owns(&stolen.mark()));
    let (_, sent) = victim.begin(idle, b"one");
    let (stolen, _) = answered(&mut clone, stolen, &sent, b"forged");
    assert!(!own.owns(&stolen.mark()));
}

/// What a thief takes of a producer's lane is all of it: the copy goes on in its place.
#[cfg(feature = "state-export")]
#[test]
fn a_stolen_producers_lane_answers_as_its_victim_does() {
    for suite in Suite::ALL {
        let mut w = World::new(suite);
        let (idle, ready) = w.opened();
        let copy = Ready::from_stolen(w.context.clone(), &ready.steal()).unwrap();
        assert_eq!(copy.mark(), ready.mark());
        let (waiting, sent) = w.begin(idle, b"one");
        let (copy, replied) = answered(&mut w, copy, &sent, b"forged");
        let (_, content) = w.take(waiting, &replied);
        assert_eq!(content, b"forged");
        assert!(!ready.mark().owns(&copy.mark()));
        assert!(Ready::from_stolen(w.context.clone(), &ready.steal()[1..]).is_err());
    }
}

/// A consumer that names a receipt which nobody signed accuses itself.
#[test]
fn a_made_up_receipt_does_not_accuse_the_producer() {
    let suite = Suite::X25519ChaCha20Poly1305;
    let [(mut honest, idle, ready), (mut liar, _, copy)] = copies(suite);
    let (waiting, sent) = honest.begin(idle, b"one");
    let (_, ours) = answered(&mut honest, ready, &sent, b"genuine");
    honest.take(waiting, &ours);
    // Even with the producer's state it signs the receipt itself.
    liar.producer = liar.consumer.clone();
    let (_, made_up) = answered(&mut liar, copy, &sent, b"made up");
    let evidence = made_up.receipt.evidence();
    assert_eq!(evidence.verify(&honest.context), Err(HeadError::Signature));
    let report = run(&honest, &[&sent.ticket.evidence(), &evidence]);
    let refused = report.verified(&honest.context);
    assert_eq!(refused.err(), Some(HeadError::Signature));
}

/// A producer that names a ticket which its consumer did not sign accuses nobody.
#[test]
fn a_made_up_ticket_does_not_accuse_the_consumer() {
    for suite in Suite::ALL {
        let [(mut honest, idle, ready), (mut liar, copy, _)] = copies(suite);
        let (_, ours) = honest.begin(idle, b"genuine");
        // Even with the consumer's state it signs the ticket itself, or takes the signature of
        // another.
        liar.consumer = liar.producer.clone();
        let (_, made_up) = liar.begin(copy, b"made up");
        let mut moved = made_up.ticket.to_bytes();
        moved.truncate(moved.len() - made_up.ticket.proof().to_bytes().len());
        moved.extend_from_slice(&ours.ticket.proof().to_bytes());
        for forged in [made_up.ticket, SignedTicket::from_bytes(&moved).unwrap()] {
            assert_eq!(ready.judge(&forged), Err(HeadError::Signature));
            let evidence = forged.evidence();
            assert_eq!(evidence.verify(&honest.context), Err(HeadError::Signature));
            let reported = run(&honest, &[&evidence]).verified(&honest.context);
            assert_eq!(reported.err(), Some(HeadError::Signature));
        }
        assert_eq!(ready.judge(&ours.ticket), Ok(Standing::Next));
    }
}

/// Both ends report the same exchanges in pieces of any kind.
#[test]
fn honest_reports_agree_however_they_are_cut() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (mut idle, mut ready) = w.opened();
    let mut all = Vec::new();
    for _ in 0..5 {
        let (waiting, sent) = w.begin(idle, b"request");
        let replied;
        (ready, replied) = answered(&mut w, ready, &sent, b"response");
        (idle, _) = w.take(waiting, &replied);
        all.extend([sent.ticket.evidence(), replied.receipt.evidence()]);
    }
    let bodies: Vec<&Evidence> = all.iter().collect();
    let record = run(&w, &bodies).verified(&w.context).unwrap();
    for recorded in 0..=5 {
        for from in (0..10).step_by(2) {
            for to in from + 1..=10 {
                let reported = run(&w, &bodies[from..to]).verified(&w.context).unwrap();
                let verdict = compare(&record[..recorded], None, &reported);
                // Exchanges of the record begin with number 1.
                let (first, last) = (from / 2, (to - 1) / 2);
                let expected = if last < recorded {
                    Verdict::Known
                } else if first > recorded {
                    Verdict::Gap {
                        expected: record[..recorded]
                            .last()
                            .map_or(0, |e| e.ticket.header.n + 1),
                    }
                } else if recorded == 0 {
                    // The opening is missing in front of all of them.
                    Verdict::Gap { expected: 0 }
                } else {
                    Verdict::Extends {
                        from: recorded - first,
                    }
                };
                assert_eq!(verdict, expected, "{recorded} {from} {to}");
            }
        }
    }
}

#[test]
fn a_run_is_evidence_of_its_own_bundle_only() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let (waiting, sent) = w.begin(idle, b"request");
    let (_, replied) = answered(&mut w, ready, &sent, b"response");
    w.take(waiting, &replied);
    let (ticket, receipt) = (sent.ticket.evidence(), replied.receipt.evidence());
    let genuine = run(&w, &[&ticket, &receipt]);
    assert!(genuine.verified(&w.context).is_ok());
    let other = World::new(Suite::X25519Aes256Gcm);
    assert!(genuine.verified(&other.context).is_err());
    let changes: [fn(&mut Run); 7] = [
        |run| std::mem::swap(&mut run.ticket, run.receipt.as_mut().unwrap()),
        |run| run.lane += 1,
        |run| run.first += 1,
        |run| run.first = 0,
        |run| run.rests[0][0] ^= 1,
        |run| run.receipt = None,
        |run| run.rests.clear(),
    ];
    for change in changes {
        let mut changed = genuine.clone();
        change(&mut changed);
        assert!(changed.verified(&w.context).is_err());
    }
    // Either proof alone is not enough.
    let mut other = genuine.clone();
    other.ticket = receipt.proof.clone();
    assert_eq!(other.verified(&w.context).err(), Some(HeadError::Signature));
    let mut longer = RunBuilder::of(&ticket);
    assert!(longer.push(&w.context, &receipt));
    assert!(!longer.push(&w.context, &ticket) && !longer.push(&w.context, &receipt));
    assert_eq!(Evidence::from_bytes(&ticket.to_bytes()), Ok(ticket));
}

/// A lane's history without signatures: tickets and receipts in turn.
fn history(prefix: &[Exchange], count: u64, last_answered: bool, other: u8) -> Vec<Exchange> {
    let w = World::new(Suite::X25519ChaCha20Poly1305);
    let header = |kind, n| Header {
        suite: Suite::X25519ChaCha20Poly1305,
        kind,
        bundle: w.context.binding().bundle,
        lane: 0,
        n,
    };
    let mut all = prefix.to_vec();
    if let Some(open) = all.last_mut().filter(|last| last.receipt.is_none()) {
        open.receipt = Some(Body {
            header: header(Kind::Receipt, open.ticket.header.n),
            previous: open.ticket.hash(),
            rest: [100 + other; 32],
        });
    }
    for n in all.len() as u64..count {
        let previous = match all.last().and_then(|last| last.receipt) {
            None => BodyHash::opening(&w.context, 0),
            Some(receipt) => BodyHash::after(&receipt),
        };
        let ticket = Body {
            header: header(Kind::Ticket, n),
            previous,
            rest: [other; 32],
        };
        let receipt = (last_answered || n + 1 < count).then(|| Body {
            header: header(Kind::Receipt, n),
            previous: ticket.hash(),
            rest: [100 + other; 32],
        });
        all.push(Exchange { ticket, receipt });
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Two histories that part at a ticket or at a receipt, any of the one recorded and any
    /// of the other reported: found if both have what differs, on the right side.
    #[test]
    fn a_fork_is_found_wherever_it_is(
        fork in 0u64..5,
        at_ticket: bool,
        more in 0u64..4,
        recorded in 1usize..9,
        from in 0usize..9,
        to in 1usize..9,
        answered: bool,
    ) {
        let count = fork + 1 + more;
        let mut prefix = history(&[], fork + u64::from(!at_ticket), at_ticket, 0);
        if !at_ticket {
            prefix.last_mut().unwrap().receipt = None;
        }
        let (ours, theirs) = (history(&prefix, count, true, 1), history(&prefix, count, answered, 2));
        let record = &ours[..recorded.min(ours.len())];
        let from = from.min(theirs.len() - 1);
        let report = &theirs[from..to.min(theirs.len()).max(from + 1)];
        let n = fork as usize;
        let last = from + report.len() - 1;
        let verdict = compare(record, None, report);
        let found = !matches!(
            verdict,
            Verdict::Known | Verdict::Extends { .. } | Verdict::Gap { .. }
        );
        if at_ticket {
            // The ticket itself, or one that names a receipt of it.
            let both = record.len() > n && last >= n && from <= record.len();
            prop_assert_eq!(found, both, "{:?}", verdict);
            if both && from <= n {
                prop_assert_eq!(verdict, Verdict::ConsumerClone { n: fork });
            }
        } else {
            let reported = theirs[n].receipt.is_some() && last >= n || last > n;
            let both = record.len() > n && reported && from <= record.len();
            prop_assert_eq!(found, both, "{:?}", verdict);
            let foreign = Verdict::ForeignReceipt { n: fork };
            let clone = Verdict::ProducerClone { n: fork };
            prop_assert!(!both || from > n + 1 || verdict == foreign || verdict == clone);
            // With the producer's word for a receipt from there on it is its own.
            if both && from <= n && report.iter().any(|e| e.ticket.header.n >= fork && e.receipt.is_some()) {
                prop_assert_eq!(verdict, clone);
            }
        }
    }
}
