//! What every request goes through, in whatever version of HTTP it came.

use std::{future::Future, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    response::Response,
};
use http::Version;
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::{
    connection_tracker::{Busy, TrackedConnection, UnderWay},
    interim::{Awaited, Interim},
    rules,
};

/// The requests of a connection.
pub(crate) struct Handler {
    router: Router,
    peer: SocketAddr,
    connection: Arc<TrackedConnection>,
}

impl Handler {
    pub(crate) fn new(
        router: Router,
        peer: SocketAddr,
        connection: Arc<TrackedConnection>,
    ) -> Arc<Self> {
        Arc::new(Self {
            router,
            peer,
            connection,
        })
    }

    /// Answers a request; where interim responses to it go, too.
    pub(crate) fn answer(
        &self,
        mut request: Request,
    ) -> (Interim, impl Future<Output = Response> + Send + use<>) {
        let interim = Interim::to(&request);
        // Until the response's last byte has been taken, and the request's.
        let busy = Arc::new(self.connection.busy());
        // Handlers may ask where a request comes from. A layer of its own on each
        // connection's router would copy every route for each connection.
        request.extensions_mut().insert(ConnectInfo(self.peer));
        // And until what a handler has made of it has ended: hyper lets go of both bodies
        // once a request is upgraded.
        let under_way = UnderWay::of(&self.connection);
        request.extensions_mut().insert(under_way);
        request.extensions_mut().insert(interim.clone());
        let checked = rules::check(&request);
        let of_http_10 = request.version() == Version::HTTP_10;
        let told = interim.clone();
        let request =
            request.map(|body| holding(Body::new(Awaited::new(body, told)), busy.clone()));
        let (router, connection) = (self.router.clone(), self.connection.clone());
        let answer = async move {
            let response = match checked {
                Ok(()) => {
                    let Ok(response) = router.oneshot(request).await;
                    response
                }
                Err(violation) => violation.into(),
            };
            let response = response.map(|body| holding(body, busy));
            match of_http_10 {
                true => response.map(|body| showing_cuts(body, connection)),
                false => response,
            }
        };
        (interim, answer)
    }
}

/// A body that holds this for as long as it lives.
fn holding(body: Body, held: Arc<Busy>) -> Body {
    Body::new(body.map_err(move |error| {
        let _held = &held;
        error
    }))
}

/// A body whose end is that of its connection: where it breaks, the connection is not closed but
/// reset, which is all that tells the two apart in HTTP/1.0.
fn showing_cuts(body: Body, connection: Arc<TrackedConnection>) -> Body {
    Body::new(body.map_err(move |error| {
        connection.cut();
        error
    }))
}
