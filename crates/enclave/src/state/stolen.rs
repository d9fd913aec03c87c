//! Copies of a bundle's state, for the demonstration of a theft: of the lanes on which nothing
//! is under way, and of those whose streams go on.

use std::{collections::BTreeMap, sync::Arc};

use armour_protocol::v2::{
    context::{Context, End},
    enclave::{
        Streaming,
        consumer::{Idle, Lanes as ConsumerLanes},
        producer::{Lanes as ProducerLanes, Ready},
    },
    error::HeadError,
    schedule::BundleSecret,
};
use zeroize::Zeroizing;

use super::{
    bound::Bound,
    bundles::{Bundle, Bundles, ENDED},
    consumer::{self, Consumer},
    end::Open,
    failed::Failed,
    identity::Identity,
    producer::{self, Producer},
};
use crate::{
    binding::{Binding, BindingEnd},
    stolen::{Stolen, StolenLane},
};

pub(super) fn export(
    identity: &Identity,
    bundles: &Bundles,
    bundle: &[u8; 16],
) -> Result<Stolen, Failed> {
    let (bound, consumer, lanes) = match bundles.find(bundle)? {
        Bundle::Consumer(consumer) => (&consumer.bound, true, steal(&consumer.open)),
        Bundle::Producer(producer) => (&producer.bound, false, steal(&producer.open)),
        Bundle::Ended(_) => return Err(ENDED),
    };
    let (incarnation, last) = identity.steal()?;
    Ok(Stolen {
        binding: binding(&bound.context),
        consumer,
        incarnation,
        last_link: (last.k, last.hash.0),
        lanes,
    })
}

pub(super) fn import(
    identity: &mut Identity,
    bundles: &mut Bundles,
    stolen: &Stolen,
) -> Result<(), Failed> {
    let context = stolen.binding.context()?;
    let own = match stolen.consumer {
        true => &context.binding().consumer,
        false => &context.binding().producer,
    };
    let thief = identity.becoming(&stolen.incarnation, stolen.last_link)?;
    let (signer, _) = thief.keys_of(&own.endpoint, &own.key)?;
    let bundle = context.binding().bundle;
    let bound = Bound::new(context.into(), signer);
    // A thief of lanes has them alone: it opens no more.
    let (context, nothing) = (bound.context.clone(), BundleSecret::from_bytes([0; 32]));
    let adopted = match stolen.consumer {
        true => Bundle::Consumer(Consumer {
            open: taken(&context, &stolen.lanes)?,
            lanes: ConsumerLanes::new(context, nothing, 0),
            bound,
        }),
        false => Bundle::Producer(Producer {
            open: taken(&context, &stolen.lanes)?,
            lanes: ProducerLanes::new(context, nothing, 0),
            bound,
        }),
    };
    *identity = thief;
    bundles.adopt(bundle, adopted);
    Ok(())
}

/// A lane's state, and what is kept of its streams.
type Copy = (Zeroizing<Vec<u8>>, Option<Zeroizing<Vec<u8>>>);

/// A lane that can be copied.
trait Copied: Open {
    /// Its state, unless it awaits a receipt or owes one.
    fn steal(&self) -> Option<Copy>;
    /// The lane of a state.
    fn from_stolen(context: Arc<Context>, stolen: &StolenLane) -> Result<Self, HeadError>;
}

impl Copied for consumer::Lane {
    fn steal(&self) -> Option<Copy> {
        match self {
            Self::Idle(idle) => Some((idle.steal(), None)),
            Self::Streaming(streaming) => Some((streaming.lane().steal(), Some(streaming.steal()))),
            _ => None,
        }
    }

    fn from_stolen(context: Arc<Context>, stolen: &StolenLane) -> Result<Self, HeadError> {
        let idle = Idle::from_stolen(context.clone(), &stolen.state)?;
        match &stolen.streams {
            None => Ok(Self::Idle(idle)),
            Some(streams) => {
                let streaming = Streaming::from_stolen(idle, context, streams)?;
                Ok(Self::Streaming(streaming))
            }
        }
    }
}

impl Copied for producer::Lane {
    fn steal(&self) -> Option<Copy> {
        match self {
            Self::Ready(ready) => Some((ready.steal(), None)),
            Self::Streaming(streaming) => Some((streaming.lane().steal(), Some(streaming.steal()))),
            Self::Answering(..) => None,
        }
    }

    fn from_stolen(context: Arc<Context>, stolen: &StolenLane) -> Result<Self, HeadError> {
        let ready = Ready::from_stolen(context.clone(), &stolen.state)?;
        match &stolen.streams {
            None => Ok(Self::Ready(ready)),
            Some(streams) => {
                let streaming = Streaming::from_stolen(ready, context, streams)?;
                Ok(Self::Streaming(streaming))
            }
        }
    }
}

fn steal<L: Copied>(open: &BTreeMap<u16, L>) -> Vec<StolenLane> {
    let copies = open.iter().filter_map(|(lane, open)| {
        let (state, streams) = open.steal()?;
        Some(StolenLane {
            lane: *lane,
            n: open.marks().mark.n,
            state,
            streams,
        })
    });
    copies.collect()
}

fn taken<L: Copied>(
    context: &Arc<Context>,
    stolen: &[StolenLane],
) -> Result<BTreeMap<u16, L>, Failed> {
    let mut open = BTreeMap::new();
    for one in stolen {
        let lane = L::from_stolen(context.clone(), one)?;
        open.insert(lane.marks().mark.lane, lane);
    }
    Ok(open)
}

fn binding(context: &Context) -> Binding {
    let binding = context.binding();
    Binding {
        suite: binding.suite as u8,
        tenant: binding.tenant,
        pair: binding.pair,
        bundle: binding.bundle,
        draw: binding.draw,
        policy: binding.policy,
        consumer: end(&binding.consumer),
        producer: end(&binding.producer),
    }
}

fn end(end: &End) -> BindingEnd {
    BindingEnd {
        party: end.party,
        endpoint: end.endpoint,
        key: end.key.to_bytes(),
    }
}
