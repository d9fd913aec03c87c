//! What an endpoint says that it is for callers, and how far it is believed: one whose API comes and
//! goes is not drawn with and left again each time, and tells nobody of it more often than this.

use armour_api::Phase;
use chrono::Duration;

/// How long it must have ceased to serve before it serves again.
const SERVES_AGAIN_AFTER: Duration = Duration::seconds(10);
/// How long it serves at least before it ceases to: its next sign of life says it again.
const SERVES_FOR: Duration = Duration::seconds(5);

/// What an endpoint counts as that was this before, says that it is that, and so long ago began to
/// serve again or ceased to.
pub fn believed(before: Option<Phase>, told: Phase, turned: Option<Duration>) -> Phase {
    let lately = |after| turned.is_some_and(|ago| ago < after);
    match (before, told) {
        // Who leaves, leaves.
        (_, Phase::Draining) => Phase::Draining,
        (Some(Phase::Serving), Phase::NotServing) if lately(SERVES_FOR) => Phase::Serving,
        (Some(Phase::Serving), told) => told,
        (before, Phase::Serving) if lately(SERVES_AGAIN_AFTER) => {
            before.unwrap_or(Phase::NotServing)
        }
        (_, told) => told,
    }
}

/// Whether an endpoint that was this and is that has begun to serve again, or ceased to. The first
/// thing that it is since it started is neither, nor is that it leaves.
pub fn is_turn(before: Option<Phase>, now: Phase) -> bool {
    let serves = |phase| phase == Phase::Serving;
    before.is_some_and(|before| serves(before) != serves(now)) && now != Phase::Draining
}

#[cfg(test)]
mod tests {
    use Phase::{Draining, NotServing, Serving};

    use super::*;

    #[test]
    fn whoever_goes_to_and_fro_is_not_believed_each_time() {
        let ago = |seconds| Some(Duration::seconds(seconds));
        for (before, told, turned, expected) in [
            // The first turn counts at once, and so does the first sign of life.
            (Some(Serving), NotServing, None, NotServing),
            (Some(NotServing), Serving, None, Serving),
            (None, Serving, None, Serving),
            (None, NotServing, ago(1), NotServing),
            // Then each waits.
            (Some(NotServing), Serving, ago(9), NotServing),
            (Some(NotServing), Serving, ago(10), Serving),
            (Some(Serving), NotServing, ago(4), Serving),
            (Some(Serving), NotServing, ago(5), NotServing),
            // Also over a start that follows.
            (None, Serving, ago(9), NotServing),
            // But not to leave.
            (Some(Serving), Draining, ago(1), Draining),
            (Some(NotServing), Draining, ago(1), Draining),
            (Some(Draining), Serving, ago(1), Draining),
        ] {
            let found = believed(before, told, turned);
            assert_eq!(found, expected, "{before:?} {told:?} {turned:?}");
        }
        assert!(is_turn(Some(Serving), NotServing) && is_turn(Some(NotServing), Serving));
        assert!(!is_turn(None, Serving) && !is_turn(Some(Serving), Draining));
        assert!(!is_turn(Some(NotServing), Draining));
    }
}
