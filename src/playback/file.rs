//! A file as an output: what was played, one after the other, for tests and for hosts without a loudspeaker.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Score;
use crate::units::Rate;
use crate::wav::header::{Length, Metadata, header, set_length};
use crate::wav::quantise::quantise;
use crate::wav::{SampleFormat, Spec};

/// What sound cards do by themselves.
const HZ: u32 = 48_000;

/// The file; written anew from the first sound on.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    /// Frames in the file; the lock is held by a thread for disk work, never across an await.
    frames: Arc<Mutex<Option<u64>>>,
}

impl Output {
    pub fn new(path: PathBuf) -> Output {
        Output { path, frames: Arc::default() }
    }

    /// Appends a sound, so often (0: for ever), and takes as long as a loudspeaker would.
    pub async fn play(&self, score: Score, plays: u32) -> Result<(), String> {
        let spec = Spec { rate: Rate::new(HZ).unwrap_or(Rate::TELEPHONE), channels: 1, format: SampleFormat::S16 };
        let samples: Arc<[f32]> = disk(move || score(spec.rate, 1)).await?.into();
        let lasts = Duration::from_secs_f64(spec.rate.seconds(samples.len() as u64));
        let mut played = 0;
        while plays == 0 || played < plays {
            let (path, frames, samples) = (self.path.clone(), self.frames.clone(), samples.clone());
            disk(move || {
                let mut frames = frames.lock().unwrap_or_else(PoisonError::into_inner);
                append(&path, spec, &mut frames, &samples).map_err(|error| format!("{}: {error}", path.display()))
            })
            .await?;
            tokio::time::sleep(lasts).await;
            played += 1;
        }
        Ok(())
    }
}

async fn disk<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err("writing what was played panicked".to_owned()))
}

fn append(path: &Path, spec: Spec, frames: &mut Option<u64>, samples: &[f32]) -> std::io::Result<()> {
    let mut file = match frames {
        Some(_) => File::options().read(true).write(true).open(path)?,
        None => File::options().read(true).write(true).create(true).truncate(true).open(path)?,
    };
    if frames.is_none() {
        file.write_all(&header(spec, &Metadata::default(), Length::Frames(0)))?;
    }
    file.seek(SeekFrom::End(0))?;
    let mut bytes = Vec::new();
    quantise(spec.format, samples, &mut bytes);
    file.write_all(&bytes)?;
    let total = frames.unwrap_or(0) + samples.len() as u64;
    set_length(&file, spec, total)?;
    *frames = Some(total);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playback::{BEEP, Playback, Sound, beep};
    use crate::rt::sounding::Sounding;
    use crate::wav::Reader;

    #[tokio::test(start_paused = true)]
    async fn what_was_played_stands_in_the_file_and_took_as_long_as_it_lasts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("played.wav");
        let playback = Playback::open(&format!("wav:{}", path.display())).unwrap().unwrap();
        let began = tokio::time::Instant::now();
        playback.play(&Sound::Beep, &Sounding::default()).await.unwrap();
        let Playback(crate::playback::Output::File(output)) = &playback else { unreachable!() };
        output.play(Box::new(|_, _| Ok(vec![0.25; 480])), 2).await.unwrap();
        let took = began.elapsed();
        assert!(took >= BEEP + Duration::from_millis(20) && took < BEEP + Duration::from_millis(25), "{took:?}");
        let mut reader = Reader::open(&path).unwrap();
        assert_eq!(reader.info().frames, 12_000 + 2 * 480);
        let mut samples = vec![0.0; 12_960];
        assert_eq!(reader.read_f32(&mut samples).unwrap(), 12_960);
        let expected = beep(Rate::new(HZ).unwrap(), 1);
        assert!(samples.iter().zip(&expected).all(|(is, should)| (is - should).abs() < 1.0 / 32_768.0));
        assert_eq!(samples[12_000..], [0.25; 960]);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_is_named() {
        let playback = Playback::open("wav:/nowhere/played.wav").unwrap().unwrap();
        assert!(playback.play(&Sound::Beep, &Sounding::default()).await.unwrap_err().contains("/nowhere/played.wav"));
    }
}
