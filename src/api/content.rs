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
use crate::control::Audio;
use crate::control::call::plain;
use crate::error::{Error, Kind};
use crate::store::follow::Follow;
use crate::store::growth::Watcher;
use crate::wav::{Spec, header as wav_header};

/// A piece of a stream has at most so many bytes.
const PIECE: usize = 64 * 1024;
/// Our header is shorter than this.
const HEADER_BYTES: usize = 1_024;

/// GET and HEAD of a recording.
pub async fn get(State(api): State<Arc<Api>>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let caller = api.door.caller(authorization).await?;
    let id = Uuid::parse_str(&plain(&id)).map_err(|_| Error::not_found())?;
    let (owner, audio) = api.control.audio(id).ok_or_else(Error::not_found)?;
    let allowed = match caller {
        Caller::Application(app) => app.id == owner,
        Caller::Recording(of) => of == id,
    };
    if !allowed {
        return Err(Error::not_found().into());
    }
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let mut response = match audio {
        Audio::Gone => return Err(Error::new(Kind::Gone, "no audio is kept of this recording").into()),
        Audio::NotYet => return Err(Error::new(Kind::NotFound, "the recording has not begun").into()),
        Audio::Growing { path, growth, spec } => growing(&path, growth, spec, range).await?,
        Audio::Final { path, sha256 } => finished(path, &sha256, range, &headers).await?,
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

/// What a Range header asks for, if it is one range that is well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    From(u64, Option<u64>),
    Last(u64),
}

/// Several ranges, other units and what is malformed are ignored: the whole is a valid answer.
fn wanted(range: Option<&str>) -> Option<Wanted> {
    let (from, to) = range?.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    match (from.trim(), to.trim()) {
        ("", last) => number(last).map(Wanted::Last),
        (from, "") => number(from).map(|from| Wanted::From(from, None)),
        (from, to) => {
            let (from, to) = (number(from)?, number(to)?);
            (from <= to).then_some(Wanted::From(from, Some(to)))
        }
    }
}

/// The bytes that are meant of `length`: the first, and the one behind the last. `None` if there are none.
fn resolve(wanted: Wanted, length: u64) -> Option<(u64, u64)> {
    let (start, end) = match wanted {
        Wanted::From(start, to) => (start, to.map_or(length, |to| to.saturating_add(1).min(length))),
        Wanted::Last(count) => (length.saturating_sub(count), length),
    };
    (start < end).then_some((start, end))
}

async fn growing(path: &FilePath, growth: Watcher, spec: Option<Spec>, range: Option<&str>) -> Result<Response, Error> {
    let spec = match spec {
        Some(spec) => spec,
        None => spec_of(path.to_owned()).await?,
    };
    let readable = Follow::readable_bytes(&growth.now(), spec);
    let follow = Follow::new(path, growth, spec);
    let Some(wanted) = wanted(range) else { return Ok(stream(follow).into_response()) };
    let Some((start, end)) = resolve(wanted, readable) else {
        return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(header::RETRY_AFTER, "1")]).into_response());
    };
    let response = (StatusCode::PARTIAL_CONTENT, stream(follow.range(start, Some(end)))).into_response();
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
        file.take(HEADER_BYTES as u64).read_to_end(&mut start)?;
        Ok::<_, std::io::Error>(start)
    });
    let start = read.await.ok().and_then(Result::ok).unwrap_or_default();
    wav_header::recognise(&start).ok_or_else(|| Error::new(Kind::NotFound, "the recording has not begun"))
}

/// Follows a recording into a body; ends cleanly only if the reader has got all of it.
fn stream(mut follow: Follow) -> axum::body::Body {
    let (reader, body) = pieces();
    tokio::spawn(async move {
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

async fn finished(path: PathBuf, sha256: &str, range: Option<&str>, headers: &HeaderMap) -> Result<Response, Error> {
    let tag = format!("\"{sha256}\"");
    let has = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let etag =
        HeaderValue::from_str(&tag).map_err(|_| Error::new(Kind::Internal, "the tag of a recording is no header"))?;
    let known = has(header::IF_NONE_MATCH).is_some_and(|tags| tags.split(',').any(|known| matches(known.trim(), &tag)));
    if known {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let opened = spawn_blocking(move || {
        let file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        Ok::<_, std::io::Error>((file, length))
    });
    let gone = || Error::new(Kind::Gone, "no audio is kept of this recording");
    let (file, length) = opened.await.ok().and_then(Result::ok).ok_or_else(gone)?;
    // A range of another version than this one would be a mixture.
    let range = range.filter(|_| has(header::IF_RANGE).is_none_or(|condition| condition == tag));
    let mut response = match wanted(range) {
        None => {
            let mut response = whole(file, 0, length).into_response();
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            response
        }
        Some(wanted) => match resolve(wanted, length) {
            Some((start, end)) => {
                let response = (StatusCode::PARTIAL_CONTENT, whole(file, start, end)).into_response();
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
fn whole(file: std::fs::File, start: u64, end: u64) -> axum::body::Body {
    let (reader, body) = pieces();
    let mut file = tokio::fs::File::from_std(file);
    tokio::spawn(async move {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_well_formed_range_is_understood_and_all_else_ignored() {
        assert_eq!(wanted(Some("bytes=0-9")), Some(Wanted::From(0, Some(9))));
        assert_eq!(wanted(Some("bytes=5-")), Some(Wanted::From(5, None)));
        assert_eq!(wanted(Some("bytes=-5")), Some(Wanted::Last(5)));
        for range in ["bytes=", "bytes=-", "bytes=9-0", "bytes=0-1,3-4", "frames=0-1", "bytes=+1-2", "bytes=1-x", "0-1"]
        {
            assert_eq!(wanted(Some(range)), None, "{range}");
        }
    }

    #[test]
    fn ranges_are_cut_to_what_there_is() {
        assert_eq!(resolve(Wanted::From(2, None), 10), Some((2, 10)));
        assert_eq!(resolve(Wanted::From(2, Some(u64::MAX)), 10), Some((2, 10)));
        assert_eq!(resolve(Wanted::Last(100), 10), Some((0, 10)));
        assert_eq!(resolve(Wanted::From(10, None), 10), None);
        assert_eq!(resolve(Wanted::Last(0), 10), None);
    }
}
