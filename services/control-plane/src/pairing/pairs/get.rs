//! One pair.

use armour_api::Pair;

use crate::{
    http::{
        etag::{Tagged, tagged},
        extract::Id,
        problem::ApiResult,
    },
    identity::authn::Member,
};

/// One pair; its `ETag` changes with each change of it.
#[utoipa::path(get, path = "/v1/pairs/{id}", tag = "pairs", params(("id" = Uuid, Path)),
    responses((status = 200, body = Pair)))]
pub(super) async fn get(mut member: Member, Id(id): Id) -> ApiResult<Tagged<Pair>> {
    Ok(tagged(member.tx.pairs().find(id).await?))
}
