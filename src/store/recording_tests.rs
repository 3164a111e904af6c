use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::pipeline::Channels;
use crate::record::Ending;
use crate::store::file::part_of;
use crate::store::growth::{StoreErrorKind, Watcher, growth};
use crate::store::writer::Anchor;
use crate::units::Rate;
use crate::wav::{Reader, SampleFormat, Spec, header};

pub(in crate::store) fn spec(hz: u32, channels: u16, format: SampleFormat) -> Spec {
    Spec { rate: Rate::new(hz).unwrap(), channels, format }
}

pub(in crate::store) fn ticket(path: &Path, spec: Spec) -> (Ticket, Watcher) {
    let (growth, watching) = growth();
    let anchor = Anchor { frame: 1_000, at: "2026-11-24T20:00:00Z".parse().unwrap() };
    let ticket = Ticket {
        path: path.to_owned(),
        spec,
        channels: Channels::ALL,
        device_rate: spec.rate,
        metadata: Metadata::default(),
        anchor,
        sync_every_frames: 0,
        ceiling_bytes: u64::MAX,
        growth,
    };
    (ticket, watching)
}

pub(in crate::store) fn ending(reason: Reason, at_frame: u64) -> pipeline::Outcome {
    let ending = Ending {
        reason,
        at_frame,
        decided_at_frame: at_frame,
        stop_tone: None,
        first_voiced_frame: None,
        last_voiced_frame: None,
    };
    pipeline::Outcome { ending, level_dbfs: -20.0, floor_dbfs: -60.0, threshold_dbfs: -45.0 }
}

fn outcome(growth: &Watcher) -> Arc<Outcome> {
    growth.now().outcome().expect("it has ended").clone()
}

/// Samples that 16 bits hold exactly.
pub(in crate::store) fn samples(count: usize) -> Vec<f32> {
    (0..count as i64).map(|n| ((n * 7_919) % 65_536 - 32_768) as f32 / 32_768.0).collect()
}

fn read(path: &Path) -> Vec<f32> {
    let mut reader = Reader::open(path).unwrap();
    let mut out = vec![0.0; reader.info().frames as usize * usize::from(reader.info().channels)];
    reader.read_f32(&mut out).unwrap();
    out
}

fn sha_of_samples(path: &Path, spec: Spec, frames: u64) -> String {
    let bytes = std::fs::read(path).unwrap();
    let start = header::len(spec);
    let samples = &bytes[start..start + (frames * spec.frame_bytes()) as usize];
    hex(&sha2::Sha256::digest(samples))
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    (folder, path)
}

#[test]
fn what_was_captured_is_in_the_file_bit_for_bit_in_every_format() {
    for format in [SampleFormat::S16, SampleFormat::S24, SampleFormat::F32] {
        for channels in [1, 2, 3] {
            let (_folder, path) = folder();
            let spec = spec(48_000, channels, format);
            let (ticket, growth) = ticket(&path, spec);
            let mut recording = Recording::open(ticket, 49_000);
            let all = samples(10_001 * usize::from(channels));
            let mut first = 0;
            for (n, block) in all.chunks(usize::from(channels) * 480).enumerate() {
                recording.audio(first, first.saturating_sub(100 * (n as u64 % 5)), block);
                first += (block.len() / usize::from(channels)) as u64;
                recording.flush();
            }
            recording.end(ending(Reason::MaxDuration, 10_001));
            assert!(read(&path) == all, "{format:?} {channels}");
            assert!(!part_of(&path).exists());
            let outcome = outcome(&growth);
            let recorded = outcome.recording.as_ref().unwrap();
            assert_eq!(recorded.file.sha256, sha_of_samples(&path, spec, 10_001));
            assert_eq!(recorded.file.bytes, std::fs::metadata(&path).unwrap().len());
            assert_eq!((recorded.file.frames, recorded.lost_frames, outcome.error.as_ref()), (10_001, 0, None));
            assert_eq!(recorded.started_at, "2026-11-24T20:00:01Z".parse().unwrap());
            assert_eq!(hound::WavReader::open(&path).unwrap().duration(), 10_001);
        }
    }
}

#[test]
fn the_part_file_plays_at_every_moment_up_to_the_last_sync_and_holds_nothing_beyond_the_horizon() {
    let (_folder, path) = folder();
    let (mut ticket, growth) = ticket(&path, spec(8_000, 1, SampleFormat::S24));
    ticket.sync_every_frames = 300;
    let mut recording = Recording::open(ticket, 0);
    let all = samples(8_000);
    let mut synced = 0;
    for (n, block) in all.chunks(100).enumerate() {
        let horizon = (n as u64 * 100).saturating_sub(250);
        recording.audio(n as u64 * 100, horizon, block);
        recording.flush();
        assert_eq!(growth.now().committed_frames, horizon);
        synced = if horizon - synced >= 300 { horizon } else { synced };
        assert_eq!(u64::from(hound::WavReader::open(part_of(&path)).unwrap().duration()), synced);
        let read = read(&part_of(&path));
        assert!(read.len() as u64 >= synced && all[..horizon as usize].starts_with(&read));
    }
    // sox reads the length off the header, so that what it plays is what was synced last.
    match Command::new("sox").args(["-t", "wav"]).arg(part_of(&path)).args(["-t", "raw", "-"]).output() {
        Ok(played) => assert_eq!(played.stdout.len() as u64, synced * 3),
        Err(_) => eprintln!("not tested: sox is not here"),
    }
    recording.end(ending(Reason::MaxSilence, 7_777));
    assert!(read(&path) == all[..7_777]);
    assert_eq!(std::fs::metadata(&path).unwrap().len() % 2, 0, "an odd data chunk is padded");
}

