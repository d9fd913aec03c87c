//! Endpoints that fell silent.

use std::time::Duration as StdDuration;

use armour_api::{Phase, Policy, Role};
use armour_storage::{
    Actor, NewEvent, PLATFORM, PairingAction, Silence, SilentCount, SilentSince, Store,
};
use chrono::{DateTime, Duration, Utc};
use opentelemetry::KeyValue;
use tokio::time::Instant;
use uuid::Uuid;

use super::{assignments::changed_of, starts};
use crate::{
    http::problem::ApiResult,
    jobs::{Job, acquire_lease},
    platform::instruments::METRICS,
};

/// Of how many one transaction tells.
const BATCH: u16 = 500;
/// How often it is looked.
const PAUSE: StdDuration = StdDuration::from_secs(5);
/// How often it is noted that the service is there.
const THERE: StdDuration = StdDuration::from_secs(3);
/// The service was away if that was not noted for so long, in seconds.
const GAP_S: f64 = 12.0;
/// How long agents wait at most before they try again to reach a service that was away.
const BACKOFF: Duration = Duration::seconds(30);
/// So many endpoints at least, and more than one in so many of those that are there, do not leave
/// at once by themselves: something between them and the service has failed.
const MANY: u64 = 5;
const ONE_IN: u64 = 20;
/// As many may share a machine that has failed, and are not waited for, unless they are more than
/// half of all.
const ONE_MACHINE: u64 = 10;
/// How long they are not taken for lost then.
const WAIT: Duration = Duration::minutes(10);

/// Looks for endpoints that were not heard of for so long.
pub fn job(store: Store, after: Duration) -> Job {
    Job::new("lost-endpoints", PAUSE, (store, after), find_lost)
}

/// Notes that the service is there, however long it takes to look at all tenants.
pub fn service_job(store: Store) -> Job {
    Job::new("service-there", THERE, store, async |store| {
        store.unbroken_since(GAP_S).await?;
        Ok(())
    })
}

/// Marks endpoints that were not heard of for too long, and tells of each once.
async fn find_lost((store, after): (Store, Duration)) -> ApiResult<()> {
    if !acquire_lease(&store, "lost-endpoints", 4.0).await? {
        return Ok(());
    }
    look(&store, after).await
}

/// Looks once, at all tenants. What fails at one of them is told, and tried again with the next
/// look: the others do not wait for it.
///
/// # Errors
/// If the database does not answer.
pub async fn look(store: &Store, after: Duration) -> ApiResult<()> {
    let (mut service, mut asked) = (store.unbroken_since(GAP_S).await?, Instant::now());
    let mut at = PLATFORM;
    while let Some(tenant) = store.next_tenant(at).await? {
        at = tenant;
        if asked.elapsed() > THERE {
            // It may have been away since.
            (service, asked) = (store.unbroken_since(GAP_S).await?, Instant::now());
        }
        if let Err(error) = look_at(store, tenant, service, after).await {
            METRICS
                .worker_failures
                .add(1, &[KeyValue::new("worker", "lost-endpoints")]);
            tracing::warn!(
                %tenant,
                error = error.detail(),
                "cannot look for lost endpoints; trying again later"
            );
        }
    }
    Ok(())
}

/// Looks at one tenant.
async fn look_at(
    store: &Store,
    tenant: Uuid,
    service: DateTime<Utc>,
    after: Duration,
) -> ApiResult<()> {
    let after = allowed(store, tenant, after).await?;
    let since = silent_since(store, service, after);
    retire_leaving(store, tenant, since).await?;
    if !is_to_wait(store, tenant, since).await? {
        while find_some(store, tenant, after, since).await? == usize::from(BATCH) {}
    }
    Ok(())
}

/// How long a tenant's endpoints may be silent: longer where signs of life are rarer by policy.
async fn allowed(store: &Store, tenant: Uuid, after: Duration) -> ApiResult<Duration> {
    let mut tx = store.tenant(tenant).await?;
    let longest = tx.silence().longest_interval_ms().await?;
    let usual = i64::from(Policy::default().heartbeat_interval_ms);
    let allowed = after.num_milliseconds().saturating_mul(longest.max(usual)) / usual;
    Ok(Duration::milliseconds(allowed))
}

