//! A host that gives too little: no CPU, no real-time priority. What is lost is counted, and what it lost is known from the
//! audio itself (`counted`).

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::process::Command;

use crate::counted::{Counted, HZ, Tally};
use crate::daemon::{Daemon, configure};
use crate::device::{folder as card, now, with_card_in};
use crate::disks::{Disk, with_mounts};
use crate::losses::{daemon, request, until};
use crate::soak_faults::busy;
use crate::sound::Sound;

/// A recording's samples, and its gaps: where and how long.
pub async fn heard(daemon: &Daemon, operation: &Value) -> (Vec<i16>, Vec<(u64, u64)>) {
    let location = operation["recordResourceLocation"].as_str().unwrap();
    let bytes = daemon.send(Method::GET, location, None).await.unwrap().bytes().await.unwrap();
    let samples = hound::WavReader::new(&bytes[..]).unwrap().into_samples().map(Result::unwrap).collect();
    let gaps = operation["recording"]["gaps"].as_array().unwrap().iter();
    (samples, gaps.map(|gap| (gap["at"].as_u64().unwrap(), gap["frames"].as_u64().unwrap())).collect())
}

/// Two a core, until this is dropped.
struct BusyLoops(Vec<Child>);

impl BusyLoops {
    fn start() -> BusyLoops {
        let cores = std::thread::available_parallelism().unwrap().get();
        BusyLoops((0..2 * cores).map(|_| busy()).collect())
    }
}

impl Drop for BusyLoops {
    fn drop(&mut self) {
        for one in &mut self.0 {
            let _ = one.kill();
            let _ = one.wait();
        }
    }
}

#[test]
fn with_two_busy_loops_a_core_what_is_lost_is_counted_and_silent() {
    for inner in ["inner_starved_pulse", "inner_starved_alsa"] {
        with_card_in("starved", inner);
    }
}

#[tokio::test]
#[ignore = "run by its outer half"]
async fn inner_starved_pulse() {
    starved("device:pulse:raw").await;
}

#[tokio::test]
#[ignore = "run by its outer half"]
async fn inner_starved_alsa() {
    starved("device:alsa:raw").await;
}

async fn starved(device: &str) {
    let _counted = Counted::start(&card());
    let data = tempfile::tempdir().unwrap();
    let daemon = daemon(data.path(), device, "wait").await;
    let operation = daemon.post("/app/calls/mic/record", &request(22)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let loops = BusyLoops::start();
    tokio::time::sleep(Duration::from_secs(8)).await;
    drop(loops);
    // Waits for 15 s.
    let operation = daemon.ended("mic", &operation).await.unwrap();
    assert_eq!(operation["completionReason"], "maxRecordDurationReached", "{operation}");
    assert_eq!(operation["recording"]["frames"], 22 * HZ, "{operation}");
    let (samples, gaps) = heard(&daemon, &operation).await;
    for (at, frames) in &gaps {
        let zeros = &samples[2 * *at as usize..2 * (at + frames) as usize];
        assert!(zeros.iter().all(|sample| *sample == 0), "a gap is zeros: {operation}");
    }
    let tally = Tally::of(&samples, &gaps);
    println!("{device}: {tally:?}, {} gaps", gaps.len());
    assert!(tally.off().unsigned_abs() <= HZ * 6 / 100, "{tally:?}: {operation}");
}

#[test]
fn without_the_right_to_real_time_priority_it_records_says_so_once_and_a_metric_shows_it() {
    with_card_in("starved", "inner_refused");
}

#[tokio::test]
#[ignore = "run by its outer half"]
async fn inner_refused() {
    let _counted = Counted::start(&card());
    let data = tempfile::tempdir().unwrap();
    let lines = [("one", "device:pulse:raw"), ("two", "device:alsa:raw")];
    let config = configure(data.path(), &lines, "").unwrap();
    let log = data.path().join("log");
    let words = || Stdio::from(std::fs::File::options().create(true).append(true).open(&log).unwrap());
    // Root may do it with no limit at all, unless the capability is gone.
    let mut command = Command::new("prlimit");
    command.arg("--rtprio=0");
    if rustix::process::geteuid().is_root() {
        command.args(["setpriv", "--bounding-set=-sys_nice"]);
    }
    command.arg(env!("CARGO_BIN_EXE_tonearm"));
    let daemon = Daemon::launch_by(command, &config, words()).await.unwrap();
    let ready = until(&daemon, 200).await;
    assert!(ready["lines"].as_array().unwrap().iter().all(|line| line["realTime"] == false), "{ready}");
    let operation = daemon.post("/app/calls/one/record", &request(1)).await.unwrap();
    let operation = daemon.ended("one", &operation).await.unwrap();
    assert_eq!(operation["recording"]["frames"], HZ, "{operation}");
    let metrics =
        async |daemon: &Daemon| daemon.send(Method::GET, "/metrics", None).await.unwrap().text().await.unwrap();
    let refused = metrics(&daemon).await;
    for line in ["one", "two"] {
        assert!(refused.contains(&format!("tonearm_line_real_time{{line=\"{line}\"}} 0")), "{refused}");
    }
    daemon.stopped().await.unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("no real-time priority for the thread of").count(), 1, "{log}");
}

