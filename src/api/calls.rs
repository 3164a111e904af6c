//! Calls, their operations, and the actions on them.
//!
//! Belongs here: reading a request, answering it. Does not: what it means (`control`).

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::auth::Caller;
use super::collection::{Page, not_ours};
use super::error::Refusal;
use super::json::{Members, Unknown};
use super::operations::{call_json, operation_json, tag_of};
use super::path::NamedApplication;
use super::record;
use super::{Api, MEDIA_ROLE, set};
use crate::control::Application;
use crate::control::call::{CallRequest, plain};
use crate::control::operation::{Kind, Operation};
use crate::error::{self, Error};
use crate::store::hex;
use crate::store::journal::IdempotencyKey;

/// A body has at most so many bytes.
const MAX_BODY: usize = 1 << 20;
/// And comes within so long.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// An Idempotency-Key has at most so many characters.
const MAX_KEY: usize = 255;

type Answer = Result<Response, Refusal>;

/// The application that is asking.
pub struct App(pub Arc<Application>);

impl FromRequestParts<Arc<Api>> for App {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<App, Refusal> {
        let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Caller::Application(app) = api.door.caller(authorization).await? else {
            return Err(Error::not_found().into());
        };
        match parts.extensions.get::<NamedApplication>() {
            Some(NamedApplication(named)) if plain(named) != plain(&app.id) => Err(Error::not_found().into()),
            _ => Ok(App(app)),
        }
    }
}

impl App {
    fn may_record(&self) -> Result<(), Error> {
        match self.0.roles.iter().any(|role| role == MEDIA_ROLE) {
            true => Ok(()),
            false => Err(Error::new(error::Kind::Forbidden, format!("the application has not the role {MEDIA_ROLE}"))),
        }
    }
}

/// A whole body, declared as JSON.
async fn body(request: Request) -> Result<Vec<u8>, Error> {
    let declared = request.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("").to_owned());
    let read = tokio::time::timeout(BODY_WITHIN, axum::body::to_bytes(request.into_body(), MAX_BODY)).await;
    let late =
        |_| Error::new(error::Kind::Invalid, format!("the body did not come within {} s", BODY_WITHIN.as_secs()));
    let bytes = read.map_err(late)?.map_err(|error| {
        // What a client breaks off reads the same; nobody is left to hear the difference.
        Error::new(
            error::Kind::TooLarge,
            format!("the body cannot be read, or has more than {MAX_BODY} bytes: {error}"),
        )
    })?;
    let is_json = declared.as_deref().is_some_and(|declared| {
        declared.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if bytes.is_empty() && declared.is_none() || is_json {
        return Ok(bytes.to_vec());
    }
    let message = match declared {
        Some(declared) => format!("the body is declared as {declared:?}; valid is application/json"),
        None => "the body has no Content-Type; valid is application/json".to_owned(),
    };
    Err(Error::new(error::Kind::MediaType, message))
}

/// GET of all calls.
pub async fn list(State(api): State<Arc<Api>>, app: App, page: Page) -> Answer {
    let mut calls = api.control.calls(&app.0);
    if let Some(after) = &page.after {
        let at = calls.iter().position(|call| call.id == *after).ok_or_else(not_ours)?;
        calls.drain(..=at);
    }
    Ok(page.of(&format!("{}/app/calls", api.base()), &calls, |call| call.id.clone(), call_json))
}

/// GET of a call.
pub async fn get(State(api): State<Arc<Api>>, app: App, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    let call = api.control.call(&app.0, &id)?;
    Ok(unless_known(&headers, call.revision, || Json(call_json(&call)).into_response()))
}

/// An answer with the tag of its revision, or only that if the client has this revision already.
fn unless_known(headers: &HeaderMap, revision: u64, answer: impl FnOnce() -> Response) -> Response {
    let tag = tag_of(revision);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut response = match known.is_some_and(|known| known.split(',').any(|known| known.trim() == tag)) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => answer(),
    };
    set(response.headers_mut(), "etag", &tag);
    response
}

/// POST of a call.
pub async fn open(State(api): State<Arc<Api>>, app: App, request: Request) -> Answer {
    let mut members = Members::of_body(&body(request).await?)?;
    let request = CallRequest {
        line: target(&mut members)?,
        callback_uri: members.string("callbackUri")?,
        subject: members.string("subject")?,
        client_context: record::client_context(&mut members)?,
    };
    members.finish(Unknown::Ignored)?;
    let call = api.control.open_call(&app.0, request).await?;
    let location = format!("{}/app/calls/{}", api.base(), call.id);
    let headers = [(header::LOCATION, location), (header::ETAG, tag_of(call.revision))];
    Ok((StatusCode::CREATED, headers, Json(call_json(&call))).into_response())
}

