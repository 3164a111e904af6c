use std::io::Write;

use super::*;
use crate::record::Reason;
use crate::store::recording::Recording;
use crate::store::recording::tests::{ending, samples, spec, ticket};
use crate::wav::{Reader, SampleFormat};

/// What a process leaves that is killed after so many frames and some torn bytes.
fn killed(finished: &Path, spec: Spec, frames: usize, torn: usize) {
    let (ticket, _growth) = ticket(finished, spec);
    let mut recording = Recording::open(ticket, 0);
    let all = samples(frames * usize::from(spec.channels));
    recording.audio(0, frames as u64, &all);
    recording.flush();
    std::mem::forget(recording);
    let mut file = OpenOptions::new().append(true).open(part_of(finished)).unwrap();
    file.write_all(&vec![0x55; torn]).unwrap();
}

#[test]
fn what_a_killed_daemon_left_ends_at_its_last_whole_frame() {
    for format in [SampleFormat::S16, SampleFormat::S24, SampleFormat::F32] {
        for (channels, torn) in [(1, 0), (1, 1), (2, 3), (3, 5)] {
            let folder = tempfile::tempdir().unwrap();
            let spec = spec(16_000, channels, format);
            let finished = folder.path().join("a.wav");
            killed(&finished, spec, 1_001, torn);
            let found = recover(folder.path()).unwrap();
            let [Found { id, fate: Fate::Finished(file) }] = &found[..] else { panic!("{found:?}") };
            assert_eq!((id.as_str(), file.frames, file.channels, file.rate), ("a", 1_001, channels, spec.rate));
            assert!(!part_of(&finished).exists());
            assert_eq!(file.bytes, std::fs::metadata(&finished).unwrap().len());
            let mut reader = Reader::open(&finished).unwrap();
            let mut out = vec![0.0; 1_001 * usize::from(channels)];
            assert_eq!(reader.read_f32(&mut out).unwrap(), 1_001);
            assert!(out == samples(out.len()));
            assert_eq!(describe(&finished).unwrap().as_ref(), Some(file), "and start-up may ask again");
            assert!(recover(folder.path()).unwrap().is_empty());
        }
    }
}

#[test]
fn a_recovered_recording_is_what_finishing_it_would_have_left() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(8_000, 1, SampleFormat::S24);
    killed(&folder.path().join("killed.wav"), spec, 777, 0);
    recover(folder.path()).unwrap();
    let path = folder.path().join("finished.wav");
    let (ticket, growth) = ticket(&path, spec);
    let mut recording = Recording::open(ticket, 0);
    recording.audio(0, 777, &samples(777));
    recording.end(ending(Reason::MaxDuration, 777));
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(folder.path().join("killed.wav")).unwrap());
    let growth = growth.now();
    let recorded = growth.outcome().unwrap().recording.as_ref().unwrap();
    assert_eq!(describe(&path).unwrap().as_ref(), Some(&recorded.file));
}

#[test]
fn a_crash_between_any_two_steps_of_finishing_is_taken_up_again() {
    let spec = spec(8_000, 1, SampleFormat::S24);
    let expected = {
        let folder = tempfile::tempdir().unwrap();
        killed(&folder.path().join("a.wav"), spec, 777, 0);
        recover(folder.path()).unwrap();
        std::fs::read(folder.path().join("a.wav")).unwrap()
    };
    for steps in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let finished = folder.path().join("a.wav");
        killed(&finished, spec, 777, 2);
        let file = OpenOptions::new().write(true).open(part_of(&finished)).unwrap();
        if steps > 0 {
            file.set_len(header::file_bytes(spec, 777)).unwrap();
        }
        if steps > 1 {
            header::set_length(&file, spec, 777).unwrap();
        }
        recover(folder.path()).unwrap();
        assert!(std::fs::read(&finished).unwrap() == expected, "after {steps} steps");
    }
}

#[test]
fn what_it_cannot_explain_is_put_aside_and_never_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("empty.wav.part"), b"").unwrap();
    std::fs::write(at("other.wav.part"), b"RIFF....WAVEfmt and so on").unwrap();
    std::fs::write(at("taken.wav"), b"somebody's").unwrap();
    killed(&at("taken2.wav"), spec(8_000, 1, SampleFormat::S16), 5, 0);
    std::fs::rename(at("taken2.wav.part"), at("taken.wav.part")).unwrap();
    std::fs::write(at("notes.txt"), b"not looked at").unwrap();
    std::os::unix::fs::symlink(at("notes.txt"), at("link.wav.part")).unwrap();
    let found = recover(folder.path()).unwrap();
    let ids: Vec<&str> = found.iter().map(|found| found.id.as_str()).collect();
    assert_eq!(ids, ["empty", "link", "other", "taken"]);
    for Found { fate, .. } in &found {
        let Fate::Quarantined(path) = fate else { panic!("{found:?}") };
        assert!(path.symlink_metadata().is_ok());
    }
    assert_eq!(std::fs::read(at("taken.wav")).unwrap(), b"somebody's");
    std::fs::write(at("empty.wav.part"), b"again").unwrap();
    let Fate::Quarantined(second) = &recover(folder.path()).unwrap()[0].fate else { panic!() };
    assert_eq!(second, &at("quarantine/empty.wav.part.1"));
}
