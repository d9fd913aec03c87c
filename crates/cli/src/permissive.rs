//! Which agents are permissive, by what they tell the control plane.

use armour_api::Endpoint;
use chrono::Duration;

/// What an agent of the release before tells as its last error begins with this.
const NOTE: &str = "permissive mode";
/// It tells so each minute; another error may be told between.
const LATELY: Duration = Duration::minutes(3);

/// Whether an endpoint's agent passes on what comes without protection.
pub fn is_permissive(endpoint: &Endpoint) -> bool {
    let told = endpoint.last_error_at.zip(endpoint.last_seen_at);
    let is_lately = told.is_some_and(|(told, seen)| seen - told < LATELY);
    endpoint.plain_calls.is_some() || (is_lately && is_note(endpoint))
}

/// Whether its last error says only that its agent is permissive.
pub fn is_note(endpoint: &Endpoint) -> bool {
    let note = endpoint.last_error.as_deref().unwrap_or_default();
    note.starts_with(NOTE)
}