/// The line that the first target names; the others are read, too, so that nothing malformed passes.
fn target(members: &mut Members) -> Result<Option<String>, Error> {
    let mut lines = Vec::new();
    for (index, target) in members.array("targets")?.unwrap_or_default().into_iter().enumerate() {
        let (mut target, mut line) = (Members::of(&format!("targets[{index}]"), target)?, None);
        if let Some(mut identity) = target.object("identity")? {
            for name in ["user", "application", "phone"] {
                let id = identity.object(name)?.map_or(Ok(None), |mut one| one.string("id"))?;
                line = line.or(id);
            }
        }
        lines.push(line);
    }
    Ok(lines.into_iter().next().flatten())
}

/// DELETE of a call.
pub async fn end(State(api): State<Arc<Api>>, app: App, Path(id): Path<String>) -> Answer {
    api.control.end_call(&app.0, &id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// POST of an action.
pub async fn act(
    State(api): State<Arc<Api>>,
    app: App,
    Path((id, action)): Path<(String, String)>,
    headers: HeaderMap,
    request: Request,
) -> Answer {
    match action.as_str() {
        "record" => media(&api, &app, &id, &headers, request, Media::Record(StatusCode::ACCEPTED)).await,
        "recordresponse" => media(&api, &app, &id, &headers, request, Media::Record(StatusCode::OK)).await,
        "playprompt" => media(&api, &app, &id, &headers, request, Media::PlayPrompt).await,
        "cancelmediaprocessing" | "mute" | "unmute" | "subscribetotone" => {
            if action == "subscribetotone" {
                app.may_record()?;
            }
            let mut members = Members::of_body(&body(request).await?)?;
            let context = record::client_context(&mut members)?;
            members.finish(Unknown::Refused)?;
            let operation = match action.as_str() {
                "cancelmediaprocessing" => api.control.cancel_media(&app.0, &id, context).await?,
                "subscribetotone" => api.control.subscribe_to_tone(&app.0, &id, context).await?,
                _ => api.control.mute(&app.0, &id, action == "mute", context).await?,
            };
            Ok(answer(&api, StatusCode::OK, &operation))
        }
        "keepalive" => {
            api.control.call(&app.0, &id)?;
            Ok(StatusCode::OK.into_response())
        }
        _ => Err(Error::not_found().into()),
    }
}

/// What waits for its turn.
enum Media {
    /// With what is answered when it was taken on.
    Record(StatusCode),
    PlayPrompt,
}

async fn media(api: &Arc<Api>, app: &App, id: &str, headers: &HeaderMap, request: Request, media: Media) -> Answer {
    if matches!(media, Media::Record(_)) {
        app.may_record()?;
    }
    let path = request.uri().path().to_ascii_lowercase();
    let bytes = body(request).await?;
    let (asked, success) = match media {
        Media::Record(success) => (Kind::Record(record::request(&bytes, &api.limits)?.into()), success),
        Media::PlayPrompt => (Kind::PlayPrompt(record::play_request(&bytes)?), StatusCode::OK),
    };
    let repeat = idempotency_key(headers)?.map(|key| IdempotencyKey {
        app: app.0.id.clone(),
        path,
        key,
        body_hash: hex(&Sha256::digest(&bytes)),
    });
    let operation = api.control.take_on(&app.0, id, asked, repeat).await?;
    Ok(answer(api, success, &operation))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=MAX_KEY).contains(&key.len()));
    let message = format!("Idempotency-Key must be 1 to {MAX_KEY} printable characters");
    key.map(|key| Some(key.to_owned())).ok_or_else(|| Error::invalid("Idempotency-Key", message))
}

/// An operation with its location.
fn answer(api: &Api, status: StatusCode, operation: &Operation) -> Response {
    let location = format!("{}/app/calls/{}/operations/{}", api.base(), operation.call, operation.id);
    let headers = [(header::LOCATION, location), (header::ETAG, tag_of(operation.revision))];
    (status, headers, Json(operation_json(operation, &api.links))).into_response()
}

/// GET of all operations of a call.
pub async fn operations(State(api): State<Arc<Api>>, app: App, Path(id): Path<String>, page: Page) -> Answer {
    let operations = api.control.operations(&app.0, &id, page.after_number()?, page.wanted())?;
    let url = format!("{}/app/calls/{id}/operations", api.base());
    Ok(page.of(&url, &operations, |one| one.seq.to_string(), |one| operation_json(one, &api.links)))
}

/// GET of an operation.
pub async fn operation(
    State(api): State<Arc<Api>>,
    app: App,
    Path((id, op)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let operation = api.control.operation(&app.0, &id, &op)?;
    let answer = || Json(operation_json(&operation, &api.links)).into_response();
    Ok(unless_known(&headers, operation.revision, answer))
}

/// DELETE of an operation.
pub async fn delete(State(api): State<Arc<Api>>, app: App, Path((id, op)): Path<(String, String)>) -> Answer {
    api.control.delete_operation(&app.0, &id, &op).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
