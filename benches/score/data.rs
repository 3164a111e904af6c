//! Voices and music from elsewhere, as `make bench-data` lays them down: no key is pressed there.

use super::latency::Fed;
use crate::corpus::resampled;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Read in pieces of so many seconds.
const PIECE_S: u32 = 300;

fn files() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench-data");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "wav")).collect();
    files.sort();
    files
}

/// Hours and false hits of each detector, an origin a line; and what was heard where.
pub fn score(detectors: &[Fed]) -> (Vec<Vec<String>>, Vec<String>) {
    let mut origins: BTreeMap<String, (f64, Vec<usize>)> = BTreeMap::new();
    let mut where_heard = Vec::new();
    for path in files() {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut reader = hound::WavReader::open(&path).expect("a WAV file");
        let hz = reader.spec().sample_rate;
        let mut samples = reader.samples::<i16>().map(|x| f32::from(x.expect("a sample")) / 32_768.0);
        // Languages are many: they share a line.
        let group = if name.starts_with("speech-") { "espeak-ng".to_owned() } else { name.clone() };
        let sums = origins.entry(group).or_insert_with(|| (0.0, vec![0; detectors.len()]));
        for piece in 0.. {
            let audio: Vec<f32> = samples.by_ref().take((PIECE_S * hz) as usize).collect();
            if audio.is_empty() {
                break;
            }
            sums.0 += audio.len() as f64 / f64::from(hz) / 3_600.0;
            let mut at_rate: BTreeMap<u32, Vec<f32>> = BTreeMap::new();
            for ((detector, rate, detect), sum) in detectors.iter().zip(&mut sums.1) {
                let audio = at_rate.entry(*rate).or_insert_with(|| resampled(&audio, f64::from(hz), f64::from(*rate)));
                let heard = detect(audio, 10.0);
                *sum += heard.len();
                let from = f64::from(piece * PIECE_S);
                where_heard.extend(
                    heard.iter().map(|key| format!("{detector}: {} in {name} at {:.2} s", key.key, from + key.decided)),
                );
            }
        }
    }
    let mut lines = vec![vec!["false hits".to_owned(), "hours".to_owned()]];
    lines[0].extend(detectors.iter().map(|(name, ..)| (*name).to_owned()));
    let mut all = (0.0, vec![0; detectors.len()]);
    for (hours, hits) in origins.values() {
        all.0 += hours;
        all.1.iter_mut().zip(hits).for_each(|(sum, hits)| *sum += hits);
    }
    for (name, (hours, hits)) in origins.iter().map(|(name, sums)| (name.as_str(), sums)).chain([("all", &all)]) {
        let mut line = vec![name.to_owned(), format!("{hours:.2}")];
        line.extend(hits.iter().map(usize::to_string));
        lines.push(line);
    }
    (lines, where_heard)
}
