//! Disks that fill up, stall, break and run out of quota, under a daemon that records on them.
//!
//! Each test runs its inner half in a process of its own with mounts of its own, so that nothing of it is left, whatever
//! happens. That needs root; without it they say so and pass, unless `TONEARM_TEST_DISK=required`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tonearm::clock;
use tonearm::store::journal::Journal;

use crate::daemon::{Daemon, configure};
use crate::inner;
use crate::sound::{self, Sound};

const HZ: u32 = 48_000;

/// Runs an inner half where it can mount.
pub fn with_mounts(inner: &str) {
    let arguments = ["--mount", "--propagation", "private", "--"];
    let can = Command::new("unshare").args(arguments).arg("true").output().is_ok_and(|done| done.status.success());
    if !can {
        let required = std::env::var("TONEARM_TEST_DISK").is_ok_and(|value| value == "required");
        assert!(!required, "mounting needs root");
        eprintln!("skipped: mounting needs root");
        return;
    }
    let output = Command::new("unshare")
        .args(arguments)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", inner, "--ignored", "--nocapture"])
        .env("TONEARM_TEST_MOUNTS", "own")
        .stderr(inner::progress())
        .output()
        .unwrap();
    inner::check(&output);
}

fn run(command: &str, arguments: &[&str]) {
    let output = Command::new(command).args(arguments).output().unwrap_or_else(|error| panic!("{command}: {error}"));
    assert!(output.status.success(), "{command} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A file system of our own.
pub struct Disk {
    /// Holds the mount point, `disk`, and the image, `image`.
    pub folder: tempfile::TempDir,
    pub at: PathBuf,
}

impl Disk {
    fn tmpfs(size: &str) -> Disk {
        let disk = Disk::place(Path::new("/tmp"));
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", &disk.path()]);
        disk
    }

    /// In a file that lies in memory.
    pub fn image(make: &str, mebibytes: u64, mount: &str) -> Disk {
        let disk = Disk::place(Path::new("/dev/shm"));
        let image = disk.folder.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
        run("sh", &["-c", &format!("{make} {}", image.display())]);
        disk.mount(mount);
        disk
    }

    fn place(folder: &Path) -> Disk {
        assert!(std::env::var_os("TONEARM_TEST_MOUNTS").is_some(), "run by its outer half");
        let folder = tempfile::tempdir_in(folder).unwrap();
        let at = folder.path().join("disk");
        std::fs::create_dir(&at).unwrap();
        Disk { folder, at }
    }

    fn mount(&self, options: &str) {
        run("mount", &["-o", options, self.folder.path().join("image").to_str().unwrap(), &self.path()]);
    }

    fn path(&self) -> String {
        self.at.display().to_string()
    }

    /// Writes to it wait until it is thawed.
    pub fn freeze(&self, freeze: bool) {
        // Never another one.
        run("mountpoint", &["-q", &self.path()]);
        run("fsfreeze", &[if freeze { "-f" } else { "-u" }, &self.path()]);
    }
}

/// A daemon that hears noise in real time and keeps its data, and more, on the disk.
async fn daemon_on(disk: &Disk, storage: &[(&str, &str)]) -> Daemon {
    let wav = disk.folder.path().join("noise.wav");
    Sound::at(HZ).hiss(1_000).write(&wav);
    let source = format!("wav:{}?pace=real&loop=true", wav.display());
    let config = configure(disk.folder.path(), &[("mic", &source)], "").unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    let data = disk.at.join("data").display().to_string();
    let text = text
        .replace("[storage]", "[storage]\nreserve_bytes = 1000000")
        .replace(&disk.folder.path().join("data").display().to_string(), &data);
    std::fs::write(&config, text).unwrap();
    Daemon::launch_in(&config, Stdio::null(), storage).await.unwrap()
}

async fn record(daemon: &Daemon, seconds: u32) -> Value {
    let request = format!(
        r#"{{"playBeep":false,"maxRecordDurationInSeconds":{seconds},"initialSilenceTimeoutInSeconds":{}}}"#,
        seconds + 1
    );
    daemon.post("/app/calls/mic/record", &request).await.unwrap()
}

fn path(operation: &Value) -> String {
    format!("/app/calls/mic/operations/{}", operation["id"].as_str().unwrap())
}

fn file(disk: &Disk, operation: &Value) -> PathBuf {
    disk.at.join(format!("data/recordings/{}.wav", operation["id"].as_str().unwrap()))
}

/// Its file is valid and as long as it says.
fn check(disk: &Disk, operation: &Value) {
    let samples = sound::samples(&file(disk, operation));
    assert_eq!(operation["recording"]["frames"], samples.len(), "{operation}");
}

/// Seconds of CPU that a process has used.
fn cpu(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

async fn nap(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[test]
fn a_full_disk_ends_the_recording_whole_refuses_others_and_serves_again_when_there_is_space() {
    with_mounts("disks::full");
}

#[tokio::test]
#[ignore = "run by its outer half"]
async fn full() {
    let disk = Disk::tmpfs("12m");
    let daemon = daemon_on(&disk, &[("TONEARM__STORAGE__RESERVE_BYTES", "4000000")]).await;
    let cut = record(&daemon, 60).await;
    nap(700).await;
    let filler = disk.at.join("filler");
    // Below the reserve there is still room for what runs.
    std::fs::write(&filler, vec![7; 9 << 20]).unwrap();
    let refused = daemon.send(Method::POST, "/app/calls/mic/record", Some("{}")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert!(refused.text().await.unwrap().contains("kept in reserve"));
    assert_eq!(daemon.get(&path(&cut)).await.unwrap()["status"], "running");
    let full = std::io::copy(&mut std::io::repeat(7), &mut std::fs::File::create(&filler).unwrap());
    assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    let cut = daemon.ended("mic", &cut).await.unwrap();
    assert_eq!((&cut["status"], &cut["completionReason"]), (&"failed".into(), &"unspecifiedError".into()));
    assert!(cut["resultInfo"]["message"].as_str().unwrap().contains("(os error 28)"), "{cut}");
    assert!(cut["recording"]["frames"].as_u64().unwrap() >= u64::from(HZ) / 2, "{cut}");
    check(&disk, &cut);
    let refused = daemon.send(Method::POST, "/app/calls/mic/record", Some("{}")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::INSUFFICIENT_STORAGE);
    // Nobody runs in circles over it.
    let process = daemon.child.id().unwrap();
    let before = cpu(process);
    nap(2_000).await;
    assert!(cpu(process) - before < 0.5, "{} s of CPU in 2 s", cpu(process) - before);

    std::fs::remove_file(filler).unwrap();
    let next = record(&daemon, 1).await;
    let next = daemon.ended("mic", &next).await.unwrap();
    assert_eq!(next["status"], "completed", "{next}");
    check(&disk, &next);
    // What could not be written down is, now.
    let journal = Journal::read(&disk.at.join("data/journal.sqlite")).unwrap();
    let id = cut["id"].as_str().unwrap();
    for _ in 0..500 {
        if journal.operation(id).unwrap().unwrap().ended {
            break;
        }
        nap(20).await;
    }
    let config = daemon.config.clone();
    daemon.stopped().await.unwrap();
    let daemon = Daemon::with(&config).await.unwrap();
    let kept = daemon.get(&path(&cut)).await.unwrap();
    assert_eq!((&kept["resultInfo"], &kept["recording"]), (&cut["resultInfo"], &cut["recording"]));
}

#[test]
fn a_disk_that_stalls_for_less_than_the_buffer_takes_nothing_and_the_api_answers_meanwhile() {
    with_mounts("disks::stalled");
}

#[tokio::test]
#[ignore = "run by its outer half"]
async fn stalled() {
    let disk = Disk::image("mkfs.ext4 -q", 64, "loop");
    let daemon = daemon_on(&disk, &[("TONEARM__STORAGE__BUFFER_SECONDS", "20")]).await;
    let operation = record(&daemon, 8).await;
    nap(1_000).await;
    disk.freeze(true);
    let began = clock::now();
    while began.elapsed() < Duration::from_secs(5) {
        for path in ["/healthz".to_owned(), path(&operation)] {
            let asked = clock::now();
            assert_eq!(daemon.send(Method::GET, &path, None).await.unwrap().status(), 200);
            assert!(asked.elapsed() < Duration::from_secs(2), "{path} took {:?}", asked.elapsed());
        }
        nap(100).await;
    }
    disk.freeze(false);
    let operation = daemon.ended("mic", &operation).await.unwrap();
    assert_eq!(operation["completionReason"], "maxRecordDurationReached", "{operation}");
    assert_eq!(
        (&operation["recording"]["frames"], &operation["recording"]["lostFrames"]),
        (&(8 * HZ).into(), &0.into())
    );
    check(&disk, &operation);
}

#[test]
fn a_disk_that_stalls_for_longer_costs_a_counted_gap_and_no_more() {
    with_mounts("disks::stalled_longer");
}

#[tokio::test]
#[ignore = "run by its outer half"]
async fn stalled_longer() {
    let disk = Disk::image("mkfs.ext4 -q", 64, "loop");
    let daemon = daemon_on(&disk, &[("TONEARM__STORAGE__BUFFER_SECONDS", "1")]).await;
    let operation = record(&daemon, 7).await;
    nap(1_000).await;
    disk.freeze(true);
    nap(4_000).await;
    disk.freeze(false);
    let operation = daemon.ended("mic", &operation).await.unwrap();
    assert_eq!(operation["completionReason"], "maxRecordDurationReached", "{operation}");
    let recording = &operation["recording"];
    assert_eq!(recording["frames"], 7 * HZ);
    check(&disk, &operation);
    let lost = recording["lostFrames"].as_u64().unwrap();
    // Four seconds, less the one of the buffer and the one that the pipeline remembers; another for who came late.
    assert!((u64::from(HZ)..=3 * u64::from(HZ)).contains(&lost), "{operation}");
    let samples = sound::samples(&file(&disk, &operation));
    let mut listed = 0;
    for gap in recording["gaps"].as_array().unwrap() {
        assert_eq!(gap["cause"], "storage");
        let (at, frames) = (gap["at"].as_u64().unwrap() as usize, gap["frames"].as_u64().unwrap() as usize);
        assert!(samples[at..at + frames].iter().all(|sample| *sample == 0));
        listed += frames as u64;
    }
    assert_eq!(listed, lost);
    let silent = samples.chunks(480).filter(|chunk| chunk.iter().all(|sample| *sample == 0)).count() as u64 * 480;
    assert!(
        lost.abs_diff(silent) <= 2 * 480 * recording["gaps"].as_array().unwrap().len() as u64,
        "{silent} {operation}"
    );
}

#[test]
fn a_disk_that_turns_read_only_ends_the_recording_with_its_errno_and_the_next_start_finishes_it() {
    with_mounts("disks::read_only");
}

#[tokio::test]
#[ignore = "run by its outer half"]
async fn read_only() {
    let disk = Disk::image("mkfs.ext4 -q", 64, "loop,errors=remount-ro");
    let daemon = daemon_on(&disk, &[]).await;
    let cut = record(&daemon, 60).await;
    nap(2_500).await;
    // As after an error of the medium, the kernel remounts it read-only under the daemon's open files.
    let source = Command::new("findmnt").args(["-n", "-o", "SOURCE", &disk.path()]).output().unwrap().stdout;
    let device = String::from_utf8(source).unwrap().trim().rsplit('/').next().unwrap().to_owned();
    assert!(device.starts_with("loop"), "{device}");
    let trigger = std::fs::OpenOptions::new().write(true).open(format!("/sys/fs/ext4/{device}/trigger_fs_error"));
    trigger.unwrap().write_all(b"test").unwrap();
    let cut = daemon.ended("mic", &cut).await.unwrap();
    assert_eq!(cut["status"], "failed");
    // A sync that was under way meets the aborted journal (EIO), what comes after it EROFS.
    let message = cut["resultInfo"]["message"].as_str().unwrap();
    assert!(["(os error 30)", "(os error 5)"].iter().any(|errno| message.contains(errno)), "{cut}");
    // What is there can be fetched.
    let location = format!("/recordings/{}", cut["id"].as_str().unwrap());
    let answer = daemon.send(Method::GET, &location, None).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(hound::WavReader::new(&answer.bytes().await.unwrap()[..]).unwrap().duration() > HZ);
    let refused = daemon.send(Method::POST, "/app/calls/mic/record", Some("{}")).await.unwrap();
    assert!(refused.status().is_server_error());
    let config = daemon.config.clone();
    daemon.stopped().await.unwrap();
    run("umount", &[&disk.path()]);
    let _ = Command::new("e2fsck").args(["-fy"]).arg(disk.folder.path().join("image")).output();
    disk.mount("loop");
    let daemon = Daemon::with(&config).await.unwrap();
    let kept = daemon.ended("mic", &cut).await.unwrap();
    assert_eq!((&kept["status"], &kept["recording"]["recovered"]), (&"failed".into(), &true.into()), "{kept}");
    check(&disk, &kept);
    let next = record(&daemon, 1).await;
    assert_eq!(daemon.ended("mic", &next).await.unwrap()["status"], "completed");
}

#[test]
fn a_quota_that_is_used_up_ends_the_recording_whole_with_its_errno() {
    if !Path::new("/usr/bin/btrfs").exists() && !Path::new("/bin/btrfs").exists() {
        let required = std::env::var("TONEARM_TEST_DISK").is_ok_and(|value| value == "required");
        assert!(!required, "btrfs-progs is not installed");
        eprintln!("skipped: a quota needs btrfs-progs; `make test` installs them");
        return;
    }
    with_mounts("disks::quota");
}

#[tokio::test]
#[ignore = "run by its outer half"]
async fn quota() {
    // A quota of ext4 would not bind root, which this must be to mount.
    let disk = Disk::image("mkfs.btrfs -q -M", 200, "loop");
    let recordings = disk.at.join("data/recordings").display().to_string();
    std::fs::create_dir(disk.at.join("data")).unwrap();
    run("btrfs", &["quota", "enable", &disk.path()]);
    run("btrfs", &["subvolume", "create", &recordings]);
    run("btrfs", &["qgroup", "limit", "2M", &recordings]);
    run("sync", &["-f", &disk.path()]);
    let daemon = daemon_on(&disk, &[]).await;
    let cut = record(&daemon, 60).await;
    let filler = disk.at.join("data/recordings/filler");
    nap(1_000).await;
    let full = std::io::copy(&mut std::io::repeat(7), &mut std::fs::File::create(&filler).unwrap());
    assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::QuotaExceeded);
    let cut = daemon.ended("mic", &cut).await.unwrap();
    assert_eq!(cut["status"], "failed");
    assert!(cut["resultInfo"]["message"].as_str().unwrap().contains("(os error 122)"), "{cut}");
    // This quota allows neither another name nor another header than that of the last sync; what is there is fetched under the one that it has.
    let answer = daemon.send(Method::GET, &format!("/recordings/{}", cut["id"].as_str().unwrap()), None).await.unwrap();
    let fetched = hound::WavReader::new(&answer.bytes().await.unwrap()[..]).unwrap().duration();
    let frames = cut["recording"]["frames"].as_u64().unwrap();
    assert!((frames.saturating_sub(HZ.into())..=frames).contains(&fetched.into()), "{fetched} of {frames}");
    std::fs::remove_file(filler).unwrap();
    run("sync", &["-f", &disk.path()]);
    let next = record(&daemon, 1).await;
    assert_eq!(daemon.ended("mic", &next).await.unwrap()["status"], "completed");
    // With room again it is finished, without a restart.
    let began = clock::now();
    while !file(&disk, &cut).exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "{cut}");
        nap(100).await;
    }
    check(&disk, &cut);
    assert!(!tonearm::store::part_of(&file(&disk, &cut)).exists());
    let config = daemon.config.clone();
    daemon.stopped().await.unwrap();
    let daemon = Daemon::with(&config).await.unwrap();
    let kept = daemon.get(&path(&cut)).await.unwrap();
    assert_eq!(kept["recording"], cut["recording"]);
    check(&disk, &kept);
}
