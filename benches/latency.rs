//! How long after its onset a stop tone ends a recording: by the frames that the pipeline had been given, and as a client
//! sees it over HTTP. How long after its capture a frame is in the file.
//!
//! `cargo bench --bench latency`

#[path = "../tests/it/daemon.rs"]
mod daemon;
#[path = "../tests/it/sound.rs"]
mod sound;

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use daemon::Daemon;
use sound::Sound;
use tonearm::capture::{Capture, Feeding, Source};
use tonearm::clock;
use tonearm::control::chain::Setup;
use tonearm::control::line::{Ask, Begin, Line, Microphone, Settings};
use tonearm::pipeline::{Block, Channels, Hearing, Message, Order, Outlet, Pipeline, Recorder, RecordingKey, Start};
use tonearm::record::{Reason, Rules, StopTones};
use tonearm::rt::ring::{Consumer, Read, ring};
use tonearm::store::growth::Watcher;
use tonearm::units::Rate;
use tonearm::wav::SampleFormat;
use uuid::Uuid;

const KEYS: [char; 16] = ['1', '2', '3', 'A', '4', '5', '6', 'B', '7', '8', '9', 'C', '*', '0', '#', 'D'];
const LEAD_MS: u32 = 200;
const TONE_MS: u32 = 80;

fn main() -> Result<(), Box<dyn Error>> {
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let (tones, calls, pieces) = if is_test { (32, 2, 20) } else { (1_000, 30, 3_000) };
    println!("stop tone: onset to decision in ms, {tones} tones of {TONE_MS} ms over a noise of -60 dBFS");
    println!("{:>7} {:>8} {:>7} {:>7} {:>7}", "Hz", "feed ms", "p50", "p95", "max");
    for hz in [8_000, 48_000] {
        for feed_ms in [1, 5, 10, 20] {
            let mut late: Vec<f64> = (0..tones).map(|n| decide(hz, feed_ms, n)).collect();
            let q = quantiles(&mut late, [0.5, 0.95, 1.0]);
            println!("{hz:>7} {feed_ms:>8} {:>7.1} {:>7.1} {:>7.1}", q[0], q[1], q[2]);
        }
    }
    runtime().block_on(over_http(calls))?;
    println!("\ncapture to committed in ms, {pieces} pieces each, beside a thread that polls and writes as often");
    println!("{:>9} {:>12} | {:>31} | {:>31}", "period ms", "stop tones", "committed", "plain write");
    for (period_ms, stop_tones) in [(10, &[][..]), (20, &[]), (10, &["#"])] {
        let show = |mut late: Vec<f64>| {
            let [p50, p95, p99, max] = quantiles(&mut late, [0.5, 0.95, 0.99, 1.0]);
            format!("{p50:>7.1} {p95:>7.1} {p99:>7.1} {max:>7.1}")
        };
        let (committed, plain) = commit(period_ms, stop_tones, pieces)?;
        println!("{period_ms:>9} {:>12} | {} | {}", stop_tones.len(), show(committed), show(plain));
    }
    Ok(())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
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
    let feed = rate.frames_in_ms(feed_ms) as usize;
    let (mut pipeline, mut end) = (Pipeline::new(&Hearing::new(rate, 1), feed), Ended(None));
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
    let daemon =
        Daemon::start(folder.path(), &[("mic", &format!("wav:{}?pace=real&loop=true", wav.display()))]).await?;
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
    let q = quantiles(&mut late, [0.5, 0.95, 1.0]);
    println!(
        "\nover HTTP, {calls} recordings: onset to `completed` seen by a client: p50 {:.1}, p95 {:.1}, max {:.1} ms",
        q[0], q[1], q[2]
    );
    Ok(())
}

/// When so many frames of a recording had got somewhere.
type Progress = Vec<(u64, Instant)>;

