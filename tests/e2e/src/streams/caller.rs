//! A caller that sees how an answer's body ends, over HTTP/1.1 or HTTP/2.

use anyhow::ensure;
use axum::body::{Body, Bytes};
use axum::http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// Calls an agent.
#[derive(Clone)]
pub struct Caller {
    base: String,
    client: Client<HttpConnector, Body>,
}

/// How an answer ended for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// With all its bytes, as far as its caller can tell: so many.
    Ended(u64),
    /// It broke off, or was no answer of the API.
    Broke,
}

impl Caller {
    /// Of the agent at `base`.
    pub fn new(base: &str, http2: bool) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            base: base.to_owned(),
            client: Client::builder(TokioExecutor::new())
                .http2_only(http2)
                .build(connector),
        }
    }

    /// The head of a call's answer; its body comes as it is read.
    ///
    /// # Errors
    /// If there is none.
    pub async fn call(
        &self,
        method: Method,
        target: &str,
        length: Option<u64>,
        body: Body,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{target}", self.base));
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        Ok(self.client.request(request.body(body)?).await?)
    }

    /// A GET that is served.
    ///
    /// # Errors
    /// If it is not.
    pub async fn get(&self, target: &str) -> anyhow::Result<Response<Incoming>> {
        let answer = self.call(Method::GET, target, None, Body::empty()).await?;
        ensure!(answer.status().is_success(), "{}", answer.status());
        Ok(answer)
    }

    /// How a GET ends; whoever cuts it is told of its first piece by `begun`.
    pub async fn sees(&self, target: &str, begun: impl FnOnce()) -> Seen {
        let Ok(answer) = self.get(target).await else {
            return Seen::Broke;
        };
        let (mut body, mut bytes, mut begun) = (answer.into_body(), 0, Some(begun));
        loop {
            match next(&mut body).await {
                Some(Ok(piece)) => bytes += piece.len() as u64,
                Some(Err(_)) => return Seen::Broke,
                None => return Seen::Ended(bytes),
            }
            if let Some(begun) = begun.take() {
                begun();
            }
        }
    }
}

/// The next piece of a body.
pub async fn next(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        match body.frame().await? {
            Ok(frame) => {
                if let Ok(piece) = frame.into_data() {
                    return Some(Ok(piece));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}
