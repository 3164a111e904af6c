//! How long after its onset a stop tone ends a recording: by the frames that the pipeline had been given, and as a client
//! sees it over HTTP.
//!
//! `cargo bench --bench latency`

#[path = "../tests/it/daemon.rs"]
mod daemon;
#[path = "../tests/it/sound.rs"]
mod sound;

use std::error::Error;
use std::time::Duration;

use daemon::Daemon;
use sound::Sound;
use tonearm::dsp::dtmf::DtmfConfig;
use tonearm::dsp::silence::SilenceConfig;
use tonearm::pipeline::{Block, Channels, Hearing, Message, Order, Outlet, Pipeline, Recorder, RecordingKey, Start};
use tonearm::record::{Reason, Rules, StopTones};
use tonearm::units::Rate;

const KEYS: [char; 16] = ['1', '2', '3', 'A', '4', '5', '6', 'B', '7', '8', '9', 'C', '*', '0', '#', 'D'];
const LEAD_MS: u32 = 200;
const TONE_MS: u32 = 80;

fn main() -> Result<(), Box<dyn Error>> {
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let (tones, calls) = if is_test { (32, 2) } else { (1_000, 30) };
    println!("stop tone: onset to decision in ms, {tones} tones of {TONE_MS} ms over a noise of -60 dBFS");
    println!("{:>7} {:>8} {:>7} {:>7} {:>7}", "Hz", "feed ms", "p50", "p95", "max");
    for hz in [8_000, 48_000] {
        for feed_ms in [1, 5, 10, 20] {
            let mut late: Vec<f64> = (0..tones).map(|n| decide(hz, feed_ms, n)).collect();
            let q = quantiles(&mut late);
            println!("{hz:>7} {feed_ms:>8} {:>7.1} {:>7.1} {:>7.1}", q[0], q[1], q[2]);
        }
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(over_http(calls))
}

/// Milliseconds from the onset of a tone to the end of the block with which the recording had ended.
fn decide(hz: u32, feed_ms: u32, n: usize) -> f64 {
    // The onset lies anywhere relative to the blocks and to the detector's hops.
    let lead_us = LEAD_MS * 1_000 + (n as u32 * 7_919) % 20_000;
    let mut sound = Sound::at(hz).hiss(LEAD_MS);
    let onset = (u64::from(hz) * u64::from(lead_us) / 1_000_000) as usize;
    let hiss = sound.samples[0];
    sound.samples.resize(onset, hiss);
    let sound = sound.key(KEYS[n % KEYS.len()], TONE_MS).hiss(200);
    let rate = Rate::new(hz).expect("a valid rate");
    let hearing = Hearing {
        rate,
        channels: 1,
        heard: Channels::ALL,
        dtmf: DtmfConfig::default(),
        silence: SilenceConfig::default(),
    };
    let feed = rate.frames_in_ms(feed_ms) as usize;
    let (mut pipeline, mut end) = (Pipeline::new(&hearing, feed), Ended(None));
    let rules = Rules::in_seconds(rate, 60, 60, 60, StopTones::parse(&KEYS.map(String::from)).expect("keys"));
    let order = Order { key: RecordingKey(1), channels: Channels::ALL, start: Start::At(0), rules, ticket: () };
    pipeline.begin(Recorder::new(order, rate, 1), &mut end);
    let floats: Vec<f32> = sound.samples.iter().map(|s| f32::from(*s) / 32_768.0).collect();
    let mut given = 0;
    for block in floats.chunks(feed) {
        pipeline.hear(block, &mut end);
        given += block.len();
        if let Some(reason) = end.0 {
            assert_eq!(reason, Reason::StopTone);
            return (given as f64 - onset as f64) * 1_000.0 / f64::from(hz);
        }
    }
    panic!("tone {n} was missed at {hz} Hz");
}

struct Ended(Option<Reason>);

impl Outlet<()> for Ended {
    fn block(&mut self) -> Option<Block> {
        Some(Block::with_room(4_096))
    }

    fn send(&mut self, message: Message<()>) {
        if let Message::Ended { recorder, .. } = message {
            self.0 = recorder.outcome.map(|outcome| outcome.ending.reason);
        }
    }

    fn eager(&self) -> bool {
        true
    }
}

/// A client that polls every 2 ms sees `completed` so long after the onset.
async fn over_http(calls: usize) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let wav = folder.path().join("tone.wav");
    let lead_ms = 500;
    Sound::at(16_000).hiss(lead_ms).key('#', TONE_MS).hiss(500).write(&wav);
    let daemon = Daemon::start(folder.path(), &[("mic", &format!("wav:{}?pace=real&loop=true", wav.display()))]).await?;
    let mut late = Vec::new();
    for _ in 0..calls {
        let operation = daemon.post("/app/calls/mic/record", r##"{"playBeep":false,"stopTones":["#"]}"##).await?;
        let id = operation["id"].as_str().ok_or("no id")?.to_owned();
        let done = loop {
            let operation = daemon.get(&format!("/app/calls/mic/operations/{id}")).await?;
            if operation["status"] == "completed" {
                break operation;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        let seen = tonearm::clock::wall();
        let started: jiff::Timestamp = done["recording"]["startedAt"].as_str().ok_or("no start")?.parse()?;
        let frames = done["recording"]["frames"].as_f64().ok_or("no frames")?;
        let since_start = (seen.as_microsecond() - started.as_microsecond()) as f64 / 1_000.0;
        late.push(since_start - frames / 16.0);
    }
    let q = quantiles(&mut late);
    println!("\nover HTTP, {calls} recordings: onset to `completed` seen by a client: p50 {:.1}, p95 {:.1}, max {:.1} ms", q[0], q[1], q[2]);
    Ok(())
}

fn quantiles(values: &mut [f64]) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    [at(0.5), at(0.95), at(1.0)]
}
