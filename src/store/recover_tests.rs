use std::io::Write;

use super::*;
use crate::dsp::tone::{Key, Tone};
use crate::record::{GapCause, Reason};
use crate::store::recording::Recording;
use crate::store::recording::tests::{ending, samples, spec, ticket};
use crate::wav::{Reader, SampleFormat};

fn tone(key: char, onset_frame: u64) -> Tone {
    let key = Key::new(key).unwrap();
    let (low_hz, high_hz) = key.hz();
    Tone {
        key,
        onset_frame,
        decision_frame: onset_frame + 200,
        low_hz,
        high_hz,
        low_dbfs: -12.0,
        high_dbfs: -12.0,
        purity: 1.0,
    }
}

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
            let found = recover(folder.path(), |_| None).unwrap();
            assert_eq!(found, [Found { id: "a".to_owned(), fate: Fate::Finished { spec, frames: 1_001 } }]);
            let file = describe(&finished).unwrap().unwrap().file;
            assert_eq!((file.frames, file.channels, file.rate), (1_001, channels, spec.rate));
            assert!(!part_of(&finished).exists());
            assert_eq!(file.bytes, std::fs::metadata(&finished).unwrap().len());
            let mut reader = Reader::open(&finished).unwrap();
            let mut out = vec![0.0; 1_001 * usize::from(channels)];
            assert_eq!(reader.read_f32(&mut out).unwrap(), 1_001);
            assert!(out == samples(out.len()));
            assert!(recover(folder.path(), |_| None).unwrap().is_empty());
        }
    }
}

#[test]
fn a_recovered_recording_is_what_finishing_it_would_have_left() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(8_000, 1, SampleFormat::S24);
    killed(&folder.path().join("killed.wav"), spec, 777, 0);
    recover(folder.path(), |_| None).unwrap();
    let path = folder.path().join("finished.wav");
    let (ticket, growth) = ticket(&path, spec);
    let mut recording = Recording::open(ticket, 0);
    recording.audio(0, 777, &samples(777));
    recording.end(ending(Reason::MaxDuration, 777));
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(folder.path().join("killed.wav")).unwrap());
    let growth = growth.now();
    let recorded = growth.outcome().unwrap().recording.as_ref().unwrap();
    assert_eq!(describe(&path).unwrap().unwrap().file, recorded.file);
}

#[test]
fn a_crash_between_any_two_steps_of_finishing_is_taken_up_again() {
    let spec = spec(8_000, 1, SampleFormat::S24);
    let expected = {
        let folder = tempfile::tempdir().unwrap();
        killed(&folder.path().join("a.wav"), spec, 777, 0);
        recover(folder.path(), |_| None).unwrap();
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
        recover(folder.path(), |_| None).unwrap();
        assert!(std::fs::read(&finished).unwrap() == expected, "after {steps} steps");
    }
}

#[test]
fn a_recording_whose_end_is_known_is_cut_there() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(8_000, 1, SampleFormat::S16);
    for (id, known, frames) in [("a", 500, 500), ("b", 900, 777)] {
        killed(&folder.path().join(format!("{id}.wav")), spec, 777, 1);
        let found = recover(folder.path(), |_| Some(known)).unwrap();
        assert_eq!(found, [Found { id: id.to_owned(), fate: Fate::Finished { spec, frames } }]);
    }
}

#[test]
fn the_gaps_of_a_killed_recording_are_known_from_its_markers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    let (mut ticket, _growth) = ticket(&path, spec(8_000, 1, SampleFormat::S16));
    ticket.sync_every_frames = 100;
    let mut recording = Recording::open(ticket, 5_000);
    recording.audio(0, 1_000, &samples(1_000));
    recording.gap_until(1_300, GapCause::Overrun);
    recording.gap_until(1_400, GapCause::Muted);
    recording.pressed(0, tone('5', 5_500));
    recording.audio(1_400, 2_000, &samples(600));
    recording.flush();
    std::mem::forget(recording);
    recover(folder.path(), |_| None).unwrap();
    let left = describe(&path).unwrap().unwrap();
    let gap = |at, frames, cause| Gap { at, frames, cause };
    assert_eq!(left.gaps, [gap(1_000, 300, GapCause::Overrun), gap(1_300, 100, GapCause::Muted)]);
    assert_eq!((left.file.frames, left.lost_frames), (2_000, 300));
    let markers = header::markers(&std::fs::read(&path).unwrap());
    assert_eq!(markers[0], Marker { frame: 500, words: "key 5".into() });
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
    let found = recover(folder.path(), |_| None).unwrap();
    let ids: Vec<&str> = found.iter().map(|found| found.id.as_str()).collect();
    assert_eq!(ids, ["empty", "link", "other", "taken"]);
    for Found { fate, .. } in &found {
        let Fate::Quarantined { to, .. } = fate else { panic!("{found:?}") };
        assert!(to.symlink_metadata().is_ok());
    }
    assert_eq!(std::fs::read(at("taken.wav")).unwrap(), b"somebody's");
    std::fs::write(at("empty.wav.part"), b"again").unwrap();
    let Fate::Quarantined { to, .. } = &recover(folder.path(), |_| None).unwrap()[0].fate else { panic!() };
    assert_eq!(to, &at("quarantine/empty.wav.part.1"));
}