#[test]
fn a_sequence_is_cut_at_its_first_key_and_the_digest_is_that_of_what_is_left() {
    for marked in [true, false] {
        let (_folder, path) = folder();
        let spec = spec(8_000, 2, SampleFormat::S16);
        let (ticket, growth) = ticket(&path, spec);
        let mut recording = Recording::open(ticket, 0);
        let all = samples(16_000);
        recording.audio(0, 3_000, &all[..8_000]);
        if marked {
            recording.mark(3_333);
        }
        recording.audio(4_000, 8_000, &all[8_000..]);
        recording.flush();
        assert_eq!(growth.now().committed_frames, 8_000);
        recording.end(ending(Reason::StopTone, 3_333));
        assert!(read(&path) == all[..6_666]);
        let file = &outcome(&growth).recording.as_ref().unwrap().file.clone();
        assert_eq!((file.frames, &file.sha256), (3_333, &sha_of_samples(&path, spec, 3_333)));
        assert_eq!(growth.now().committed_frames, 3_333);
    }
}

#[test]
fn a_recording_at_another_rate_has_exactly_the_frames_of_its_time() {
    for (from, to) in [(48_000, 16_000), (44_100, 8_000), (8_000, 48_000)] {
        for end in [0, 1, 777, 44_100, 50_000] {
            for cut in [false, true] {
                let (_folder, path) = folder();
                let (mut ticket, growth) = ticket(&path, spec(to, 2, SampleFormat::S16));
                ticket.device_rate = Rate::new(from).unwrap();
                let expected = ticket.device_rate.convert(end, ticket.spec.rate);
                let mut recording = Recording::open(ticket, 0);
                let horizon = if cut { 60_000 } else { end };
                for (n, block) in samples(120_000).chunks(1_024 * 2).enumerate() {
                    recording.audio(n as u64 * 1_024, horizon.min(n as u64 * 1_024), block);
                    recording.flush();
                }
                recording.end(ending(Reason::StopTone, end));
                let outcome = outcome(&growth);
                assert_eq!(Reader::open(&path).unwrap().info().frames, expected, "{from} {to} {end} {cut}");
                assert_eq!(outcome.ending.at_frame, expected);
                let file = &outcome.recording.as_ref().unwrap().file;
                assert_eq!(file.sha256, sha_of_samples(&path, spec(to, 2, SampleFormat::S16), expected));
            }
        }
    }
}

#[test]
fn what_is_missing_is_zeros_and_listed_and_muted_audio_is_not_lost() {
    let (_folder, path) = folder();
    let (ticket, growth) = ticket(&path, spec(8_000, 1, SampleFormat::S16));
    let mut recording = Recording::open(ticket, 0);
    let all = samples(400);
    recording.audio(0, 100, &all[..100]);
    recording.gap_until(150, GapCause::Xrun);
    recording.gap_until(200, GapCause::Xrun);
    recording.gap_until(10_200, GapCause::Muted);
    // What the pipeline should have sent and did not is a gap, too.
    recording.audio(10_250, 10_250, &all[100..]);
    recording.end(ending(Reason::Canceled, 10_550));
    let mut expected = all[..100].to_vec();
    expected.resize(10_250, 0.0);
    expected.extend(&all[100..]);
    assert!(read(&path) == expected);
    let outcome = outcome(&growth);
    let recorded = outcome.recording.as_ref().unwrap();
    assert_eq!(recorded.lost_frames, 150);
    let gap = |at, frames, cause| Gap { at, frames, cause };
    let gaps = [gap(100, 100, GapCause::Xrun), gap(200, 10_000, GapCause::Muted), gap(10_200, 50, GapCause::Storage)];
    assert_eq!(recorded.gaps, gaps);
}

