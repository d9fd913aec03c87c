//! Which producer's endpoint a call goes to: of two at random the one with the smaller
//! (calls under way + 1) × average latency.

use std::time::Duration;

/// Latencies below this are alike.
const FLOOR: Duration = Duration::from_millis(1);
/// Of two latencies that differ by less than this factor neither is the better one: else one
/// endpoint that is always a little faster would get every call.
const ALIKE: f64 = 2.0;
/// Nor if they differ by less than this: that much is noise.
const NOISE: Duration = Duration::from_millis(5);
/// What a new endpoint is given at first of what others get.
const COLD: f64 = 0.1;
/// After so long it is given as much.
const WARM_AFTER: Duration = Duration::from_secs(30);

/// An endpoint that a call may go to.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// Calls under way.
    pub load: usize,
    /// Its average until a response's head; none if it is not known yet.
    pub latency: Option<Duration>,
    /// What it is given of what others get, from 0.1 to 1.
    pub warmth: f64,
}

/// What an endpoint is given of what others get that has been in use for so long.
pub fn warmth(age: Duration) -> f64 {
    let part = age.as_secs_f64() / WARM_AFTER.as_secs_f64();
    (COLD + (1.0 - COLD) * part).min(1.0)
}

/// The place of the one that is chosen; none if there are no candidates. `random` gives a
/// number below the one it is given, each as likely.
pub fn choose(candidates: &[Candidate], mut random: impl FnMut(usize) -> usize) -> Option<usize> {
    match candidates.len() {
        0 => return None,
        1 => return Some(0),
        _ => {}
    }
    let first = random(candidates.len());
    let mut second = random(candidates.len() - 1);
    if second >= first {
        second += 1;
    }
    let warmest = candidates.iter().map(|one| one.warmth).fold(COLD, f64::max);
    let usual = usual(candidates);
    let [mut better, mut worse] = [first, second];
    let mut scores = scores([candidates[first], candidates[second]], usual, warmest);
    if scores[1] < scores[0] {
        std::mem::swap(&mut better, &mut worse);
        scores.swap(0, 1);
    }
    // One that has little to do since it is new is not yet taken for the better one, unless the
    // other is much worse.
    let warmth = candidates[better].warmth / warmest;
    let taken = warmth * scores[1] / scores[0];
    if taken < 1.0 && random(1_000) as f64 >= taken * 1_000.0 {
        return Some(worse);
    }
    Some(better)
}

/// What is taken for the latency of an endpoint that is not known: the others' average.
fn usual(candidates: &[Candidate]) -> Duration {
    let known = || candidates.iter().filter_map(|one| one.latency);
    let count = u32::try_from(known().count()).unwrap_or(u32::MAX);
    known()
        .sum::<Duration>()
        .checked_div(count)
        .unwrap_or(FLOOR)
}

fn scores(two: [Candidate; 2], usual: Duration, warmest: f64) -> [f64; 2] {
    let latency = two.map(|one| one.latency.unwrap_or(usual).max(FLOOR));
    let by_noise = latency[0].abs_diff(latency[1]) < NOISE;
    let latency = latency.map(|one| one.as_secs_f64());
    let alike = by_noise || latency[0] < latency[1] * ALIKE && latency[1] < latency[0] * ALIKE;
    [0, 1].map(|at| {
        let one = two[at];
        let load = one.load as f64 / (one.warmth / warmest);
        (load + 1.0) * if alike { 1.0 } else { latency[at] }
    })
}

#[cfg(test)]
mod tests {
    use armour_ambient::Random;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// How many of 10,000 calls each is given, none of which is under way for long.
    fn shares(candidates: &[Candidate]) -> Vec<usize> {
        let random = Random::seeded(3);
        let mut shares = vec![0; candidates.len()];
        for _ in 0..10_000 {
            let below = |n| u32::from_be_bytes(random.bytes()) as usize % n;
            shares[choose(candidates, below).unwrap()] += 1;
        }
        shares
    }

    fn candidate(load: usize, latency: Duration) -> Candidate {
        Candidate {
            load,
            latency: Some(latency),
            warmth: 1.0,
        }
    }

    #[test]
    fn endpoints_that_are_alike_get_as_much() {
        let shares = shares(&[
            candidate(0, 5 * MS),
            candidate(0, 7 * MS),
            candidate(0, 6 * MS),
        ]);
        assert!(
            shares.iter().all(|share| (3_000..3_700).contains(share)),
            "{shares:?}"
        );
    }

    #[test]
    fn endpoints_whose_latencies_differ_by_noise_get_as_much() {
        let shares = shares(&[candidate(0, MS), candidate(0, 3 * MS), candidate(0, 5 * MS)]);
        assert!(
            shares.iter().all(|share| (3_000..3_700).contains(share)),
            "{shares:?}"
        );
    }

    #[test]
    fn what_fails_or_is_slow_attracts_nothing() {
        let slow = candidate(0, Duration::from_secs(10));
        let shares = shares(&[slow, candidate(3, 5 * MS), candidate(3, 5 * MS)]);
        assert_eq!(shares[0], 0);
    }

    #[test]
    fn the_one_with_less_under_way_is_chosen() {
        assert_eq!(
            shares(&[candidate(2, 5 * MS), candidate(1, 5 * MS)]),
            [0, 10_000]
        );
    }

    #[test]
    fn a_new_one_is_given_a_tenth_at_first() {
        let new = Candidate {
            load: 0,
            latency: None,
            warmth: warmth(Duration::ZERO),
        };
        let two = shares(&[new, candidate(0, 5 * MS)]);
        assert!((350..650).contains(&two[0]), "{two:?}");
        // However much the others have to do.
        let busy = Candidate { load: 2, ..new };
        assert!(shares(&[busy, candidate(15, 5 * MS)])[0] < 2_000);
        let idle = shares(&[new, candidate(15, 5 * MS)]);
        assert_eq!(idle[0], 10_000);
        assert!(warmth(WARM_AFTER / 2) > 0.5 && warmth(WARM_AFTER * 2) >= 1.0);
    }

    #[test]
    fn where_all_are_new_each_gets_as_much() {
        let new = Candidate {
            load: 0,
            latency: None,
            warmth: COLD,
        };
        let shares = shares(&[new; 4]);
        assert!(
            shares.iter().all(|share| (2_200..2_800).contains(share)),
            "{shares:?}"
        );
    }

    #[test]
    fn a_new_one_is_taken_where_the_other_fails() {
        let new = Candidate {
            load: 0,
            latency: Some(5 * MS),
            warmth: COLD,
        };
        let failing = candidate(0, Duration::from_secs(10));
        assert_eq!(shares(&[new, failing]), [10_000, 0]);
    }

    #[test]
    fn one_is_chosen_alone_and_none_of_none() {
        assert_eq!(shares(&[candidate(9, 9 * MS)]), [10_000]);
        assert_eq!(choose(&[], |_| 0), None);
    }
}
