//! The kernel's own sound cards, and our unit under systemd: run in a virtual machine by `make test-vm`.

mod microphone;
mod usb;

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::daemon::{Daemon, Http, TOKEN, configure};
use crate::device::noise_from;
use crate::losses::{now, request, until};
use tonearm::api::auth::digest;
use tonearm::store::hex;

/// What is played to the first device of a loopback card is heard on the second.
const SPEAKER: &str = "plughw:CARD=Loopback,DEV=0";
const MICROPHONE: &str = "device:alsa:hw:CARD=Loopback,DEV=1";
const ALOOP: &str = "/sys/bus/platform/drivers/snd_aloop";
const UNIT: &str = "/etc/systemd/system/tonearm.service";

fn sh(command: &str) -> String {
    let output = Command::new("bash").args(["-c", command]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {words}");
    words
}

fn write(path: &str, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
}

async fn seconds(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

/// A daemon with one line.
async fn daemon(folder: &Path, device: &str, more: &str) -> Daemon {
    let config = configure(folder, &[("mic", device)], "").unwrap();
    let text = std::fs::read_to_string(&config).unwrap().replace("[lines.mic]\n", &format!("[lines.mic]\n{more}\n"));
    std::fs::write(&config, text).unwrap();
    Daemon::with(&config).await.unwrap()
}

/// Noise for ten seconds, the same in both channels of a WAV at this rate.
fn noise(path: &Path, hz: u32) -> Vec<i16> {
    let noise: Vec<i16> = noise_from(22_695_477).take(10 * hz as usize).collect();
    let spec =
        hound::WavSpec { channels: 2, sample_rate: hz, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    noise.iter().flat_map(|sample| [*sample; 2]).for_each(|sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
    noise
}

fn play(device: &str, path: &Path) -> Child {
    Command::new("aplay").args(["-q", "-D", device]).arg(path).spawn().unwrap()
}

fn stop(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

async fn rate(http: &Http) -> u32 {
    let lines = http.get("/lines").await.unwrap();
    lines["value"][0]["sampleRate"].as_u64().unwrap() as u32
}

/// The first channel of a recording.
async fn audio(http: &Http, operation: &Value) -> Vec<i16> {
    let location = operation["recordResourceLocation"].as_str().unwrap();
    let bytes = http.send(Method::GET, location, None).await.unwrap().bytes().await.unwrap();
    let samples = hound::WavReader::new(&bytes[..]).unwrap().into_samples().map(Result::unwrap);
    samples.step_by(operation["recording"]["channels"].as_u64().unwrap() as usize).collect()
}

async fn ended(http: &Http, operation: &Value) -> Value {
    // An emulated machine takes its time.
    let mut last = Err("never asked".into());
    for _ in 0..5 {
        last = http.ended("mic", operation).await;
        if last.is_ok() {
            break;
        }
    }
    last.unwrap()
}

/// Plays noise into the card and records it. An emulated machine on a busy host overruns now and then: so eight tries.
async fn comes_back_exactly(http: &Http) {
    let hz = rate(http).await;
    let path = Path::new("/tmp/noise.wav");
    let noise = noise(path, hz);
    let mut tries = Vec::new();
    while tries.len() < 8 {
        let operation = http.post("/app/calls/mic/record", &request(5)).await.unwrap();
        seconds(0.5).await;
        let player = play(SPEAKER, path);
        let operation = ended(http, &operation).await;
        stop(player);
        let samples = audio(http, &operation).await;
        let first = samples.iter().position(|sample| *sample != 0).unwrap_or(samples.len());
        let heard = &samples[first..];
        let lost = operation["recording"]["lostFrames"].as_u64().unwrap();
        if lost == 0 && heard.len() > hz as usize && heard.iter().zip(&noise).all(|(a, b)| a == b) {
            return eprintln!(
                "{} frames at {hz} Hz, sample for sample, at try {}; {tries:?}",
                heard.len(),
                tries.len() + 1
            );
        }
        tries.push(format!("{} frames heard, {lost} lost", heard.len()));
    }
    panic!("{tries:?}");
}

#[tokio::test]
#[ignore = "make test-vm"]
async fn snd_aloop_is_recorded_sample_for_sample() {
    let folder = tempfile::tempdir().unwrap();
    // An emulated machine comes late by tens of milliseconds.
    let daemon = daemon(folder.path(), MICROPHONE, "period_ms = 200").await;
    until(&daemon, 200).await;
    comes_back_exactly(&daemon).await;
}

/// Records through a loss of the device, and says where the gap is.
async fn through_a_loss(device: &str, speaker: &str, unplug: impl Fn(), replug: impl Fn()) {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), device, "device_loss = \"wait\"").await;
    until(&daemon, 200).await;
    let hz = rate(&daemon).await;
    let path = folder.path().join("noise.wav");
    noise(&path, hz);
    let player = play(speaker, &path);
    let operation = daemon.post("/app/calls/mic/record", &request(12)).await.unwrap();
    seconds(2.0).await;
    stop(player);
    let gone = now();
    unplug();
    let reason = until(&daemon, 503).await;
    seconds(1.0).await;
    let back = now();
    replug();
    until(&daemon, 200).await;
    let delivered = now();
    let player = play(speaker, &path);
    let operation = ended(&daemon, &operation).await;
    stop(player);
    // An emulated machine on a busy host has xruns besides.
    let gaps = operation["recording"]["gaps"].as_array().unwrap().iter().filter(|gap| gap["cause"] == "deviceLost");
    let of = |gap: &Value, name: &str| gap[name].as_u64().unwrap() as f64 / f64::from(hz);
    let at = gaps.clone().map(|gap| of(gap, "at")).next().expect("a gap");
    let missing: f64 = gaps.map(|gap| of(gap, "frames")).sum();
    let (least, most) = ((back - gone).as_secs_f64(), (delivered - gone).as_secs_f64());
    eprintln!("{reason}\n{device}: at {at:.3} s {missing:.3} s are missing; it was away for {least:.3} to {most:.3} s");
    assert_eq!(operation["completionReason"], "maxRecordDurationReached", "{operation}");
    assert_eq!(operation["recording"]["frames"], 12 * hz, "{operation}");
    assert!((least - 0.5..most + 0.5).contains(&missing));
    let samples = audio(&daemon, &operation).await;
    let after = ((at + missing) * f64::from(hz)) as usize;
    assert!(samples[..(at * f64::from(hz)) as usize].iter().any(|sample| *sample != 0), "before it");
    assert!(samples[after..].iter().any(|sample| *sample != 0), "after it");
}

#[tokio::test]
#[ignore = "make test-vm"]
async fn a_card_that_is_unbound_and_bound_again_is_a_gap() {
    let unbind = || write(&format!("{ALOOP}/unbind"), "snd_aloop.0");
    let bind = || write(&format!("{ALOOP}/bind"), "snd_aloop.0");
    through_a_loss(MICROPHONE, SPEAKER, unbind, bind).await;
}

#[tokio::test]
#[ignore = "make test-vm"]
async fn a_device_that_is_busy_is_named_and_taken_when_it_is_free() {
    let hog = Command::new("arecord")
        .args(["-q", "-D", "hw:CARD=Loopback,DEV=1", "-f", "S16_LE", "-r", "48000", "-c", "2", "/dev/null"])
        .spawn();
    let hog = hog.unwrap();
    seconds(1.0).await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), MICROPHONE, "").await;
    let began = now();
    let reason = loop {
        let reason = until(&daemon, 503).await["lines"][0]["reason"].as_str().unwrap().to_owned();
        if reason != "it is being opened" {
            break reason;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{reason}");
    };
    eprintln!("{reason}");
    stop(hog);
    assert!(reason.to_lowercase().contains("busy") || reason.contains("in use"), "{reason}");
    until(&daemon, 200).await;
}

#[tokio::test]
#[ignore = "make test-vm"]
async fn a_step_of_the_hosts_clock_moves_no_limit() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), MICROPHONE, "").await;
    until(&daemon, 200).await;
    let hz = rate(&daemon).await;
    let began = now();
    let operation = daemon.post("/app/calls/mic/record", &request(10)).await.unwrap();
    seconds(3.0).await;
    let path = format!("/app/calls/mic/operations/{}", operation["id"].as_str().unwrap());
    let before = daemon.get(&path).await.unwrap();
    sh("date -s '+1 hour'");
    let operation = ended(&daemon, &operation).await;
    let lasted = began.elapsed().as_secs_f64();
    sh("date -s '-1 hour'");
    eprintln!("it lasted {lasted:.2} s; {}", operation["completionReason"]);
    assert_eq!(operation["recording"]["frames"], 10 * hz, "{operation}");
    assert!(lasted > 9.5, "{lasted}");
    assert_eq!(operation["createdDateTime"], before["createdDateTime"]);
}

