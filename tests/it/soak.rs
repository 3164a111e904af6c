//! A daemon that records for a long time: recordings begin and end at random on several lines, each is checked to the last
//! byte, and the process does not grow.
//!
//! `make test-all` runs it for a minute (`make soak` runs `soak_faults`); `MINUTES=n` and `SEED=n` choose.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::task::{JoinSet, LocalSet};
use tonearm::store::hex;

use crate::daemon::{Daemon, Outcome};
use crate::sound::Sound;

/// How often the table gets a line, and how many lines its head is good for.
const EVERY: Duration = Duration::from_secs(10);
const LINES_A_HEAD: u32 = 30;
/// Threads for the disk go after two seconds without work, idle connections after one.
const REST: Duration = Duration::from_secs(5);
/// An operation is remembered, so that its recording can be said to be gone (3.7 KiB measured, with the journal's cache).
const KIB_AN_OPERATION: f64 = 4.0;
/// What an allocator keeps of a busy moment.
const SLACK_KIB: f64 = 8.0 * 1_024.0;

/// Dice that fall the same way for the same seed (xorshift).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub fn below(&mut self, most: u64) -> u64 {
        for (left, shift) in [(true, 13), (false, 7), (true, 17)] {
            self.0 ^= if left { self.0 << shift } else { self.0 >> shift };
        }
        self.0 % most
    }

    /// Ends within 12 s even behind another one: `Http::ended` waits for 15.
    fn request(&mut self) -> Value {
        let stop_tones = [json!([]), json!(["#"]), json!(["*", "12"])];
        json!({
            "playBeep": self.below(4) == 0,
            "streamWhileRecording": self.below(2) == 0,
            "initialSilenceTimeoutInSeconds": 1 + self.below(4),
            "maxSilenceTimeoutInSeconds": 1 + self.below(2),
            "maxRecordDurationInSeconds": 1 + self.below(5),
            "stopTones": stop_tones[self.below(3) as usize],
        })
    }
}

/// What the daemon's process has, as the kernel counts it.
#[derive(Clone, Copy, Debug)]
struct Usage {
    kib: f64,
    threads: usize,
    files: usize,
}

#[derive(Default)]
struct Tally {
    begun: u64,
    /// By their completion reason.
    ended: BTreeMap<String, u64>,
    streamed: u64,
    seconds: f64,
}

struct Soak {
    daemon: Daemon,
    began: Instant,
    length: Duration,
    tally: RefCell<Tally>,
}

impl Soak {
    /// Begins and ends recordings on a call until the time is over.
    async fn record(self: Rc<Self>, call: String, mut dice: Dice) -> Outcome<()> {
        while self.began.elapsed() < self.length {
            let mut operations = Vec::new();
            // Sometimes one waits for another.
            for _ in 0..1 + dice.below(4) / 3 {
                let request = dice.request().to_string();
                operations.push(self.daemon.post(&format!("/app/calls/{call}/record"), &request).await?);
                self.tally.borrow_mut().begun += 1;
            }
            let mut streamed = None;
            match dice.below(4) {
                0 => {
                    tokio::time::sleep(Duration::from_millis(dice.below(3_000))).await;
                    self.daemon.post(&format!("/app/calls/{call}/cancelMediaProcessing"), "{}").await?;
                }
                1 => streamed = self.stream(&operations[0]).await?,
                _ => {}
            }
            for (index, operation) in operations.iter().enumerate() {
                let operation = self.daemon.ended(&call, operation).await?;
                self.check(&operation, streamed.take_if(|_| index == 0)).await?;
                let path = format!("/app/calls/{call}/operations/{}", text(&operation, "id"));
                assert_eq!(self.daemon.send(Method::DELETE, &path, None).await?.status(), 204);
            }
        }
        Ok(())
    }

    /// The recording as it grows, from its beginning; `None` if it was broken off, or there is none.
    async fn stream(&self, operation: &Value) -> Outcome<Option<Vec<u8>>> {
        let path = format!("/recordings/{}", text(operation, "id"));
        let mut answer = self.daemon.send(Method::GET, &path, None).await?;
        while answer.status() == StatusCode::NOT_FOUND {
            tokio::time::sleep(Duration::from_millis(20)).await;
            answer = self.daemon.send(Method::GET, &path, None).await?;
        }
        Ok(if answer.status().is_success() { answer.bytes().await.ok().map(Vec::from) } else { None })
    }

