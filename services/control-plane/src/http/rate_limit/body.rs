//! Bodies: how large, and how slow.

use std::{future::Future, sync::Arc, time::Duration};

use armour_api::ProblemType;
use axum::{
    body::{Body, Bytes, to_bytes},
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
/// How many bodies that are larger than others may be are held at once. Nobody has shown yet who
/// sends them, and each takes its size twice over while it is read.
const LARGE_AT_ONCE: usize = 4;

/// The routes whose bodies may be larger than 1 MiB, and how many such bodies are held.
pub struct LargeBodies {
    limits: &'static [(&'static str, usize)],
    held: Arc<Semaphore>,
}

impl LargeBodies {
    /// Allows these routes, by their paths, bodies of so many bytes.
    pub fn new(limits: &'static [(&'static str, usize)]) -> Self {
        Self {
            limits,
            held: Arc::new(Semaphore::new(LARGE_AT_ONCE)),
        }
    }

    fn limit(&self, path: &str) -> Option<usize> {
        let found = self.limits.iter().find(|(of, _)| *of == path);
        found.map(|(_, limit)| *limit)
    }

    /// Reads a body. Of more than others may have one of few places is taken, for as long as it
    /// is held.
    async fn read(
        &self,
        body: Body,
        limit: usize,
    ) -> ApiResult<(Bytes, Option<OwnedSemaphorePermit>)> {
        let mut chunks = body.into_data_stream();
        let (mut read, mut place) = (Vec::new(), None);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| too_large(limit))?;
            let length = read.len() + chunk.len();
            if length > limit {
                return Err(too_large(limit));
            }
            if length > BODY_LIMIT && place.is_none() {
                let free = self.held.clone().try_acquire_owned();
                place = Some(free.map_err(|_| busy())?);
            }
            read.extend_from_slice(&chunk);
        }
        Ok((read.into(), place))
    }
}

/// Reads the body before anything else happens: handlers begin their transaction
/// first, and a slow body must not hold a database connection.
pub async fn body(State(large): State<Arc<LargeBodies>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let read = async {
        match large.limit(parts.uri.path()) {
            Some(limit) => large.read(body, limit).await,
            None => match to_bytes(body, BODY_LIMIT).await {
                Ok(body) => Ok((body, None)),
                Err(_) => Err(too_large(BODY_LIMIT)),
            },
        }
    };
    match in_time(read).await {
        Ok((body, _place)) => next.run(Request::from_parts(parts, Body::from(body))).await,
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
        let large = LargeBodies::new(&[("/large", LARGE)]);
        assert_eq!(large.limit("/large"), Some(LARGE));
        assert_eq!(large.limit("/other"), None);
        let mut held = Vec::new();
        for _ in 0..LARGE_AT_ONCE {
            let (body, place) = large.read(of(LARGE), LARGE).await.unwrap();
            assert_eq!(body.len(), LARGE);
            held.push(place.expect("a place"));
        }
        let refused = large.read(of(LARGE), LARGE).await.unwrap_err();
        assert_eq!(refused.kind(), ProblemType::Unavailable);
        // Those that any route takes need none.
        let (_, place) = large.read(of(BODY_LIMIT), LARGE).await.unwrap();
        assert!(place.is_none());
        held.pop();
        assert!(large.read(of(LARGE), LARGE).await.is_ok());
        let refused = large.read(of(LARGE + 1024), LARGE).await.unwrap_err();
        assert_eq!(refused.kind(), ProblemType::TooLarge);
    }
}
