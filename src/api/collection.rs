//! Collections, a page at a time: `$top`, and `@odata.nextLink` while there is more.
//!
//! Belongs here: what a query may say of a page, and the answer's frame. Does not: what is in it (`calls`, `notifications`).

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::Refusal;
use super::wire::CollectionBody;
use crate::error::{Error, Kind};

/// So many are on a page if nobody says.
const TOP: usize = 100;
/// And at most.
pub const MAX_TOP: usize = 1_000;
/// What would change the meaning of a collection if it were passed over.
const UNKNOWN: [&str; 4] = ["$filter", "$orderby", "$search", "$skip"];

/// Which part of a collection is asked for.
pub struct Page {
    top: usize,
    /// Everything up to and with this one has been seen.
    pub after: Option<String>,
    /// How many there are in all, where that is told.
    count: Option<usize>,
}

/// What stands behind the question mark, decoded.
pub fn query(parts: &Parts) -> Vec<(String, String)> {
    form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes()).into_owned().collect()
}

impl<S: Sync> FromRequestParts<S> for Page {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Page, Refusal> {
        let mut page = Page { top: TOP, after: None, count: None };
        for (name, value) in query(parts) {
            match name.as_str() {
                "$top" => {
                    let top = value.parse().ok().filter(|top| (1..=MAX_TOP).contains(top));
                    let message = || format!("$top must be a whole number from 1 to {MAX_TOP}, not {value:?}");
                    page.top = top.ok_or_else(|| Error::invalid("$top", message()))?;
                }
                "$skiptoken" => page.after = Some(value),
                name if UNKNOWN.contains(&name) => {
                    let message = format!("{name} is not supported; collections know $top and $skiptoken");
                    return Err(Error::invalid(name, message).into());
                }
                _ => {}
            }
        }
        Ok(page)
    }
}

impl Page {
    /// So many there are in all.
    pub fn counted(self, count: usize) -> Page {
        Page { count: Some(count), ..self }
    }

    /// So many are needed to know whether there is more.
    pub fn wanted(&self) -> usize {
        self.top + 1
    }

    /// The number in a token of ours; 0 is before everything.
    pub fn after_number(&self) -> Result<i64, Error> {
        self.after.as_deref().map_or(Ok(0), |after| after.parse().map_err(|_| not_ours()))
    }

    /// The answer of these, which come after `after`; `token` names one in the next link.
    pub fn of<'a, T, B: Serialize>(
        &self,
        url: &str,
        items: &'a [T],
        token: impl Fn(&T) -> String,
        body: impl Fn(&'a T) -> B,
    ) -> Response {
        let (page, rest) = items.split_at(items.len().min(self.top));
        let next_link = page.last().filter(|_| !rest.is_empty()).map(|last| {
            let token: String = form_urlencoded::byte_serialize(token(last).as_bytes()).collect();
            let sign = if url.contains('?') { '&' } else { '?' };
            format!("{url}{sign}$top={}&$skiptoken={token}", self.top)
        });
        Json(CollectionBody { value: page.iter().map(body).collect(), count: self.count, next_link }).into_response()
    }
}

/// Tokens are ours to make.
pub fn not_ours() -> Error {
    Error::new(Kind::Invalid, "$skiptoken is none that a next link holds")
}
