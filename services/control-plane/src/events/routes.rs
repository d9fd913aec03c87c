//! `/v1/events` and `/v1/endpoint/events`: server-sent events, in order,
//! resumed by `Last-Event-ID`.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use armour_ambient::Random;
use armour_api::ProblemType;
use armour_storage::Tx;
use axum::{
    extract::{FromRef, State},
    http::HeaderMap,
    response::{
        IntoResponse,
        sse::{self, KeepAlive, Sse},
    },
};
use rand::RngExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    events::{
        batch_reader::{EndpointReader, EventBatchReader, EventPoll, Reader},
        notifier::{EventNotifier, Notices},
        open::{Credential, OpenStream, OpenStreams},
    },
    http::problem::{ApiError, ApiResult},
    identity::authn::{Authn, EndpointAuth, Member},
    platform::group_commit::GroupCommit,
};

/// How often a stream looks for events though nobody told of any.
const POLL_EVERY: Duration = Duration::from_secs(2);
/// How often, at most, a person's or a token's stream looks.
const MEMBERS_EVERY: Duration = Duration::from_millis(200);
/// How often, at most, it is noted that somebody reads a stream.
const TOUCH_EVERY: Duration = Duration::from_millis(1500);

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Arc<EventStreams>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(member_events))
        .routes(routes!(endpoint_events))
}

/// The tenant's events, as a stream of server-sent events. Without
/// `Last-Event-ID` it begins with the next event.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(("Last-Event-ID" = Option<i64>, Header, description = "`id` of the last event seen")),
    extensions(("x-problems" = json!([ProblemType::TooManyStreams]))),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
async fn member_events(
    State(streams): State<Arc<EventStreams>>,
    member: Member,
    headers: HeaderMap,
) -> ApiResult<impl IntoResponse> {
    let credential = Credential::Member(member.principal.credential);
    let open = streams.open.open(member.tx.tenant_id(), credential)?;
    let reader = Reader::Member(member.principal);
    stream(streams, open, member.tx, reader, headers).await
}

/// The events that concern the calling endpoint: those of itself and of its party's pairs.
#[utoipa::path(get, path = "/v1/endpoint/events", tag = "endpoint",
    params(("Last-Event-ID" = Option<i64>, Header, description = "`id` of the last event seen")),
    extensions(("x-problems" = json!([ProblemType::TooManyStreams]))),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
async fn endpoint_events(
    State(streams): State<Arc<EventStreams>>,
    caller: EndpointAuth,
    headers: HeaderMap,
) -> ApiResult<impl IntoResponse> {
    let EndpointAuth {
        tx,
        endpoint,
        start,
    } = caller;
    let credential = Credential::Endpoint(endpoint.id);
    let open = streams.open.open(tx.tenant_id(), credential)?;
    let reader = Reader::Endpoint(EndpointReader {
        id: endpoint.id,
        start,
        party: endpoint.party_id,
    });
    stream(streams, open, tx, reader, headers).await
}

/// What it takes to stream events.
pub struct EventStreams {
    /// Wakes streams.
    pub notifier: EventNotifier,
    /// Those that are open.
    pub open: Arc<OpenStreams>,
    /// Reads for many streams at once.
    pub reader: Arc<GroupCommit<EventBatchReader>>,
    /// What the time to go elsewhere is drawn from.
    pub random: Random,
    /// When this process started, which streams count their polls from.
    pub started: Instant,
    /// Cancelled when this replica is about to stop.
    pub draining: CancellationToken,
    /// How long readers then have to go elsewhere.
    pub drain_delay: Duration,
    /// Cancelled when it stops.
    pub stopping: CancellationToken,
}

