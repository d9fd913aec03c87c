//! Reading events: every stream of a tenant that is woken by the same notice polls
//! at the same time, and one transaction answers them all.

use std::{
    collections::{BTreeMap, HashMap, HashSet, btree_map::Entry},
    sync::Arc,
};

use armour_api::{AccessRole, EndpointState, Event, EventKind};
use armour_protocol::v2::identity::start::StartHash;
use armour_storage::{StorageError, Store};
use uuid::Uuid;

use crate::{
    http::problem::ApiResult, identity::authn::Principal, platform::group_commit::BatchOperation,
};

/// Who reads a stream. One that lasts longer than its reader's credentials would
/// tell what nobody may see any more.
#[derive(Debug, Clone)]
pub enum Reader {
    /// A person or an API token.
    Member(Principal),
    /// A start of an endpoint, which acts for its party.
    Endpoint(EndpointReader),
}

/// A start of an endpoint that reads.
#[derive(Debug, Clone, Copy)]
pub struct EndpointReader {
    /// The endpoint.
    pub id: Uuid,
    /// Its start.
    pub start: StartHash,
    /// The consumer or producer that it acts for.
    pub party: Uuid,
}

/// What a poll finds.
#[derive(Debug, Clone)]
pub struct Found {
    /// The next events of the tenant.
    pub events: Arc<Vec<Event>>,
    /// Whose the pairs are that they are of: consumers and producers.
    ends: Arc<HashMap<Uuid, [Uuid; 2]>>,
    /// The consumers of those producers whose consumers are to hold other bundles.
    consumers: Arc<HashMap<Uuid, HashSet<Uuid>>>,
}

impl Found {
    /// Whether an event among them is for this reader.
    pub fn concerns(&self, reader: &Reader, event: &Event) -> bool {
        match reader {
            Reader::Member(_) => true,
            Reader::Endpoint(endpoint) => {
                let ends = event.pair_id.and_then(|pair| self.ends.get(&pair));
                let consumers =
                    changed_of(event).and_then(|producer| self.consumers.get(&producer));
                event.endpoint_id == Some(endpoint.id)
                    || ends.is_some_and(|ends| ends.contains(&endpoint.party))
                    || consumers.is_some_and(|all| all.contains(&endpoint.party))
            }
        }
    }
}

/// The producer whose consumers are to hold other bundles.
fn changed_of(event: &Event) -> Option<Uuid> {
    let changed = event.known_kind() == Some(EventKind::AssignmentsChanged);
    let producer = event.detail.get("producer_id").filter(|_| changed)?;
    producer.as_str()?.parse().ok()
}

/// A poll for events.
pub struct EventPoll {
    /// Who polls.
    pub reader: Reader,
    /// The number of the last event that it has.
    pub last: i64,
    /// Whether it is time to say that somebody reads.
    pub touch: bool,
}

/// Reads events of this database.
pub struct EventBatchReader(pub Store);

impl BatchOperation for EventBatchReader {
    type Request = EventPoll;
    /// The next events; none if the reader may not go on.
    type Answer = Option<Found>;
    const MAX_CALLS: usize = 1024;

    async fn run(&self, tenant: Uuid, polls: &[Arc<EventPoll>]) -> ApiResult<Vec<Self::Answer>> {
        let mut tx = self.0.tenant(tenant).await?;
        let endpoints: Vec<Uuid> = polls
            .iter()
            .filter_map(|poll| match poll.reader {
                Reader::Endpoint(reader) => Some(reader.id),
                Reader::Member(_) => None,
            })
            .collect();
        let standings = match endpoints.is_empty() {
            true => Default::default(),
            false => tx.starts().standings(&endpoints).await?,
        };
        let lives = |reader: &EndpointReader| {
            standings.get(&reader.id).is_some_and(|standing| {
                let living = standing.living.as_ref();
                standing.state == EndpointState::Active
                    && living.is_some_and(|living| living.hash == reader.start)
            })
        };
        let mut found: BTreeMap<i64, Found> = BTreeMap::new();
        let mut answers = Vec::with_capacity(polls.len());
        let mut lives_of: HashMap<Uuid, (AccessRole, bool)> = HashMap::new();
        for poll in polls {
            let may_go_on = match &poll.reader {
                Reader::Endpoint(reader) => lives(reader),
                Reader::Member(principal) => match lives_of.get(&principal.credential) {
                    // Of many streams of one credential it is asked once.
                    Some((role, live)) if *role == principal.role => *live,
                    _ => {
                        let live = match principal.is_live(&mut tx).await {
                            Err(StorageError::NotFound) => false,
                            live => live?,
                        };
                        lives_of.insert(principal.credential, (principal.role, live));
                        live
                    }
                },
            };
            let events = match found.entry(poll.last) {
                Entry::Occupied(known) => known.get().clone(),
                Entry::Vacant(new) => {
                    let events = tx.events().list_after(poll.last).await?;
                    // As they are now: pairs are made while streams are open.
                    let pairs: HashSet<Uuid> =
                        events.iter().filter_map(|event| event.pair_id).collect();
                    let ends = match pairs.is_empty() || endpoints.is_empty() {
                        true => HashMap::new(),
                        false => tx.pairs().ends(&Vec::from_iter(pairs)).await?,
                    };
                    let producers: HashSet<Uuid> = events.iter().filter_map(changed_of).collect();
                    let consumers = match producers.is_empty() || endpoints.is_empty() {
                        true => HashMap::new(),
                        false => tx.pairs().consumers_of(&Vec::from_iter(producers)).await?,
                    };
                    let of = Found {
                        events: Arc::new(events),
                        ends: Arc::new(ends),
                        consumers: Arc::new(consumers),
                    };
                    new.insert(of).clone()
                }
            };
            answers.push(may_go_on.then_some(events));
        }
        let followed: Vec<(Uuid, StartHash)> = polls
            .iter()
            .filter_map(|poll| match &poll.reader {
                Reader::Endpoint(reader) if poll.touch && lives(reader) => {
                    Some((reader.id, reader.start))
                }
                _ => None,
            })
            .collect();
        if !followed.is_empty() {
            tx.starts().touch_streams(&followed).await?;
            tx.allow_asynchronous_commit().await?;
            tx.commit().await?;
        }
        Ok(answers)
    }
}
