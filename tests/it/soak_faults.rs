//! Eight lines that record for a long time while things go wrong: the sound server is suspended and killed, the host has no
//! CPU left, the disk is full, the daemon is killed. At the end every frame of every line is accounted for.
//!
//! How that is known: a line that hears a file is a piece of that file, sample for sample, from its first frame to its last,
//! but for the gaps that the operation lists. What a device hears is numbered frame by frame (`counted`), so what is missing in
//! a recording is known, and is held against what it lists as lost.
//! `make soak` runs it; `MINUTES=n` and `SEED=n` choose.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::{JoinSet, LocalSet};

use crate::counted::{self, Counted, Tally, missing};
use crate::daemon::{Daemon, Http, Outcome, configure};
use crate::device::{folder as card, now, script, with_card_in};
use crate::soak::{Dice, chosen, text};
use crate::sound::{Sound, samples};

/// The shortest and the longest time between two faults, in seconds.
const BETWEEN: (u64, u64) = (8, 25);
/// What passes between the last frame of a recording and the operation's end, and what a loaded host adds, in seconds.
const SLACK: f64 = 3.0;
/// What is listed as lost may be off by so much of what is missing, in frames of the card: 60 ms, which is what passes for
/// lateness on a host that is never calm, and as much again for each of two ends of a device that was opened anew, whose first
/// and last callbacks are late by what nobody knows.
const OFF: i64 = (counted::HZ * 180 / 1_000) as i64;
/// How often the table gets a line.
const EVERY: Duration = Duration::from_secs(60);

/// What was heard on a line, in frames.
#[derive(Clone, Debug, Default)]
struct Account {
    recordings: u64,
    recorded: u64,
    /// By cause.
    lost: BTreeMap<String, u64>,
    recovered: u64,
    seconds: f64,
    /// What is missing by the numbers that the frames bear, and the most by which a recording's list was off.
    missing: u64,
    worst: i64,
}

struct Line {
    name: &'static str,
    source: String,
    hears: Hears,
    more: &'static str,
}

enum Hears {
    /// This, over and over.
    Tape(Vec<i16>),
    Silence,
    /// A counted device.
    Numbers,
}

struct Stage {
    daemon: RefCell<Option<Daemon>>,
    config: PathBuf,
    disk: PathBuf,
    began: Instant,
    length: Duration,
    accounts: RefCell<BTreeMap<&'static str, Account>>,
    faults: RefCell<BTreeMap<&'static str, u64>>,
    /// When the daemon was killed last, on the wall clock's seconds.
    killed: Cell<f64>,
    /// What a kill cost, in seconds of audio.
    cost: RefCell<Vec<(f64, &'static str)>>,
    refused: Cell<u64>,
}

fn lines(folder: &Path) -> Vec<Line> {
    let tape = |name: &'static str, sound: Sound| {
        let path = folder.join(name).with_extension("wav");
        sound.write(&path);
        let source = format!("wav:{}?pace=real&loop=true", path.display());
        Line { name, source, hears: Hears::Tape(samples(&path)), more: "" }
    };
    let device =
        |name, device: &str, more| Line { name, source: format!("device:{device}"), hears: Hears::Numbers, more };
    vec![
        tape("talk", Sound::at(16_000).voice(2_503).hiss(1_701)),
        tape("words", Sound::at(48_000).voice(401).hiss(1_303).voice(307)),
        tape("phone", Sound::at(8_000).voice(905).hiss(2_003)),
        tape("music", Sound::at(44_100).voice(7_001)),
        tape("murmur", Sound::at(32_000).hiss(1_009).voice(607)),
        Line { name: "nobody", source: "silence:".into(), hears: Hears::Silence, more: "" },
        device("mic-waits", "pulse:raw", "device_loss = \"wait\""),
        device("mic-ends", "alsa:raw", "device_loss = \"end\""),
    ]
}

fn wall() -> f64 {
    tonearm::clock::wall().as_millisecond() as f64 / 1_000.0
}

fn time(operation: &Value, member: &str) -> f64 {
    text(operation, member).parse::<jiff::Timestamp>().unwrap().as_millisecond() as f64 / 1_000.0
}

impl Stage {
    fn http(&self) -> Option<Http> {
        let daemon = self.daemon.borrow();
        daemon.as_ref().map(|daemon| Http { base: daemon.base.clone(), client: daemon.client.clone() })
    }

