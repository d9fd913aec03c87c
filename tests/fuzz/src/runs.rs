//! Reported runs of a lane's exchanges: the ledger's verdict is right by a plain comparison,
//! and a run is its ends' word only as they signed it.

use armour_protocol::v2::{
    body::{Body, BodyHash, Header, Kind},
    context::Context,
    ledger::{Exchange, Run, Verdict, compare},
    message::Evidence,
    proof::Proof,
    run_builder::RunBuilder,
    suite::Suite,
};

use crate::{
    changes,
    stage::{Stage, first},
};

/// A lane's first exchanges, as both ends signed them.
struct Genuine {
    stage: Stage,
    run: Run,
    bytes: Vec<Vec<u8>>,
}

thread_local! {
    static GENUINE: Genuine = genuine();
}

fn genuine() -> Genuine {
    let mut stage = Stage::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready, ticket, receipt) = stage.opened();
    let mut run = RunBuilder::of(&ticket.evidence());
    let called = stage.call(idle, ready, b"request");
    let conclusion = stage.conclusion(&called, &first(b"response"));
    let next = called.ticket.evidence();
    let replied = stage.reply(called.answering, conclusion);
    for next in [receipt.evidence(), next, replied.receipt.evidence()] {
        assert!(run.push(&stage.context, &next));
    }
    let run = run.finish();
    Genuine {
        bytes: vec![written(&run)],
        run,
        stage,
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut all = GENUINE.with(|genuine| changes::seeds(&genuine.bytes));
    for seed in &mut all {
        seed.insert(0, 0);
    }
    // Histories: the same, forked at a ticket or a receipt, one longer than the other.
    all.extend([
        vec![1, 4, 0, 4, 0, 1, 2, 0, 0, 1, 2, 0],
        vec![1, 4, 0, 4, 0, 1, 2, 0, 0, 1, 1, 0],
        vec![1, 4, 1, 4, 0, 1, 2, 0, 0, 2, 2, 0, 1, 1],
        vec![1, 3, 0, 9, 0, 1, 2, 0, 1, 2, 0, 1, 1],
        vec![1, 1, 2, 3, 0, 0, 1, 2, 0, 1, 2, 0],
        vec![1, 0, 0, 9, 1, 2, 0],
    ]);
    all
}

/// The first byte says whether the rest is a run or two histories.
pub fn run(data: &[u8]) {
    match data.split_first() {
        None => {}
        Some((how, rest)) if how % 2 == 0 => signed(rest),
        Some((_, rest)) => compared(rest),
    }
}

fn signed(data: &[u8]) {
    GENUINE.with(|genuine| {
        let context = &*genuine.stage.context;
        let bytes = changes::message(data, &genuine.bytes);
        let Some(run) = bytes.and_then(|bytes| read(&bytes)) else {
            return;
        };
        let Ok(exchanges) = run.verified(context) else {
            assert!(run != genuine.run, "the genuine run was refused");
            return;
        };
        assert_eq!(run, genuine.run, "a changed run was taken for their word");
        assert_eq!(exchanges.len(), run.rests.len().div_ceil(2));
        assert_eq!(compare(&exchanges, None, &exchanges), Verdict::Known);
        assert_eq!(compare(&[], None, &exchanges), Verdict::Extends { from: 0 });
        // What was read is what comes of pushing its bodies one by one.
        let bodies = exchanges
            .iter()
            .flat_map(|one| [Some(one.ticket), one.receipt]);
        let mut told = bodies.flatten().map(|body| Evidence {
            body,
            proof: match body.header.kind {
                Kind::Receipt => run.receipt.clone().unwrap_or(run.ticket.clone()),
                _ => run.ticket.clone(),
            },
        });
        let mut again = RunBuilder::of(&told.next().unwrap());
        assert!(told.all(|next| again.push(context, &next)));
        assert_eq!(again.finish(), run);
    });
}

/// A run as bytes, for this target only: reports carry its parts in JSON.
fn written(run: &Run) -> Vec<u8> {
    let mut out = run.lane.to_be_bytes().to_vec();
    out.extend_from_slice(&run.first.to_be_bytes());
    out.extend_from_slice(&run.previous.0);
    out.push(run.rests.len() as u8);
    out.extend_from_slice(run.rests.as_flattened());
    out.extend_from_slice(&run.ticket.to_bytes());
    if let Some(proof) = &run.receipt {
        out.extend_from_slice(&proof.to_bytes());
    }
    out
}

