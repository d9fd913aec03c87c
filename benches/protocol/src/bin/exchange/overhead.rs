//! What an exchange costs besides time: bytes on the wire and of state.

use std::alloc::System;

use armour_protocol::v2::{
    enclave::{consumer::Idle, producer::Ready},
    suite::Suite,
};
use armour_protocol_benches::{
    counting::kept,
    lane::{Bundle, Lane, MAX_LANES, Wire},
};
use stats_alloc::StatsAlloc;

use crate::{check::check, parameters::CONTENT};

/// Of one suite.
pub struct Overhead {
    pub suite: Suite,
    pub opening: Wire,
    pub empty: Wire,
    pub exchange: Wire,
    /// Of an idle lane, at the consumer and at the producer.
    pub idle: [usize; 2],
    /// Of a lane that has ended, at either end.
    pub ended: usize,
}

/// Measures it.
///
/// # Errors
/// If an end refuses what the other sends.
pub fn overhead(suite: Suite, allocator: &StatsAlloc<System>) -> anyhow::Result<Overhead> {
    let mut bundle = Bundle::new(suite)?;
    let (lane, opening) = bundle.open()?;
    let (lane, empty) = bundle.refresh(lane)?;
    let (_, exchange) = bundle.exchange(lane, &[1; CONTENT])?;
    Ok(Overhead {
        suite,
        opening,
        empty,
        exchange,
        idle: idle(suite, allocator)?,
        ended: ended(suite, allocator)?,
    })
}

/// What a lane's state takes, and what it holds on the heap.
fn idle(suite: Suite, allocator: &StatsAlloc<System>) -> anyhow::Result<[usize; 2]> {
    let mut bundle = Bundle::new(suite)?;
    let mut ends: (Vec<Idle>, Vec<Ready>) = (Vec::new(), Vec::new());
    for _ in 0..MAX_LANES {
        let (lane, _) = bundle.open()?;
        // After a call, as it would be.
        let (lane, _) = bundle.exchange(lane, &[1; CONTENT])?;
        let (consumer, producer) = Lane::into_ends(lane);
        ends.0.push(consumer);
        ends.1.push(producer);
    }
    // The vectors themselves stay.
    let freed = [
        kept(allocator, || ends.0.clear()),
        kept(allocator, || ends.1.clear()),
    ];
    let each = freed.map(|freed| freed.unsigned_abs() / usize::from(MAX_LANES));
    Ok([size_of::<Idle>() + each[0], size_of::<Ready>() + each[1]])
}

fn ended(suite: Suite, allocator: &StatsAlloc<System>) -> anyhow::Result<usize> {
    let mut bundle = Bundle::new(suite)?;
    let kept = kept(allocator, || {
        for _ in 0..MAX_LANES {
            check(bundle.open().and_then(|(lane, _)| bundle.close(lane)));
        }
    });
    Ok(kept.unsigned_abs() / usize::from(MAX_LANES) / 2)
}
