//! Runs one hot path so many times, for its instructions to be counted
//! (`tests/test_instructions.py`).

use anyhow::{Context as _, bail};
use armour_benches::pair::Pair;
use armour_protocol::{
    Suite,
    crypto::Signer,
    ledger::{Chain, judge, vouched},
    ticket::{NO_PREVIOUS, SignedTicket, Ticket},
};
use ed25519_dalek::SigningKey;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context("which path?")?;
    let times: u32 = arguments.next().context("how often?")?.parse()?;
    match path.as_str() {
        "exchange" => exchange(1024, times),
        "body" => exchange(1 << 20, times),
        "judge" => judged(times),
        other => bail!("no path {other}; there are exchange, body and judge"),
    }
}

fn exchange(content: usize, times: u32) -> anyhow::Result<()> {
    let mut pair = Pair::new(Suite::X25519, content)?;
    for _ in 0..times {
        pair.exchange()?;
    }
    Ok(())
}

/// What the ledger does with a report of 32 tickets, short of storing them.
fn judged(times: u32) -> anyhow::Result<()> {
    let key = SigningKey::from_bytes(&[1; 32]);
    let signer = Signer::new(&key);
    let mut tickets: Vec<SignedTicket> = Vec::new();
    let mut chain: Option<Chain> = None;
    for n in 0..=32u64 {
        let last = tickets.last().map(|signed| signed.ticket);
        let ticket = Ticket {
            suite: Suite::X25519,
            bundle: [3; 16],
            lane: 0,
            n,
            previous: last.map_or(NO_PREVIOUS, |last| last.hash()),
            share_digest: [7; 32],
        };
        let signed = ticket.sign(&signer);
        match (&mut chain, last) {
            (Some(chain), Some(last)) => drop(chain.push(&last, &signed)),
            // The first is what the ledger has already.
            _ if n == 1 => chain = Some(Chain::of(&signed)),
            _ => {}
        }
        tickets.push(signed);
    }
    let chain = chain.context("a chain")?;
    let head = tickets.first().context("a head")?;
    for _ in 0..times {
        let reported = chain.tickets()?;
        vouched(&reported, &key.verifying_key())?;
        let verdict = judge(Some(head), std::slice::from_ref(head), &reported);
        std::hint::black_box(verdict);
    }
    Ok(())
}