    fn over(&self) -> bool {
        self.began.elapsed() >= self.length
    }

    /// Records on a line until the time is over.
    async fn record(self: Rc<Self>, line: Rc<Line>, mut dice: Dice) {
        while !self.over() {
            tokio::time::sleep(Duration::from_millis(dice.below(800))).await;
            let request = match line.hears {
                // Longer than it takes until a loss is known.
                Hears::Numbers => json!({
                    "playBeep": false,
                    "initialSilenceTimeoutInSeconds": 60,
                    "maxSilenceTimeoutInSeconds": 60,
                    "maxRecordDurationInSeconds": 10 + dice.below(30),
                }),
                _ => json!({
                    "playBeep": dice.below(8) == 0,
                    "initialSilenceTimeoutInSeconds": 5 + dice.below(20),
                    "maxSilenceTimeoutInSeconds": 2 + dice.below(10),
                    "maxRecordDurationInSeconds": 1 + dice.below(20),
                }),
            };
            let Some(http) = self.http() else { continue };
            let path = format!("/app/calls/{}/record", line.name);
            let operation = match http.post(&path, &request.to_string()).await {
                Ok(operation) => operation,
                Err(_) => {
                    // Not ready, no space, or no daemon: that is said, and nothing was promised.
                    self.refused.set(self.refused.get() + 1);
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    continue;
                }
            };
            if dice.below(4) == 0 {
                tokio::time::sleep(Duration::from_millis(dice.below(4_000))).await;
                let _ = http.post(&format!("/app/calls/{}/cancelMediaProcessing", line.name), "{}").await;
            }
            let operation = self.ended(&line, &operation).await;
            self.account(&line, &operation).await;
            if let Some(http) = self.http() {
                let path = format!("/app/calls/{}/operations/{}", line.name, text(&operation, "id"));
                // Under a daemon that is just being killed it stays; that is only space.
                let _ = http.send(Method::DELETE, &path, None).await;
            }
        }
    }

