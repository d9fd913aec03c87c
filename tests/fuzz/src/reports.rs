//! Reported chains of tickets: the ledger's verdict is right by a plain comparison.

use armour_protocol::{
    Suite,
    ledger::{Chain, ENTRY_LEN, Verdict, judge},
    ticket::{NO_PREVIOUS, SignedTicket, TicketHash},
};

fn chain(first: u64, previous: TicketHash, shares: &[u8]) -> Chain {
    let mut entries = Vec::new();
    for share in shares {
        entries.extend_from_slice(&[*share; 32]);
        entries.extend_from_slice(&[0; 64]);
    }
    Chain {
        suite: Suite::X25519,
        bundle: [3; 16],
        lane: 1,
        first,
        previous,
        entries,
    }
}

/// Two histories from one start: `recorded` and what is reported, cut out anywhere.
pub fn run(data: &[u8]) {
    // Any bytes as a chain's entries.
    if let Some((first, rest)) = data.split_first_chunk::<8>() {
        let any = Chain {
            first: u64::from_be_bytes(*first),
            previous: if *first == [0; 8] {
                NO_PREVIOUS
            } else {
                TicketHash([1; 32])
            },
            entries: rest.to_vec(),
            ..chain(0, NO_PREVIOUS, &[])
        };
        if let Ok(tickets) = any.tickets() {
            assert_eq!(tickets.len(), rest.len() / ENTRY_LEN);
            assert_eq!(any.last_n(), Ok(tickets[tickets.len() - 1].ticket.n));
            assert_eq!(
                judge(None, &[], &tickets),
                if any.first == 0 {
                    Verdict::Extends { from: 0 }
                } else {
                    Verdict::Gap { expected: 0 }
                }
            );
        }
    }
    // Few different shares, so that histories often agree for a while.
    let [length, from, to, rest @ ..] = data else {
        return;
    };
    let shares: Vec<u8> = rest.iter().map(|byte| byte % 3).collect();
    let (mine, theirs) = shares.split_at(usize::from(*length).min(shares.len()));
    let all = |shares: &[u8]| chain(0, NO_PREVIOUS, shares).tickets().unwrap_or_default();
    let (recorded, other) = (all(mine), all(theirs));
    let (from, to) = (
        usize::from(*from).min(other.len()),
        usize::from(*to).min(other.len()),
    );
    if from >= to {
        return;
    }
    let reported = &other[from..to];
    let verdict = judge(recorded.last(), &recorded, reported);
    let agree = |one: &SignedTicket| {
        recorded
            .get(one.ticket.n as usize)
            .is_none_or(|m| m.ticket == one.ticket)
    };
    // Evident is a fork that the report shows: a number with two contents, or a ticket
    // that names another one than the recorded before it.
    let linked = |one: &SignedTicket| match one.ticket.n.checked_sub(1) {
        None => true,
        Some(before) => recorded
            .get(before as usize)
            .is_none_or(|mine| mine.ticket.hash() == one.ticket.previous),
    };
    let sound = reported.iter().all(|one| agree(one) && linked(one));
    let expected = recorded.len() as u64;
    match verdict {
        Verdict::Collision { recorded, reported } => {
            assert!(!sound);
            assert!(recorded.ticket != reported.ticket);
        }
        _ if !sound => panic!("a fork was missed: {verdict:?}"),
        Verdict::Known => assert!(to as u64 <= expected),
        Verdict::Gap { expected: gap } => assert!(gap == expected && from as u64 > expected),
        Verdict::Extends { from: at } => {
            assert_eq!(reported[at].ticket.n, expected);
            let joined = [&recorded[..], &reported[at..]].concat();
            let mut before = NO_PREVIOUS;
            for one in joined {
                assert_eq!(one.ticket.previous, before);
                before = one.ticket.hash();
            }
        }
    }
}
