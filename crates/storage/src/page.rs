//! Lists are handed out by the page.

use armour_api::Page;

/// Most rows of one page.
pub const PAGE: i64 = 100;

/// Cuts rows fetched with one more than a page into the page and its cursor.
pub(crate) fn page<T>(mut items: Vec<T>, cursor: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() as i64 > PAGE;
    items.truncate(PAGE as usize);
    let next = if more { items.last().map(cursor) } else { None };
    Page { items, next }
}
