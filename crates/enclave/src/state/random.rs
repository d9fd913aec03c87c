//! Where the enclave's random bytes come from.

use rand::rand_core::UnwrapErr;

/// The kernel's randomness, each time. A generator in this process would hold a state
/// from which whoever copies the enclave computes the ephemeral secrets that it drew
/// before, though they were erased.
#[expect(
    clippy::disallowed_types,
    reason = "the enclave keeps no generator's state"
)]
pub(crate) fn kernel_rng() -> UnwrapErr<rand::rngs::SysRng> {
    UnwrapErr(rand::rngs::SysRng)
}