#[test]
#[ignore = "make load"]
fn with_two_busy_loops_a_core_and_a_disk_that_stalls_no_ring_runs_over() {
    with_card_in("starved", "inner_mounts");
}

#[test]
#[ignore = "run by its outer half"]
fn inner_mounts() {
    with_mounts("starved::inner_loaded");
}

/// Gives every thread of a process that priority; what it starts from then on has none.
fn real_time(process: u32, priority: u32) {
    let arguments = ["-R", "-a", "-f", "-p", &priority.to_string(), &process.to_string()].map(str::to_owned);
    assert!(std::process::Command::new("chrt").args(arguments).status().unwrap().success());
}

/// Every half minute the disk takes nothing for 5 s, half of what a buffer holds by default.
#[tokio::test]
#[ignore = "run by its outer half"]
async fn inner_loaded() {
    let minutes: u32 = std::env::var("MINUTES").map_or(10, |minutes| minutes.parse().unwrap());
    let _counted = Counted::start(&card());
    // A card needs no CPU, and where it is granted a sound server has real-time priority, as this one is given here.
    real_time(std::process::id(), 20);
    let server = std::fs::read_to_string(card().join("pid")).unwrap();
    real_time(server.trim().parse().unwrap(), 5);
    let disk = Disk::image("mkfs.ext4 -q", 2_048, "loop");
    let noise = disk.folder.path().join("noise.wav");
    Sound::at(HZ as u32).hiss(1_000).write(&noise);
    let file = format!("wav:{}?pace=real&loop=true", noise.display());
    let lines = [("pulse", "device:pulse:raw"), ("alsa", "device:alsa:raw"), ("file", &*file)];
    let config = configure(&disk.at, &lines, "").unwrap();
    let daemon = Daemon::with(&config).await.unwrap();
    until(&daemon, 200).await;

    let loops = BusyLoops::start();
    let mut operations = Vec::new();
    for (line, _) in lines {
        let path = format!("/app/calls/{line}/record");
        operations.push((line, daemon.post(&path, &request(60 * minutes)).await.unwrap()));
    }
    let (mut answers, mut failed) = (Vec::new(), 0_usize);
    for half in 0..2 * minutes {
        let began = now();
        for (until, stalls) in [(10, false), (15, true), (30, false)] {
            if stalls {
                disk.freeze(true);
            }
            while began.elapsed() < Duration::from_secs(until) {
                let asked = now();
                let answer = daemon.send(Method::GET, "/lines", None).await;
                failed += usize::from(!answer.is_ok_and(|answer| answer.status() == 200));
                answers.push(asked.elapsed());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            if stalls {
                disk.freeze(false);
            }
        }
        eprintln!("{} s of {} s", (half + 1) * 30, minutes * 60);
    }
    drop(loops);
    answers.sort_unstable();
    println!(
        "{} answers, {failed} failed: p50 {:?}, p99 {:?}, at most {:?}",
        answers.len(),
        answers[answers.len() / 2],
        answers[answers.len() * 99 / 100],
        answers[answers.len() - 1]
    );
    for (line, operation) in operations {
        let operation = daemon.ended(line, &operation).await.unwrap();
        assert_eq!(operation["completionReason"], "maxRecordDurationReached", "{operation}");
        assert_eq!(operation["recording"]["frames"], 60 * u64::from(minutes) * HZ, "{operation}");
        let mut lost: BTreeMap<String, u64> = BTreeMap::new();
        for gap in operation["recording"]["gaps"].as_array().unwrap() {
            *lost.entry(gap["cause"].as_str().unwrap().to_owned()).or_default() += gap["frames"].as_u64().unwrap();
        }
        println!("{line}: {} s, frames lost by cause {lost:?}", 60 * minutes);
        assert!(!lost.contains_key("overrun") && !lost.contains_key("storage"), "{operation}");
        if line != "file" {
            let (samples, gaps) = heard(&daemon, &operation).await;
            let tally = Tally::of(&samples, &gaps);
            println!("{line}: {tally:?}");
            assert!(tally.off().unsigned_abs() <= HZ * 6 / 100, "{tally:?}: {operation}");
        }
    }
    assert_eq!(failed, 0);
}
