//! What a crash left in the folder of recordings: finished, or put aside; never deleted.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::Digest as _;

use super::digest::hex;
use super::file::{self, part_of};
use super::growth::{Finished, StoreError};
use crate::wav::{Spec, header};

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
    Finished(Finished),
    /// It is not ours, or its name is taken: it lies here now.
    Quarantined(PathBuf),
    /// It is still there: this went wrong.
    Failed(StoreError),
}

/// Finishes every `.wav.part` in `folder` at its last whole frame; what cannot be is moved to `quarantine/` in it.
/// Nobody may be writing there.
pub fn recover(folder: &Path) -> io::Result<Vec<Found>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(id) = name.strip_suffix(".wav.part") {
            let fate = one(&path, &folder.join(format!("{id}.wav"))).unwrap_or_else(Fate::Failed);
            all.push(Found { id: id.to_owned(), fate });
        }
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(all)
}

/// Describes a finished recording of ours, for an operation that crashed between the file and the journal.
/// `None` if it is no file of ours.
pub fn describe(finished: &Path) -> io::Result<Option<Finished>> {
    let file = File::open(finished)?;
    match spec_of(&file)? {
        Some(spec) => describe_open(&file, spec, whole_frames(&file, spec)?).map(Some),
        None => Ok(None),
    }
}

fn one(part: &Path, finished: &Path) -> Result<Fate, StoreError> {
    let doing = |doing: &'static str| move |e: io::Error| StoreError::io(doing, &e);
    debug_assert_eq!(part_of(finished), part);
    // A link or a folder of that name is nobody's recording: it is not followed.
    let plain = std::fs::symlink_metadata(part).map_err(doing("looking at the recording"))?.is_file();
    let file = if plain && !finished.exists() {
        Some(OpenOptions::new().read(true).write(true).open(part).map_err(doing("opening the recording"))?)
    } else {
        None
    };
    let ours = match &file {
        Some(file) => spec_of(file).map_err(doing("reading the recording's header"))?.map(|spec| (file, spec)),
        None => None,
    };
    let Some((file, spec)) = ours else {
        return quarantine(part).map(Fate::Quarantined).map_err(doing("moving the file to quarantine"));
    };
    let frames = whole_frames(file, spec).map_err(doing("looking at the recording"))?;
    file::finish(file, finished, spec, frames)?;
    describe_open(file, spec, frames).map(Fate::Finished).map_err(doing("reading the recording"))
}

fn spec_of(file: &File) -> io::Result<Option<Spec>> {
    let mut start = [0; 1_024];
    let mut read = 0;
    while read < start.len() {
        match file.read_at(&mut start[read..], read as u64)? {
            0 => break,
            n => read += n,
        }
    }
    Ok(header::recognise(&start[..read]))
}

/// By the file's real length: the header may be older than the samples.
fn whole_frames(file: &File, spec: Spec) -> io::Result<u64> {
    Ok((file.metadata()?.len() - header::len(spec) as u64) / spec.frame_bytes())
}

fn describe_open(file: &File, spec: Spec, frames: u64) -> io::Result<Finished> {
    let sha256 = hex(&file::hash(file, spec, frames)?.finalize());
    let bytes = header::file_bytes(spec, frames);
    Ok(Finished { frames, rate: spec.rate, channels: spec.channels, bytes, sha256 })
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
