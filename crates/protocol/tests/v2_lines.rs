//! The ledger's decision about lines of sub-tickets and sub-receipts, over any two histories.

use armour_protocol::v2::{
    body::BodyHash,
    context::Context,
    ledger::{
        LineEnd, LineVerdict, SubExchange, SubPosition, SubRun, SubRunBuilder, Testimony,
        compare_end, compare_line, sub_bodies,
    },
    rekey::{SubBody, SubKind},
    suite::Suite,
};
use proptest::prelude::*;

use crate::v2_common::World;

const TICKET: BodyHash = BodyHash([7; 32]);

/// So many bodies of a line, other ones from a place on.
fn bodies(context: &Context, count: usize, parts_at: usize, seed: u8) -> Vec<SubBody> {
    let rests: Vec<[u8; 32]> = (0..count)
        .map(|place| [if place < parts_at { 0 } else { seed }; 32])
        .collect();
    let first = SubPosition::of_ticket(1);
    sub_bodies(context, (0, 1), first, TICKET, &rests).unwrap()
}

fn exchanges(bodies: &[SubBody]) -> Vec<SubExchange> {
    let pairs = bodies.chunks(2).map(|pair| SubExchange {
        ticket: pair[0],
        receipt: pair.get(1).copied(),
    });
    pairs.collect()
}

/// The record as it is handed in: from the one before the first on, or the last.
fn around(recorded: &[SubExchange], first: usize) -> &[SubExchange] {
    let low = first.saturating_sub(1);
    let low = low.min(recorded.len().saturating_sub(1));
    &recorded[low..]
}

