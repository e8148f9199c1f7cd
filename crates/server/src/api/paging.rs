//! Pages of lists: `?limit=&cursor=`.
//!
//! A list is asked for with one row more than wanted: whether it comes says whether there is a next page.

use crate::limits::{PAGE_ROWS, PAGE_ROWS_MAX};
use crate::problem::{Answer, Problem};
use serde::Deserialize;
use store::types::Page;
use utoipa::IntoParams;

/// `?limit=&cursor=`
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// Rows at most, 1 to 500; 100 when absent.
    pub(crate) limit: Option<u32>,
    /// `next` of the page before.
    pub(crate) cursor: Option<String>,
}

/// Longest cursor that is passed on.
const CURSOR_CHARS_MAX: usize = 1000;

/// What a list is asked for.
pub(crate) struct Asked {
    /// For the store: one row more.
    pub(crate) page: Page,
    /// Rows to show.
    pub(crate) rows: usize,
}

/// Reads limit and cursor.
///
/// # Errors
/// 400 when a limit is not 1 to 500, or the cursor is none of ours.
pub(crate) fn asked(limit: Option<u32>, cursor: Option<String>) -> Answer<Asked> {
    let limit = limit.unwrap_or(PAGE_ROWS);
    if !(1..=PAGE_ROWS_MAX).contains(&limit) {
        return Err(Problem::bad_request(format!("limit must be 1 to {PAGE_ROWS_MAX}, not {limit}")));
    }
    if cursor.as_ref().is_some_and(|cursor| cursor.len() > CURSOR_CHARS_MAX) {
        return Err(Problem::bad_request("the cursor is not one that this list gave"));
    }
    let rows = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(Asked { page: Page { limit: limit + 1, cursor }, rows })
}

impl Paging {
    /// See [`asked`].
    ///
    /// # Errors
    /// See [`asked`].
    pub(crate) fn asked(self) -> Answer<Asked> {
        asked(self.limit, self.cursor)
    }
}

/// A list that is computed in whole: the cursor is the position of its first row.
///
/// # Errors
/// 400 when the cursor is none of ours.
pub(crate) fn slice<T>(items: Vec<T>, asked: &Asked) -> Answer<report::api::Page<T>> {
    let start = match &asked.page.cursor {
        None => 0,
        Some(text) => {
            text.parse::<usize>().map_err(|_| Problem::bad_request("the cursor is not one that this list gave"))?
        }
    };
    let end = start.saturating_add(asked.rows);
    let next = (items.len() > end).then(|| end.to_string());
    Ok(report::api::Page { items: items.into_iter().skip(start).take(asked.rows).collect(), next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept() {
        assert_eq!(asked(None, None).unwrap().rows, 100);
        assert_eq!(asked(Some(500), None).unwrap().page.limit, 501);
        assert!(asked(Some(0), None).is_err());
        assert!(asked(Some(501), None).is_err());
        assert!(asked(None, Some("x".repeat(1001))).is_err());
    }

    #[test]
    fn computed_lists_are_cut_by_position() {
        let cut = |cursor: Option<&str>| slice((0..5).collect(), &asked(Some(2), cursor.map(Into::into)).unwrap());
        let page = cut(None).unwrap();
        assert_eq!((page.items, page.next.as_deref()), (vec![0, 1], Some("2")));
        let page = cut(Some("4")).unwrap();
        assert_eq!((page.items, page.next), (vec![4], None));
        assert!(cut(Some("x")).is_err());
    }
}
