//! How long after its onset a key is reported.

use super::{Heard, delays};
use crate::corpus::{KEYS, tones};

/// How a detector is called with a feed in ms, and at which rate.
pub type Fed<'a> = (&'a str, u32, &'a dyn Fn(&[f32], f64) -> Vec<Heard>);

pub const FEEDS_MS: [f64; 4] = [1.0, 5.0, 10.0, 20.0];
const CONDITIONS: [(&str, Option<f64>); 3] = [("quiet", None), ("SNR 25 dB", Some(25.0)), ("SNR 15 dB", Some(15.0))];

/// Delays in ms, of each detector over each condition and feed; the key's number beside each.
pub struct Delays {
    pub detector: String,
    pub condition: &'static str,
    pub feed_ms: f64,
    pub ms: Vec<(usize, f64)>,
}

pub fn measure(detectors: &[Fed], seeds: &[u64]) -> Vec<Delays> {
    let mut all = Vec::new();
    for &(name, hz, detect) in detectors {
        for (condition, snr) in CONDITIONS {
            let cases: Vec<_> = seeds.iter().map(|&seed| tones::plain(f64::from(hz), seed, 20, snr)).collect();
            for feed_ms in FEEDS_MS {
                let heard = cases.iter().flat_map(|case| delays(case, &detect(&case.audio, feed_ms)));
                let ms = heard.map(|(key, s)| (key, 1e3 * s)).collect();
                all.push(Delays { detector: name.to_owned(), condition, feed_ms, ms });
            }
        }
    }
    all
}

/// "p50 p95 p99 max".
pub fn percentiles(values: impl Iterator<Item = f64>) -> String {
    let mut values: Vec<f64> = values.collect();
    if values.is_empty() {
        return "-".to_owned();
    }
    values.sort_by(f64::total_cmp);
    // The smallest that so large a share does not pass.
    let at = |share: f64| values[((values.len() as f64 * share).ceil() as usize).clamp(1, values.len()) - 1];
    format!("{:.1} {:.1} {:.1} {:.1}", at(0.5), at(0.95), at(0.99), at(1.0))
}

/// A line for each condition and feed, a column for each detector.
pub fn table(all: &[Delays]) -> Vec<Vec<String>> {
    let mut names: Vec<&str> = all.iter().map(|one| one.detector.as_str()).collect();
    names.dedup();
    let mut lines = vec![vec!["p50 p95 p99 max, ms".to_owned()]];
    lines[0].extend(names.iter().map(|name| (*name).to_owned()));
    let find = |name: &str, condition: &str, feed: f64| {
        all.iter().find(|one| one.detector == name && one.condition == condition && one.feed_ms == feed)
    };
    for (condition, _) in CONDITIONS {
        for feed in FEEDS_MS {
            let mut line = vec![format!("{condition}, feed {feed} ms")];
            line.extend(names.iter().map(|name| {
                find(name, condition, feed).map_or_else(String::new, |one| percentiles(one.ms.iter().map(|ms| ms.1)))
            }));
            lines.push(line);
        }
    }
    for (condition, _) in CONDITIONS {
        for feed in FEEDS_MS {
            for (key, name) in KEYS.iter().enumerate() {
                let mut line = vec![format!("key {}, {condition}, feed {feed} ms", *name as char)];
                line.extend(names.iter().map(|name| {
                    let of_key = |ms: &&(usize, f64)| ms.0 == key;
                    find(name, condition, feed)
                        .map_or_else(String::new, |one| percentiles(one.ms.iter().filter(of_key).map(|ms| ms.1)))
                }));
                lines.push(line);
            }
        }
    }
    lines
}
