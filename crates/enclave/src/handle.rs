//! The proxy's handle on the enclave: starts it and calls it.

use std::{
    collections::HashMap,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use armour_dpop::{Claims, ProofError, Prover};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    process::{Child, Command},
    sync::{Mutex as AsyncMutex, oneshot},
};
use zeroize::Zeroizing;

use crate::{
    binding::{Binding, LaneId},
    ipc::{self, Accepted, Call, Hardening, Keyed, Reply},
};

/// Why a call to the enclave failed.
#[derive(Debug, Error)]
pub enum EnclaveError {
    /// The enclave refused; nothing has changed.
    #[error("enclave: {0}")]
    Refused(String),
    /// The enclave is gone, and with it every root secret.
    #[error("the enclave is gone")]
    Gone,
}

/// The enclave, as the proxy sees it; cheap to clone.
#[derive(Clone)]
pub struct Enclave {
    writer: Arc<AsyncMutex<OwnedWriteHalf>>,
    pending: Pending,
    next: Arc<AtomicU64>,
}

type Pending = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Reply>>>>>;

impl Enclave {
    /// Starts the enclave: this program again, as `enclave`, with the socket as
    /// its standard input. It ends when the socket closes.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub fn start(program: &Path, key_file: &Path) -> io::Result<(Self, Child)> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(program)
            .arg("enclave")
            .arg("--key-file")
            .arg(key_file)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            // Ctrl-C is for the proxy; the enclave lives until the proxy ends.
            .process_group(0)
            .spawn()?;
        ours.set_nonblocking(true)?;
        let (reader, writer) = tokio::net::UnixStream::from_std(ours)?.into_split();
        let pending: Pending = Arc::new(Mutex::new(Some(HashMap::new())));
        tokio::spawn(read_replies(reader, pending.clone()));
        let enclave = Self {
            writer: Arc::new(AsyncMutex::new(writer)),
            pending,
            next: Arc::new(AtomicU64::new(0)),
        };
        Ok((enclave, child))
    }

    /// What the enclave's process has given up.
    ///
    /// # Errors
    /// If the enclave is gone; so for all calls below, or if it refuses.
    pub async fn hardening(&self) -> Result<Hardening, EnclaveError> {
        match self.call(Call::Hardening).await? {
            Reply::Hardening(hardening) => Ok(hardening),
            _ => Err(EnclaveError::Gone),
        }
    }

    /// Ed25519 and X25519 public keys.
    ///
    /// # Errors
    /// As above.
    pub async fn identity(&self) -> Result<([u8; 32], [u8; 32]), EnclaveError> {
        match self.call(Call::Identity).await? {
            Reply::Identity {
                signing_key,
                kem_key,
            } => Ok((signing_key, kem_key)),
            _ => Err(EnclaveError::Gone),
        }
    }

    /// Takes a bundle's sealed secret.
    ///
    /// # Errors
    /// As above.
    pub async fn install(&self, binding: Binding, envelope: Vec<u8>) -> Result<(), EnclaveError> {
        self.call(Call::Install { binding, envelope })
            .await
            .map(drop)
    }

    /// Erases a bundle.
    ///
    /// # Errors
    /// As above.
    pub async fn erase(&self, bundle: [u8; 16]) -> Result<(), EnclaveError> {
        self.call(Call::Erase { bundle }).await.map(drop)
    }

    /// Begins a lane's next exchange, and signs content of this digest.
    ///
    /// # Errors
    /// As above.
    pub async fn begin(
        &self,
        lane: LaneId,
        content: Option<[u8; 32]>,
    ) -> Result<Keyed, EnclaveError> {
        self.keyed(Call::Begin { lane, content }).await
    }

    /// Takes a response's head.
    ///
    /// # Errors
    /// As above; the lane waits on.
    pub async fn receive(&self, lane: LaneId, head: Vec<u8>) -> Result<Keyed, EnclaveError> {
        self.keyed(Call::Receive { lane, head }).await
    }

    /// Whether the ledger's head of a lane is our own work.
    ///
    /// # Errors
    /// As above.
    pub async fn owns(&self, lane: LaneId, n: u64, hash: [u8; 32]) -> Result<bool, EnclaveError> {
        match self.call(Call::Owns { lane, n, hash }).await? {
            Reply::Owns(owns) => Ok(owns),
            _ => Err(EnclaveError::Gone),
        }
    }

    /// Judges a request's head and accepts it if it is the next.
    ///
    /// # Errors
    /// As above; the lane is as it was.
    pub async fn accept(&self, lane: LaneId, head: Vec<u8>) -> Result<Accepted, EnclaveError> {
        match self.call(Call::Accept { lane, head }).await? {
            Reply::Accepted(accepted) => Ok(accepted),
            _ => Err(EnclaveError::Gone),
        }
    }

    /// Begins the response to the accepted ticket, and signs content of this digest.
    ///
    /// # Errors
    /// As above.
    pub async fn respond(
        &self,
        lane: LaneId,
        content: Option<[u8; 32]>,
    ) -> Result<Keyed, EnclaveError> {
        self.keyed(Call::Respond { lane, content }).await
    }

    /// Signs a payload.
    ///
    /// # Errors
    /// As above.
    pub async fn sign(
        &self,
        transcript: [u8; 32],
        digest: [u8; 32],
    ) -> Result<[u8; 64], EnclaveError> {
        match self.call(Call::Sign { transcript, digest }).await? {
            Reply::Signature(signature) => signature.try_into().map_err(|_| EnclaveError::Gone),
            _ => Err(EnclaveError::Gone),
        }
    }

    /// A bundle's whole state.
    ///
    /// # Errors
    /// As above.
    #[cfg(feature = "state-export")]
    pub async fn export(&self, bundle: [u8; 16]) -> Result<crate::stolen::Stolen, EnclaveError> {
        match self.call(Call::Export { bundle }).await? {
            Reply::Stolen(stolen) => Ok(stolen),
            _ => Err(EnclaveError::Gone),
        }
    }

    /// Becomes the endpoint that the state was taken from.
    ///
    /// # Errors
    /// As above.
    #[cfg(feature = "state-export")]
    pub async fn import(&self, stolen: crate::stolen::Stolen) -> Result<(), EnclaveError> {
        self.call(Call::Import { stolen }).await.map(drop)
    }

    async fn keyed(&self, call: Call) -> Result<Keyed, EnclaveError> {
        match self.call(call).await? {
            Reply::Keyed(keyed) => Ok(keyed),
            _ => Err(EnclaveError::Gone),
        }
    }

    async fn call(&self, call: Call) -> Result<Reply, EnclaveError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let frame =
            ipc::encode(id, &call).map_err(|_| EnclaveError::Refused("malformed".to_owned()))?;
        let (sender, receiver) = oneshot::channel();
        {
            let mut pending = self.pending.lock();
            pending
                .as_mut()
                .ok_or(EnclaveError::Gone)?
                .insert(id, sender);
        }
        // Written by a task of its own: a caller that gives up in the middle of
        // a frame would leave the rest of the stream unreadable.
        let writer = self.writer.clone();
        let written = tokio::spawn(async move { writer.lock().await.write_all(&frame).await });
        if !matches!(written.await, Ok(Ok(()))) {
            return Err(EnclaveError::Gone);
        }
        match receiver.await.map_err(|_| EnclaveError::Gone)? {
            Reply::Failed(code) => Err(EnclaveError::Refused(code)),
            reply => Ok(reply),
        }
    }
}

