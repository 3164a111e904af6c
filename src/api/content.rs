//! A recording's audio, while it grows and when it is final.
//!
//! Belongs here: ranges, lengths, tags, and when a stream must be aborted. Does not: reading files (`store::follow`).

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::Api;
use super::auth::Caller;
use super::body::{Aborted, pieces};
use super::collection::query;
use super::error::Refusal;
use super::flac::Encoder;
use super::range::{resolve, wanted};
use super::wire::OutlineBody;
use crate::control::call::plain;
use crate::control::operation::Format;
use crate::control::{Audio, Readable};
use crate::error::{Error, Kind};
use crate::store::follow::Follow;
use crate::store::growth::Watcher;
use crate::store::outline::outline as outline_of;
use crate::wav::{Reader, Spec, header as wav_header};

/// A piece of a stream has at most so many bytes.
const PIECE: usize = 64 * 1024;
/// An outline has at most so many stretches.
const STRETCHES: u64 = 2_000;

/// GET and HEAD of a recording.
pub async fn get(State(api): State<Arc<Api>>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    let (format, audio) = allowed(&api, &id, &headers).await?;
    if format == Format::Flac {
        return Ok(flac(audio, &headers).await?);
    }
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let mut response = match audio {
        Audio::Gone => return Err(gone().into()),
        Audio::NotYet => return Err(not_begun().into()),
        Audio::Recovering => return Err(recovering().into()),
        Audio::Growing { path, growth, spec, reading } => growing(&path, growth, spec, range, reading).await?,
        Audio::Final { path, sha256, reading } => finished(path, &sha256, range, &headers, reading).await?,
    };
    response.headers_mut().insert(header::CONTENT_TYPE, content_type(&headers));
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(response)
}

/// The audio and what it is read as, if whoever asks may have it.
async fn allowed(api: &Api, id: &str, headers: &HeaderMap) -> Result<(Format, Audio), Error> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let caller = api.door.caller(authorization).await?;
    let id = Uuid::parse_str(&plain(id)).map_err(|_| Error::not_found())?;
    let may_read = |owner: &str| match &caller {
        Caller::Application(app) => app.id == owner,
        Caller::Recording(of) => *of == id,
    };
    match api.control.audio(id) {
        Some(Readable { app, format, audio }) if may_read(&app) => Ok((format, audio)),
        // What is somebody else's takes as long as what is unknown.
        _ => match api.control.gone(id).await? {
            Some(owner) if may_read(&owner) => Ok((Format::Wav, Audio::Gone)),
            _ => Err(Error::not_found()),
        },
    }
}

/// GET of a recording's outline: `step` frames each from `from` on, as many stretches as there are whole ones, at most
/// [`STRETCHES`].
pub async fn outline(State(api): State<Arc<Api>>, Path(id): Path<String>, parts: Parts) -> Result<Response, Refusal> {
    let (_, audio) = allowed(&api, &id, &parts.headers).await?;
    let number = |name: &str, default: u64| match query(&parts).into_iter().find(|(known, _)| known == name) {
        None => Ok(default),
        Some((_, text)) => text
            .parse::<u64>()
            .map_err(|_| Error::invalid(name, format!("{name} must be a whole number of frames, not {text:?}"))),
    };
    let (from, step) = (number("from", 0)?, number("step", 0)?);
    let (path, growth, spec, reading) = match audio {
        Audio::Gone => return Err(gone().into()),
        Audio::NotYet => return Err(not_begun().into()),
        Audio::Recovering => return Err(recovering().into()),
        Audio::Growing { path, growth, spec, reading } => (path, Some(growth), spec, reading),
        Audio::Final { path, reading, .. } => (path, None, None, reading),
    };
    let spec = match spec {
        Some(spec) => spec,
        None => spec_of(path.clone()).await?,
    };
    let looked_at = spawn_blocking(move || {
        let _reading = reading;
        let frames = match growth {
            Some(growth) => growth.now().committed_frames,
            None => header_frames(&path)?,
        };
        // Without a step, all of it in as many stretches as are drawn at most.
        let step = if step == 0 { frames.div_ceil(STRETCHES).max(1) } else { step };
        let count = (frames.saturating_sub(from) / step).min(STRETCHES);
        Ok::<_, std::io::Error>((frames, step, outline_of(&path, spec, from, step, count)?))
    });
    let failed = |error: std::io::Error| Error::new(Kind::Internal, format!("the recording cannot be read: {error}"));
    let given_up = || Error::new(Kind::Internal, "looking at the recording was given up");
    let (frames, step, peaks) = looked_at.await.map_err(|_| given_up())?.map_err(failed)?;
    let peaks = peaks.into_iter().map(|peak| (f64::from(peak) * 1_000.0).round() / 1_000.0).collect();
    Ok(Json(OutlineBody { from, step, frames, sample_rate: spec.rate.hz(), peaks }).into_response())
}

