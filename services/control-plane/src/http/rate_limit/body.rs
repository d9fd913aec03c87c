//! Bodies: how large, and how slow.

use std::{future::Future, sync::Arc, time::Duration};

use armour_api::ProblemType;
use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::{
    BODY_LIMIT,
    problem::{ApiError, ApiResult},
};

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(15);
/// How much of a body is read of whoever is not known yet, without a place.
const UNKNOWN_LIMIT: usize = 16 * 1024;
/// How many longer ones of such callers are held at once.
const UNKNOWN_AT_ONCE: usize = 64;
/// How long one waits for such a place.
const PLACE_TIME: Duration = Duration::from_secs(10);
/// How many bodies that are larger than others may be are held at once. Nobody has shown yet who
/// sends them, and each takes its size twice over while it is read.
const LARGE_AT_ONCE: usize = 4;

/// The routes whose bodies may be larger than 1 MiB, and how many bodies are held of those that
/// are larger, and of those of whom nobody knows yet who sends them.
pub struct Bodies {
    limits: &'static [(&'static str, usize)],
    held: Arc<Semaphore>,
    of_unknown: Arc<Semaphore>,
}

/// Marks a request: it is known who sends it.
#[derive(Debug, Clone, Copy)]
pub struct Known;

/// What holds a body has of the places that there are.
#[derive(Default)]
struct Places {
    large: Option<OwnedSemaphorePermit>,
    unknown: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    /// Allows these routes, by their paths, bodies of so many bytes.
    pub fn new(limits: &'static [(&'static str, usize)]) -> Self {
        Self {
            limits,
            held: Arc::new(Semaphore::new(LARGE_AT_ONCE)),
            of_unknown: Arc::new(Semaphore::new(UNKNOWN_AT_ONCE)),
        }
    }

    fn limit(&self, path: &str) -> usize {
        let found = self.limits.iter().find(|(of, _)| *of == path);
        found.map_or(BODY_LIMIT, |(_, limit)| *limit)
    }

    /// Reads a body. Of more than others may have, and of more than little if nobody knows who
    /// sends it, one of few places is taken, for as long as it is held.
    async fn read(&self, body: Body, limit: usize, known: bool) -> ApiResult<(Bytes, Places)> {
        let mut chunks = body.into_data_stream();
        let (mut read, mut places) = (Vec::new(), Places::default());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| too_large(limit))?;
            let length = read.len() + chunk.len();
            if length > limit {
                return Err(too_large(limit));
            }
            if length > BODY_LIMIT && places.large.is_none() {
                let free = self.held.clone().try_acquire_owned();
                places.large = Some(free.map_err(|_| busy())?);
            }
            if length > UNKNOWN_LIMIT && !known && places.unknown.is_none() {
                let place = self.of_unknown.clone().acquire_owned();
                let place = tokio::time::timeout(PLACE_TIME, place).await;
                let place = place.ok().and_then(Result::ok);
                places.unknown = Some(place.ok_or_else(busy)?);
            }
            read.extend_from_slice(&chunk);
        }
        Ok((read.into(), places))
    }
}

/// Reads the body before anything else happens: handlers begin their transaction
/// first, and a slow body must not hold a database connection.
pub async fn body(State(bodies): State<Arc<Bodies>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let known = parts.extensions.get::<Known>().is_some();
    let read = bodies.read(body, bodies.limit(parts.uri.path()), known);
    match in_time(read).await {
        Ok((body, _places)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Err(error) => error.into_response(),
    }
}

async fn in_time<T>(read: impl Future<Output = ApiResult<T>>) -> ApiResult<T> {
    let read = tokio::time::timeout(BODY_TIME, read).await;
    read.unwrap_or_else(|_| {
        Err(ApiError::new(
            ProblemType::SlowBody,
            "the body took longer than 15 s",
        ))
    })
}

fn too_large(limit: usize) -> ApiError {
    let mebibytes = limit >> 20;
    ApiError::new(
        ProblemType::TooLarge,
        format!("the body is cut short or larger than {mebibytes} MiB"),
    )
}

fn busy() -> ApiError {
    ApiError::new(
        ProblemType::Unavailable,
        "too many large bodies at once; try again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 3 * BODY_LIMIT;

    fn of(bytes: usize) -> Body {
        let chunks = (0..bytes / 1024).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024]));
        Body::from_stream(futures::stream::iter(chunks))
    }

    #[tokio::test]
    async fn no_more_large_bodies_are_held_than_there_are_places() {
        let bodies = Bodies::new(&[("/large", LARGE)]);
        assert_eq!(bodies.limit("/large"), LARGE);
        assert_eq!(bodies.limit("/other"), BODY_LIMIT);
        let mut held = Vec::new();
        for _ in 0..LARGE_AT_ONCE {
            let (body, places) = bodies.read(of(LARGE), LARGE, true).await.unwrap();
            assert_eq!(body.len(), LARGE);
            assert!(places.large.is_some());
            held.push(places);
        }
        let refused = bodies.read(of(LARGE), LARGE, true).await.err().unwrap();
        assert_eq!(refused.kind(), ProblemType::Unavailable);
        // Those that any route takes need none.
        let (_, places) = bodies.read(of(BODY_LIMIT), LARGE, true).await.unwrap();
        assert!(places.large.is_none());
        held.pop();
        assert!(bodies.read(of(LARGE), LARGE, true).await.is_ok());
        let refused = bodies.read(of(LARGE + 1024), LARGE, true).await;
        assert_eq!(refused.err().unwrap().kind(), ProblemType::TooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn m3_of_callers_whom_nobody_knows_yet_few_bodies_are_held_at_once() {
        let bodies = Bodies::new(&[]);
        let read = async |bytes, known| bodies.read(of(bytes), BODY_LIMIT, known).await;
        let mut held = Vec::new();
        for _ in 0..UNKNOWN_AT_ONCE {
            held.push(read(BODY_LIMIT, false).await.unwrap());
        }
        let refused = read(BODY_LIMIT, false).await.err().unwrap();
        assert_eq!(refused.kind(), ProblemType::Unavailable);
        // Short ones need no place, nor do those of callers who are known.
        assert!(read(UNKNOWN_LIMIT, false).await.is_ok());
        assert!(read(BODY_LIMIT, true).await.is_ok());
        // Whoever waits gets the place that is given up.
        let (waits, ()) = tokio::join!(read(BODY_LIMIT, false), async {
            tokio::time::sleep(PLACE_TIME / 2).await;
            held.pop();
        });
        assert!(waits.is_ok());
    }
}
