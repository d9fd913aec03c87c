//! Which bundles are given up where there are too many: those first that are of least use.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{bundle::Bundle, standing::Phase};

/// What a slot holds, as those see it who look at all slots.
#[derive(Default)]
pub struct Holding {
    bundle: Mutex<Option<Arc<Bundle>>>,
    /// Notified when this may be one too many.
    pub released: Notify,
}

/// How little use a bundle is of: the least of these goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// There is none yet.
    None,
    /// Its producer takes no more calls, or will not soon.
    Leaving,
    /// Its producer's API does not answer.
    NotServing,
    /// Its producer does not answer.
    LeftOut,
    /// It serves.
    Serves,
    /// It serves, and streams on it would be cut.
    Streams,
}

impl Holding {
    /// The slot holds this one from now on, or none.
    pub fn set(&self, bundle: Option<Arc<Bundle>>) {
        *self.bundle.lock() = bundle;
    }

    fn of_use(&self) -> Use {
        match &*self.bundle.lock() {
            None => Use::None,
            Some(bundle) => match (bundle.standing.phase(), bundle.standing.trouble()) {
                (Phase::Leaving | Phase::Stopped, _) => Use::Leaving,
                (Phase::NotServing, _) => Use::NotServing,
                (Phase::Serving, Some(_)) => Use::LeftOut,
                (Phase::Serving, None) if bundle.has_streams() => Use::Streams,
                (Phase::Serving, None) => Use::Serves,
            },
        }
    }
}

/// So many of these, oldest first, that are of least use; of those that are of as much the newest.
/// Never the last one that serves.
pub fn least_used(holdings: &[Arc<Holding>], count: usize) -> Vec<Arc<Holding>> {
    let newest = holdings.iter().rev();
    let mut ranked: Vec<_> = newest.map(|one| (one.of_use(), one)).collect();
    ranked.sort_by_key(|(of_use, _)| *of_use);
    if ranked
        .last()
        .is_some_and(|(of_use, _)| *of_use >= Use::Serves)
    {
        ranked.pop();
    }
    let ranked = ranked.into_iter().take(count);
    ranked.map(|(_, one)| one.clone()).collect()
}

#[cfg(test)]
mod tests {
    use armour_ambient::Random;
    use armour_api::Policy;
    use armour_protocol::v2::gate::Gate;
    use uuid::Uuid;

    use super::*;
    use crate::{
        consumer::{bundle::Kind, standing::Standing, trouble::Trouble},
        testing,
    };

    fn holding(phase: Phase) -> Arc<Holding> {
        let standing = Standing::new(Uuid::nil(), Random::seeded(1));
        standing.set_phase(phase);
        let context = testing::Lane::open().context;
        let gate = Gate::from_bytes([1; 32]);
        let nowhere = "http://127.0.0.1:9".to_owned();
        let bundle = Bundle::new(Policy::default(), context, gate, nowhere, standing);
        let holding = Arc::<Holding>::default();
        holding.set(Some(bundle));
        holding
    }

    fn bundle(holding: &Holding) -> Arc<Bundle> {
        holding.bundle.lock().clone().unwrap()
    }

    /// The places of those that are given up, in order.
    fn given_up(holdings: &[Arc<Holding>], count: usize) -> Vec<usize> {
        let place = |one: &Arc<Holding>| holdings.iter().position(|other| Arc::ptr_eq(one, other));
        let chosen = least_used(holdings, count);
        chosen.iter().filter_map(place).collect()
    }

    #[test]
    fn a_bundle_whose_producer_leaves_or_fails_is_given_up_before_one_that_serves() {
        use Phase::{Leaving, NotServing, Serving};
        let all = [Serving, NotServing, Leaving, Serving].map(holding);
        assert_eq!(given_up(&all, 1), [2]);
        assert_eq!(given_up(&all, 3), [2, 1, 3]);
        let failing = [NotServing, Serving].map(holding);
        assert_eq!(given_up(&failing, 1), [0]);
        let newest = [Serving, Serving, Serving].map(holding);
        bundle(&newest[0]).standing.leave_out(Trouble::Silent);
        assert_eq!(given_up(&newest, 2), [0, 2]);
    }

    #[test]
    fn the_last_bundle_that_serves_is_never_given_up() {
        use Phase::{NotServing, Serving};
        let all = [NotServing, Serving, NotServing].map(holding);
        assert_eq!(given_up(&all, 3), [2, 0]);
        assert_eq!(given_up(&[holding(Serving)], 1), [0_usize; 0]);
    }

    #[tokio::test]
    async fn a_bundle_with_streams_is_given_up_last() {
        let all = [Phase::Serving, Phase::Serving].map(holding);
        let newest = bundle(&all[1]);
        let now = tokio::time::Instant::now();
        let _place = newest.place(Kind::Stream, now).await.unwrap();
        assert_eq!(given_up(&all, 1), [0]);
    }
}
