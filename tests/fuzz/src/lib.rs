//! What is fuzzed: each target takes any bytes and panics if something does not hold.
//!
//! `make fuzz` runs them under libFuzzer (cargo-fuzz), guided by coverage; the corpus
//! that this leaves, and every finding, is replayed by an ordinary test.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a target fails by panicking; nothing here takes input from outside"
)]

mod audit;
mod certificates;
mod changes;
mod door;
mod frames;
mod heads;
mod http_face;
mod identities;
mod lanes;
mod links;
mod message;
mod proofs;
mod runs;
mod segments;
mod stage;
mod starts;
mod streams;

/// A target: it panics if something does not hold of these bytes.
pub type Target = fn(&[u8]);
/// Inputs to start from, made from genuine messages.
pub type Seeds = fn() -> Vec<Vec<u8>>;

/// All targets by name, and their seeds.
pub const TARGETS: [(&str, Target, Seeds); 14] = [
    ("heads", heads::run, heads::seeds),
    ("frames", frames::run, frames::seeds),
    ("proofs", proofs::run, proofs::seeds),
    ("lanes", lanes::run, lanes::seeds),
    ("segments", segments::run, segments::seeds),
    ("streams", streams::run, streams::seeds),
    ("door", door::run, door::seeds),
    ("runs", runs::run, runs::seeds),
    ("certificates", certificates::run, certificates::seeds),
    ("starts", starts::run, starts::seeds),
    ("links", links::run, links::seeds),
    ("message", message::run, none),
    ("audit", audit::run, none),
    ("http", http_face::run, none),
];

/// The target of this name.
///
/// # Panics
/// If there is none.
pub fn target(name: &str) -> Target {
    let found = TARGETS.iter().find(|(known, ..)| *known == name);
    found.expect("a target").1
}

/// Its corpus is all that there is.
fn none() -> Vec<Vec<u8>> {
    Vec::new()
}
