//! HTTP: routes, who may use them, and what every answer carries.
//!
//! Belongs here: all that HTTP and JSON look like. Does not: what requests mean (`control`).

pub mod auth;
mod body;
mod calls;
mod collection;
pub mod connections;
mod console;
mod content;
mod error;
mod events;
mod flac;
pub mod json;
pub mod jwt;
mod lines;
mod metrics;
mod notifications;
mod openapi;
pub mod operations;
mod overview;
mod path;
pub mod range;
pub mod record;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use uuid::Uuid;

use crate::clock;
use crate::control::Control;
use crate::error::{Error, Kind};
use auth::Door;
use error::{Refusal, RequestIds, render};
pub use events::Hub;
pub use metrics::Traffic;
use operations::Links;
use record::Limits;

/// Who records or hears tones needs this role of Graph's.
pub const MEDIA_ROLE: &str = "Calls.AccessMedia.All";
/// A client's request id has at most so many characters.
const MAX_CLIENT_ID: usize = 128;

/// What all handlers share.
pub struct Api {
    /// The control plane.
    pub control: Arc<Control>,
    /// Who may come in.
    pub door: Door,
    /// How locations and tokens are made.
    pub links: Links,
    /// What a record request may ask for.
    pub limits: Limits,
    /// The hosts that requests may name, in lower case, without port.
    pub hosts: Vec<String>,
    /// The foreign origins that browsers may come from.
    pub cors_origins: Vec<String>,
    /// Tells those who look on.
    pub hub: Arc<Hub>,
    /// Counts requests.
    pub traffic: Arc<Traffic>,
    /// Whether only this host can ask.
    pub on_loopback: bool,
}

impl Api {
    fn base(&self) -> &str {
        self.links.base.as_deref().unwrap_or_default()
    }
}

/// All routes; `openapi` tells others of each.
fn routes() -> [(&'static str, MethodRouter<Arc<Api>>); 20] {
    [
        ("/calls", get(calls::list).post(calls::open)),
        ("/calls/{id}", get(calls::get).delete(calls::end)),
        ("/calls/{id}/operations", get(calls::operations)),
        ("/calls/{id}/operations/{op}", get(calls::operation).delete(calls::delete)),
        ("/calls/{id}/{action}", post(calls::act)),
        ("/recordings/{id}", get(content::get)),
        ("/lines", get(lines::lines)),
        ("/recordings/{id}/outline", get(content::outline)),
        ("/operations", get(overview::list)),
        ("/space", get(lines::space)),
        ("/events", get(events::events)),
        ("/", get(console::page)),
        ("/console/{file}", get(console::asset)),
        ("/notifications", get(notifications::list)),
        ("/notifications/{id}/repeat", post(notifications::repeat)),
        ("/metrics", get(metrics::metrics)),
        ("/healthz", get(lines::healthz)),
        ("/readyz", get(lines::readyz)),
        ("/openapi.json", get(openapi::schema)),
        ("/docs", get(openapi::page)),
    ]
}

/// All routes, behind what every request goes through.
pub fn router(api: Arc<Api>) -> Router {
    routes()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods))
        .fallback(|| async { Refusal(Error::not_found()) })
        .method_not_allowed_fallback(|method: Method| async move {
            Refusal(Error::new(Kind::Method, format!("{method} is not defined here")))
        })
        .layer(from_fn_with_state(api.clone(), around))
        .with_state(api)
}

/// Rewrites every spelling of a path; it has to stand outside the router.
pub use path::normalise;

/// What every request goes through: ids, host and origin, and errors as JSON.
async fn around(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let began = clock::now();
    let ids = RequestIds { request: Uuid::new_v4().to_string(), client: client_id(request.headers()) };
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = match admitted(&api, &request) {
        Err(error) => Refusal(error).into_response(),
        Ok(()) if request.method() == Method::OPTIONS && origin.is_some() => preflight(),
        Ok(()) => apart(next.run(request)).await,
    };
    if let Some(error) = response.extensions_mut().remove::<Error>().or_else(|| unspoken(&response)) {
        if error.kind == Kind::Internal {
            tracing::error!(request = %ids.request, "a request failed: {error}");
        }
        let (parts, _) = response.into_parts();
        response = render(&error, &ids);
        for name in [header::CONTENT_RANGE, header::RETRY_AFTER, header::ALLOW] {
            if let Some(value) = parts.headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
    }
    api.traffic.answered(response.status(), began.elapsed());
    let headers = response.headers_mut();
    set(headers, "request-id", &ids.request);
    if let Some(client) = &ids.client {
        set(headers, "client-request-id", client);
    }
    set(headers, "x-content-type-options", "nosniff");
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        let exposed = "location, etag, content-range, accept-ranges, request-id, retry-after";
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
    }
    response
}

/// Answers in a task of its own: who leaves does not break off half-way what was asked for, and a panic is an answer.
async fn apart(answer: impl Future<Output = Response> + Send + 'static) -> Response {
    let fault = |_| Refusal(Error::new(Kind::Internal, "the request met a fault of the daemon")).into_response();
    tokio::spawn(answer).await.unwrap_or_else(fault)
}

/// A refusal that is not in our words yet: of a range, or axum's own, of a path that cannot be decoded.
fn unspoken(response: &Response) -> Option<Error> {
    let status = response.status();
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    match status {
        _ if is_json || !(status.is_client_error() || status.is_server_error()) => None,
        StatusCode::RANGE_NOT_SATISFIABLE => Some(Error::new(Kind::Range, "the recording has no such bytes")),
        _ if status.is_client_error() => Some(Error::not_found()),
        _ => Some(Error::new(Kind::Internal, "the request met a fault of the daemon")),
    }
}

fn preflight() -> Response {
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, DELETE"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, range, idempotency-key, client-request-id",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, allowed).into_response()
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// The client's id, if it is one that can be echoed.
fn client_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("client-request-id")?.to_str().ok()?;
    (id.len() <= MAX_CLIENT_ID).then(|| id.to_owned())
}

/// A browser that was led here under another name, or by another site, is not let in.
fn admitted(api: &Api, request: &Request) -> Result<(), Error> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().host()).ok_or_else(|| Error::new(Kind::Invalid, "a Host is missing"))?;
    if !api.hosts.contains(&name_of(host)) {
        let message = format!("{host:?} is not this server; it answers to {}", api.hosts.join(", "));
        return Err(Error::new(Kind::Forbidden, message));
    }
    let Some(origin) = request.headers().get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or("");
    let own = origin.split_once("://").is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(host));
    if own || api.cors_origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
        return Ok(());
    }
    Err(Error::new(Kind::Forbidden, format!("pages of {origin:?} may not use this server")))
}

/// The name in a Host, without its port.
pub fn name_of(host: &str) -> String {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, _)) => name,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}
