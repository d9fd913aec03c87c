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
mod body;
mod heads;
mod http_face;
mod lanes;
mod reports;

/// A target.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("heads", heads::run),
    ("lanes", lanes::run),
    ("body", body::run),
    ("message", body::message),
    ("reports", reports::run),
    ("audit", audit::run),
    ("http", http_face::run),
];

/// The target of this name.
///
/// # Panics
/// If there is none.
pub fn target(name: &str) -> Target {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.expect("a target").1
}
