//! What the enclave does for an endpoint's start and its chain of links.

use armour_enclave::{Enclave, EnclaveError, ipc::ChainState};
use futures::future::BoxFuture;

/// What came of a call to the enclave.
pub type Signed<'a, T> = BoxFuture<'a, Result<T, EnclaveError>>;

/// The enclave, or what takes its place in tests.
pub trait Signer: Send + Sync + 'static {
    /// Begins this process's start; the record to be kept comes back.
    fn begin_start(&self, endpoint: [u8; 16], record: Option<Vec<u8>>) -> Signed<'_, Vec<u8>>;
    /// The record is kept: the signed start.
    fn start_kept(&self) -> Signed<'_, Vec<u8>>;
    /// The start was accepted; the record to be kept.
    fn start_accepted(&self) -> Signed<'_, Vec<u8>>;
    /// A signature that this start lives although another wants its place.
    fn present(&self, other: [u8; 32]) -> Signed<'_, Vec<u8>>;
    /// The chain's next link.
    fn link(&self, kind: u8, body: Vec<u8>) -> Signed<'_, Vec<u8>>;
    /// The link that renews the keys.
    fn renew(&self) -> Signed<'_, Vec<u8>>;
    /// The control plane told the chain's head.
    fn link_answered(&self, k: u64, hash: [u8; 32]) -> Signed<'_, ChainState>;
    /// The link that disowns the head that is not ours.
    fn disown_head(&self) -> Signed<'_, Vec<u8>>;
    /// The log's head that openings carry.
    fn log_head(&self, head: Vec<u8>) -> Signed<'_, ()>;
}

impl Signer for Enclave {
    fn begin_start(&self, endpoint: [u8; 16], record: Option<Vec<u8>>) -> Signed<'_, Vec<u8>> {
        Box::pin(self.begin_start(endpoint, record))
    }

    fn start_kept(&self) -> Signed<'_, Vec<u8>> {
        Box::pin(self.start_kept())
    }

    fn start_accepted(&self) -> Signed<'_, Vec<u8>> {
        Box::pin(self.start_accepted())
    }

    fn present(&self, other: [u8; 32]) -> Signed<'_, Vec<u8>> {
        Box::pin(self.present(other))
    }

    fn link(&self, kind: u8, body: Vec<u8>) -> Signed<'_, Vec<u8>> {
        Box::pin(self.link(kind, body))
    }

    fn renew(&self) -> Signed<'_, Vec<u8>> {
        Box::pin(self.renew())
    }

    fn link_answered(&self, k: u64, hash: [u8; 32]) -> Signed<'_, ChainState> {
        Box::pin(self.link_answered(k, hash))
    }

    fn disown_head(&self) -> Signed<'_, Vec<u8>> {
        Box::pin(self.disown_head())
    }

    fn log_head(&self, head: Vec<u8>) -> Signed<'_, ()> {
        Box::pin(self.log_head(head))
    }
}
