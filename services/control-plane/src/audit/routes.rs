//! `/v1/audit`: who did what, and the proof that nobody changed it since.

use crate::identity::authn::Authn;
use armour_api::{
    AuditEntry, ConsistencyProof, ExportEnd, ExportHeader, ExportedEntry, InclusionProof, LogHead,
    Page, Problem, SignedHead,
};
use armour_storage::{AuditFilter, StorageError, Store};
use armour_transparency::export::FORMAT;
use axum::extract::FromRef;
use axum::{
    Json as Answer,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderName, HeaderValue, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::Stream;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    audit::proofs::log_head,
    http::extract::Params,
    http::problem::{ApiError, ApiResult},
    identity::authn::Member,
};

/// Entries read at a time for an export.
const CHUNK: i64 = 500;

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Store: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(head))
        .routes(routes!(consistency))
        .routes(routes!(proof))
        .routes(routes!(export))
}

/// Where a page of entries begins.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Before {
    /// `next` of the page before.
    pub cursor: Option<i64>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// `next` of the page before.
    cursor: Option<i64>,
    /// Only of this actor, for example `token:<id>`.
    actor: Option<String>,
    /// Only actions that begin so, for example `pair.`.
    action: Option<String>,
    /// Only on this target.
    target: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Since {
    /// Size of a head that the caller knows.
    pub since: Option<u64>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Sizes {
    /// Size of the earlier tree, at least 1.
    first: u64,
    /// Size of the later tree; the latest if absent.
    size: Option<u64>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct InTree {
    /// Size of the tree; the latest if absent.
    size: Option<u64>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct From {
    /// Number of the first entry; the first that is kept if absent.
    from: Option<i64>,
}

/// Lists audit entries, latest first.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(Filter),
    responses((status = 200, body = Page<AuditEntry>), (status = "4XX", body = Problem)))]
async fn list(
    mut member: Member,
    Params(filter): Params<Filter>,
) -> ApiResult<Answer<Page<AuditEntry>>> {
    let texts = [&filter.actor, &filter.action, &filter.target];
    if texts.into_iter().flatten().any(|text| text.contains('\0')) {
        return Err(ApiError::invalid("a filter must not hold a NUL character"));
    }
    let filter = AuditFilter {
        before: filter.cursor,
        actor: filter.actor.as_deref(),
        action: filter.action.as_deref(),
        target: filter.target.as_deref(),
    };
    Ok(Answer(member.tx.audit_log().list(&filter).await?))
}

/// The latest signed head of the log's tree.
#[utoipa::path(get, path = "/v1/audit/head", tag = "audit", params(Since),
    responses((status = 200, body = LogHead), (status = "4XX", body = Problem)))]
async fn head(mut member: Member, Params(since): Params<Since>) -> ApiResult<Answer<LogHead>> {
    Ok(Answer(log_head(&mut member.tx, since.since).await?))
}

/// Proof that a later tree begins with an earlier one (RFC 9162, section 2.1.4).
#[utoipa::path(get, path = "/v1/audit/consistency", tag = "audit", params(Sizes),
    responses((status = 200, body = ConsistencyProof), (status = "4XX", body = Problem)))]
async fn consistency(
    mut member: Member,
    Params(sizes): Params<Sizes>,
) -> ApiResult<Answer<ConsistencyProof>> {
    let tx = &mut member.tx;
    let latest = tx.audit_log().size().await?;
    let size = sizes.size.unwrap_or(latest);
    if sizes.first == 0 || sizes.first > size || size > latest {
        return Err(ApiError::not_found("the log never had these sizes"));
    }
    Ok(Answer(ConsistencyProof {
        first: sizes.first,
        first_root: STANDARD.encode(tx.audit_tree().root(sizes.first).await?),
        size,
        root: STANDARD.encode(tx.audit_tree().root(size).await?),
        consistency: tx.audit_tree().prove_consistency(sizes.first, size).await?,
    }))
}

