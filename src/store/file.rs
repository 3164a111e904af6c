//! The file of one recording, from `ID.wav.part` to `ID.wav`.
//!
//! Belongs here: the order of the steps on disk. Does not: which frames to write, and when (`writer`).
//! hound appends the samples and keeps the sizes of the header, which a sync brings into the file; past the sizes that
//! it can count they bypass it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, TryRecvError, bounded};
use hound::WavWriter;
use sha2::{Digest, Sha256};

use super::crash::reached;
use super::growth::StoreError;
use crate::wav::{Length, Marker, Metadata, SampleFormat, Spec, header};

/// Where the recording of this id lies in `folder` when it is finished.
pub fn recording_in(folder: &Path, id: impl std::fmt::Display) -> PathBuf {
    folder.join(format!("{id}.wav"))
}

/// The name a recording has while it grows.
pub fn part_of(finished: &Path) -> PathBuf {
    let mut name = finished.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// A growing recording.
pub(super) struct SampleFile {
    spec: Spec,
    path: PathBuf,
    /// The same open file that the samples go to: for sizes, syncs and cuts behind hound's back.
    file: File,
    samples: Samples,
    /// Whole frames in the file.
    frames: u64,
    name_synced: bool,
    /// A sync that is under way, on a thread of its own: a busy disk takes a second and more for it, and what is captured
    /// meanwhile would not be in the file yet, for a kill to take.
    syncing: Option<Receiver<io::Result<()>>>,
    /// So many are in the header.
    markers: usize,
}

/// The way the samples take.
enum Samples {
    Hound {
        writer: Box<WavWriter<Batch>>,
        batch: Batch,
    },
    /// Past hound's 32-bit counters; also while nothing may be written any more.
    Direct,
}

impl SampleFile {
    /// Creates the file with its header; it must not exist.
    pub fn create(path: &Path, spec: Spec, metadata: &Metadata) -> io::Result<SampleFile> {
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(part_of(path))?;
        reached("created");
        file.write_all(&header::header(spec, metadata, Length::Frames(0)))?;
        reached("headed");
        SampleFile::append_to(file, path, spec)
    }

    /// Goes on behind the header of a file that holds no samples.
    fn append_to(mut file: File, path: &Path, spec: Spec) -> io::Result<SampleFile> {
        file.rewind()?;
        let batch = Batch(Arc::new(Mutex::new(Collected { file: file.try_clone()?, bytes: Vec::new() })));
        let writer = Box::new(WavWriter::new_append(batch.clone()).map_err(io_error)?);
        let samples = Samples::Hound { writer, batch };
        Ok(SampleFile {
            spec,
            path: path.to_owned(),
            file,
            samples,
            frames: 0,
            name_synced: false,
            syncing: None,
            markers: 0,
        })
    }

    /// What its samples are.
    pub fn spec(&self) -> Spec {
        self.spec
    }

    /// Whole frames in the file.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Appends whole frames. After an error the file has to be finished.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let held = self.frames * self.spec.frame_bytes();
        let frames = self.frames + bytes.len() as u64 / self.spec.frame_bytes();
        if held + bytes.len() as u64 > header::riff_ceiling(self.spec) {
            self.samples = Samples::Direct;
        }
        match &mut self.samples {
            Samples::Hound { writer, batch } => {
                through_hound(writer, self.spec.format, bytes).map_err(io_error)?;
                batch.collected().hand_on()?;
            }
            Samples::Direct => self.file.write_all_at(bytes, header::len(self.spec) as u64 + held)?,
        }
        self.frames = frames;
        reached("written");
        Ok(())
    }

    /// Says the number of frames in the header, and what lies where: whoever opens the file then can play them. Everything
    /// appended so far is on its way to the disk then, where it survives a power cut; the first time the file's name, too;
    /// but not while the sync before is under way. An error may be that of the one before.
    pub fn sync(&mut self, markers: &[Marker]) -> io::Result<()> {
        match &mut self.samples {
            Samples::Hound { writer, .. } => writer.flush().map_err(io_error)?,
            Samples::Direct => header::set_length(&self.file, self.spec, self.frames)?,
        }
        if self.markers != markers.len() {
            self.markers = markers.len();
            header::set_markers(&self.file, markers)?;
        }
        reached("checkpointed");
        match self.syncing.as_ref().map(Receiver::try_recv) {
            Some(Err(TryRecvError::Empty)) => return Ok(()),
            Some(Ok(synced)) => synced?,
            Some(Err(TryRecvError::Disconnected)) | None => {}
        }
        let (file, unnamed) = (self.file.try_clone()?, (!self.name_synced).then(|| self.path.clone()));
        let (done, syncing) = bounded(1);
        let sync = move || drop(done.send(to_disk(&file, unnamed.as_deref())));
        std::thread::Builder::new().name("sync".into()).spawn(sync)?;
        (self.syncing, self.name_synced) = (Some(syncing), true);
        Ok(())
    }

    /// Waits for the sync that is under way.
    fn synced(&mut self) -> io::Result<()> {
        self.syncing.take().and_then(|syncing| syncing.recv().ok()).unwrap_or(Ok(()))
    }

    /// The digest of the first `frames` frames, read back from the file.
    pub fn hash(&self, frames: u64) -> io::Result<Sha256> {
        hash(&self.file, self.spec, frames)
    }

    /// Ends the file after `frames`, which must not be more than it holds, and gives it its final name.
    /// Each step is tried even when one before it failed; the first error is returned with the size of the file.
    pub fn finish(mut self, frames: u64, markers: &[Marker]) -> (u64, Option<StoreError>) {
        // hound writes its sizes once more when it goes: they must not be the last word.
        self.samples = Samples::Direct;
        let synced = self.synced().map_err(|e| StoreError::io("syncing the recording", &e));
        let finished = finish(&self.file, &self.path, self.spec, frames, markers);
        let filed = sync_name(&self.path).map_err(|e| StoreError::io("syncing the recording's folder", &e));
        reached("filed");
        let result = synced.and(finished).and(filed);
        (header::file_bytes(self.spec, frames), result.err())
    }

    /// Removes the file: nothing of it is kept.
    pub fn discard(mut self) -> Result<(), StoreError> {
        self.samples = Samples::Direct;
        let removed = std::fs::remove_file(part_of(&self.path)).and_then(|()| sync_name(&self.path));
        removed.map_err(|e| StoreError::io("removing the recording", &e))
    }
}