    /// Holds an ended operation against its file, and against what was streamed of it.
    async fn check(&self, operation: &Value, streamed: Option<Vec<u8>>) -> Outcome<()> {
        let (reason, recording) = (text(operation, "completionReason"), &operation["recording"]);
        let expected = [
            "stopToneDetected",
            "maxSilenceTimeout",
            "maxRecordDurationReached",
            "operationCanceled",
            "initialSilenceTimeout",
        ];
        assert!(expected.contains(&reason), "{operation}");
        *self.tally.borrow_mut().ended.entry(reason.to_owned()).or_default() += 1;
        if recording.is_null() {
            assert!(["operationCanceled", "initialSilenceTimeout"].contains(&reason), "{operation}");
            return Ok(());
        }
        assert_eq!((&recording["lostFrames"], &recording["gaps"]), (&json!(0), &json!([])), "{operation}");
        let location = text(operation, "recordResourceLocation");
        let bytes = self.daemon.send(Method::GET, location, None).await?.error_for_status()?.bytes().await?;
        assert_eq!(recording["bytes"], bytes.len(), "{operation}");
        let samples: Vec<i16> = hound::WavReader::new(&bytes[..])?.into_samples().collect::<Result<_, _>>()?;
        assert_eq!(recording["frames"], samples.len(), "{operation}");
        let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        assert_eq!(recording["sha256"], hex(&Sha256::digest(&data)), "{operation}");
        let mut tally = self.tally.borrow_mut();
        if let Some(streamed) = streamed {
            assert!(streamed.ends_with(&data) && streamed.len() == bytes.len(), "{operation}");
            tally.streamed += 1;
        }
        tally.seconds += recording["durationSeconds"].as_f64().unwrap_or(0.0);
        Ok(())
    }

    fn usage(&self) -> Outcome<Usage> {
        let process = Path::new("/proc").join(self.daemon.child.id().ok_or("the daemon has ended")?.to_string());
        let status = std::fs::read_to_string(process.join("status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(Usage {
            kib: resident.trim().trim_end_matches(" kB").parse()?,
            threads: process.join("task").read_dir()?.count(),
            files: process.join("fd").read_dir()?.count(),
        })
    }

    /// What the process has when nobody has wanted anything for a while.
    async fn at_rest(&self) -> Outcome<Usage> {
        tokio::time::sleep(REST).await;
        self.usage()
    }

    fn show(&self, line: u32) -> Outcome<()> {
        if line.is_multiple_of(LINES_A_HEAD) {
            eprintln!(
                "{:>8} {:>7} {:>7} | {:>7} {:>7} {:>8} {:>7} {:>7} | {:>7} {:>8} | {:>6} {:>7} {:>5}",
                "seconds",
                "running",
                "ended",
                "tone",
                "silence",
                "duration",
                "nobody",
                "cancel",
                "streams",
                "audio h",
                "MiB",
                "threads",
                "files"
            );
        }
        let (tally, usage) = (self.tally.borrow(), self.usage()?);
        let of = |reason: &str| tally.ended.get(reason).copied().unwrap_or(0);
        let ended: u64 = tally.ended.values().sum();
        eprintln!(
            "{:>8} {:>7} {ended:>7} | {:>7} {:>7} {:>8} {:>7} {:>7} | {:>7} {:>8.2} | {:>6.1} {:>7} {:>5}",
            self.began.elapsed().as_secs(),
            tally.begun - ended,
            of("stopToneDetected"),
            of("maxSilenceTimeout"),
            of("maxRecordDurationReached"),
            of("initialSilenceTimeout"),
            of("operationCanceled"),
            tally.streamed,
            tally.seconds / 3_600.0,
            usage.kib / 1_024.0,
            usage.threads,
            usage.files
        );
        Ok(())
    }
}

pub fn text<'a>(operation: &'a Value, member: &str) -> &'a str {
    operation[member].as_str().unwrap_or("")
}

pub fn chosen(name: &str) -> Option<f64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[expect(clippy::disallowed_methods, reason = "a soak lasts as long as it is told to")]
fn now() -> Instant {
    Instant::now()
}