/// The endpoint's key is in the enclave alone.
impl Prover for Enclave {
    fn prove(&self, claims: Claims) -> BoxFuture<'_, Result<String, ProofError>> {
        let call = Call::Proof {
            jti: claims.jti.into_bytes(),
            htm: claims.htm,
            htu: claims.htu,
            iat: claims.iat,
            ath: claims.ath,
            nonce: claims.nonce,
        };
        Box::pin(async move {
            match self.call(call).await {
                Ok(Reply::Proof(proof)) => Ok(proof),
                Ok(_) => Err(ProofError(EnclaveError::Gone.to_string())),
                Err(error) => Err(ProofError(error.to_string())),
            }
        })
    }
}

impl EnclaveError {
    /// Whether the enclave refused with this code.
    pub fn is(&self, code: &str) -> bool {
        matches!(self, Self::Refused(refused) if refused == code)
    }
}

async fn read_replies(mut reader: OwnedReadHalf, pending: Pending) {
    while let Ok((id, reply)) = read_reply(&mut reader).await {
        let mut pending = pending.lock();
        if let Some(sender) = pending.as_mut().and_then(|calls| calls.remove(&id)) {
            // The caller may have given up; then the reply is dropped.
            let _ = sender.send(reply);
        }
    }
    // Whoever waits, and whoever calls from now on, learns that it is gone.
    pending.lock().take();
}

async fn read_reply(reader: &mut OwnedReadHalf) -> io::Result<(u64, Reply)> {
    let mut length = [0u8; 4];
    reader.read_exact(&mut length).await?;
    let mut frame = Zeroizing::new(vec![0u8; ipc::frame_length(length)?]);
    reader.read_exact(&mut frame).await?;
    ipc::decode(&frame)
}
