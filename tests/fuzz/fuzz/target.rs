//! One of the targets, by the name in `ARMOUR_FUZZ_TARGET`.
#![no_main]

use std::sync::LazyLock;

use armour_fuzz::{Target, target};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<Target> =
    LazyLock::new(|| target(&std::env::var("ARMOUR_FUZZ_TARGET").unwrap_or_default()));

fuzz_target!(|data: &[u8]| TARGET(data));