/// Silence counts from the later of the last sign of life and the time since when the service could
/// hear any: after it was away endpoints have as long again, and the longest time that they wait
/// before they try again.
fn silent_since(store: &Store, service: DateTime<Utc>, after: Duration) -> SilentSince {
    let now = store.now();
    let all_could = now >= service + after + BACKOFF;
    SilentSince {
        last: now - after,
        heard_since: (!all_could).then_some(service),
    }
}

/// Ends what was about to leave and fell silent: it has left.
async fn retire_leaving(store: &Store, tenant: Uuid, since: SilentSince) -> ApiResult<()> {
    let mut tx = store.tenant(tenant).await?;
    let leaving = tx.silence().draining(since, BATCH.into()).await?;
    drop(tx);
    for id in leaving {
        // Each by itself: an endpoint's lock comes before the journal's.
        let mut tx = store.tenant(tenant).await?;
        tx.endpoints().lock(id).await?;
        let endpoint = tx.endpoints().find(id).await?;
        let silent = endpoint.last_seen_at.is_some_and(|seen| seen < since.last);
        if silent && endpoint.phase == Some(Phase::Draining) {
            let reason = "it was about to leave, and fell silent";
            starts::leave(&mut tx, &endpoint, &Actor::Service, reason).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// Whether so many of a tenant's endpoints are silent at once that they are waited for; people are
/// told once.
async fn is_to_wait(store: &Store, tenant: Uuid, since: SilentSince) -> ApiResult<bool> {
    let mut tx = store.tenant(tenant).await?;
    let SilentCount { silent, there } = tx.silence().count(since).await?;
    let known = tx.silence().of_many_since().await?;
    let many = are_many(silent, there);
    let (wait, told) = match known {
        // While it is not known yet who could be heard nothing is over.
        Some(_) if !many && since.heard_since.is_none() => {
            (false, tx.silence().set_of_many(None).await?)
        }
        Some(at) => (tx.now() - at < WAIT, false),
        None if many => {
            let now = tx.now();
            let told = tx.silence().set_of_many(Some(now)).await?;
            if told {
                let action = PairingAction::EndpointsSilent { silent, there };
                tx.audit_log().append(&Actor::Service, action).await?;
                let event = NewEvent::EndpointsSilent { silent, there };
                tx.events().record(event).await?;
            }
            (true, told)
        }
        None => (false, false),
    };
    if told {
        tx.commit().await?;
    }
    Ok(wait)
}

/// Whether so many of those that are there do not fall silent by themselves.
fn are_many(silent: u64, there: u64) -> bool {
    let few = (there / ONE_IN).max(ONE_MACHINE.min(there / 2));
    silent >= MANY && silent > few
}

/// Tells of some of a tenant's endpoints, in one transaction: what is told stays told.
async fn find_some(
    store: &Store,
    tenant: Uuid,
    after: Duration,
    since: SilentSince,
) -> ApiResult<usize> {
    let mut tx = store.tenant(tenant).await?;
    // Of two replicas' updates of a row the second finds it marked.
    let lost = tx.silence().mark_lost(since, BATCH.into()).await?;
    let left = tx.silence().mark_left(since.last, BATCH.into()).await?;
    let silences = lost.iter().map(|endpoint| {
        let silence = Silence {
            name: &endpoint.name,
            silent_for_s: after.num_seconds(),
        };
        (endpoint.id, silence)
    });
    let events = silences
        .clone()
        .map(|(endpoint, silence)| NewEvent::EndpointLost { endpoint, silence });
    tx.events().record_all(events).await?;
    for (id, silence) in silences {
        let action = PairingAction::EndpointLost { id, silence };
        tx.audit_log().append(&Actor::Service, action).await?;
    }
    let producers = lost.iter().filter(|one| one.role == Role::Producer);
    let producers: Vec<(Uuid, Uuid)> = producers.map(|one| (one.id, one.party)).collect();
    changed_of(&mut tx, &producers).await?;
    if !lost.is_empty() || left > 0 {
        tx.commit().await?;
    }
    Ok(lost.len())
}

#[cfg(test)]
mod tests {
    use super::are_many;

    #[test]
    fn a_machine_that_fails_hides_nobodys_silence() {
        for (silent, there, expected) in [
            (4, 4, false),
            (5, 60, false),
            (10, 60, false),
            (11, 60, true),
            (5, 9, true),
            (5, 10, false),
            (6, 10, true),
            (50, 1_000, false),
            (51, 1_000, true),
        ] {
            assert_eq!(are_many(silent, there), expected, "{silent} of {there}");
        }
    }
}
