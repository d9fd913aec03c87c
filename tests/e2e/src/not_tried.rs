//! Tests that a machine does not let be made.

use std::fmt::Display;

/// Set to 1 where what is not tried is to fail; `scripts/must-try` says where that is.
const MUST_TRY: &str = "ARMOUR_MUST_TRY";

/// Says loudly that nothing was tried.
///
/// # Panics
/// If something was to be: a test that passes without having tried anything shows nothing.
pub fn not_tried(what: &str, why: impl Display) {
    eprintln!("NOT TRIED: {what}: {why}");
    let must = std::env::var(MUST_TRY).is_ok_and(|text| text == "1");
    assert!(!must, "{MUST_TRY}=1, and yet {what} was not tried: {why}");
}