/// What it does, in words; the name of what is done then (`crash`); doing it.
type Step<'a> = (&'a str, &'static str, &'a dyn Fn() -> io::Result<()>);

/// The steps from a growing file to a finished one, but for the sync of its folder. Every one may be the last before a
/// crash: until the rename the file is a `.part`, from which the same steps begin again, and a step that was done already
/// changes nothing.
pub(super) fn finish(file: &File, path: &Path, spec: Spec, frames: u64, markers: &[Marker]) -> Result<(), StoreError> {
    let end = header::len(spec) as u64 + frames * spec.frame_bytes();
    let steps: [Step; 5] = [
        ("cutting the recording", "cut", &|| file.set_len(end)),
        // A pad byte that is zero, whatever has been cut there, and takes no block on a full disk.
        ("padding the recording", "padded", &|| file.set_len(end + header::pad(spec, frames))),
        ("writing the recording's header", "sized", &|| {
            header::set_markers(file, markers)?;
            header::set_length(file, spec, frames)
        }),
        ("syncing the recording", "finished", &|| file.sync_all()),
        ("renaming the recording", "renamed", &|| std::fs::rename(part_of(path), path)),
    ];
    let mut first = Ok(());
    for (doing, done_is, step) in steps {
        let done = step().map_err(|e| StoreError::io(doing, &e));
        first = first.and(done);
        reached(done_is);
    }
    first
}

/// The data, and the name of a file that has not got it there yet.
fn to_disk(file: &File, unnamed: Option<&Path>) -> io::Result<()> {
    file.sync_data()?;
    reached("synced");
    if let Some(path) = unnamed {
        sync_name(path)?;
        reached("named");
    }
    Ok(())
}

/// Makes the names in a folder survive a power cut.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn sync_name(path: &Path) -> io::Result<()> {
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// SHA-256 over the sample bytes of the first `frames` frames of a file of ours.
pub(super) fn hash(file: &File, spec: Spec, frames: u64) -> io::Result<Sha256> {
    let (mut sha, mut buffer) = (Sha256::new(), vec![0; 256 * 1024]);
    let start = header::len(spec) as u64;
    let (mut at, end) = (start, start + frames * spec.frame_bytes());
    while at < end {
        let piece = buffer.len().min((end - at) as usize);
        file.read_exact_at(&mut buffer[..piece], at)?;
        sha.update(&buffer[..piece]);
        at += piece as u64;
    }
    Ok(sha)
}

