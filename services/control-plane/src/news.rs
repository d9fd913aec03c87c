//! Looking for events: every stream of a tenant that is woken by the same news looks
//! at the same time, and one transaction answers them all.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use armour_api::{EndpointState, Event};
use armour_storage::{StorageError, Store};
use uuid::Uuid;

use crate::{auth::Who, gather::Work, problem::ApiResult};

/// Who reads a stream. One that lasts longer than its reader's credentials would
/// tell what nobody may see any more.
#[derive(Debug, Clone)]
pub enum Reader {
    /// A person or an API token.
    Member(Who),
    /// An endpoint.
    Endpoint(Uuid),
}

/// A look for events.
pub struct Look {
    /// Who looks.
    pub reader: Reader,
    /// The number of the last event that it has.
    pub last: i64,
}

/// Looks in this database.
pub struct News(pub Store);

impl Work for News {
    type Ask = Look;
    /// The next events; none if the reader may not go on.
    type Answer = Option<Arc<Vec<Event>>>;
    const MOST_CALLS: usize = 1024;

    async fn run(&self, tenant: Uuid, looks: &[Arc<Look>]) -> ApiResult<Vec<Self::Answer>> {
        let mut tx = self.0.tenant(tenant).await?;
        let endpoints: Vec<Uuid> = looks
            .iter()
            .filter_map(|look| match look.reader {
                Reader::Endpoint(id) => Some(id),
                Reader::Member(_) => None,
            })
            .collect();
        let states = tx.endpoints().states(&endpoints).await?;
        let mut found: BTreeMap<i64, Arc<Vec<Event>>> = BTreeMap::new();
        let mut answers = Vec::with_capacity(looks.len());
        for look in looks {
            let may_go_on = match &look.reader {
                Reader::Endpoint(id) => states.get(id) == Some(&EndpointState::Active),
                Reader::Member(who) => match who.is_live(&mut tx).await {
                    Err(StorageError::NotFound) => false,
                    live => live?,
                },
            };
            let events = match found.entry(look.last) {
                Entry::Occupied(known) => known.get().clone(),
                Entry::Vacant(new) => {
                    let events = tx.events().list_after(look.last).await?;
                    new.insert(Arc::new(events)).clone()
                }
            };
            answers.push(may_go_on.then_some(events));
        }
        Ok(answers)
    }
}
