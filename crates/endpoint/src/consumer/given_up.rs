//! A call that is given up at its producer's endpoint.

use super::retry_budget::Permit;

/// A call is given up at its producer's endpoint; with the leave to be made elsewhere if it has
/// been taken already.
#[derive(Debug)]
pub struct GivenUp(pub Option<Permit>);
