//! `/v1/events` and `/v1/endpoint/events`: server-sent events, in order,
//! resumed by `Last-Event-ID`.

use std::{
    collections::HashSet,
    convert::Infallible,
    time::{Duration, Instant},
};

use armour_api::{Event, Problem};
use armour_storage::Tx;
use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{self, KeepAlive, Sse},
};
use futures::Stream;
use rand::RngExt;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    auth::{Caller, Member},
    metrics::METRICS,
    news::{Look, Reader},
    problem::{ApiError, ApiResult},
    state::App,
};

/// How often a stream looks for events though nobody told of any.
const LOOK: Duration = Duration::from_secs(2);

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(member_events))
        .routes(routes!(endpoint_events))
}

/// The tenant's events, as a stream of server-sent events. Without
/// `Last-Event-ID` it begins with the next event.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(("Last-Event-ID" = Option<i64>, Header, description = "`id` of the last event seen")),
    responses((status = 200, content_type = "text/event-stream", body = String),
              (status = "4XX", body = Problem)))]
async fn member_events(
    State(app): State<App>,
    member: Member,
    headers: HeaderMap,
) -> ApiResult<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>> {
    let reader = Reader::Member(member.who);
    stream(app, member.tx, reader, headers, |_: &Event| true).await
}

/// The events that concern the calling endpoint.
#[utoipa::path(get, path = "/v1/endpoint/events", tag = "endpoint",
    params(("Last-Event-ID" = Option<i64>, Header, description = "`id` of the last event seen")),
    responses((status = 200, content_type = "text/event-stream", body = String),
              (status = "4XX", body = Problem)))]
async fn endpoint_events(
    State(app): State<App>,
    mut caller: Caller,
    headers: HeaderMap,
) -> ApiResult<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>> {
    let id = caller.endpoint.id;
    let mut pairs: HashSet<Uuid> = HashSet::new();
    let mut cursor = None;
    loop {
        let page = caller
            .tx
            .pairs()
            .list(Some(caller.endpoint.party_id), cursor)
            .await?;
        pairs.extend(page.items.iter().map(|pair| pair.id));
        cursor = match page.next.as_deref().map(Uuid::try_parse) {
            Some(Ok(next)) => Some(next),
            _ => break,
        };
    }
    let reader = Reader::Endpoint(id);
    stream(app, caller.tx, reader, headers, move |event: &Event| {
        event.endpoint_id == Some(id) || event.pair_id.is_some_and(|pair| pairs.contains(&pair))
    })
    .await
}

/// Counts a stream for as long as it lasts, however it ends.
struct Open;

impl Open {
    fn new() -> Self {
        METRICS.streams.add(1, &[]);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        METRICS.streams.add(-1, &[]);
    }
}

async fn stream(
    app: App,
    mut tx: Tx,
    reader: Reader,
    headers: HeaderMap,
    concerns: impl Fn(&Event) -> bool + Send + 'static,
) -> ApiResult<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>> {
    let tenant = tx.tenant_id();
    // Subscribed before the first look, so that nothing falls in between.
    let mut news = app.hub.subscribe();
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
    let open = Open::new();
    let events = async_stream::stream! {
        let _open = open;
        yield Ok(sse::Event::default().comment("armour"));
        loop {
            let look = Look { reader: reader.clone(), last };
            let found = match app.news.ask(tenant, look).await {
                Ok(Some(found)) => found,
                Ok(None) => return,
                Err(error) => {
                    // The reader comes again with the last number it saw.
                    tracing::warn!(error = error.detail(), "an event stream ends");
                    return;
                }
            };
            let more = !found.is_empty();
            for event in found.iter() {
                last = event.seq;
                if concerns(event)
                    && let Ok(data) = sse::Event::default().json_data(event)
                {
                    yield Ok(data.id(event.seq.to_string()).event(&event.kind));
                }
            }
            if !more && !wait(&app, &mut news, tenant).await {
                return;
            }
        }
    };
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(10))))
}

/// Waits for news of the tenant, or for the time to look anyway. Returns
/// whether to go on.
async fn wait(app: &App, news: &mut Receiver<Uuid>, tenant: Uuid) -> bool {
    let told = async {
        loop {
            match news.recv().await {
                Ok(of) if of != tenant => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    // Spread over the time there is, so that not all readers come back at once.
    let drained = async {
        app.draining.cancelled().await;
        let share = rand::rng().random_range(0.0..1.0);
        tokio::time::sleep(Duration::from_millis(app.config.drain_delay_ms).mul_f64(share)).await;
    };
    tokio::select! {
        () = drained => false,
        () = app.stopping.cancelled() => false,
        () = told => true,
        () = tokio::time::sleep_until(next_look(app, tenant).into()) => true,
    }
}

/// When a tenant's streams look though nobody told of anything: all of them at the same
/// time, so that they share a transaction, and each tenant's at another.
fn next_look(app: &App, tenant: Uuid) -> Instant {
    let (_, low) = tenant.as_u64_pair();
    let offset = LOOK.mul_f64(low as f64 / u64::MAX as f64);
    let passed = (app.started.elapsed() + LOOK).saturating_sub(offset);
    let rounds = (passed.as_secs_f64() / LOOK.as_secs_f64()).floor() + 1.0;
    app.started + LOOK.mul_f64(rounds) + offset - LOOK
}
