//! How well the end of speech is found, with a hang time of 2 s.

use super::latency::percentiles;
use super::ours;
use crate::corpus::speech;
use crate::corpus::speech::{BACKGROUNDS, Spoken};

const HANG_S: f64 = 2.0;

/// Where the last voice was, and when that was known.
pub type Stop = Option<(f64, f64)>;

/// What became of the cases of one background.
#[derive(Clone, Default)]
pub struct Outcome {
    pub cases: usize,
    pub right: usize,
    /// Stopped while somebody still spoke.
    pub false_stops: usize,
    pub never: usize,
    pub within: usize,
    /// Of those stopped right: the last voice, and the decision less the hang time, after the true end, in ms.
    pub errors: Vec<f64>,
    pub decisions: Vec<f64>,
}

impl Outcome {
    fn add(&mut self, spoken: &Spoken, stop: Stop) {
        self.cases += 1;
        let Some((last, decided)) = stop else {
            self.never += 1;
            return;
        };
        let error = last - spoken.end;
        if error < -HANG_S {
            self.false_stops += 1;
            return;
        }
        self.right += 1;
        self.within += usize::from(error.abs() <= 0.2);
        self.errors.push(1e3 * error);
        self.decisions.push(1e3 * (decided - HANG_S - spoken.end));
    }

    fn with(mut self, other: &Outcome) -> Outcome {
        self.cases += other.cases;
        self.right += other.right;
        self.false_stops += other.false_stops;
        self.never += other.never;
        self.within += other.within;
        self.errors.extend(&other.errors);
        self.decisions.extend(&other.decisions);
        self
    }
}

/// A detector's outcomes, background by background.
pub struct Score {
    pub name: String,
    pub outcomes: Vec<Outcome>,
}

impl Score {
    pub fn all(&self) -> Outcome {
        self.outcomes.iter().fold(Outcome::default(), Outcome::with)
    }
}

/// Stops by blocks that are voiced or not.
fn by_blocks(spoken: &Spoken, block_s: f64, voiced: impl Iterator<Item = bool>) -> Stop {
    let mut last = None;
    for (n, voiced) in voiced.enumerate() {
        let now = (n + 1) as f64 * block_s;
        if voiced && now > spoken.before {
            last = Some(now);
        }
        if let Some(last) = last
            && now > last + HANG_S
        {
            return Some((last, now));
        }
    }
    None
}

/// Asterisk's rule: the mean size of 20 ms of samples against 256.
fn asterisk(spoken: &Spoken) -> Stop {
    let mean = |block: &[f32]| block.iter().map(|x| x.abs() * 32_768.0).sum::<f32>() / block.len() as f32;
    by_blocks(spoken, 0.02, spoken.audio.chunks_exact(160).map(|block| mean(block) >= 256.0))
}

fn fixed(spoken: &Spoken) -> Stop {
    let power = |block: &[f32]| block.iter().map(|x| x * x).sum::<f32>() / block.len() as f32;
    // −40 dBFS, against a full-scale sine.
    by_blocks(spoken, 0.02, spoken.audio.chunks_exact(160).map(|block| power(block) >= 0.5e-4))
}

/// Scores everybody on the same cases, WebRTC's detector if `webrtc` knows it: a line of 1 and 0 a case, every 10 ms.
pub fn measure(seeds: &[u64], count: u64, webrtc: impl Fn(&[&[f32]]) -> Option<Vec<String>>) -> Vec<Score> {
    let cases: Vec<Spoken> = seeds.iter().flat_map(|&seed| speech::spoken(seed, count)).collect();
    let score = |name: &str, stop: &mut dyn FnMut(usize, &Spoken) -> Stop| {
        let mut outcomes = vec![Outcome::default(); BACKGROUNDS.len()];
        for (n, spoken) in cases.iter().enumerate() {
            let kind = BACKGROUNDS.iter().position(|name| *name == spoken.background).expect("one of them");
            outcomes[kind].add(spoken, stop(n, spoken));
        }
        Score { name: name.to_owned(), outcomes }
    };
    let mut scores: Vec<Score> = [8_000, 16_000, 44_100, 48_000]
        .into_iter()
        .map(|hz| score(&format!("ours, {hz} Hz"), &mut |_, spoken| ours::end(spoken, hz, HANG_S)))
        .collect();
    if let Some(voiced) = webrtc(&cases.iter().map(|spoken| &spoken.audio[..]).collect::<Vec<_>>()) {
        let mut stop = |n: usize, spoken: &Spoken| by_blocks(spoken, 0.01, voiced[n].bytes().map(|c| c == b'1'));
        scores.push(score("WebRTC, mode 2", &mut stop));
    }
    scores.push(score("Asterisk, 256", &mut |_, spoken| asterisk(spoken)));
    scores.push(score("fixed −40 dBFS", &mut |_, spoken| fixed(spoken)));
    scores
}

type Cell = (&'static str, fn(&Outcome) -> String);

fn percent(part: usize, of: &Outcome) -> String {
    format!("{:.1}", 100.0 * part as f64 / of.cases as f64)
}

const ASKED: [&str; 6] = ["≥ 96", "≤ 0.2", "≤ 4", "≥ 90", "", ""];

/// A line a criterion and a line a background, a column a detector.
pub fn table(scores: &[Score]) -> Vec<Vec<String>> {
    let mut lines = vec![vec![String::new(), "asked".to_owned()]];
    lines[0].extend(scores.iter().map(|score| score.name.clone()));
    let cells: [Cell; 6] = [
        ("stopped right, %", |all| percent(all.right, all)),
        ("false stop, %", |all| percent(all.false_stops, all)),
        ("never stopped, %", |all| percent(all.never, all)),
        ("within 200 ms, %", |all| percent(all.within, all)),
        ("end − true end, p50 p95 p99 max ms", |all| percentiles(all.errors.iter().copied())),
        ("decided − 2 s − true end, the same", |all| percentiles(all.decisions.iter().copied())),
    ];
    for ((label, cell), asked) in cells.iter().zip(ASKED) {
        let mut line = vec![(*label).to_owned(), asked.to_owned()];
        line.extend(scores.iter().map(|score| cell(&score.all())));
        lines.push(line);
    }
    for (kind, background) in BACKGROUNDS.iter().enumerate() {
        let mut line = vec![format!("{background}: right, within 200 ms, %"), String::new()];
        line.extend(scores.iter().map(|score| {
            let one = &score.outcomes[kind];
            format!("{} {}", percent(one.right, one), percent(one.within, one))
        }));
        lines.push(line);
    }
    lines
}
