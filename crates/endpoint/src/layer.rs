//! The producer: a layer that opens protected exchanges and hands the requests on.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, response::IntoResponse};
use http::{Request, Response};
use tower::{Layer, Service, ServiceExt, util::BoxCloneSyncService};

use crate::{
    options::Options,
    producer::{
        endpoint, exchange_handler,
        open::{Opened, open},
        upstream::Upstream,
    },
};

/// An enrolled producer.
pub struct Producer {
    opened: Opened,
    answer_within: Duration,
}

impl Producer {
    pub(crate) async fn open(options: &Options, address: String) -> anyhow::Result<Self> {
        let nothing = Upstream::Here(
            BoxCloneSyncService::new(tower::service_fn(async |_: Request<Body>| {
                Ok(http::StatusCode::SERVICE_UNAVAILABLE.into_response())
            })),
            options.answer_within,
        );
        Ok(Self {
            opened: open(options, address, nothing).await?,
            answer_within: options.answer_within,
        })
    }

    /// Protects the service that it is laid around: that gets what came under a seal, and
    /// nothing else. A producer protects one service; the latest it was laid around.
    pub fn layer(&self) -> ProducerLayer {
        ProducerLayer {
            producer: self.opened.producer.clone(),
            answer_within: self.answer_within,
        }
    }

    /// Refuses new calls, lets those under way end, reports what is still unreported, and
    /// ends.
    pub async fn drain(self) {
        self.opened.drain().await;
    }
}

/// See [`Producer::layer`].
#[derive(Clone)]
pub struct ProducerLayer {
    producer: Arc<endpoint::ProducerEndpoint>,
    answer_within: Duration,
}

impl<S> Layer<S> for ProducerLayer
where
    S: Service<Request<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Response: IntoResponse,
    S::Future: Send + 'static,
{
    type Service = Protected;

    fn layer(&self, inner: S) -> Protected {
        let inner = inner.map_response(IntoResponse::into_response);
        let inner = BoxCloneSyncService::new(inner);
        self.producer
            .send_to(Upstream::Here(inner, self.answer_within));
        Protected(exchange_handler::router(self.producer.clone()))
    }
}

/// Takes exchanges, `POST /armour/v2/exchange`; whatever else it is asked is not found.
#[derive(Clone)]
pub struct Protected(Router);

impl Service<Request<Body>> for Protected {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Router as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.call(request)
    }
}
