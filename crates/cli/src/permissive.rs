//! Which agents are permissive, by what they tell the control plane now and then.

use armour_api::Endpoint;
use chrono::Duration;

/// What such an agent tells begins with this.
const NOTE: &str = "permissive mode";
/// It tells so each minute; another error may be told between.
const LATELY: Duration = Duration::minutes(3);

/// Whether an endpoint's agent passes on what comes without protection.
pub fn is_permissive(endpoint: &Endpoint) -> bool {
    let told = endpoint.last_error_at.zip(endpoint.last_seen_at);
    let is_lately = told.is_some_and(|(told, seen)| seen - told < LATELY);
    let note = endpoint.last_error.as_deref().unwrap_or_default();
    is_lately && note.starts_with(NOTE)
}
