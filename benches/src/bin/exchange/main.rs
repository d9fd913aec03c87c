//! One exchange, 1 KiB each way, both ends: against the sum of its primitives,
//! against a Double Ratchet's ping-pong (`vodozemac`, Olm) and against Oblivious
//! HTTP (`ohttp`, RFC 9458); and large bodies against the AEAD alone. All in one run
//! on one core, with the backend that is built in.

mod parameters;
mod peers;
mod primitives;

use std::{alloc::System, time::Duration};

use armour_benches::{Contestant, Race, counting::allocations, pair::Pair};
use armour_protocol::{Suite, crypto::BACKEND};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::{
    parameters::CONTENT,
    peers::{Oblivious, Ratchet},
    primitives::{PRIMITIVES, primitives, sealing, sealing_and_hashing},
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MIB: usize = 1 << 20;

fn main() -> anyhow::Result<()> {
    println!("backend: {BACKEND}\n");
    small()?;
    for (name, content, turn) in [("1 MiB", MIB, 60), ("64 MiB", 64 * MIB, 600)] {
        large(name, content, Duration::from_millis(turn))?;
    }
    Ok(())
}

fn small() -> anyhow::Result<()> {
    let mut one = Pair::new(Suite::X25519, CONTENT)?;
    let mut two = Pair::new(Suite::X25519MlKem768, CONTENT)?;
    let mut ratchet = Ratchet::new()?;
    let oblivious = Oblivious::new()?;
    let (count, bytes) = allocations(ALLOCATOR, || check(one.exchange()));
    let (of_peer, _) = allocations(ALLOCATOR, || check(ratchet.ping_pong()));
    let mut contestants: Vec<Contestant<'_>> = vec![
        ("exchange, suite 1", Box::new(|| check(one.exchange()))),
        ("exchange, suite 2", Box::new(|| check(two.exchange()))),
        ("vodozemac", Box::new(|| check(ratchet.ping_pong()))),
        ("ohttp", Box::new(|| check(oblivious.request_response()))),
    ];
    contestants.extend(primitives());
    let race = Race::run(&mut contestants, 15, Duration::from_millis(60));
    drop(contestants);

    let sum: f64 = PRIMITIVES
        .iter()
        .map(|(name, count)| race.median(name) * f64::from(*count))
        .sum();
    println!("primitives of one exchange, suite 1, 1 KiB each way");
    println!("{:34} {:>5} {:>9} {:>9}", "", "times", "µs each", "µs");
    for (name, count) in PRIMITIVES {
        let each = race.median(name);
        println!(
            "{name:34} {count:>5} {each:>9.2} {:>9.1}",
            each * f64::from(count)
        );
    }
    println!("{:34} {:>5} {:>9} {sum:>9.1}\n", "sum", "", "");
    let exchange = race.median("exchange, suite 1");
    println!(
        "{:34} {:>9} {:>17} {:>22}",
        "", "µs", "least..most", "exchange / this"
    );
    for (name, time) in [
        ("exchange, suite 1", exchange),
        ("sum of its primitives", sum),
        ("vodozemac", race.median("vodozemac")),
        ("ohttp", race.median("ohttp")),
        ("exchange, suite 2", race.median("exchange, suite 2")),
    ] {
        let (least, most) = race.spread(name);
        let spread = match least.is_nan() {
            true => String::new(),
            false => format!("{least:.1}..{most:.1}"),
        };
        println!(
            "{name:34} {time:>9.1} {spread:>17} {:>22.2}",
            exchange / time
        );
    }
    println!(
        "\nan exchange allocates {count} times, {bytes} bytes, both ends together; vodozemac {of_peer} times\n"
    );
    Ok(())
}

/// Sealing and opening at one end each, so four passes of the AEAD.
fn large(name: &str, content: usize, turn: Duration) -> anyhow::Result<()> {
    let mut pair = Pair::new(Suite::X25519, content)?;
    let (mut seal, mut both) = (sealing(content), sealing_and_hashing(content));
    let mut contestants: Vec<Contestant<'_>> = vec![
        ("exchange", Box::new(|| check(pair.exchange()))),
        ("aead", Box::new(&mut seal)),
        ("aead and digest", Box::new(&mut both)),
    ];
    let race = Race::run(&mut contestants, 7, turn);
    drop(contestants);
    let exchange = race.median("exchange") / 4.0;
    let rate = |time: f64| content as f64 / time;
    println!(
        "bodies of {name}, MB/s each pass: exchange {:.0}",
        rate(exchange)
    );
    for alone in ["aead", "aead and digest"] {
        let time = race.median(alone);
        println!(
            "  {alone} alone {:.0}; exchange / this {:.2}",
            rate(time),
            time / exchange
        );
    }
    Ok(())
}

fn check(done: anyhow::Result<()>) {
    if let Err(error) = done {
        eprintln!("{error:#}");
        std::process::exit(1);
    }
}