fn header_frames(path: &FilePath) -> std::io::Result<u64> {
    let reader = Reader::open(path).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(reader.info().frames)
}

fn gone() -> Error {
    Error::new(Kind::Gone, "no audio is kept of this recording")
}

fn recovering() -> Error {
    Error::new(Kind::Unavailable, "what a crash left of the recording is being looked at")
}

fn not_begun() -> Error {
    Error::new(Kind::NotFound, "the recording has not begun")
}

/// The samples of a recording, from its first to its last.
enum Samples {
    Growing(Follow),
    Final { file: tokio::fs::File, left: u64 },
}

impl Samples {
    async fn next(&mut self) -> Option<Result<Bytes, String>> {
        match self {
            Samples::Growing(follow) => Some(follow.next_chunk(PIECE).await?.map_err(|error| error.to_string())),
            Samples::Final { left: 0, .. } => None,
            Samples::Final { file, left } => {
                let mut piece = vec![0; PIECE.min(usize::try_from(*left).unwrap_or(PIECE))];
                *left -= piece.len() as u64;
                Some(file.read_exact(&mut piece).await.map(|_| piece.into()).map_err(|error| error.to_string()))
            }
        }
    }
}

/// The recording as FLAC. A part of it cannot be asked for: what its length will be nobody knows.
async fn flac(audio: Audio, headers: &HeaderMap) -> Result<Response, Error> {
    let internal = |why: String| Error::new(Kind::Internal, format!("the recording cannot be read as FLAC: {why}"));
    let (spec, samples, tag, reading) = match audio {
        Audio::Gone => return Err(gone()),
        Audio::NotYet => return Err(not_begun()),
        Audio::Recovering => return Err(recovering()),
        Audio::Growing { path, growth, spec, reading } => {
            let spec = match spec {
                Some(spec) => spec,
                None => spec_of(path.clone()).await?,
            };
            let first = wav_header::len(spec) as u64;
            (spec, Samples::Growing(Follow::new(&path, growth, spec).range(first, None)), None, reading)
        }
        Audio::Final { path, sha256, reading } => {
            let tag = format!("\"{sha256}-flac\"");
            if is_known(headers, &tag) {
                return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
            }
            let spec = spec_of(path.clone()).await?;
            let opened = spawn_blocking(move || {
                let left = header_frames(&path)? * spec.frame_bytes();
                let mut file = std::fs::File::open(path)?;
                file.seek(SeekFrom::Start(wav_header::len(spec) as u64))?;
                Ok::<_, std::io::Error>((file, left))
            });
            let (file, left) = opened.await.ok().and_then(Result::ok).ok_or_else(gone)?;
            (spec, Samples::Final { file: tokio::fs::File::from_std(file), left }, Some(tag), reading)
        }
    };
    let encoder = Encoder::new(spec).map_err(internal)?;
    let told = [(header::CONTENT_TYPE, "audio/flac"), (header::ACCEPT_RANGES, "none")];
    let mut response = (told, encoded(samples, encoder, reading)).into_response();
    if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Encodes piece by piece, each on a thread for such work that is free again before the reader has taken it.
fn encoded(mut samples: Samples, mut encoder: Encoder, reading: Arc<()>) -> axum::body::Body {
    let (reader, body) = pieces();
    tokio::spawn(async move {
        let _reading = reading;
        loop {
            let piece = tokio::select! {
                piece = samples.next() => piece,
                () = reader.left() => return,
            };
            let is_last = piece.is_none();
            let work = move || {
                let made = match piece {
                    Some(piece) => piece.and_then(|piece| encoder.encode(&piece)),
                    None => encoder.finish(),
                };
                (encoder, made)
            };
            let Ok((back, made)) = spawn_blocking(work).await else { return };
            encoder = back;
            let nothing = made.as_ref().is_ok_and(Bytes::is_empty);
            if !nothing && !reader.give(made.map_err(Aborted)).await || is_last {
                return;
            }
        }
    });
    body
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
    wav_header::recognise(&start).ok_or_else(not_begun)
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
    if is_known(headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let opened = spawn_blocking(move || {
        // What a broken disk would not let be renamed is read under its other name.
        let file = std::fs::File::open(&path).or_else(|_| std::fs::File::open(crate::store::part_of(&path)))?;
        let length = file.metadata()?.len();
        Ok::<_, std::io::Error>((file, length))
    });
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

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let tags = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    tags.is_some_and(|tags| tags.split(',').any(|known| matches(known.trim(), tag)))
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