/// As when the host goes to sleep, as far as the kernel plays it by itself: all processes are frozen for five seconds. What `level`
/// says goes further (`devices`, `core`, where the clock stands still, too), but then no 9p comes back.
#[tokio::test]
#[ignore = "make test-vm"]
async fn a_host_that_sleeps_moves_no_limit_and_what_it_missed_is_a_gap() {
    let level = std::env::var("TONEARM_VM_SLEEP").unwrap_or("freezer".into());
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), MICROPHONE, "period_ms = 200\ndevice_loss = \"wait\"").await;
    until(&daemon, 200).await;
    let hz = rate(&daemon).await;
    let operation = daemon.post("/app/calls/mic/record", &request(12)).await.unwrap();
    let began = now();
    seconds(3.0).await;
    let asleep = now();
    sh(&format!("echo {level} > /sys/power/pm_test && echo mem > /sys/power/state; echo none > /sys/power/pm_test"));
    let slept = asleep.elapsed().as_secs_f64();
    let operation = ended(&daemon, &operation).await;
    let lasted = began.elapsed().as_secs_f64();
    let lost = operation["recording"]["lostFrames"].as_u64().unwrap() as f64 / hz as f64;
    eprintln!(
        "{level}: it slept for {slept:.2} s by its clock, {lost:.2} s are listed as lost, it lasted {lasted:.2} s; {}",
        operation["completionReason"]
    );
    assert_eq!(operation["completionReason"], "maxRecordDurationReached", "{operation}");
    assert_eq!(operation["recording"]["frames"], 12 * hz, "{operation}");
    assert!(lasted > 11.5, "{lasted}");
    // A card's buffer is two periods.
    assert!(lost > slept - 1.0, "{lost} of {slept}");
}

