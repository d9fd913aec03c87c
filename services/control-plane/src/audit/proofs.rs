//! What the audit log proves to those who know an earlier head of it.

use armour_api::{EnrolProof, KeyProof, LogHead, ProblemType};
use armour_storage::Tx;
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use crate::http::problem::{ApiError, ApiResult};

/// The latest head, and how it follows from one that the caller knows.
///
/// # Errors
/// 409 `log-behind` if the log is shorter than what the caller knows of it.
pub async fn log_head(tx: &mut Tx, since: Option<u64>) -> ApiResult<LogHead> {
    let head = tx.audit_tree().latest_head().await?;
    Ok(LogHead {
        log_key: STANDARD.encode(tx.audit_log().public_key().await?),
        consistency: consistent(tx, since, head.size).await?,
        head,
    })
}

/// What the audit log says of endpoints' keys, and how it follows from the head
/// that the caller knows.
///
/// # Errors
/// 409 `log-behind` if the log is shorter than what the caller knows of it.
pub async fn key_proof(tx: &mut Tx, known: Option<u64>, endpoints: &[Uuid]) -> ApiResult<KeyProof> {
    let head = tx.audit_tree().latest_head().await?;
    let mut keys = Vec::new();
    for endpoint in endpoints {
        let entry = tx.endpoints().enrolment_entry(*endpoint).await?;
        let inclusion = tx
            .audit_tree()
            .prove_inclusion(entry.seq, head.size)
            .await?;
        keys.push(EnrolProof { entry, inclusion });
    }
    Ok(KeyProof {
        consistency: consistent(tx, known, head.size).await?,
        head,
        keys,
    })
}

/// Proof that the trees of two sizes begin alike, whichever is the earlier.
async fn consistent(tx: &mut Tx, known: Option<u64>, size: u64) -> ApiResult<Vec<String>> {
    let known = known.unwrap_or(size);
    if known > tx.audit_log().size().await? {
        return Err(ApiError::new(
            ProblemType::LogBehind,
            "the log is shorter than what the caller has seen of it",
        ));
    }
    Ok(tx
        .audit_tree()
        .prove_consistency(known.min(size), known.max(size))
        .await?)
}