#[test]
fn after_initial_silence_no_file_is_left() {
    let (folder, path) = folder();
    let (ticket, growth) = ticket(&path, spec(8_000, 1, SampleFormat::S16));
    let mut recording = Recording::open(ticket, 0);
    recording.audio(0, 400, &samples(400));
    recording.flush();
    recording.end(ending(Reason::InitialSilence, 400));
    assert!(outcome(&growth).recording.is_none());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_recording_without_a_frame_is_a_valid_empty_file() {
    let (_folder, path) = folder();
    let (ticket, growth) = ticket(&path, spec(8_000, 1, SampleFormat::F32));
    Recording::open(ticket, 0).end(ending(Reason::Canceled, 0));
    assert_eq!(Reader::open(&path).unwrap().info().frames, 0);
    assert_eq!(hound::WavReader::open(&path).unwrap().duration(), 0);
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(outcome(&growth).recording.as_ref().unwrap().file.sha256, empty);
}

#[test]
fn at_its_ceiling_a_recording_is_finished_at_a_whole_frame_and_says_so() {
    let (_folder, path) = folder();
    let spec = spec(8_000, 2, SampleFormat::S16);
    let (mut ticket, growth) = ticket(&path, spec);
    ticket.ceiling_bytes = 1_003;
    let mut recording = Recording::open(ticket, 0);
    let all = samples(2_000);
    recording.audio(0, 100, &all[..200]);
    recording.flush();
    assert!(!recording.has_failed());
    recording.audio(100, 1_000, &all[200..]);
    recording.flush();
    assert!(recording.has_failed());
    assert!(read(&path) == all[..500], "it is finished before the pipeline answers");
    recording.audio(1_000, 2_000, &all);
    recording.end(ending(Reason::Abandoned, 1_000));
    let outcome = outcome(&growth);
    let file = &outcome.recording.as_ref().unwrap().file;
    assert_eq!((file.frames, &file.sha256), (250, &sha_of_samples(&path, spec, 250)));
    assert_eq!(outcome.error.as_ref().unwrap().kind, StoreErrorKind::TooLong);
}

#[test]
fn a_file_that_cannot_be_created_is_told_with_its_cause() {
    let (folder, _) = folder();
    let (ticket, growth) = ticket(&folder.path().join("no/such/a.wav"), spec(8_000, 1, SampleFormat::S16));
    let mut recording = Recording::open(ticket, 0);
    assert!(recording.has_failed());
    recording.audio(0, 10, &samples(10));
    recording.flush();
    recording.end(ending(Reason::Abandoned, 10));
    let outcome = outcome(&growth);
    let error = outcome.error.as_ref().unwrap();
    assert_eq!(error.kind, StoreErrorKind::Io(Some(2)));
    assert_eq!(error.to_string(), "creating the recording failed: No such file or directory (os error 2)");
    assert!(outcome.recording.is_none());
}

/// A file system of its own that is full after a megabyte; `None` where it cannot be mounted.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path()).output();
        mount.is_ok_and(|done| done.status.success()).then_some(SmallDisk(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn on_a_full_disk_the_file_is_finished_and_valid_and_the_cause_is_named() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("not tested: a full disk needs root");
        return;
    };
    for format in [SampleFormat::S16, SampleFormat::S24] {
        let path = disk.0.path().join(format!("{}.wav", format.name()));
        let spec = spec(48_000, 1, format);
        let (ticket, growth) = ticket(&path, spec);
        let mut recording = Recording::open(ticket, 0);
        let all = samples(4_801);
        let mut blocks = 0;
        while !recording.has_failed() {
            recording.audio(blocks * 4_801, (blocks + 1) * 4_801, &all);
            recording.flush();
            blocks += 1;
            assert!(blocks < 1_000);
        }
        assert!(path.exists() && !part_of(&path).exists());
        recording.end(ending(Reason::Abandoned, blocks * 4_801));
        let outcome = outcome(&growth);
        let error = outcome.error.as_ref().unwrap();
        assert_eq!(error.kind, StoreErrorKind::DiskFull);
        assert!(error.message.contains("No space left on device (os error 28)"), "{error}");
        let file = &outcome.recording.as_ref().unwrap().file;
        assert_eq!(file.frames, (blocks - 1) * 4_801, "everything but the block that did not fit");
        assert_eq!(file.sha256, sha_of_samples(&path, spec, file.frames));
        assert_eq!(read(&path).len() as u64, file.frames);
        assert_eq!(file.bytes, std::fs::metadata(&path).unwrap().len());
        // Space returns, and so does the service.
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it measures how long it takes")]
#[ignore = "a measurement: cargo test --release --lib store::recording -- --ignored --nocapture"]
fn an_hour_of_48_khz_mono_is_written_in_about_a_second() {
    for format in [SampleFormat::S16, SampleFormat::S24, SampleFormat::F32] {
        let (_folder, path) = folder();
        let (ticket, _growth) = ticket(&path, spec(48_000, 1, format));
        let mut recording = Recording::open(ticket, 0);
        let block = samples(4_800);
        let started = std::time::Instant::now();
        for n in 0..36_000 {
            recording.audio(n * 4_800, n * 4_800, &block);
            if n % 16 == 0 {
                recording.flush();
            }
        }
        let fed = started.elapsed();
        recording.end(ending(Reason::MaxDuration, 36_000 * 4_800));
        println!("{}: {fed:?} written, {:?} finished", format.name(), started.elapsed());
    }
}
