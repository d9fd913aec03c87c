//! Sends requests to one control plane and reads its refusals.

use std::time::Duration;

use armour_api::Problem;
use bytes::Bytes;
use reqwest::{Certificate, Method, RequestBuilder, Response};

use crate::{ClientError, Result};

/// How long a whole call may take, unless its answer is read as it comes.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections to a control plane.
#[derive(Clone)]
pub(crate) struct Transport {
    http: reqwest::Client,
    base: String,
}

impl Transport {
    /// To the control plane at `base`; trusts the authorities of a PEM file besides
    /// the system's.
    pub fn new(base: &str, authorities: Option<&[u8]>) -> Result<Self> {
        let mut http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(30));
        if let Some(pem) = authorities {
            http = http.tls_certs_merge(Certificate::from_pem_bundle(pem)?);
        }
        Ok(Self {
            http: http.build()?,
            base: base.trim_end_matches('/').to_owned(),
        })
    }

    /// A path's URL.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// A request to be completed.
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Sends a request as part of the current trace, if there is one (W3C Trace Context).
    pub async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let mut request = request.build()?;
        armour_telemetry::trace::inject(&tracing::Span::current(), request.headers_mut());
        Ok(self.http.execute(request).await?)
    }
}

/// The answer if it is a success; else what its problem document says.
pub(crate) async fn success(answer: Response) -> Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let body: Bytes = answer.bytes().await?;
    Err(match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => ClientError::Problem(Box::new(problem)),
        Err(_) => ClientError::Unexpected(status),
    })
}
