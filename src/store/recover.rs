//! What a crash left in the folder of recordings: finished, or put aside; never deleted.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::Digest as _;

use super::digest::hex;
use super::file::{self, part_of, recording_in};
use super::growth::{Finished, Gap, StoreError, lost_frames};
use crate::wav::{Marker, Spec, header};

/// A `.part` file and what has become of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The file's name without `.wav.part`: the recording's id.
    pub id: String,
    /// What has become of it.
    pub fate: Fate,
}

/// What has become of a `.part` file.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is a finished recording now.
    Finished {
        /// What its samples are.
        spec: Spec,
        /// How many frames it has.
        frames: u64,
    },
    /// It is not ours, or its name is taken: it lies here now.
    Quarantined {
        /// Where.
        to: PathBuf,
        /// Why it is no recording.
        why: &'static str,
    },
    /// It is still there: this went wrong.
    Failed(StoreError),
}

/// What is left of a recording that a crash interrupted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its file.
    pub file: Finished,
    /// Frames that are missing for any other reason than that the call was muted.
    pub lost_frames: u64,
    /// What its markers say is missing: as of its last sync, and the first of them if there were many.
    pub gaps: Vec<Gap>,
}

/// Finishes every `.wav.part` in `folder` at its last whole frame; what cannot be is moved to `quarantine/` in it.
/// Takes the same time however long they are. `known` gives the frames of a recording whose end is known, by its id: only its
/// name was not to be had. Nobody may be writing there.
pub fn recover(folder: &Path, known: impl Fn(&str) -> Option<u64>) -> io::Result<Vec<Found>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(id) = name.strip_suffix(".wav.part") {
            let fate = one(&path, &recording_in(folder, id), known(id)).unwrap_or_else(Fate::Failed);
            all.push(Found { id: id.to_owned(), fate });
        }
    }
    if !all.is_empty() {
        // Once for all names: nobody is told of a file before.
        file::sync_folder(folder)?;
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(all)
}

/// Finishes one whose disk would not let it be finished when it ended, after `frames`; `false` if that is done already.
pub fn again(finished: &Path, frames: u64) -> Result<bool, StoreError> {
    let part = part_of(finished);
    if part.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
        return Ok(false);
    }
    one(&part, finished, Some(frames))?;
    let filed = file::sync_folder(finished.parent().unwrap_or(Path::new(".")));
    filed.map_err(|e| StoreError::io("syncing the recording's folder", &e))?;
    Ok(true)
}

/// Describes a finished recording of ours, for an operation that crashed between the file and the journal.
/// `None` if there is none, or it is no file of ours. Reads all of it, for its digest.
pub fn describe(finished: &Path) -> io::Result<Option<Left>> {
    let file = match File::open(finished) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let start = start_of(&file)?;
    let Some(spec) = header::recognise(&start) else { return Ok(None) };
    let frames = whole_frames(&file, spec)?;
    let sha256 = hex(&file::hash(&file, spec, frames)?.finalize());
    let bytes = header::file_bytes(spec, frames);
    let file = Finished { frames, rate: spec.rate, channels: spec.channels, bytes, sha256 };
    let gaps: Vec<Gap> = header::markers(&start).iter().filter_map(Gap::of_marker).collect();
    Ok(Some(Left { file, lost_frames: lost_frames(&gaps), gaps }))
}

fn one(part: &Path, finished: &Path, known: Option<u64>) -> Result<Fate, StoreError> {
    let doing = |doing: &'static str| move |e: io::Error| StoreError::io(doing, &e);
    debug_assert_eq!(part_of(finished), part);
    let aside = |why| {
        let to = quarantine(part).map_err(doing("moving the file to quarantine"))?;
        Ok(Fate::Quarantined { to, why })
    };
    // A link or a folder of that name is nobody's recording: it is not followed.
    if !std::fs::symlink_metadata(part).map_err(doing("looking at the recording"))?.is_file() {
        return aside("it is no plain file");
    }
    if finished.symlink_metadata().is_ok() {
        return aside("a finished recording has its name");
    }
    let file = OpenOptions::new().read(true).write(true).open(part).map_err(doing("opening the recording"))?;
    let start = start_of(&file).map_err(doing("reading the recording's header"))?;
    let Some(spec) = header::recognise(&start) else {
        return aside("it does not begin with a header of ours; a recording that was just beginning is empty");
    };
    let there = whole_frames(&file, spec).map_err(doing("looking at the recording"))?;
    let frames = known.map_or(there, |known| known.min(there));
    file::finish(&file, finished, spec, frames, &markers_within(&start, frames))?;
    Ok(Fate::Finished { spec, frames })
}

/// The bytes that our header would take.
fn start_of(file: &File) -> io::Result<Vec<u8>> {
    let mut start = vec![0; header::MOST_BYTES];
    let mut read = 0;
    while read < start.len() {
        match file.read_at(&mut start[read..], read as u64)? {
            0 => break,
            n => read += n,
        }
    }
    start.truncate(read);
    Ok(start)
}

/// What was cut has no markers.
fn markers_within(start: &[u8], frames: u64) -> Vec<Marker> {
    header::markers(start).into_iter().filter(|marker| marker.frame < frames).collect()
}

/// By the file's real length: the header may be older than the samples.
fn whole_frames(file: &File, spec: Spec) -> io::Result<u64> {
    Ok((file.metadata()?.len() - header::len(spec) as u64) / spec.frame_bytes())
}

fn quarantine(path: &Path) -> io::Result<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new(".")).join("quarantine");
    std::fs::create_dir_all(&folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let free = (0u32..).map(|n| if n == 0 { folder.join(&*name) } else { folder.join(format!("{name}.{n}")) });
    let target = free.into_iter().find(|target| target.symlink_metadata().is_err()).unwrap_or(folder.join(&*name));
    std::fs::rename(path, &target)?;
    Ok(target)
}

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;
