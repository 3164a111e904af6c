//! A recording's audio, while it grows and when it is final.
//!
//! Belongs here: ranges, lengths, tags, and when a stream must be aborted. Does not: reading files (`store::follow`).

use std::io::{Read, SeekFrom};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::Api;
use super::auth::Caller;
use super::body::{Aborted, pieces};
use super::error::Refusal;
use super::range::{resolve, wanted};
use crate::control::Audio;
use crate::control::call::plain;
use crate::error::{Error, Kind};
use crate::store::follow::Follow;
use crate::store::growth::Watcher;
use crate::wav::{Spec, header as wav_header};

/// A piece of a stream has at most so many bytes.
const PIECE: usize = 64 * 1024;

/// GET and HEAD of a recording.
pub async fn get(State(api): State<Arc<Api>>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let caller = api.door.caller(authorization).await?;
    let id = Uuid::parse_str(&plain(&id)).map_err(|_| Error::not_found())?;
    let may_read = |owner: &str| match &caller {
        Caller::Application(app) => app.id == owner,
        Caller::Recording(of) => *of == id,
    };
    let audio = match api.control.audio(id) {
        Some((owner, audio)) if may_read(&owner) => audio,
        // What is somebody else's takes as long as what is unknown.
        _ => match api.control.gone(id).await? {
            Some(owner) if may_read(&owner) => Audio::Gone,
            _ => return Err(Error::not_found().into()),
        },
    };
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let mut response = match audio {
        Audio::Gone => return Err(Error::new(Kind::Gone, "no audio is kept of this recording").into()),
        Audio::NotYet => return Err(Error::new(Kind::NotFound, "the recording has not begun").into()),
        Audio::Recovering => {
            return Err(Error::new(Kind::Unavailable, "what a crash left of the recording is being looked at").into());
        }
        Audio::Growing { path, growth, spec, reading } => growing(&path, growth, spec, range, reading).await?,
        Audio::Final { path, sha256, reading } => finished(path, &sha256, range, &headers, reading).await?,
    };
    response.headers_mut().insert(header::CONTENT_TYPE, content_type(&headers));
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(response)
}

fn content_type(headers: &HeaderMap) -> HeaderValue {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let binary = accept.contains("application/octet-stream") && !accept.contains("audio/");
    HeaderValue::from_static(if binary { "application/octet-stream" } else { "audio/wav" })
}

async fn growing(
    path: &FilePath,
    growth: Watcher,
    spec: Option<Spec>,
    range: Option<&str>,
    reading: Arc<()>,
) -> Result<Response, Error> {
    let spec = match spec {
        Some(spec) => spec,
        None => spec_of(path.to_owned()).await?,
    };
    let readable = Follow::readable_bytes(&growth.now(), spec);
    let follow = Follow::new(path, growth, spec);
    let Some(wanted) = wanted(range) else { return Ok(stream(follow, reading).into_response()) };
    let Some((start, end)) = resolve(wanted, readable) else {
        return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(header::RETRY_AFTER, "1")]).into_response());
    };
    let response = (StatusCode::PARTIAL_CONTENT, stream(follow.range(start, Some(end)), reading)).into_response();
    Ok(with_range(response, format!("bytes {start}-{}/*", end - 1), end - start))
}

fn with_range(mut response: Response, range: String, length: u64) -> Response {
    if let Ok(range) = HeaderValue::from_str(&range) {
        response.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}

/// What a growing file says of itself.
async fn spec_of(path: PathBuf) -> Result<Spec, Error> {
    let read = spawn_blocking(move || {
        let file = std::fs::File::open(crate::store::part_of(&path)).or_else(|_| std::fs::File::open(&path))?;
        let mut start = Vec::new();
        file.take(wav_header::MOST_BYTES as u64).read_to_end(&mut start)?;
        Ok::<_, std::io::Error>(start)
    });
    let start = read.await.ok().and_then(Result::ok).unwrap_or_default();
    wav_header::recognise(&start).ok_or_else(|| Error::new(Kind::NotFound, "the recording has not begun"))
}

/// Follows a recording into a body; ends cleanly only if the reader has got all of it.
fn stream(mut follow: Follow, reading: Arc<()>) -> axum::body::Body {
    let (reader, body) = pieces();
    tokio::spawn(async move {
        let _reading = reading;
        loop {
            let piece = tokio::select! {
                piece = follow.next_chunk(PIECE) => piece,
                // The reader is gone: nothing is read for nobody.
                () = reader.left() => return,
            };
            let Some(piece) = piece else { return };
            if !reader.give(piece.map_err(|error| Aborted(error.to_string()))).await {
                return;
            }
        }
    });
    body
}

async fn finished(
    path: PathBuf,
    sha256: &str,
    range: Option<&str>,
    headers: &HeaderMap,
    reading: Arc<()>,
) -> Result<Response, Error> {
    let tag = format!("\"{sha256}\"");
    let has = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let etag =
        HeaderValue::from_str(&tag).map_err(|_| Error::new(Kind::Internal, "the tag of a recording is no header"))?;
    let known = has(header::IF_NONE_MATCH).is_some_and(|tags| tags.split(',').any(|known| matches(known.trim(), &tag)));
    if known {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let opened = spawn_blocking(move || {
        // What a broken disk would not let be renamed is read under its other name.
        let file = std::fs::File::open(&path).or_else(|_| std::fs::File::open(crate::store::part_of(&path)))?;
        let length = file.metadata()?.len();
        Ok::<_, std::io::Error>((file, length))
    });
    let gone = || Error::new(Kind::Gone, "no audio is kept of this recording");
    let (file, length) = opened.await.ok().and_then(Result::ok).ok_or_else(gone)?;
    // A range of another version than this one would be a mixture.
    let range = range.filter(|_| has(header::IF_RANGE).is_none_or(|condition| condition == tag));
    let mut response = match wanted(range) {
        None => {
            let mut response = whole(file, 0, length, reading).into_response();
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            response
        }
        Some(wanted) => match resolve(wanted, length) {
            Some((start, end)) => {
                let response = (StatusCode::PARTIAL_CONTENT, whole(file, start, end, reading)).into_response();
                with_range(response, format!("bytes {start}-{}/{length}", end - 1), end - start)
            }
            None => {
                let range = format!("bytes */{length}");
                (StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, range)]).into_response()
            }
        },
    };
    response.headers_mut().insert(header::ETAG, etag);
    Ok(response)
}

fn matches(known: &str, tag: &str) -> bool {
    known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
}

/// A part of a finished file. Only reading takes one of the few threads for the disk, never waiting for a reader.
fn whole(file: std::fs::File, start: u64, end: u64, reading: Arc<()>) -> axum::body::Body {
    let (reader, body) = pieces();
    let mut file = tokio::fs::File::from_std(file);
    tokio::spawn(async move {
        let _reading = reading;
        let mut left = end - start;
        let mut sought = file.seek(SeekFrom::Start(start)).await.map(drop);
        while left > 0 {
            let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
            let read = match std::mem::replace(&mut sought, Ok(())) {
                Ok(()) => file.read_exact(&mut piece).await.map(drop),
                Err(error) => Err(error),
            };
            left -= piece.len() as u64;
            if !reader.give(read.map(|()| Bytes::from(piece)).map_err(|error| Aborted(error.to_string()))).await {
                return;
            }
        }
    });
    body
}
