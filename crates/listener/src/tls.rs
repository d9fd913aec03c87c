//! TLS 1.2 and 1.3 on a listener, with a certificate that may be replaced while it runs.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at: certificates are renewed days before they expire.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// Files of a listener's certificate; plain HTTP if absent.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsOptions {
    /// PEM file of the certificate chain to serve TLS with, the listener's own first;
    /// plain HTTP if absent. A replaced file is taken up within seconds.
    #[arg(long, env = "ARMOUR_TLS_CERT_FILE", requires = "tls_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// PEM file of that certificate's private key.
    #[arg(long, env = "ARMOUR_TLS_KEY_FILE", requires = "tls_cert_file")]
    pub tls_key_file: Option<PathBuf>,
}

/// Why a certificate cannot be served with.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("{file}: {error}")]
    File {
        /// Which one.
        file: String,
        /// Why not.
        error: String,
    },
    /// Certificate and key do not belong together, or are of no supported kind.
    #[error("certificate and key: {0}")]
    Pair(#[from] rustls::Error),
}

/// A certificate to serve with; cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

impl TlsOptions {
    /// Reads the certificate, if there is one, and begins to watch its files. Needs a
    /// Tokio runtime.
    ///
    /// # Errors
    /// If the files cannot be used.
    pub fn open(&self) -> Result<Option<Tls>, TlsError> {
        match (&self.tls_cert_file, &self.tls_key_file) {
            (Some(certificate), Some(key)) => Tls::open(certificate, key).map(Some),
            _ => Ok(None),
        }
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> &'static str {
        match self.tls_cert_file {
            Some(_) => "https",
            None => "http",
        }
    }
}

impl Tls {
    /// Reads a chain and its key, and watches both files: a pair that holds replaces the
    /// one in use, one that does not is told of and left alone.
    ///
    /// # Errors
    /// If the files cannot be used.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let current = Arc::new(Current(RwLock::new(Arc::new(load(certificate, key)?))));
        let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        tokio::spawn(watch(
            Arc::downgrade(&current),
            certificate.to_owned(),
            key.to_owned(),
        ));
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    pub(crate) async fn accept(
        &self,
        stream: tokio::net::TcpStream,
    ) -> io::Result<tokio_rustls::server::TlsStream<tokio::net::TcpStream>> {
        self.acceptor.accept(stream).await
    }
}

struct Current(RwLock<Arc<CertifiedKey>>);

// Not the key: nobody needs to see it.
impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read();
        Some(current.clone())
    }
}

/// Until the listener is gone.
async fn watch(current: std::sync::Weak<Current>, certificate: PathBuf, key: PathBuf) {
    let bytes = || Some((std::fs::read(&certificate).ok()?, std::fs::read(&key).ok()?));
    let mut seen = bytes();
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let Some(current) = current.upgrade() else {
            return;
        };
        let now = bytes();
        if now == seen {
            continue;
        }
        match load(&certificate, &key) {
            Ok(loaded) => {
                let mut place = current.0.write();
                *place = Arc::new(loaded);
                tracing::info!(file = %certificate.display(), "a new certificate is in use");
            }
            // Perhaps one file of two: the other will come.
            Err(error) => tracing::error!(%error, "the certificate in use is kept"),
        }
        seen = now;
    }
}

fn load(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    let loaded = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?;
    loaded.keys_match()?;
    Ok(loaded)
}

fn unreadable(file: &Path, error: &impl std::fmt::Display) -> TlsError {
    TlsError::File {
        file: file.display().to_string(),
        error: error.to_string(),
    }
}
