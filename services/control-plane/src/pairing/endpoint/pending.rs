//! Bundles that the calling endpoint has yet to install.

use armour_api::PendingBundles;
use axum::Json as Answer;

use crate::{http::problem::ApiResult, identity::authn::EndpointAuth};

/// Most bundles of one answer; with these installed, others follow.
const MAX: i64 = 1000;

/// Bundles that the calling endpoint has not acknowledged yet, the earliest first, at most
/// 1000.
#[utoipa::path(get, path = "/v1/endpoint/bundles", tag = "endpoint",
    responses((status = 200, body = PendingBundles)))]
pub(super) async fn pending(mut caller: EndpointAuth) -> ApiResult<Answer<PendingBundles>> {
    let id = caller.endpoint.id;
    Ok(Answer(PendingBundles {
        bundles: caller.tx.bundles().pending(id, MAX).await?,
    }))
}
