//! A recording as a picture made of characters.

use std::path::Path;

use crate::wav::Reader;

const COLUMNS: usize = 72;
/// From nothing to full scale; a step is 6 dB.
const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The peaks of a WAV over its whole length, in one line.
pub fn of_file(path: &Path) -> Option<String> {
    let mut reader = Reader::open(path).ok()?;
    let info = reader.info();
    let channels = usize::from(info.channels);
    let mut block = vec![0.0; 4_096 * channels];
    let mut peaks = [0.0_f32; COLUMNS];
    let mut frame = 0_u64;
    while let read @ 1.. = reader.read_f32(&mut block).ok()? {
        for samples in block[..read * channels].chunks_exact(channels) {
            let column = (frame * COLUMNS as u64 / info.frames.max(1)).min(COLUMNS as u64 - 1) as usize;
            peaks[column] = samples.iter().fold(peaks[column], |peak, sample| peak.max(sample.abs()));
            frame += 1;
        }
    }
    Some(peaks.iter().map(|peak| HEIGHTS[height(*peak)]).collect())
}

fn height(peak: f32) -> usize {
    let steps = 8.0 + 20.0 * peak.max(1e-6).log10() / 6.0;
    steps.round().clamp(0.0, 8.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_six_decibels() {
        assert_eq!([1.0, 0.5, 0.25, 0.0].map(height), [8, 7, 6, 0]);
    }
}