struct Unit {
    http: Http,
}

/// The next test wants the card.
impl Drop for Unit {
    fn drop(&mut self) {
        let _ = Command::new("systemctl").args(["stop", "tonearm"]).status();
    }
}

fn property(name: &str) -> String {
    sh(&format!("systemctl show -P {name} tonearm")).trim().to_owned()
}

impl Unit {
    /// Our unit, as it is but for a shorter watchdog.
    async fn start() -> Unit {
        std::fs::create_dir_all("/etc/tonearm").unwrap();
        std::fs::create_dir_all(format!("{UNIT}.d")).unwrap();
        sh(&format!("cp /host/systemd/tonearm.service {UNIT}"));
        write(&format!("{UNIT}.d/test.conf"), "[Service]\nWatchdogSec=6\n");
        Unit::configure("");
        sh(
            "systemctl daemon-reload && systemctl restart tonearm || (journalctl -u tonearm --no-pager | tail -30; false)",
        );
        let unit = Unit { http: Http::at("http://127.0.0.1:8723".to_owned()).unwrap() };
        unit.ready().await;
        unit
    }

    fn configure(more: &str) {
        let text = format!(
            "[storage]\ndirectory = \"/var/lib/tonearm\"\n[lines.mic]\nsource = {MICROPHONE:?}\n[[applications]]\nid = \"bot\"\n\
             token_sha256 = \"{}\"\n{more}\n",
            hex(&digest(TOKEN))
        );
        write("/etc/tonearm/tonearm.toml", &text);
    }

    async fn ready(&self) {
        let began = now();
        loop {
            if let Ok(answer) = self.http.send(Method::GET, "/readyz", None).await
                && answer.status() == 200
            {
                return;
            }
            let journal = || sh("journalctl -u tonearm --no-pager | tail -30");
            assert!(began.elapsed() < Duration::from_secs(60), "{}", journal());
            seconds(0.1).await;
        }
    }