/// Milliseconds from the push of each piece until it is committed on a live line, and until the same piece is written by
/// a thread that does nothing else.
fn commit(period_ms: u32, stop_tones: &[&str], pieces: u64) -> Result<(Vec<f64>, Vec<f64>), Box<dyn Error>> {
    let (rate, folder) = (Rate::new(48_000).ok_or("no rate")?, tempfile::tempdir()?);
    let period = Duration::from_millis(period_ms.into());
    let piece = Sound::at(rate.hz()).hiss(period_ms).samples;
    let (mut device, consumer) = ring::<i16>(1, 2 * rate.hz() as usize);
    let (mut plain_device, plain) = ring::<i16>(1, 2 * rate.hz() as usize);
    let capture = Capture::of(&Source::Silence, rate, consumer, Feeding::Alone(Box::new(())));
    let (mut growth, _line) = record(capture, folder.path(), stop_tones);

    let (over, enough) = (&AtomicBool::new(false), pieces * piece.len() as u64);
    let plain_path = folder.path().join("plain");
    let (pushed, committed, written) = std::thread::scope(|scope| {
        let following = scope.spawn(move || {
            runtime().block_on(async {
                let mut progress = Progress::new();
                while progress.last().is_none_or(|(frames, _)| *frames < enough) {
                    growth.more().await.expect("the recording goes on");
                    progress.push((growth.now().committed_frames, clock::now()));
                }
                over.store(true, Ordering::Relaxed);
                progress
            })
        });
        let writing = scope.spawn(|| write_plainly(plain, &plain_path, period, over));
        let started = clock::now();
        let mut pushed = Progress::new();
        for n in 1.. {
            if over.load(Ordering::Relaxed) {
                break;
            }
            nap((period * n).saturating_sub(started.elapsed()));
            pushed.push((u64::from(n) * piece.len() as u64, clock::now()));
            plain_device.push(&piece);
            device.push(&piece);
        }
        (pushed, following.join().expect("a follower"), writing.join().expect("a writer"))
    });
    let late = |reached: &Progress| {
        let of = |(frames, pushed): &(u64, Instant)| {
            let at = reached.iter().find(|(covered, _)| covered >= frames).expect("every piece arrives").1;
            at.duration_since(*pushed).as_secs_f64() * 1_000.0
        };
        pushed[..pieces as usize].iter().map(of).collect()
    };
    Ok((late(&committed), late(&written?)))
}
/// Begins a recording on a live line that hears `capture`.
fn record(capture: Capture, folder: &Path, stop_tones: &[&str]) -> (Watcher, Arc<Line>) {
    let settings = Settings {
        name: "mic".to_owned(),
        source: Source::Silence,
        open_always: true,
        channels: Channels::ALL,
        rate: None,
        format: SampleFormat::S16,
        playback: "none".to_owned(),
        folder: folder.to_owned(),
        sync_interval: Duration::from_secs(1),
    };
    let microphone = Microphone::hearing(capture, Source::Silence, Setup::default()).expect("a microphone");
    let line = Line::new(settings, microphone).expect("a line");
    let ask = Ask {
        id: Uuid::new_v4(),
        begin: Begin::Now,
        initial_silence: 3_600,
        max_silence: 3_600,
        max_duration: 3_600,
        stop_tones: StopTones::parse(stop_tones).expect("keys"),
        client_context: None,
        muted: false,
    };
    (line.record(ask).expect("a recording").growth, line)
}

/// What the same naps and one `write` a piece cost, with nothing else in between.
fn write_plainly(mut ring: Consumer, path: &Path, nap_for: Duration, over: &AtomicBool) -> io::Result<Progress> {
    let (mut file, mut progress, mut frames) = (File::create(path)?, Progress::new(), 0);
    let mut samples = vec![0.0; 48_000];
    loop {
        let is_over = over.load(Ordering::Relaxed);
        while let Read::Frames(read) = ring.read(&mut samples) {
            let bytes: Vec<u8> =
                samples[..read].iter().flat_map(|sample| ((sample * 32_768.0) as i16).to_le_bytes()).collect();
            file.write_all(&bytes)?;
            frames += read as u64;
            progress.push((frames, clock::now()));
        }
        if is_over {
            return Ok(progress);
        }
        nap(nap_for);
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench plays a device in real time")]
fn nap(time: Duration) {
    std::thread::sleep(time);
}

fn quantiles<const N: usize>(values: &mut [f64], shares: [f64; N]) -> [f64; N] {
    values.sort_by(f64::total_cmp);
    shares.map(|share| values[((values.len() - 1) as f64 * share).round() as usize])
}