fn through_hound(writer: &mut WavWriter<Batch>, format: SampleFormat, bytes: &[u8]) -> hound::Result<()> {
    match format {
        SampleFormat::S16 => {
            let (samples, _) = bytes.as_chunks::<2>();
            let mut run = writer.get_i16_writer(samples.len() as u32);
            for sample in samples {
                run.write_sample(i16::from_le_bytes(*sample));
            }
            run.flush()
        }
        SampleFormat::S24 => bytes
            .as_chunks::<3>()
            .0
            .iter()
            .try_for_each(|b| writer.write_sample(i32::from_le_bytes([0, b[0], b[1], b[2]]) >> 8)),
        SampleFormat::F32 => {
            bytes.as_chunks::<4>().0.iter().try_for_each(|b| writer.write_sample(f32::from_le_bytes(*b)))
        }
    }
}

/// Our own header cannot be wrong, and every sample fits: what is left are the file system's errors.
fn io_error(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    }
}

/// What hound hands over in one piece of this size needs no collecting.
const LONG_BYTES: usize = 16 * 1024;

/// Between hound and the file: collects what hound writes sample by sample and hands it on in one piece whenever hound
/// goes elsewhere in the file, or when it is asked to. Shared, since hound lends its writer to nobody, and with a lock that
/// only one thread takes; a `BufWriter` cannot be read from, as `new_append` needs.
#[derive(Clone)]
struct Batch(Arc<Mutex<Collected>>);

struct Collected {
    file: File,
    bytes: Vec<u8>,
}

impl Batch {
    fn collected(&self) -> MutexGuard<'_, Collected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collected {
    fn hand_on(&mut self) -> io::Result<()> {
        // What could not be written is given up: the file is cut to its last good frame then.
        let result = self.file.write_all(&self.bytes);
        self.bytes.clear();
        result
    }
}

impl Read for Batch {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.collected().file.read(out)
    }
}

impl Write for Batch {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut collected = self.collected();
        if collected.bytes.is_empty() && bytes.len() >= LONG_BYTES {
            return collected.file.write(bytes);
        }
        collected.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.collected().hand_on()
    }
}

impl Seek for Batch {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let mut collected = self.collected();
        collected.hand_on()?;
        collected.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Rate;
    use crate::wav::Reader;

    #[test]
    fn past_4_gib_the_samples_bypass_hound_and_the_file_is_an_rf64() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.wav");
        let spec = Spec { rate: Rate::new(48_000).unwrap(), channels: 1, format: SampleFormat::S16 };
        let mut file = SampleFile::create(&path, spec, &Metadata::default()).unwrap();
        file.append(&[1, 0]).unwrap();
        // A hole stands for a day of audio.
        let frames = header::riff_ceiling(spec) / 2;
        file.file.set_len(header::file_bytes(spec, frames)).unwrap();
        file.frames = frames;
        for n in [2, 3, 4] {
            file.append(&[n, 0]).unwrap();
        }
        assert_eq!(file.finish(frames + 2, &[]), (header::file_bytes(spec, frames + 2), None));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), header::file_bytes(spec, frames + 2));
        let mut reader = Reader::open(&path).unwrap();
        assert_eq!(reader.info().frames, frames + 2);
        let mut samples = [9; 4];
        reader.seek(frames - 1).unwrap();
        assert_eq!(reader.read_i16(&mut samples).unwrap(), 3);
        assert_eq!(samples[..3], [0, 2, 3]);
        let mut start = [0; 4];
        File::open(&path).unwrap().read_exact(&mut start).unwrap();
        assert_eq!(&start, b"RF64");
    }

    #[test]
    fn it_never_takes_the_place_of_a_file_and_only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let spec = Spec { rate: Rate::new(48_000).unwrap(), channels: 1, format: SampleFormat::S16 };
        let _first = SampleFile::create(&path, spec, &Metadata::default()).unwrap();
        let second = SampleFile::create(&path, spec, &Metadata::default()).err().unwrap();
        assert_eq!(second.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::metadata(part_of(&path)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