    fn process() -> String {
        property("MainPID")
    }

    /// The threads of the process: number, name, scheduling policy.
    fn threads() -> Vec<(String, String, u32)> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", Unit::process())).unwrap();
        tasks
            .map(|task| {
                let path = task.unwrap().path();
                let stat = std::fs::read_to_string(path.join("stat")).unwrap();
                let (head, tail) = stat.rsplit_once(')').unwrap();
                let (number, name) = head.split_once(" (").unwrap();
                // Field 41 of the whole, the third stands behind the name.
                (number.to_owned(), name.to_owned(), tail.split_whitespace().nth(38).unwrap().parse().unwrap())
            })
            .collect()
    }
}

#[tokio::test]
#[ignore = "make test-vm"]
async fn under_our_unit_it_records_with_real_time_priority_reloads_and_finishes_when_it_is_stopped() {
    let unit = Unit::start().await;
    let path = Path::new("/tmp/noise.wav");
    noise(path, rate(&unit.http).await);
    let player = play(SPEAKER, path);
    let operation = unit.http.post("/app/calls/mic/record", &request(4)).await.unwrap();
    let operation = ended(&unit.http, &operation).await;
    stop(player);
    assert!(audio(&unit.http, &operation).await.iter().any(|sample| *sample != 0), "the card is heard");
    // SCHED_FIFO is 1, SCHED_RR is 2.
    let threads = Unit::threads();
    let real_time: Vec<_> = threads.iter().filter(|(_, _, policy)| [1, 2].contains(policy)).collect();
    let device = unit.http.get("/lines").await.unwrap()["value"][0]["device"].clone();
    eprintln!("real-time: {real_time:?}; {device}");
    assert_eq!((real_time.len(), &device["realTime"]), (1, &json!(true)), "{threads:?}");
    let security = sh("systemd-analyze security --no-pager tonearm | tail -1");
    eprintln!("{}", security.trim());
    let exposure: f64 = security.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    assert!(exposure <= 2.0, "{security}");

    // A bad configuration changes nothing, a good one is taken; neither disturbs a recording.
    let running = unit.http.post("/app/calls/mic/record", &request(20)).await.unwrap();
    Unit::configure("[record]\nmax_recordings = 0");
    sh("systemctl reload tonearm");
    seconds(1.0).await;
    assert!(sh("journalctl -u tonearm --no-pager").contains("max_recordings is 0"));
    Unit::configure("roles = []");
    sh("systemctl reload tonearm");
    seconds(1.0).await;
    assert_eq!(unit.http.send(Method::POST, "/app/calls/mic/record", Some("{}")).await.unwrap().status(), 403);
    Unit::configure("");
    sh("systemctl reload tonearm");
    let process = Unit::process();

    let stopped = now();
    sh("systemctl stop tonearm");
    eprintln!("it stopped within {:.2} s", stopped.elapsed().as_secs_f64());
    assert!(stopped.elapsed() < Duration::from_secs(12));
    assert_eq!(property("Result"), "success");
    sh("systemctl start tonearm");
    unit.ready().await;
    assert_ne!(Unit::process(), process);
    let path = format!("/app/calls/mic/operations/{}", running["id"].as_str().unwrap());
    let running = unit.http.get(&path).await.unwrap();
    assert_eq!((&running["status"], &running["completionReason"]), (&json!("completed"), &json!("operationCanceled")));
    assert_eq!(running["recording"]["recovered"], false);
}

