//! Refusals as Graph writes them: always JSON, always with the request's id.
//!
//! Belongs here: which kind of refusal has which status and code. Does not: the words (`control`, `json`).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::wire::{ErrorBody, ErrorInner, InnerErrorBody};
use crate::clock;
use crate::error::{Error, Kind};

/// Status and code of each kind.
fn code(kind: Kind) -> (StatusCode, &'static str) {
    match kind {
        Kind::Invalid => (StatusCode::BAD_REQUEST, "invalidRequest"),
        Kind::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        Kind::Forbidden => (StatusCode::FORBIDDEN, "accessDenied"),
        Kind::NotFound => (StatusCode::NOT_FOUND, "itemNotFound"),
        Kind::Method => (StatusCode::METHOD_NOT_ALLOWED, "methodNotAllowed"),
        Kind::Conflict => (StatusCode::CONFLICT, "conflict"),
        Kind::Gone => (StatusCode::GONE, "gone"),
        Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "requestTooLarge"),
        Kind::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupportedMediaType"),
        Kind::Range => (StatusCode::RANGE_NOT_SATISFIABLE, "invalidRange"),
        Kind::Format => (StatusCode::UNPROCESSABLE_ENTITY, "unsupportedFormat"),
        Kind::TooMany => (StatusCode::TOO_MANY_REQUESTS, "activityLimitReached"),
        Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "serviceNotAvailable"),
        Kind::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, "insufficientStorage"),
        Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "generalException"),
    }
}

/// The ids of one request.
#[derive(Clone, Debug)]
pub struct RequestIds {
    /// Ours.
    pub request: String,
    /// The client's, if it gave one.
    pub client: Option<String>,
}

/// An error that becomes a response once the request's ids are known.
#[derive(Clone, Debug)]
pub struct Refusal(pub Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal(error)
    }
}

impl IntoResponse for Refusal {
    /// An empty response that carries the error; `render` gives it its body.
    fn into_response(self) -> Response {
        let mut response = code(self.0.kind).0.into_response();
        response.extensions_mut().insert(self.0);
        response
    }
}

/// Writes the body of an error.
pub fn render(error: &Error, ids: &RequestIds) -> Response {
    let (status, code) = code(error.kind);
    let inner_error = InnerErrorBody {
        date: clock::wall().strftime("%Y-%m-%dT%H:%M:%S").to_string(),
        request_id: &ids.request,
        client_request_id: ids.client.as_ref().unwrap_or(&ids.request),
    };
    let body = ErrorBody {
        error: ErrorInner { code, message: &error.message, target: error.target.as_deref(), details: [], inner_error },
    };
    let mut response = (status, axum::Json(body)).into_response();
    match error.kind {
        Kind::Unauthenticated => {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Kind::TooMany | Kind::Unavailable => {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}
