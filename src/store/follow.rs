//! Reading a recording while it grows, or when it is finished.
//!
//! Belongs here: which bytes a reader may have, and when. Does not: HTTP (`api`). A reader has no effect on the recording:
//! it looks at what the writer tells and reads the file on its own, as slowly as it likes.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::file::part_of;
use super::growth::{Abandoned, Growth, Phase, Watcher};
use crate::wav::{Spec, header};

/// The most bytes that are read at once.
const MOST_BYTES: u64 = 256 * 1024;

/// Why a reader does not get the recording to its end. The connection has to be cut: who read so far must not take it
/// for whole.
#[derive(Debug)]
pub enum FollowError {
    /// A stop tone was cut that had been read already.
    Cut,
    /// No audio is kept.
    Gone,
    /// The writer is no more.
    Interrupted,
    /// The file cannot be read.
    Io(io::Error),
}

impl fmt::Display for FollowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FollowError::Cut => write!(f, "audio that was streamed has been cut from the recording"),
            FollowError::Gone => write!(f, "no audio of the recording is kept"),
            FollowError::Interrupted => write!(f, "the recording was interrupted"),
            FollowError::Io(e) => write!(f, "the recording cannot be read: {e}"),
        }
    }
}

impl std::error::Error for FollowError {}

/// A reader of one recording, from a byte of its file to its end.
pub struct Follow {
    path: PathBuf,
    growth: Watcher,
    spec: Spec,
    /// Kept over the rename, and over a deletion: who has begun to read gets to the end.
    file: Option<Arc<File>>,
    next_byte: u64,
    end_byte: Option<u64>,
    /// Opened while it grew: the header says that the length is not known.
    live: bool,
    over: bool,
}

/// How far a reader may go now.
enum Limit {
    /// It must wait for more.
    Wait,
    /// To this byte, and there is more to come.
    Growing(u64),
    /// To this byte, which is the file's last.
    Final(u64),
}

impl Follow {
    /// A reader of the recording that will be, or is, at `path`, from its first byte.
    pub fn new(path: &Path, growth: Watcher, spec: Spec) -> Follow {
        let live = growth.outcome().is_none();
        Follow { path: path.to_owned(), growth, spec, file: None, next_byte: 0, end_byte: None, live, over: false }
    }

    /// Begins at `first` instead, and ends before `end` if that is given. A part of what is committed needs no waiting.
    pub fn range(mut self, first: u64, end: Option<u64>) -> Follow {
        (self.next_byte, self.end_byte) = (first, end);
        self
    }

    /// The bytes that can be read now without waiting.
    pub fn readable_bytes(growth: &Growth, spec: Spec) -> u64 {
        match &growth.phase {
            Phase::Waiting => 0,
            Phase::Recording { .. } => header::len(spec) as u64 + growth.committed_frames * spec.frame_bytes(),
            Phase::Ended(outcome) => outcome.recording.as_ref().map_or(0, |recording| recording.file.bytes),
        }
    }

    /// The next bytes, at most `most`; waits for them. `None` when all have been read and the recording is final.
    pub async fn next_chunk(&mut self, most: usize) -> Option<Result<Bytes, FollowError>> {
        if self.over || self.end_byte.is_some_and(|end| self.next_byte >= end) {
            return None;
        }
        let chunk = self.chunk(most as u64).await.transpose();
        self.over = !matches!(chunk, Some(Ok(_)));
        chunk
    }

    async fn chunk(&mut self, most: u64) -> Result<Option<Bytes>, FollowError> {
        loop {
            let limit = self.limit()?;
            match limit {
                Limit::Growing(to) | Limit::Final(to) if to > self.next_byte => {
                    let to = to.min(self.end_byte.unwrap_or(to));
                    return self.read(most.min(MOST_BYTES).min(to - self.next_byte)).await.map(Some);
                }
                Limit::Final(to) if to == self.next_byte => return Ok(None),
                Limit::Final(_) => return Err(FollowError::Cut),
                Limit::Wait | Limit::Growing(_) => {
                    self.growth.more().await.map_err(|Abandoned| FollowError::Interrupted)?;
                }
            }
        }
    }

    fn limit(&self) -> Result<Limit, FollowError> {
        let growth = self.growth.now();
        let bytes = Follow::readable_bytes(&growth, self.spec);
        match &growth.phase {
            Phase::Waiting => Ok(Limit::Wait),
            Phase::Recording { .. } => Ok(Limit::Growing(bytes)),
            Phase::Ended(outcome) if outcome.recording.is_none() => Err(FollowError::Gone),
            Phase::Ended(_) => Ok(Limit::Final(bytes)),
        }
    }

    async fn read(&mut self, bytes: u64) -> Result<Bytes, FollowError> {
        let (file, path) = (self.file.clone(), self.path.clone());
        let (from, spec, live) = (self.next_byte, self.spec, self.live);
        let work = move || {
            let file = match file {
                Some(file) => file,
                None => Arc::new(open(&path)?),
            };
            let mut chunk = vec![0; bytes as usize];
            file.read_exact_at(&mut chunk, from)?;
            if live {
                header::unknown_length(&mut chunk, from, spec);
            }
            io::Result::Ok((file, chunk))
        };
        let done = spawn_blocking(work).await.map_err(|_| FollowError::Interrupted)?;
        let (file, chunk) = done.map_err(FollowError::Io)?;
        self.file = Some(file);
        self.next_byte += bytes;
        Ok(chunk.into())
    }
}

/// The file under the name it has now; it may be renamed in between, in one direction only.
pub(super) fn open(path: &Path) -> io::Result<File> {
    match File::open(part_of(path)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => File::open(path),
        opened => opened,
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
