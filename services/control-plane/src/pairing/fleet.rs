//! A pair's endpoints on both sides, as one of its consumer's endpoints sees them: how many bundles
//! it should hold, with which of the producer's endpoints, and which of those it has are better
//! held with others.

use std::collections::BTreeSet;

use armour_ambient::Random;
use armour_storage::{HeldBundle, ServingProducer};
use rand::RngExt;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Each producer's endpoint is to have the bundles of this many consumers' endpoints, if there are
/// as many of the one as of the other.
const SPREAD: u64 = 3;
/// Bundles that a consumer's endpoint holds at least, unless fewer producers' endpoints are there.
const MIN_WANTED: u64 = 2;
/// And at most.
const MAX_PRODUCERS: u64 = 32;
/// Of the bundles that would better be others this part moves at a time.
const A_TENTH: f64 = 0.1;

/// A pair's fleet, as one of its consumer's endpoints sees it.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// The producer's endpoints that serve.
    pub serving: Vec<ServingProducer>,
    /// How many endpoints of the producer are there, whether they serve or not: what does not
    /// answer for a moment is no reason to give bundles up.
    pub there: u64,
    /// How many endpoints of the consumer there are.
    pub consumers: u64,
    /// The endpoint's active bundles of the pair.
    pub held: Vec<HeldBundle>,
    /// If given, only these are drawn with: their rows are locked.
    pub locked: Option<BTreeSet<Uuid>>,
}

impl Fleet {
    /// How many bundles the endpoint should hold.
    pub fn wanted(&self) -> u32 {
        let producers = self.there;
        let share = (SPREAD * producers).div_ceil(self.consumers.max(1));
        let wanted = share.clamp(MIN_WANTED, MAX_PRODUCERS).min(producers);
        // It is at most 32.
        u32::try_from(wanted).unwrap_or_default()
    }

    /// Whether the endpoint holds as many as it should with endpoints that serve.
    pub fn is_enough(&self) -> bool {
        let serve = |held: &&HeldBundle| self.find(held.producer).is_some();
        self.held.iter().filter(serve).count() >= self.wanted() as usize
    }

    /// The producers' endpoints that a bundle may be drawn with, the best first: those that are
    /// heard of, with the fewest bundles, in the endpoint's own zone, then at random. The one of
    /// the bundle that is replaced is among them, without that bundle, and after those that are as
    /// good: it may be replaced because its producer does not answer.
    pub fn candidates(
        &self,
        replaces: Option<Uuid>,
        zone: Option<&str>,
        random: &Random,
    ) -> Vec<Uuid> {
        let replaced = |held: &&HeldBundle| Some(held.id) == replaces;
        let freed = self.held.iter().find(replaced).map(|held| held.producer);
        let kept = self.held.iter().filter(|held| !replaced(held));
        let kept: BTreeSet<Uuid> = kept.map(|held| held.producer).collect();
        let mut generator = random.generator();
        // If most are silent, it is not theirs.
        let silent = self.serving.iter().filter(|one| one.silent).count();
        let few_silent = 2 * silent <= self.serving.len();
        let free = self.serving.iter().filter(|one| {
            let locked = self.locked.as_ref();
            !kept.contains(&one.endpoint) && locked.is_none_or(|all| all.contains(&one.endpoint))
        });
        let mut ranked: Vec<_> = free
            .map(|one| {
                let is_freed = Some(one.endpoint) == freed;
                let bundles = one.bundles - u64::from(is_freed).min(one.bundles);
                let is_away = zone.is_some() && one.zone.as_deref() != zone;
                let chance: u64 = generator.random();
                (
                    (one.silent && few_silent, bundles, is_away, is_freed, chance),
                    one.endpoint,
                )
            })
            .collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, endpoint)| endpoint).collect()
    }

    /// Whether somebody serves that is not held otherwise, whether its row is locked or not.
    pub fn has_others(&self, replaces: Option<Uuid>) -> bool {
        let kept = self.held.iter().filter(|held| Some(held.id) != replaces);
        let kept: BTreeSet<Uuid> = kept.map(|held| held.producer).collect();
        self.serving.iter().any(|one| !kept.contains(&one.endpoint))
    }

    /// Notes that a bundle was drawn, in place of another one.
    pub fn drew(&mut self, drawn: HeldBundle, replaced: Option<Uuid>) {
        if let Some(at) = self.held.iter().position(|held| Some(held.id) == replaced) {
            let before = self.held.swap_remove(at);
            self.count(before.producer, |bundles| bundles.saturating_sub(1));
        }
        self.held.push(drawn);
        self.count(drawn.producer, |bundles| bundles + 1);
    }

    /// Whether a bundle of the endpoint is to be replaced at a step after a change, so that one of
    /// the producer's endpoints that it holds none with, and that has less than its share, gets one
    /// from another that has more. With each step a tenth of those that could are; as many as it
    /// takes if somebody has less than half of its share or more than twice.
    pub fn is_to_move(&self, held: &HeldBundle, change: u64, step: u32) -> bool {
        let Some(own) = self.find(held.producer) else {
            return false;
        };
        let share = self.share();
        let own = own.bundles as f64;
        let holds = |endpoint| self.held.iter().any(|held| held.producer == endpoint);
        let others = self.serving.iter().filter(|one| !holds(one.endpoint));
        let least = others.map(|one| one.bundles).min();
        let Some(least) = least.map(|bundles| bundles as f64) else {
            return false;
        };
        // One more there is not to be more than one less here.
        if own <= share || least >= share || own - least < 2.0 {
            return false;
        }
        // Whoever is due at a step and asks only at the next one is due still.
        let steps = i32::try_from(step).unwrap_or(i32::MAX).saturating_add(1);
        let stays = (1.0 - self.urgency(own)).max(0.0).powi(steps);
        chance(held.id, change) < 1.0 - stays
    }

    /// Which part of the bundles of somebody with so many is to move.
    fn urgency(&self, own: f64) -> f64 {
        let share = self.share();
        let sum = |part: &dyn Fn(f64) -> f64| -> f64 {
            self.serving
                .iter()
                .map(|one| part(one.bundles as f64))
                .sum()
        };
        let missing = sum(&|bundles| match bundles < share / 2.0 {
            true => share - bundles,
            false => 0.0,
        });
        let movable = sum(&|bundles| if bundles > share { bundles } else { 0.0 });
        let too_many = if own > 2.0 * share {
            (own - share) / own
        } else {
            0.0
        };
        A_TENTH.max(missing / movable).max(too_many)
    }

    /// How many bundles each of the producer's endpoints would have.
    fn share(&self) -> f64 {
        let all: u64 = self.serving.iter().map(|one| one.bundles).sum();
        all as f64 / self.serving.len().max(1) as f64
    }

    fn find(&self, producer: Uuid) -> Option<&ServingProducer> {
        self.serving.iter().find(|one| one.endpoint == producer)
    }

    fn count(&mut self, producer: Uuid, next: impl Fn(u64) -> u64) {
        let of = self.serving.iter_mut().find(|one| one.endpoint == producer);
        if let Some(one) = of {
            one.bundles = next(one.bundles);
        }
    }
}

