//! Writes a target's seeds into a folder, for `scripts/fuzz`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "run by a script of this repository alone"
)]

use std::path::PathBuf;

use armour_fuzz::TARGETS;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().expect("a target");
    let folder = PathBuf::from(arguments.next().expect("a folder"));
    let found = TARGETS.iter().find(|(known, ..)| *known == name);
    let (.., seeds) = found.expect("a target");
    for (number, seed) in seeds().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
    }
}
