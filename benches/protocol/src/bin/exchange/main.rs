//! One exchange, 1 KiB each way, both ends: against the sum of its primitives,
//! against a Double Ratchet's ping-pong (`vodozemac`, Olm) and against Oblivious
//! HTTP (`ohttp`, RFC 9458); large bodies against the AEAD alone; and what an exchange
//! takes on the wire and in memory. All in one run on one core, with the backend that is
//! built in. The last line is JSON.

mod check;
mod overhead;
mod parameters;
mod peers;
mod primitives;

use std::{alloc::System, time::Duration};

use armour_protocol::{crypto::BACKEND, v2::suite::Suite};
use armour_protocol_benches::{
    Contestant, Race,
    counting::allocations,
    lane::{Pair, Wire},
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::{
    check::check,
    overhead::{Overhead, overhead},
    parameters::{CHECKPOINT_AT_MOST, CHECKPOINT_EVERY, CONTENT},
    peers::{Oblivious, Ratchet},
    primitives::{PRIMITIVES, primitives, sealing, sealing_and_hashing},
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SMALL: Suite = Suite::X25519ChaCha20Poly1305;
const LARGE: Suite = Suite::X25519Aes256Gcm;
const MIB: usize = 1 << 20;

fn main() -> anyhow::Result<()> {
    println!("backend: {BACKEND}\n");
    let all = Suite::ALL.map(|suite| overhead(suite, ALLOCATOR));
    let all = all.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    print(&all);
    let exchange = small()?;
    let body = large("1 MiB", MIB, Duration::from_millis(60))?;
    let long = large("64 MiB", 64 * MIB, Duration::from_millis(600))?;
    let figures = serde_json::json!({
        "backend": BACKEND,
        "exchange_of_vodozemac": hundredths(exchange.of_vodozemac),
        "exchange_of_primitives": hundredths(exchange.of_primitives),
        "exchange_of_ohttp": hundredths(exchange.of_ohttp),
        "exchange_us": hundredths(exchange.time),
        "body_of_aead": hundredths(body.of_aead),
        "body_of_aead_and_digest": hundredths(body.of_aead_and_digest),
        "body_of_aead_64_mib": hundredths(long.of_aead),
    });
    println!("{figures}");
    Ok(())
}

fn print(all: &[Overhead]) {
    let both = |wire: &Wire| {
        let sum = wire.request + wire.response;
        format!("{} + {} = {sum}", wire.request, wire.response)
    };
    println!("bytes on the wire, both messages, frames and segments included");
    println!(
        "{:>5} {:>22} {:>22} {:>22}",
        "suite", "opening", "empty exchange", "1 KiB each way"
    );
    for of in all {
        println!(
            "{:>5} {:>22} {:>22} {:>22}",
            of.suite as u8,
            both(&of.opening),
            both(&of.empty),
            both(&of.exchange)
        );
    }
    println!("\nbytes of memory of a lane; keys within AWS-LC are not counted");
    println!(
        "{:>5} {:>15} {:>15} {:>18}",
        "suite", "idle, consumer", "idle, producer", "ended, either end"
    );
    for of in all {
        println!(
            "{:>5} {:>15} {:>15} {:>18}",
            of.suite as u8, of.idle[0], of.idle[1], of.ended
        );
    }
    println!();
}

/// An exchange with 1 KiB each way.
struct Small {
    /// In microseconds.
    time: f64,
    of_vodozemac: f64,
    of_primitives: f64,
    of_ohttp: f64,
}

fn small() -> anyhow::Result<Small> {
    let pair = |suite| Pair::new(suite, CONTENT, CHECKPOINT_EVERY);
    let (mut one, mut two, mut three) = (
        pair(SMALL)?,
        pair(Suite::X25519MlKem768ChaCha20Poly1305)?,
        pair(LARGE)?,
    );
    let mut ratchet = Ratchet::new()?;
    let oblivious = Oblivious::new()?;
    let (count, bytes) = allocations(ALLOCATOR, || check(one.exchange()));
    let (of_peer, _) = allocations(ALLOCATOR, || check(ratchet.ping_pong()));
    let mut contestants: Vec<Contestant<'_>> = vec![
        ("exchange, suite 1", Box::new(|| check(one.exchange()))),
        ("vodozemac", Box::new(|| check(ratchet.ping_pong()))),
        ("exchange, suite 2", Box::new(|| check(two.exchange()))),
        ("exchange, suite 3", Box::new(|| check(three.exchange()))),
        ("ohttp", Box::new(|| check(oblivious.request_response()))),
    ];
    contestants.extend(primitives());
    let race = Race::on_a_core(&mut contestants, 15, Duration::from_millis(60));
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
        ("exchange, suite 3", race.median("exchange, suite 3")),
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
    Ok(Small {
        time: exchange,
        of_vodozemac: race.of("exchange, suite 1", "vodozemac"),
        of_primitives: exchange / sum,
        of_ohttp: race.of("exchange, suite 1", "ohttp"),
    })
}

/// A large body, with checkpoints as agents make them.
struct Large {
    of_aead: f64,
    of_aead_and_digest: f64,
}

/// The same content both ways as streams; the AEAD alone seals and opens it once.
fn large(name: &str, content: usize, turn: Duration) -> anyhow::Result<Large> {
    let mut pair = Pair::new(LARGE, content, CHECKPOINT_EVERY)?;
    let mut rare = Pair::new(LARGE, content, CHECKPOINT_AT_MOST)?;
    let (mut seal, mut both) = (sealing(content), sealing_and_hashing(content));
    let mut contestants: Vec<Contestant<'_>> = vec![
        ("every 256 KiB", Box::new(|| check(pair.exchange()))),
        ("every 1 MiB", Box::new(|| check(rare.exchange()))),
        ("aead", Box::new(&mut seal)),
        ("aead and digest", Box::new(&mut both)),
    ];
    let race = Race::on_a_core(&mut contestants, 9, turn);
    drop(contestants);
    let [aead, hashed] = ["aead", "aead and digest"].map(|alone| race.median(alone));
    println!("bodies of {name} both ways, suite 3; MB/s at one end, sealed or opened");
    let rate = |pass: f64| content as f64 / pass;
    println!("  {:34} {:>6.0}", "AES-256-GCM alone", rate(aead / 2.0));
    println!("  {:34} {:>6.0}", "and BLAKE3", rate(hashed / 2.0));
    let streams = ["every 256 KiB", "every 1 MiB"].map(|every| {
        let exchange = race.median(every);
        println!(
            "  exchange, checkpoints {every:12} {:>6.0}; of the AEAD {:.2}, of both {:.2}",
            rate(exchange / 4.0),
            aead * 2.0 / exchange,
            hashed * 2.0 / exchange
        );
        exchange
    });
    println!();
    let [exchange, _] = streams;
    Ok(Large {
        of_aead: aead * 2.0 / exchange,
        of_aead_and_digest: hashed * 2.0 / exchange,
    })
}

fn hundredths(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}