fn is_finding(verdict: LineVerdict) -> bool {
    !matches!(
        verdict,
        LineVerdict::Known | LineVerdict::Extends { .. } | LineVerdict::Gap { .. }
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Parts of one line, each an end's, in any order: what extends the record does so without
    /// holes, and nothing accuses.
    #[test]
    fn parts_of_one_line_accuse_nobody(
        count in 1usize..14,
        parts in proptest::collection::vec((0usize..7, 1usize..14), 1..24),
    ) {
        let w = World::new(Suite::X25519ChaCha20Poly1305);
        let line = bodies(&w.context, count, count, 0);
        let mut recorded: Vec<SubBody> = Vec::new();
        for (first, length) in parts {
            let from = (2 * first).min((count - 1) / 2 * 2);
            let to = (from + length).min(count);
            let (reported, record) = (exchanges(&line[from..to]), exchanges(&recorded));
            match compare_line(TICKET, around(&record, from / 2), false, &reported) {
                LineVerdict::Known => prop_assert!(to <= recorded.len()),
                LineVerdict::Gap { expected } => {
                    prop_assert!(from > recorded.len());
                    prop_assert_eq!(expected as usize, recorded.len() / 2 + 1);
                }
                LineVerdict::Extends { from: new } => {
                    prop_assert_eq!(from / 2 + new, recorded.len() / 2);
                    recorded = line[..to].to_vec();
                }
                found => prop_assert!(false, "{:?}", found),
            }
        }
        // A ticket that names the whole line closes it, and no other does.
        let end = recorded.last().map(|_| {
            let record = exchanges(&recorded);
            let last = *record.last().unwrap();
            let receipts = record.iter().filter_map(|one| one.receipt);
            LineEnd { ticket: last.ticket, receipt: receipts.last() }
        });
        let receipts: Vec<SubBody> = recorded.iter().copied()
            .filter(|body| body.kind == SubKind::Receipt).collect();
        for k in 0..=receipts.len() + 1 {
            let named = line.get((2 * k).wrapping_sub(1)).filter(|_| k > 0);
            if k > 0 && named.is_none() {
                continue;
            }
            let known = receipts.get(k.wrapping_sub(1));
            let verdict = compare_end(named, end.as_ref(), known);
            let answered = receipts.len();
            let expected = if k > answered {
                LineVerdict::Gap { expected: answered as u32 + 1 }
            } else if k < answered.max(recorded.len().div_ceil(2)) {
                LineVerdict::ConsumerClone { k: k as u32 + 1 }
            } else {
                LineVerdict::Known
            };
            prop_assert_eq!(verdict, expected);
        }
    }

    /// Two lines that part at a place, any of the one recorded and any of the other reported:
    /// found if both have what differs, and on the right side.
    #[test]
    fn a_line_that_parts_is_found_wherever_it_does(
        parts_at in 0usize..10,
        recorded in 1usize..14,
        first in 0usize..6,
        length in 1usize..14,
    ) {
        let w = World::new(Suite::X25519ChaCha20Poly1305);
        let ours = bodies(&w.context, recorded, parts_at, 1);
        let from = 2 * first;
        let theirs = bodies(&w.context, from + length, parts_at, 2);
        let (record, reported) = (exchanges(&ours), exchanges(&theirs[from..]));
        let verdict = compare_line(TICKET, around(&record, first), false, &reported);
        // What differs is recorded, and is reported or named by what is.
        let named = from > 0 && from <= recorded && parts_at < from;
        let both = parts_at < recorded && parts_at < from + length && (parts_at >= from || named);
        prop_assert_eq!(is_finding(verdict), both, "{:?}", verdict);
        if both && parts_at >= from {
            let k = parts_at as u32 / 2 + 1;
            prop_assert_eq!(verdict, match parts_at % 2 {
                0 => LineVerdict::ConsumerClone { k },
                _ => LineVerdict::ProducerClone { k },
            });
        }
        // A line is whole before the next ticket: whatever is new behind that is a finding.
        let closed = compare_line(TICKET, around(&record, first), true, &reported);
        let whole = recorded % 2 == 0 && !both && from + length > recorded;
        prop_assert!(!whole || matches!(closed, LineVerdict::ConsumerClone { .. }), "{:?}", closed);
    }
}

#[test]
fn a_line_follows_its_exchanges_ticket() {
    let w = World::new(Suite::X25519ChaCha20Poly1305);
    let reported = exchanges(&bodies(&w.context, 2, 2, 0));
    let other = compare_line(BodyHash([8; 32]), &[], false, &reported);
    assert_eq!(other, LineVerdict::ConsumerClone { k: 1 });
    let own = compare_line(TICKET, &[], false, &reported);
    assert_eq!(own, LineVerdict::Extends { from: 0 });
}

#[test]
fn a_run_of_a_line_is_read_as_it_was_written_and_stands_only_as_it_is() {
    let w = World::new(Suite::X25519ChaCha20Poly1305);
    let line = bodies(&w.context, 5, 5, 0);
    let rests: Vec<[u8; 32]> = line.iter().map(|body| body.rest).collect();
    let run = |first, previous, rests: &[[u8; 32]]| {
        let keys = (&w.consumer, &w.producer);
        SubRun::signed(&w.context, (0, 1), first, previous, rests.to_vec(), keys).unwrap()
    };
    let whole = run(1, TICKET, &rests);
    assert_eq!(SubRun::from_bytes(&whole.to_bytes()), Ok(whole.clone()));
    assert!(SubRun::from_bytes(&whole.to_bytes()[1..]).is_err());
    let (ticket, receipt) = whole.heads(&w.context).unwrap();
    let receipt = receipt.unwrap();
    assert_eq!((ticket.body, receipt.body), (line[4], line[3]));
    // Grown one by one it is the same.
    let (first, _) = run(1, TICKET, &rests[..1]).heads(&w.context).unwrap();
    let mut builder = SubRunBuilder::of(&first);
    assert!(!builder.push(&first) && !builder.push(&ticket));
    for length in 2..=5 {
        let (ticket, receipt) = run(1, TICKET, &rests[..length]).heads(&w.context).unwrap();
        let next = match length % 2 {
            0 => receipt.unwrap(),
            _ => ticket,
        };
        assert!(builder.push(&next), "{length}");
    }
    assert_eq!(builder.finish(), whole);
    let from = whole.from_sub_ticket(&w.context, 2).unwrap();
    assert_eq!(from, run(2, line[1].hash(), &rests[2..]));
    assert!(whole.from_sub_ticket(&w.context, 4).is_none());
    for testimony in [
        Testimony::SubWithin(whole.clone()),
        Testimony::SubAlone(receipt),
    ] {
        let read = Testimony::from_bytes(&testimony.to_bytes()).unwrap();
        assert_eq!(read, testimony);
        let shown = read.sub_body(&w.context, 0, SubKind::Receipt, (1, 2));
        assert_eq!(shown, Ok(line[3]));
        assert!(
            read.sub_body(&w.context, 1, SubKind::Receipt, (1, 2))
                .is_err()
        );
        assert!(
            read.sub_body(&w.context, 0, SubKind::Receipt, (2, 2))
                .is_err()
        );
        assert!(
            read.sub_body(&w.context, 0, SubKind::Receipt, (1, 3))
                .is_err()
        );
    }
    let spoilt = [
        SubRun {
            lane: 1,
            ..whole.clone()
        },
        SubRun {
            n: 2,
            ..whole.clone()
        },
        SubRun {
            n: 0,
            ..whole.clone()
        },
        SubRun {
            first: 0,
            ..whole.clone()
        },
        SubRun {
            first: 2,
            ..whole.clone()
        },
        SubRun {
            first: u32::MAX,
            ..whole.clone()
        },
        SubRun {
            previous: BodyHash([8; 32]),
            ..whole.clone()
        },
        SubRun {
            rests: Vec::new(),
            ..whole.clone()
        },
        SubRun {
            rests: rests[..4].to_vec(),
            ..whole.clone()
        },
        SubRun {
            receipt: None,
            ..whole.clone()
        },
        SubRun {
            receipt: Some(whole.ticket.clone()),
            ..whole.clone()
        },
    ];
    for (at, spoilt) in spoilt.iter().enumerate() {
        assert!(spoilt.verified(&w.context).is_err(), "{at}");
    }
}