fn read(bytes: &[u8]) -> Option<Run> {
    let (lane, rest) = bytes.split_first_chunk()?;
    let (first, rest) = rest.split_first_chunk()?;
    let (previous, rest) = rest.split_first_chunk()?;
    let (count, rest) = rest.split_first()?;
    let (rests, proofs) = rest.split_at_checked(32 * usize::from(*count))?;
    let (ticket, receipt) = proofs.split_at_checked(Proof::MIN_LEN)?;
    Some(Run {
        lane: u16::from_be_bytes(*lane),
        first: u64::from_be_bytes(*first),
        previous: BodyHash(*previous),
        before: None,
        rests: rests.as_chunks().0.to_vec(),
        ticket: Proof::from_bytes(ticket).ok()?,
        receipt: match receipt {
            [] => None,
            proof => Some(Proof::from_bytes(proof).ok()?),
        },
    })
}

/// Two histories from one start, each a byte for every ticket and receipt in turn: one is
/// recorded, of the other some exchanges are reported.
fn compared(data: &[u8]) {
    let [length, from, to, cut, rest @ ..] = data else {
        return;
    };
    // Few different ones, so that histories often agree for a while.
    let all: Vec<u8> = rest.iter().map(|byte| byte % 3).collect();
    let (mine, theirs) = all.split_at(usize::from(*length).min(all.len()));
    let context = Stage::new(Suite::X25519ChaCha20Poly1305).context;
    let recorded = history(&context, mine);
    let other = history(&context, theirs);
    let (from, to) = (
        usize::from(*from).min(other.len()),
        usize::from(*to).min(other.len()),
    );
    if from >= to {
        return;
    }
    let mut reported = other[from..to].to_vec();
    if cut % 2 == 1
        && let Some(last) = reported.last_mut()
    {
        last.receipt = None;
    }
    let verdict = compare(&recorded, None, &reported);
    assert_eq!(verdict, expected(mine, theirs, from, &reported));
}

fn expected(mine: &[u8], theirs: &[u8], from: usize, reported: &[Exchange]) -> Verdict {
    let low = 2 * from;
    let receipts = reported.iter().filter(|one| one.receipt.is_some()).count();
    let high = low + reported.len() + receipts;
    // Receipts up to which each side is vouched for by the producer, by their count.
    let vouched = |n: usize| mine.len() / 2 > n && from + receipts > n && receipts > 0;
    let dispute = |n: usize| match vouched(n) {
        true => Verdict::ProducerClone { n: n as u64 },
        false => Verdict::ForeignReceipt { n: n as u64 },
    };
    let fork = mine.iter().zip(theirs).position(|(a, b)| a != b);
    match fork {
        // Shown by what the first ticket names, if that receipt is recorded; unless it is taken
        // apart, it may name the same receipt and a sub-receipt.
        Some(at) if at < low && mine.len() >= low => {
            return Verdict::ForeignReceipt { n: from as u64 - 1 };
        }
        Some(at) if (low..high).contains(&at) => {
            let n = at / 2;
            return match at % 2 {
                0 => Verdict::ConsumerClone { n: n as u64 },
                _ => dispute(n),
            };
        }
        _ => {}
    }
    let next = mine.len() / 2;
    if high <= mine.len() {
        Verdict::Known
    } else if from > next {
        Verdict::Gap {
            expected: next as u64,
        }
    } else {
        Verdict::Extends { from: next - from }
    }
}

/// The exchanges of a lane from its first on, which may end with a ticket.
fn history(context: &Context, rests: &[u8]) -> Vec<Exchange> {
    let mut previous = BodyHash::opening(context, 0);
    let mut body = |n: usize, kind, rest: u8| {
        let body = Body {
            header: Header {
                suite: context.suite(),
                kind,
                bundle: context.binding().bundle,
                lane: 0,
                n: n as u64,
            },
            previous,
            rest: [rest; 32],
        };
        previous = match kind {
            Kind::Receipt => BodyHash::after(&body),
            _ => body.hash(),
        };
        body
    };
    let exchanges = rests.chunks(2).enumerate().map(|(n, pair)| Exchange {
        ticket: body(n, Kind::Ticket, pair[0]),
        receipt: pair.get(1).map(|rest| body(n, Kind::Receipt, *rest)),
    });
    exchanges.collect()
}