async fn stream(
    streams: Arc<EventStreams>,
    open: OpenStream,
    mut tx: Tx,
    reader: Reader,
    headers: HeaderMap,
) -> ApiResult<impl IntoResponse> {
    let tenant = tx.tenant_id();
    // Subscribed before the first poll, so that nothing falls in between.
    let mut notices = streams.notifier.subscribe(tenant);
    let mut last = match headers.get("last-event-id") {
        Some(value) => value
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .filter(|seq: &i64| *seq >= 0)
            .ok_or_else(|| ApiError::invalid("Last-Event-ID must be an event's number"))?
            // After a restore the numbers begin anew before those seen.
            .min(tx.events().latest_seq().await?),
        None => tx.events().latest_seq().await?,
    };
    drop(tx);
    let events = async_stream::stream! {
        let _open = open;
        // One time for the whole stream: what happens meanwhile does not put it off.
        let drained = drained(&streams.draining, streams.drain_delay, &streams.random);
        tokio::pin!(drained);
        // At once, so that whoever is in between passes on that there is an answer.
        yield Ok::<_, Infallible>(sse::Event::default().comment("armour"));
        let mut touched: Option<Instant> = None;
        // People and programs watch: many streams of a busy tenant would take a processor for
        // themselves if each event were sent by itself. Agents act, and are told at once.
        let pause = match &reader {
            Reader::Member(_) => MEMBERS_EVERY,
            Reader::Endpoint(_) => Duration::ZERO,
        };
        loop {
            let touch = touched.is_none_or(|at| at.elapsed() >= TOUCH_EVERY);
            if touch {
                touched = Some(Instant::now());
            }
            let poll = EventPoll { reader: reader.clone(), last, touch };
            let found = match streams.reader.submit(tenant, poll).await {
                Ok(Some(found)) => found,
                Ok(None) => return,
                Err(error) => {
                    // The reader comes again with the last number it saw.
                    tracing::warn!(error = error.detail(), "an event stream ends");
                    return;
                }
            };
            // Where there is always more the stream stops all the same.
            let more = !found.events.is_empty() && !streams.stopping.is_cancelled();
            for event in found.events.iter() {
                last = event.seq;
                if found.concerns(&reader, event)
                    && let Ok(data) = sse::Event::default().json_data(event)
                {
                    yield Ok(data.id(event.seq.to_string()).event(&event.kind));
                }
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            if !more && !wait(&streams, drained.as_mut(), &mut notices, tenant).await {
                return;
            }
        }
    };
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(10));
    // NGINX holds answers back until it has some kilobytes of them, unless it is told not to.
    let unbuffered = [("x-accel-buffering", "no")];
    Ok((unbuffered, Sse::new(events).keep_alive(keep_alive)))
}

/// Waits for a notice of the tenant, or for the time to poll anyway. Returns
/// whether to go on.
async fn wait(
    streams: &EventStreams,
    drained: Pin<&mut impl Future<Output = ()>>,
    notices: &mut Notices,
    tenant: Uuid,
) -> bool {
    tokio::select! {
        () = drained => false,
        () = streams.stopping.cancelled() => false,
        () = notices.next() => true,
        () = tokio::time::sleep_until(next_poll(streams, tenant)) => true,
    }
}

/// Ends at some time of those that readers have to go elsewhere: spread over it, so that
/// not all of them come back at once.
async fn drained(draining: &CancellationToken, drain_delay: Duration, random: &Random) {
    draining.cancelled().await;
    let share = random.generator().random_range(0.0..1.0);
    tokio::time::sleep(drain_delay.mul_f64(share)).await;
}

/// When a tenant's streams poll without a notice: all of them at the same
/// time, so that they share a transaction, and each tenant's at another.
fn next_poll(streams: &EventStreams, tenant: Uuid) -> Instant {
    let (_, low) = tenant.as_u64_pair();
    let offset = POLL_EVERY.mul_f64(low as f64 / u64::MAX as f64);
    let passed = (streams.started.elapsed() + POLL_EVERY).saturating_sub(offset);
    let rounds = (passed.as_secs_f64() / POLL_EVERY.as_secs_f64()).floor() + 1.0;
    streams.started + POLL_EVERY.mul_f64(rounds) + offset - POLL_EVERY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_ends_of_streams_are_spread_over_the_time_to_drain() {
        const QUARTER: Duration = Duration::from_secs(1);
        let draining = CancellationToken::new();
        let random = Random::seeded(1);
        let began = Instant::now();
        draining.cancel();
        let ends = (0..400).map(async |_| {
            drained(&draining, QUARTER * 4, &random).await;
            began.elapsed()
        });
        let ends = futures::future::join_all(ends).await;
        for quarter in 0..4 {
            let within =
                |end: &&Duration| (QUARTER * quarter..QUARTER * (quarter + 1)).contains(*end);
            let count = ends.iter().filter(within).count();
            assert!((50..150).contains(&count), "{quarter}: {count}");
        }
    }
}
