//! Lists of pairs, page by page in any order.

use armour_api::{Page, Pair, PairSort, PairState};
use armour_storage::PairQuery;
use axum::Json as Answer;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    http::{
        extract::{Params, check_text},
        problem::{ApiError, ApiResult},
    },
    identity::authn::Member,
};

/// Lists pairs.
#[utoipa::path(get, path = "/v1/pairs", tag = "pairs", params(Filter),
    responses((status = 200, body = Page<Pair>)))]
pub(super) async fn list(
    mut member: Member,
    Params(filter): Params<Filter>,
) -> ApiResult<Answer<Page<Pair>>> {
    let limit = filter.limit.unwrap_or(100);
    if !(1..=500).contains(&limit) {
        return Err(ApiError::invalid("limit must be from 1 to 500"));
    }
    if let Some(search) = &filter.search {
        check_text("search", search, 100)?;
    }
    let after = filter.cursor.as_deref().map(read_cursor).transpose()?;
    let sort = filter.sort.unwrap_or(PairSort::Newest);
    let mut pairs = member
        .tx
        .pairs()
        .search(&PairQuery {
            search: filter.search.as_deref(),
            state: filter.state,
            sort,
            after: after.as_ref(),
            limit: i64::from(limit) + 1,
        })
        .await?;
    let more = pairs.len() > limit.into();
    pairs.truncate(limit.into());
    let next = pairs.last().filter(|_| more).map(|last| {
        let key = match sort {
            PairSort::Newest | PairSort::Oldest => "",
            PairSort::Consumer | PairSort::ConsumerDescending => &last.consumer_name,
            PairSort::Producer | PairSort::ProducerDescending => &last.producer_name,
        };
        write_cursor(key, last.id)
    });
    Ok(Answer(Page { items: pairs, next }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// `next` of the page before, of the same order.
    cursor: Option<String>,
    /// Part of the consumer's or the producer's name, in any case.
    search: Option<String>,
    /// Only in this state.
    state: Option<PairState>,
    /// In which order; the newest first if absent.
    sort: Option<PairSort>,
    /// How many at the most, 1 to 500; 100 if absent.
    limit: Option<u16>,
}

fn write_cursor(key: &str, id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode([id.as_bytes(), key.as_bytes()].concat())
}

fn read_cursor(text: &str) -> ApiResult<(String, Uuid)> {
    let wrong = || ApiError::invalid("cursor must be the next of a page before");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
    let (id, key) = bytes.split_first_chunk::<16>().ok_or_else(wrong)?;
    let key = std::str::from_utf8(key).map_err(|_| wrong())?;
    if key.contains('\0') {
        return Err(wrong());
    }
    Ok((key.to_owned(), Uuid::from_bytes(*id)))
}