#[tokio::test]
#[ignore = "make test-vm"]
async fn a_pipeline_that_hangs_is_restarted_by_systemd_and_its_recording_recovered() {
    let unit = Unit::start().await;
    let restarts = property("NRestarts");
    let operation = unit.http.post("/app/calls/mic/record", &request(300)).await.unwrap();
    seconds(4.0).await;
    let threads = Unit::threads();
    let (number, ..) = threads.iter().find(|(_, name, _)| name == "pipeline").unwrap();
    // PTRACE_SEIZE and PTRACE_INTERRUPT: this one thread stands still, all others go on. Then it waits (__WALL), so that the
    // dead can be buried.
    let hang = format!(
        "syscall(101, 0x4206, {number}, 0, 0) == 0 or die $!; syscall(101, 0x4207, {number}, 0, 0) == 0 or die $!; \
         1 while waitpid(-1, 0x40000000) > 0"
    );
    let tracer = Command::new("perl").args(["-e", &hang]).spawn().unwrap();
    let hung = now();
    while property("NRestarts") == restarts {
        assert!(hung.elapsed() < Duration::from_secs(60), "{}", sh("journalctl -u tonearm --no-pager | tail"));
        seconds(0.2).await;
    }
    eprintln!(
        "restarted {:.1} s after its pipeline was stopped; the watchdog waits for 6 s",
        hung.elapsed().as_secs_f64()
    );
    stop(tracer);
    unit.ready().await;
    let journal = sh("journalctl -u tonearm --no-pager");
    assert!(journal.contains("does not come round") && journal.contains("pipeline"), "{journal}");
    let path = format!("/app/calls/mic/operations/{}", operation["id"].as_str().unwrap());
    let operation = unit.http.get(&path).await.unwrap();
    assert_eq!((&operation["status"], &operation["recording"]["recovered"]), (&json!("failed"), &json!(true)));
    assert!(operation["recording"]["durationSeconds"].as_f64().unwrap() > 2.0, "{operation}");

    // The whole process stopped: nothing can be said any more, and that is enough.
    let restarts = property("NRestarts");
    sh(&format!("kill -STOP {}", Unit::process()));
    let hung = now();
    while property("NRestarts") == restarts {
        assert!(hung.elapsed() < Duration::from_secs(60), "{}", sh("journalctl -u tonearm --no-pager | tail"));
        seconds(0.2).await;
    }
    eprintln!("restarted {:.1} s after all of it was stopped", hung.elapsed().as_secs_f64());
    unit.ready().await;
}

/// CPU time in ms and context switches of a process so far.
fn cost(process: &str) -> (u64, u64) {
    let folder = Path::new("/proc").join(process);
    let stat = std::fs::read_to_string(folder.join("stat")).unwrap();
    let fields: Vec<u64> =
        stat.rsplit_once(')').unwrap().1.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // utime and stime, in hundredths of a second; the state before them is no number.
    let cpu = (fields[10] + fields[11]) * 10;
    let tasks = std::fs::read_dir(folder.join("task")).unwrap();
    let of = |text: &str| {
        text.lines()
            .filter(|line| line.contains("ctxt_switches"))
            .filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok())
            .sum::<u64>()
    };
    let switches =
        tasks.map(|task| of(&std::fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default())).sum();
    (cpu, switches)
}

#[tokio::test]
#[ignore = "make test-vm"]
async fn what_it_costs_on_a_card_of_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), MICROPHONE, "").await;
    until(&daemon, 200).await;
    let hz = rate(&daemon).await;
    let process = daemon.child.id().unwrap().to_string();
    let measure = async |process: &str, what: &str| {
        let (cpu, switches) = cost(process);
        seconds(20.0).await;
        let (cpu_after, switches_after) = cost(process);
        let (cpu, switches) = ((cpu_after - cpu) as f64 / 200.0, (switches_after - switches) / 20);
        eprintln!("{what}, {hz} Hz, emulated: {cpu:.1} % of a core, {switches} context switches a second");
    };
    measure(&process, "idle").await;
    let operation = daemon.post("/app/calls/mic/record", &request(60)).await.unwrap();
    measure(&process, "recording").await;
    drop(operation);
    drop(daemon);
    let mut other = Command::new("arecord");
    other.args([
        "-q",
        "-D",
        "hw:CARD=Loopback,DEV=1",
        "-f",
        "S16_LE",
        "-c",
        "2",
        "-r",
        &hz.to_string(),
        "/tmp/other.wav",
    ]);
    let mut other = other.spawn().unwrap();
    seconds(1.0).await;
    measure(&other.id().to_string(), "arecord").await;
    let _ = other.kill();
    let _ = other.wait();
}