/// A line for each kind of sound; their files repeat for ever.
fn lines(folder: &Path) -> Vec<(&'static str, String)> {
    let keys = Sound::at(8_000).hiss(700).voice(900).hiss(900).key('#', 80).hiss(400).key('*', 70).hiss(300);
    let sounds = [
        ("keys", keys.key('1', 70).hiss(100).key('2', 70).hiss(1_500)),
        ("talk", Sound::at(16_000).voice(2_500).hiss(1_700)),
        ("words", Sound::at(48_000).voice(400).hiss(1_300).key('5', 60).voice(300)),
    ];
    let mut lines = vec![("nobody", "silence:".to_owned())];
    for (name, sound) in sounds {
        let wav = folder.join(name).with_extension("wav");
        sound.write(&wav);
        lines.push((name, format!("wav:{}?pace=real&loop=true", wav.display())));
    }
    lines
}

#[tokio::test]
#[ignore = "takes a minute (make test-all)"]
async fn recordings_that_begin_and_end_at_random_are_all_whole_and_leave_nothing_behind() {
    let (minutes, seed) = (chosen("MINUTES").unwrap_or(1.0), chosen("SEED").unwrap_or(1.0) as u64);
    eprintln!("{minutes} minutes, seed {seed}");
    let folder = tempfile::tempdir().unwrap();
    let lines = lines(folder.path());
    let configured: Vec<(&str, &str)> = lines.iter().map(|(name, source)| (*name, source.as_str())).collect();
    let daemon = Daemon::start(folder.path(), &configured).await.unwrap();
    let length = Duration::from_secs_f64(minutes * 60.0);
    let tally = RefCell::default();
    let mut soak = Soak { daemon, began: now(), length: Duration::ZERO, tally };

    // Every line is opened and has recorded once before anything is compared.
    let (mut calls, mut first) = (Vec::new(), Vec::new());
    for (name, _) in &lines {
        let opened = json!({"targets": [{"identity": {"user": {"id": name}}}]}).to_string();
        let opened = soak.daemon.post("/app/calls", &opened).await.unwrap();
        for call in [*name, text(&opened, "id")] {
            calls.push(call.to_owned());
            first.push(soak.daemon.post(&format!("/app/calls/{call}/record"), "{}").await.unwrap());
        }
    }
    for (call, operation) in calls.iter().zip(&first) {
        soak.daemon.ended(call, operation).await.unwrap();
    }
    let before = soak.at_rest().await.unwrap();
    (soak.began, soak.length) = (now(), length);
    let soak = Rc::new(soak);
    let work = async {
        let mut workers = JoinSet::new();
        for (number, call) in (1..).zip(&calls) {
            // Multiplied, so that neighbours do not fall alike.
            let dice = Dice::new(seed << 8 | number);
            workers.spawn_local(soak.clone().record(call.clone(), dice));
        }
        let (mut tick, mut line) = (tokio::time::interval(EVERY), 0);
        loop {
            tokio::select! {
                worker = workers.join_next() => match worker {
                    Some(done) => done.unwrap().unwrap(),
                    None => break,
                },
                _ = tick.tick() => {
                    soak.show(line).unwrap();
                    line += 1;
                }
            }
        }
        soak.show(line).unwrap();
    };
    LocalSet::new().run_until(work).await;

    let after = soak.at_rest().await.unwrap();
    eprintln!("before: {before:?}\nafter:  {after:?}");
    for call in &calls {
        let operations = soak.daemon.get(&format!("/app/calls/{call}/operations")).await.unwrap();
        for operation in operations["value"].as_array().unwrap() {
            assert!(["completed", "failed"].contains(&text(operation, "status")), "{operation}");
        }
    }
    let tally = soak.tally.borrow();
    assert_eq!(tally.begun, tally.ended.values().sum::<u64>());
    assert_eq!(tally.ended.len(), 5, "every kind of ending was met: {:?}", tally.ended);
    assert!(tally.streamed > 0);
    let recordings = folder.path().join("data/recordings").read_dir().unwrap();
    let left: Vec<_> = recordings.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".wav")), "{left:?}");
    assert!(left.len() <= calls.len(), "only what was recorded before is left: {left:?}");
    assert!(after.threads <= before.threads && after.files <= before.files, "{before:?} became {after:?}");
    let most = before.kib + SLACK_KIB + tally.begun as f64 * KIB_AN_OPERATION;
    assert!(after.kib <= most, "{before:?} became {after:?} with {} operations", tally.begun);
}