/// A number from 0 to 1 of a bundle after a change: whoever asks twice has no second chance.
fn chance(bundle: Uuid, change: u64) -> f64 {
    let hash = Sha256::new()
        .chain_update(bundle.as_bytes())
        .chain_update(change.to_be_bytes())
        .finalize();
    let first = hash.first_chunk().copied().unwrap_or_default();
    f64::from(u32::from_be_bytes(first)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> Uuid {
        Uuid::from_u128(number.into())
    }

    fn fleet(bundles: &[u64], consumers: u64, held: &[u64]) -> Fleet {
        let serving = (0..).zip(bundles).map(|(number, bundles)| ServingProducer {
            endpoint: id(number),
            zone: Some(format!("zone {}", number % 2)),
            bundles: *bundles,
            silent: false,
            serves: true,
        });
        Fleet {
            serving: serving.collect(),
            there: bundles.len() as u64,
            consumers,
            locked: None,
            held: held.iter().map(|producer| held_with(*producer)).collect(),
        }
    }

    fn held_with(producer: u64) -> HeldBundle {
        HeldBundle {
            id: id(1_000 + producer),
            pair: id(0),
            consumer: id(0),
            producer: id(producer),
        }
    }

    fn chosen(fleet: &Fleet, replaces: Option<Uuid>, zone: Option<&str>) -> Option<Uuid> {
        let candidates = fleet.candidates(replaces, zone, &Random::seeded(1));
        candidates.first().copied()
    }

    #[test]
    fn each_producer_has_the_bundles_of_three_consumers_or_more() {
        let wanted =
            |producers: usize, consumers| fleet(&vec![0; producers], consumers, &[]).wanted();
        assert_eq!(wanted(0, 1), 0);
        assert_eq!(wanted(1, 1), 1);
        assert_eq!(wanted(3, 4), 3);
        assert_eq!(wanted(20, 20), 3);
        assert_eq!(wanted(3, 50_000), 2);
        assert_eq!(wanted(10, 1), 10);
        assert_eq!(wanted(100, 1), 32);
        assert_eq!(wanted(100, 7), 32);
        assert_eq!(wanted(100, 10), 30);
        assert_eq!(wanted(4, 0), 4);
    }

    #[test]
    fn the_fewest_bundles_come_first_then_the_own_zone() {
        let found = |replaces, zone| chosen(&fleet(&[3, 1, 1, 2], 4, &[3]), replaces, zone);
        assert_eq!(found(None, Some("zone 0")), Some(id(2)));
        assert_eq!(found(None, Some("zone 1")), Some(id(1)));
        // The replaced one's producer counts without it, and comes after who is as good.
        let replaced = Some(held_with(3).id);
        assert_eq!(found(replaced, Some("zone 1")), Some(id(1)));
        let all = |seed| {
            let fleet = fleet(&[2, 2, 3], 4, &[2]);
            let found = fleet.candidates(Some(held_with(2).id), None, &Random::seeded(seed));
            found.last() == Some(&id(2))
        };
        assert!((0..50).all(all));
        let fewer = fleet(&[3, 3, 3], 4, &[2]);
        assert_eq!(chosen(&fewer, Some(held_with(2).id), None), Some(id(2)));
        assert_eq!(chosen(&fleet(&[1], 1, &[0]), None, None), None);
        let again = chosen(&fleet(&[1], 1, &[0]), Some(held_with(0).id), None);
        assert_eq!(again, Some(id(0)));
        let mut silent = fleet(&[0, 5], 4, &[]);
        silent.serving[0].silent = true;
        assert_eq!(chosen(&silent, None, None), Some(id(1)));
        silent.serving[1].silent = true;
        assert_eq!(chosen(&silent, None, None), Some(id(0)));
    }

    #[test]
    fn what_is_held_with_nobody_who_serves_is_not_enough() {
        assert!(fleet(&[1, 1], 4, &[0, 1]).is_enough());
        assert!(!fleet(&[1, 1], 4, &[0]).is_enough());
        assert!(!fleet(&[1, 1], 4, &[0, 7]).is_enough());
        assert!(fleet(&[1], 4, &[0, 7]).is_enough());
    }

    #[test]
    fn nothing_moves_where_it_would_not_even_things_out() {
        let moves = |fleet: &Fleet| {
            let changes = 0..1_000;
            let held = fleet.held[0];
            changes
                .filter(|change| fleet.is_to_move(&held, *change, 0))
                .count()
        };
        assert_eq!(moves(&fleet(&[3, 3, 3], 3, &[0])), 0);
        assert_eq!(moves(&fleet(&[4, 3, 3], 3, &[0])), 0);
        // It holds one with each that has less.
        assert_eq!(moves(&fleet(&[9, 1, 9], 3, &[0, 1])), 0);
        // Its producer does not serve: it is replaced for that.
        assert_eq!(moves(&fleet(&[0, 9], 3, &[7])), 0);
        // A tenth at a step.
        let some = moves(&fleet(&[12, 8, 10], 3, &[0]));
        assert!((50..150).contains(&some), "{some}");
        // As many as it takes, of somebody with twice the share and more.
        let most = moves(&fleet(&[30, 0, 0], 3, &[0]));
        assert!((570..760).contains(&most), "{most}");
    }

    #[test]
    fn who_is_to_move_at_a_step_is_to_at_the_next_one() {
        let fleet = fleet(&[12, 8, 10], 3, &[0]);
        let held = fleet.held[0];
        let due = |change: u64, step| fleet.is_to_move(&held, change, step);
        let mut all = 0;
        for change in 0..500 {
            let steps: Vec<bool> = (0..24).map(|step| due(change, step)).collect();
            assert!(steps.is_sorted(), "{change}");
            all += usize::from(steps[23]);
        }
        assert!(all > 400, "{all}");
    }

    /// What consumers do who are told of each step.
    #[test]
    fn those_who_come_fresh_have_half_of_their_share_within_three_heartbeats() {
        const CONSUMERS: u64 = 20;
        let mut bundles = vec![0u64; 20];
        bundles[..2].fill(CONSUMERS);
        let mut held: Vec<Vec<u64>> = (0..CONSUMERS).map(|_| vec![0, 1]).collect();
        for moment in 0..4u64 {
            for (consumer, theirs) in held.iter_mut().enumerate() {
                let mut own = fleet(&bundles, CONSUMERS, theirs);
                for (at, one) in own.held.iter_mut().enumerate() {
                    one.id = id(moment * 10_000 + (consumer as u64) * 100 + at as u64);
                }
                let to_move: Vec<HeldBundle> = own.held.clone();
                for one in to_move {
                    if own.is_to_move(&one, moment, 0) {
                        let next = chosen(&own, Some(one.id), None).unwrap();
                        let drawn = HeldBundle {
                            id: Uuid::max(),
                            producer: next,
                            ..one
                        };
                        own.drew(drawn, Some(one.id));
                    }
                }
                while !own.is_enough() {
                    let next = chosen(&own, None, None).unwrap();
                    let drawn = HeldBundle {
                        producer: next,
                        ..held_with(0)
                    };
                    own.drew(drawn, None);
                }
                *theirs = own
                    .held
                    .iter()
                    .map(|one| one.producer.as_u128() as u64)
                    .collect();
                bundles = own.serving.iter().map(|one| one.bundles).collect();
            }
        }
        let share = bundles.iter().sum::<u64>() as f64 / 20.0;
        let spread = bundles.iter().map(|bundles| *bundles as f64);
        for bundles in spread {
            assert!(
                bundles >= share / 2.0 && bundles <= share * 2.0,
                "{bundles} of {share}"
            );
        }
    }
}
