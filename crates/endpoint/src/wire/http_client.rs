//! HTTP to the next hop, under TLS where its address says `https`.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// And where others may be had: a packet that is lost is sent again after a second.
const CONNECT_OR_LEAVE: Duration = Duration::from_secs(2);

/// A pooling client.
pub type HttpClient = Client<HttpsConnector<HttpConnector>, Body>;

/// Which version of HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1 alone: between agents, where each exchange has a connection of its own.
    Http1,
    /// What the server agrees to under TLS, else HTTP/1.1.
    Negotiated,
    /// HTTP/2 from the first byte, as gRPC servers without TLS want it.
    Http2,
}

/// Whose certificates are trusted: the system's authorities, and these.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Trusts the system's authorities, and those of a PEM file.
    ///
    /// # Errors
    /// If the file cannot be read, or holds none.
    pub fn new(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        // An image without any is no error: agents may speak plain HTTP.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(file) = file {
            let at = || format!("read {}", file.display());
            for certificate in CertificateDer::pem_file_iter(file).with_context(at)? {
                roots.add(certificate.with_context(at)?).with_context(at)?;
            }
        }
        let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// What connects, under TLS where the address says so.
    pub fn connector(&self, version: HttpVersion) -> HttpsConnector<HttpConnector> {
        self.connecting(version, CONNECT)
    }

    fn connecting(&self, version: HttpVersion, within: Duration) -> HttpsConnector<HttpConnector> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(within));
        // A peer that is gone without a word is noticed all the same.
        connector.set_keepalive(Some(Duration::from_secs(15)));
        connector.set_tcp_user_timeout(Some(Duration::from_secs(30)));
        let tls = HttpsConnectorBuilder::new()
            .with_tls_config(self.0.as_ref().clone())
            .https_or_http();
        match version {
            HttpVersion::Http1 => tls.enable_http1().wrap_connector(connector),
            HttpVersion::Negotiated => tls.enable_all_versions().wrap_connector(connector),
            HttpVersion::Http2 => tls.enable_http2().wrap_connector(connector),
        }
    }

    /// A client with a pool of its own, for what may be sent elsewhere.
    pub fn client(&self, version: HttpVersion) -> HttpClient {
        Client::builder(TokioExecutor::new())
            .http2_only(version == HttpVersion::Http2)
            .pool_idle_timeout(Duration::from_secs(15))
            .pool_timer(TokioTimer::new())
            .build(self.connecting(version, CONNECT_OR_LEAVE))
    }
}