    /// The operation when it has ended, under whichever daemon.
    async fn ended(&self, line: &Line, operation: &Value) -> Value {
        let path = format!("/app/calls/{}/operations/{}", line.name, text(operation, "id"));
        let asked = now();
        loop {
            if let Some(http) = self.http()
                && let Ok(operation) = http.get(&path).await
                && ["completed", "failed"].contains(&text(&operation, "status"))
            {
                return operation;
            }
            assert!(asked.elapsed() < Duration::from_secs(120), "{operation} did not end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn bytes(&self, operation: &Value) -> Vec<u8> {
        let path = format!("/recordings/{}", text(operation, "id"));
        for _ in 0..200 {
            if let Some(http) = self.http()
                && let Ok(answer) = http.send(Method::GET, &path, None).await
                && let Ok(answer) = answer.error_for_status()
                && let Ok(bytes) = answer.bytes().await
            {
                return bytes.into();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{operation} cannot be fetched");
    }

    /// Enters a recording into its line's account, after its file was held against all that is known of it.
    async fn account(&self, line: &Line, operation: &Value) {
        let recording = &operation["recording"];
        if recording.is_null() {
            return;
        }
        let of = |name: &str| recording[name].as_u64().unwrap();
        let (frames, channels, hz) = (of("frames"), of("channels"), of("sampleRate") as f64);
        let bytes = self.bytes(operation).await;
        let samples: Vec<i16> = hound::WavReader::new(&bytes[..]).unwrap().into_samples().map(Result::unwrap).collect();
        assert_eq!(samples.len() as u64, frames * channels, "{operation}");
        let gaps = recording["gaps"].as_array().unwrap();
        let gaps =
            gaps.iter().map(|gap| (gap["at"].as_u64().unwrap(), gap["frames"].as_u64().unwrap(), text(gap, "cause")));
        let gaps: Vec<_> = gaps.collect();
        for (at, long, _) in &gaps {
            let zeros = &samples[(at * channels) as usize..((at + long) * channels) as usize];
            assert!(zeros.iter().all(|sample| *sample == 0), "a gap of {operation}");
        }
        assert_eq!(of("lostFrames"), gaps.iter().map(|gap| gap.1).sum::<u64>(), "{operation}");
        let mut tally = Tally::default();
        match &line.hears {
            Hears::Tape(tape) => {
                assert!(is_of(&samples, tape, &gaps), "{operation} is no piece of what {} hears", line.name);
            }
            Hears::Numbers => {
                let places: Vec<_> = gaps.iter().map(|gap| (gap.0, gap.1)).collect();
                tally = Tally::of(&samples, &places);
                let missing = missing(&samples, &places);
                assert!(tally.off().abs() <= OFF, "{}: {tally:?}, {missing:?}: {operation}", line.name);
            }
            Hears::Silence => {}
        }
        let seconds = frames as f64 / hz;
        let recovered = recording["recovered"] == true;
        if recovered {
            if let Some(started) = recording["startedAt"].as_str() {
                let started = started.parse::<jiff::Timestamp>().unwrap().as_millisecond() as f64 / 1_000.0;
                self.cost.borrow_mut().push((self.killed.get() - started - seconds, line.name));
            }
        } else if operation["completionReason"] != "unspecifiedError" {
            let timeout = if operation["completionReason"] == "mediaReceiveTimeout" { 2.25 } else { 0.0 };
            let silence = if operation["completionReason"] == "maxSilenceTimeout" { 0.2 } else { 0.0 };
            let passed = time(operation, "lastActionDateTime") - time(recording, "startedAt") - timeout - silence;
            assert!((-0.5..SLACK).contains(&(passed - seconds)), "{passed} s passed: {operation}");
        }
        let mut accounts = self.accounts.borrow_mut();
        let account = accounts.entry(line.name).or_default();
        account.recordings += 1;
        account.recorded += frames - of("lostFrames");
        account.recovered += u64::from(recovered);
        account.seconds += seconds;
        account.missing += tally.missing;
        account.worst = account.worst.max(tally.off().abs());
        for (_, long, cause) in gaps {
            *account.lost.entry(cause.to_owned()).or_default() += long;
        }
    }

    /// Lets things go wrong, one after the other.
    async fn disturb(self: Rc<Self>, mut dice: Dice) {
        while !self.over() {
            tokio::time::sleep(Duration::from_secs(BETWEEN.0 + dice.below(BETWEEN.1 - BETWEEN.0))).await;
            let fault =
                ["suspended", "sound server killed", "no CPU", "disk full", "daemon killed"][dice.below(5) as usize];
            *self.faults.borrow_mut().entry(fault).or_default() += 1;
            let lasts = Duration::from_millis(500 + dice.below(6_000));
            match fault {
                "suspended" => {
                    pactl("1");
                    tokio::time::sleep(lasts).await;
                    pactl("0");
                }
                "sound server killed" => {
                    let server = std::fs::read_to_string(card().join("pid")).unwrap();
                    let _ = Command::new("kill").args(["-9", server.trim()]).status();
                    tokio::time::sleep(lasts).await;
                    let _ = Command::new(script()).arg("start").arg(card()).status();
                }
                "no CPU" => {
                    // Two on each of two cores.
                    let loops: Vec<Child> = (0..4).map(|_| busy()).collect();
                    tokio::time::sleep(lasts).await;
                    for mut one in loops {
                        let _ = one.kill();
                        let _ = one.wait();
                    }
                }
                "disk full" => {
                    let filler = self.disk.join("filler");
                    let _ = Command::new("dd")
                        .args(["if=/dev/zero", "bs=1M"])
                        .arg(format!("of={}", filler.display()))
                        .stderr(Stdio::null())
                        .status();
                    tokio::time::sleep(lasts).await;
                    let _ = std::fs::remove_file(filler);
                }
                _ => {
                    let Some(mut daemon) = self.daemon.take() else { continue };
                    self.killed.set(wall());
                    daemon.child.kill().await.unwrap();
                    drop(daemon);
                    *self.daemon.borrow_mut() = Some(Daemon::with(&self.config).await.unwrap());
                }
            }
        }
    }

    fn show(&self) {
        eprintln!(
            "after {:.0} s, faults {:?}, {} refused",
            self.began.elapsed().as_secs_f64(),
            self.faults.borrow(),
            self.refused.get()
        );
        for (line, account) in self.accounts.borrow().iter() {
            let Account { recordings, recorded, lost, recovered, seconds, missing, worst } = account;
            eprintln!(
                "{line:>10} | {recordings:>5} recordings, {recovered:>3} recovered | {seconds:>8.1} s | {recorded:>11} frames recorded | listed {lost:?} | missing {missing}, off by at most {worst} in one"
            );
        }
    }
}

/// Whether the samples are a piece of a tape that is heard over and over, but for the gaps.
fn is_of(samples: &[i16], tape: &[i16], gaps: &[(u64, u64, &str)]) -> bool {
    let in_gap = |n: usize| gaps.iter().any(|(at, long, _)| (*at..at + long).contains(&(n as u64)));
    let heard = |n: &usize| !in_gap(*n);
    let first: Vec<usize> = (0..samples.len()).filter(heard).take(64).collect();
    let fits = |phase: usize, n: usize| samples[n] == tape[(phase + n) % tape.len()];
    let phases = (0..tape.len()).filter(|phase| first.iter().all(|n| fits(*phase, *n)));
    let mut phases = phases.take(64);
    first.is_empty() || phases.any(|phase| (0..samples.len()).filter(heard).all(|n| fits(phase, n)))
}

/// A loop that takes all it gets of one core.
pub fn busy() -> Child {
    Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap()
}

fn pactl(on: &str) {
    // The server may be away.
    let _ = Command::new("pactl").args(["suspend-source", "raw", on]).stderr(Stdio::null()).status();
}

#[test]
#[ignore = "make soak"]
fn every_frame_of_eight_lines_is_accounted_for_whatever_goes_wrong() {
    with_card_in("soak_faults", "inner");
}

#[tokio::test]
#[ignore = "run by its outer half"]
async fn inner() {
    let (minutes, seed) = (chosen("MINUTES").unwrap_or(1.0), chosen("SEED").unwrap_or(1.0) as u64);
    let folder = tempfile::tempdir().unwrap();
    let _counted = Counted::start(&card());
    let disk = folder.path().join("data");
    std::fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=512m", "tmpfs"]).arg(&disk).status();
    let mounted = mounted.is_ok_and(|status| status.success());
    let lines = lines(folder.path());
    let configured: Vec<(&str, &str)> = lines.iter().map(|line| (line.name, line.source.as_str())).collect();
    let config = configure(folder.path(), &configured, "").unwrap();
    let mut written = std::fs::read_to_string(&config).unwrap();
    for line in &lines {
        written =
            written.replace(&format!("[lines.{}]\n", line.name), &format!("[lines.{}]\n{}\n", line.name, line.more));
    }
    std::fs::write(&config, written).unwrap();
    let daemon = Daemon::with(&config).await.unwrap();
    let stage = Rc::new(Stage {
        daemon: RefCell::new(Some(daemon)),
        config,
        disk: disk.clone(),
        began: now(),
        length: Duration::from_secs_f64(minutes * 60.0),
        accounts: RefCell::default(),
        faults: RefCell::default(),
        killed: Cell::new(0.0),
        cost: RefCell::default(),
        refused: Cell::new(0),
    });
    let work = async {
        let mut workers = JoinSet::new();
        workers.spawn_local(stage.clone().disturb(Dice::new(seed)));
        for (number, line) in (1..).zip(lines) {
            let dice = Dice::new(seed << 8 | number);
            workers.spawn_local(stage.clone().record(Rc::new(line), dice));
        }
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                worker = workers.join_next() => match worker {
                    Some(done) => done.unwrap(),
                    None => break,
                },
                _ = tick.tick() => stage.show(),
            }
        }
    };
    let result: Outcome<()> = LocalSet::new()
        .run_until(async {
            work.await;
            Ok(())
        })
        .await;
    result.unwrap();
    stage.show();
    let mut cost = stage.cost.borrow().clone();
    cost.sort_by(|a, b| a.0.total_cmp(&b.0));
    if let (Some((most, line)), Some((median, _))) = (cost.last(), cost.get(cost.len() / 2)) {
        eprintln!(
            "audio lost by kill -9: median {median:.3} s, at most {most:.3} s (on {line}), of {} recordings",
            cost.len()
        );
    }
    let accounts = stage.accounts.borrow();
    assert_eq!(accounts.len(), 8, "every line has recorded");
    drop(stage.daemon.take());
    if mounted {
        let _ = Command::new("umount").arg("-l").arg(&disk).status();
    }
}
