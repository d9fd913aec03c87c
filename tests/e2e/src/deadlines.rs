//! Whether the upstream began a call after its deadline: the upstream's own log against what
//! the caller saw. Nothing that an agent says of itself is asked.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

/// What a caller may rely on.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// How long the consumer's agent tries for a caller.
    pub patience: Duration,
    /// The policy's time for a call to begin once its ticket is signed.
    pub begin_within: Duration,
}

/// A call as its caller saw it.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub id: u64,
    /// Before it was sent.
    pub sent: DateTime<Utc>,
    /// Once it was known what became of it.
    pub ended: DateTime<Utc>,
    /// How it ended.
    pub end: End,
}

/// How a call ended for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The upstream answered.
    Answered,
    /// The agent refused, or said that the outcome is unknown.
    Refused,
    /// The connection broke: the agent was killed, or is out of reach. A ticket that it had
    /// signed lives on.
    Broken,
}

/// How late an agent may have read a call after it was sent, on a machine with other things
/// to do: its deadline is counted from there.
const TO_READ: Duration = Duration::from_millis(500);

impl Deadlines {
    /// When the call may begin at the latest.
    fn latest(self, seen: &Seen) -> DateTime<Utc> {
        let patience = delta(self.patience);
        match seen.end {
            End::Answered => seen.sent + patience + delta(TO_READ),
            // Its deadline was before that: a refusal is the last that is heard of it.
            End::Refused => seen.ended.max(seen.sent + patience),
            End::Broken => seen.ended + delta(self.begin_within),
        }
    }

    /// The calls that the upstream began too late, and by how much.
    pub fn begun_late(
        self,
        seen: &[Seen],
        begun: &HashMap<u64, DateTime<Utc>>,
    ) -> Vec<(u64, TimeDelta)> {
        let late = seen.iter().filter_map(|seen| {
            let late = *begun.get(&seen.id)? - self.latest(seen);
            (late > TimeDelta::zero()).then_some((seen.id, late))
        });
        late.collect()
    }
}

/// When the upstream began each request last, by its log.
pub fn begun(log: &str) -> HashMap<u64, DateTime<Utc>> {
    let mut begun = HashMap::new();
    for (id, began) in log.lines().filter_map(began) {
        let last = begun.entry(id).or_insert(began);
        *last = began.max(*last);
    }
    begun
}

/// A line's request and when it began: it ended at its fifth field, in seconds, and took its
/// sixth.
fn began(line: &str) -> Option<(u64, DateTime<Utc>)> {
    let fields: Vec<&str> = line.split(' ').collect();
    let (_, id) = fields.get(1)?.split_once("id=")?;
    let (ended, took) = (millis(fields.get(4)?)?, millis(fields.get(5)?)?);
    Some((
        id.parse().ok()?,
        DateTime::from_timestamp_millis(ended - took)?,
    ))
}

/// Seconds with three decimals, in milliseconds.
fn millis(seconds: &str) -> Option<i64> {
    let (whole, thousandths) = seconds.split_once('.')?;
    let (whole, thousandths): (i64, i64) = (whole.parse().ok()?, thousandths.parse().ok()?);
    Some(whole * 1_000 + thousandths)
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINES: Deadlines = Deadlines {
        patience: Duration::from_secs(5),
        begin_within: Duration::from_secs(2),
    };

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).unwrap()
    }

    fn late(end: End, ended: i64, begun: i64) -> bool {
        let seen = Seen {
            id: 7,
            sent: at(1_000),
            ended: at(ended),
            end,
        };
        let begun = HashMap::from([(7, at(begun))]);
        !DEADLINES.begun_late(&[seen], &begun).is_empty()
    }

    #[test]
    fn a_call_that_begins_after_its_refusal_is_late() {
        assert!(!late(End::Refused, 6_010, 6_010));
        assert!(late(End::Refused, 6_010, 6_011));
        // Refused at once: it must not begin once its caller's patience is over.
        assert!(!late(End::Refused, 1_100, 6_000));
        assert!(late(End::Refused, 1_100, 6_001));
    }

    #[test]
    fn a_call_whose_agent_was_killed_has_its_tickets_time() {
        assert!(!late(End::Broken, 1_500, 3_500));
        assert!(late(End::Broken, 1_500, 3_501));
    }

    #[test]
    fn a_call_that_was_answered_after_its_callers_patience_is_late() {
        assert!(!late(End::Answered, 9_000, 6_500));
        assert!(late(End::Answered, 9_000, 6_501));
    }

    #[test]
    fn a_request_began_when_the_log_says_less_what_it_took() {
        let log = "POST /echo?id=3 200 160 1700000002.250 0.250\nGET / 200 1 2.0 0.1\n";
        assert_eq!(begun(log), HashMap::from([(3, at(1_700_000_002_000))]));
    }
}