/// An entry, and proof that it is in the tree (RFC 9162, section 2.1.3).
#[utoipa::path(get, path = "/v1/audit/{seq}/proof", tag = "audit",
    params(("seq" = i64, Path), InTree),
    responses((status = 200, body = InclusionProof), (status = "4XX", body = Problem)))]
async fn proof(
    mut member: Member,
    seq: Result<Path<i64>, axum::extract::rejection::PathRejection>,
    Params(tree): Params<InTree>,
) -> ApiResult<Answer<InclusionProof>> {
    let Ok(Path(seq)) = seq else {
        return Err(StorageError::NotFound.into());
    };
    let tx = &mut member.tx;
    let (entry, _) = tx.audit_log().find(seq).await?;
    let latest = tx.audit_log().size().await?;
    let size = tree.size.unwrap_or(latest);
    if size == 0 || size > latest {
        return Err(ApiError::not_found("the log never had this size"));
    }
    Ok(Answer(InclusionProof {
        entry,
        size,
        root: STANDARD.encode(tx.audit_tree().root(size).await?),
        inclusion: tx.audit_tree().prove_inclusion(seq, size).await?,
    }))
}

type Streamed = ([(HeaderName, HeaderValue); 2], Body);

/// The log as NDJSON, to be checked without this service: see `docs/audit.md`.
/// `x-armour-entries` says how many entries there are, for a progress bar.
#[utoipa::path(get, path = "/v1/audit/export", tag = "audit", params(From),
    responses((status = 200, content_type = "application/x-ndjson", body = String),
              (status = "4XX", body = Problem)))]
async fn export(
    State(store): State<Store>,
    mut member: Member,
    Params(from): Params<From>,
) -> ApiResult<Streamed> {
    let tx = &mut member.tx;
    let first = tx
        .audit_log()
        .list_from(from.from.unwrap_or(1), 1)
        .await?
        .pop()
        .map(|(entry, _)| entry.seq)
        .filter(|seq| *seq >= 1)
        .ok_or_else(|| ApiError::not_found("no entry from there on"))?;
    let head = tx.audit_tree().latest_head().await?;
    let size = i64::try_from(head.size).map_err(ApiError::internal)?;
    let before = u64::try_from(first - 1).map_err(ApiError::internal)?;
    let header = ExportHeader {
        format: FORMAT.into(),
        tenant_id: tx.tenant_id(),
        log_key: STANDARD.encode(tx.audit_log().public_key().await?),
        first: before + 1,
        frontier: STANDARD.encode(tx.audit_tree().frontier(before).await?),
    };
    let tenant = tx.tenant_id();
    drop(member);
    let body = Body::from_stream(lines(store, tenant, header, (first, size), head));
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-ndjson"),
        ),
        (
            HeaderName::from_static("x-armour-entries"),
            HeaderValue::from(size - first + 1),
        ),
    ];
    Ok((headers, body))
}

fn lines(
    store: Store,
    tenant: Uuid,
    header: ExportHeader,
    (first, size): (i64, i64),
    head: SignedHead,
) -> impl Stream<Item = anyhow::Result<Bytes>> {
    async_stream::try_stream! {
        yield line(&header)?;
        let mut next = first;
        while next <= size {
            let chunk = read(&store, tenant, next, CHUNK.min(size - next + 1)).await?;
            for (entry, signature) in chunk {
                next = entry.seq + 1;
                let signature = STANDARD.encode(signature);
                yield line(&ExportedEntry { entry, signature })?;
            }
        }
        yield line(&ExportEnd { head })?;
    }
}

async fn read(
    store: &Store,
    tenant: Uuid,
    from: i64,
    most: i64,
) -> anyhow::Result<Vec<(AuditEntry, [u8; 64])>> {
    // No transaction is held while the reader takes its time.
    let chunk = store
        .tenant(tenant)
        .await?
        .audit_log()
        .list_from(from, most)
        .await?;
    anyhow::ensure!(!chunk.is_empty(), "entries are gone from the log");
    Ok(chunk)
}

fn line(value: &impl Serialize) -> serde_json::Result<Bytes> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    Ok(bytes.into())
}
