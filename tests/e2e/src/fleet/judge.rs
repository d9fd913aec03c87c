//! What became of calls: their callers' account against that of the APIs.

use std::{collections::HashMap, time::Duration};

use armour_api::Policy;
use chrono::{DateTime, Utc};

use super::{
    api::Seen,
    call::{Call, End},
};
use crate::deadlines::{self, Deadlines};

/// What must not happen, counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub made: u64,
    /// Begun after their deadline.
    pub late: u64,
    /// POSTs that APIs began more than once.
    pub twice: u64,
    /// GETs that APIs began more than once, which is allowed.
    pub safe_again: u64,
    /// Answered, and seen by no API.
    pub lost: u64,
    /// Answered with another call's answer.
    pub wrong: u64,
    /// Nobody stole anything.
    pub collisions: u64,
}

/// Judges the calls by what all APIs saw.
pub fn judge(calls: &[Call], seen: &[Seen], policy: &Policy, patience: Duration) -> Verdict {
    let mut begun: HashMap<u64, (u32, DateTime<Utc>)> = HashMap::new();
    for one in seen {
        let (times, last) = begun.entry(one.id).or_insert((0, one.at));
        *times += 1;
        *last = one.at.max(*last);
    }
    let deadlines = Deadlines {
        patience,
        begin_within: Duration::from_millis(policy.begin_within_ms.into()),
    };
    let asked: Vec<deadlines::Seen> = calls.iter().map(as_seen).collect();
    let last = begun.iter().map(|(id, (_, last))| (*id, *last)).collect();
    let late = deadlines.begun_late(&asked, &last);
    for (id, by) in &late {
        let call = calls.iter().find(|call| call.id == *id);
        let why = call.map(Call::why).unwrap_or_default();
        eprintln!(
            "call {id} ({why}) began {} ms too late",
            by.num_milliseconds()
        );
    }
    let again = |safe: bool| {
        let again = |call: &&Call| call.safe == safe && times(&begun, call.id) > 1;
        calls.iter().filter(again).count() as u64
    };
    let lost = |call: &&Call| call.answered() && times(&begun, call.id) == 0;
    Verdict {
        made: calls.len() as u64,
        late: late.len() as u64,
        twice: again(false),
        safe_again: again(true),
        lost: calls.iter().filter(lost).count() as u64,
        wrong: calls.iter().filter(|call| call.end == End::Wrong).count() as u64,
        collisions: 0,
    }
}

fn times(begun: &HashMap<u64, (u32, DateTime<Utc>)>, id: u64) -> u32 {
    begun.get(&id).map_or(0, |(times, _)| *times)
}

fn as_seen(call: &Call) -> deadlines::Seen {
    deadlines::Seen {
        id: call.id,
        sent: call.sent,
        ended: call.ended,
        end: match call.end {
            End::Served | End::Failed(_) | End::Wrong => deadlines::End::Answered,
            End::Refused { .. } => deadlines::End::Refused,
            End::Broken(_) => deadlines::End::Broken,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).unwrap()
    }

    fn call(id: u64, end: End) -> Call {
        Call {
            id,
            safe: id.is_multiple_of(2),
            began: Instant::now(),
            sent: at(1_000),
            waited: Duration::from_millis(100),
            ended: at(1_100),
            end,
        }
    }

    fn seen(id: u64, millis: i64) -> Seen {
        Seen {
            id,
            at: at(millis),
            since: Instant::now(),
        }
    }

    fn judged(call: Call, seen: &[Seen]) -> Verdict {
        judge(&[call], seen, &Policy::default(), PATIENCE)
    }

    #[test]
    fn a_post_that_two_apis_saw_ran_twice_and_a_get_may() {
        let twice = judged(call(1, End::Served), &[seen(1, 1_010), seen(1, 1_020)]);
        assert_eq!((twice.twice, twice.safe_again), (1, 0));
        let again = judged(call(2, End::Served), &[seen(2, 1_010), seen(2, 1_020)]);
        assert_eq!((again.twice, again.safe_again), (0, 1));
    }

    #[test]
    fn a_call_that_begins_after_its_callers_patience_is_late() {
        let refused = || End::Refused {
            problem: "late".into(),
            ran: Some("no".into()),
        };
        assert_eq!(judged(call(1, refused()), &[seen(1, 6_000)]).late, 0);
        assert_eq!(judged(call(1, refused()), &[seen(1, 6_001)]).late, 1);
    }

    #[test]
    fn an_answer_that_no_api_gave_is_lost() {
        assert_eq!(judged(call(1, End::Served), &[seen(2, 1_010)]).lost, 1);
        assert_eq!(judged(call(1, End::Failed(500)), &[seen(1, 1_010)]).lost, 0);
    }
}
