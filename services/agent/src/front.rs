//! A producer's port, whoever serves there: an endpoint, and before it, between it and the next,
//! and after the last one a word of what is waited for.

use std::{convert::Infallible, sync::Arc};

use axum::{Router, extract::Request, response::IntoResponse as _};
use parking_lot::RwLock;
use tower::ServiceExt as _;

use crate::standing::Standing;

/// Who serves.
pub struct Front {
    standing: Arc<Standing>,
    current: RwLock<Option<Router>>,
}

impl Front {
    /// Nobody yet.
    pub fn new(standing: Arc<Standing>) -> Arc<Self> {
        Arc::new(Self {
            standing,
            current: RwLock::new(None),
        })
    }

    /// This serves from now on, or nobody does.
    pub fn set(&self, current: Option<Router>) {
        *self.current.write() = current;
    }

    /// What the port serves.
    pub fn router(self: &Arc<Self>) -> Router {
        let front = self.clone();
        let service = tower::service_fn(move |request: Request| {
            let front = front.clone();
            async move {
                let current = front.current.read().clone();
                Ok::<_, Infallible>(match current {
                    Some(router) => match router.oneshot(request).await {
                        Ok(response) => response,
                        Err(never) => match never {},
                    },
                    None => front.standing.refusal().into_response(),
                })
            }
        });
        Router::new().fallback_service(service)
    }
}

#[cfg(test)]
mod tests {
    use armour_endpoint::progress::Progress;
    use axum::{body::Body, http::StatusCode, routing::get};

    use super::*;

    #[tokio::test]
    async fn a_port_that_nobody_serves_yet_says_why() {
        let standing = Arc::new(Standing::new(Progress::default()));
        let front = Front::new(standing.clone());
        let ask = async || {
            let request = Request::new(Body::empty());
            front.router().oneshot(request).await.unwrap().status()
        };
        assert_eq!(ask().await, StatusCode::SERVICE_UNAVAILABLE);
        front.set(Some(Router::new().route("/", get(async || "served"))));
        assert_eq!(ask().await, StatusCode::OK);
        front.set(None);
        standing.out("revoked");
        assert_eq!(ask().await, StatusCode::SERVICE_UNAVAILABLE);
    }
}
