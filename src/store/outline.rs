//! The outline of a recording, for people to look at: the highest sample of each of its stretches.
//!
//! Belongs here: reading few samples of a file that may be long. Does not: which frames may be read yet (`growth`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::follow::open;
use crate::wav::{SampleFormat, Spec, header};

/// Of each stretch at most so many frames are looked at …
const LOOKED_AT_FRAMES: u64 = 4_096;
/// … in so many pieces, evenly spread: an hour of audio costs no more than a minute.
const PIECES: u64 = 4;

/// The peaks (0 to 1, of the loudest channel) of `count` stretches of `step` frames each, from frame `from` on. All of
/// them must be in the file.
pub fn outline(path: &Path, spec: Spec, from: u64, step: u64, count: u64) -> io::Result<Vec<f32>> {
    let file = open(path)?;
    (0..count).map(|index| stretch(&file, spec, from + index * step, step)).collect()
}

fn stretch(file: &File, spec: Spec, from: u64, frames: u64) -> io::Result<f32> {
    let pieces = if frames <= LOOKED_AT_FRAMES { 1 } else { PIECES };
    let looked_at = frames.min(LOOKED_AT_FRAMES) / pieces;
    let mut bytes = vec![0; (looked_at * spec.frame_bytes()) as usize];
    let mut peak = 0.0_f32;
    for piece in 0..pieces {
        let frame = from + piece * (frames / pieces);
        file.read_exact_at(&mut bytes, header::len(spec) as u64 + frame * spec.frame_bytes())?;
        peak = peak.max(highest(spec.format, &bytes));
    }
    Ok(peak)
}

fn highest(format: SampleFormat, bytes: &[u8]) -> f32 {
    let peak = match format {
        SampleFormat::S16 => most(bytes.as_chunks::<2>().0, |b| f32::from(i16::from_le_bytes(b)) / 32_768.0),
        SampleFormat::S24 => {
            most(bytes.as_chunks::<3>().0, |b| i32::from_le_bytes([0, b[0], b[1], b[2]]) as f32 / 2_147_483_648.0)
        }
        SampleFormat::F32 => most(bytes.as_chunks::<4>().0, f32::from_le_bytes),
    };
    peak.min(1.0)
}

fn most<const N: usize>(samples: &[[u8; N]], value: impl Fn([u8; N]) -> f32) -> f32 {
    samples.iter().fold(0.0, |peak, sample| peak.max(value(*sample).abs()))
}

#[cfg(test)]
mod tests {
    use super::super::file::SampleFile;
    use super::*;
    use crate::units::Rate;
    use crate::wav::Metadata;

    #[test]
    fn every_stretch_has_its_peak_while_the_file_grows_and_when_it_is_final() {
        for format in [SampleFormat::S16, SampleFormat::S24, SampleFormat::F32] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.wav");
            let spec = Spec { rate: Rate::new(8_000).unwrap(), channels: 2, format };
            let mut file = SampleFile::create(&path, spec, &Metadata::default()).unwrap();
            // Ten stretches of 100 frames; the n-th has one sample of n/10, on one channel or the other.
            let mut samples = vec![0.0; 2_000];
            for n in 0..10 {
                samples[n * 200 + 51 + n % 2] = -(n as f32) / 10.0;
            }
            let mut bytes = Vec::new();
            crate::wav::quantise::quantise(format, &samples, &mut bytes);
            file.append(&bytes).unwrap();
            let expected = [0.2, 0.3, 0.4, 0.5];
            let near = |peaks: Vec<f32>| peaks.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(near(outline(&path, spec, 200, 100, 4).unwrap()), "{format:?}");
            assert!(file.finish(1_000, &[]).1.is_none());
            assert!(near(outline(&path, spec, 200, 100, 4).unwrap()), "{format:?}");
            assert!(outline(&path, spec, 200, 100, 9).is_err());
        }
    }
}
