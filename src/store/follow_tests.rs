use super::*;
use crate::record::Reason;
use crate::store::recording::Recording;
use crate::store::recording::tests::{ending, samples, spec, ticket};
use crate::wav::{Reader, SampleFormat};

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work);
}

/// Everything that a reader gets.
async fn all(mut follow: Follow, most: usize) -> (Vec<u8>, Option<FollowError>) {
    let mut bytes = Vec::new();
    while let Some(chunk) = follow.next_chunk(most).await {
        match chunk {
            Ok(chunk) => bytes.extend(chunk),
            Err(e) => return (bytes, Some(e)),
        }
    }
    (bytes, None)
}

const FORMATS: [SampleFormat; 3] = [SampleFormat::S16, SampleFormat::S24, SampleFormat::F32];

#[test]
fn readers_that_come_early_late_and_slowly_get_the_same_samples() {
    for format in FORMATS {
        run(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.wav");
            let spec = spec(8_000, 1, format);
            let (ticket, growth) = ticket(&path, spec);
            let early = tokio::spawn(all(Follow::new(&path, growth.clone(), spec), 1 << 20));
            tokio::task::yield_now().await;
            let mut recording = Recording::open(ticket, 0);
            let samples = samples(8_001);
            let (mut late, mut slow) = (None, None);
            for (n, block) in samples.chunks(100).enumerate() {
                if n == 3 {
                    slow = Some(tokio::spawn(all(Follow::new(&path, growth.clone(), spec), 7)));
                }
                if n == 60 {
                    late = Some(tokio::spawn(all(Follow::new(&path, growth.clone(), spec), 1_000)));
                }
                recording.audio(n as u64 * 100, (n as u64 * 100).saturating_sub(33), block);
                recording.flush();
                tokio::task::yield_now().await;
            }
            recording.end(ending(Reason::MaxDuration, 8_001));
            let file = std::fs::read(&path).unwrap();
            for reader in [Some(early), slow, late] {
                let (bytes, error) = reader.unwrap().await.unwrap();
                assert!(error.is_none(), "{error:?}");
                let start = header::len(spec);
                assert!(bytes[start..] == file[start..]);
                // The header says what was known when the stream began: nothing.
                assert_eq!(bytes[start - 4..start], [0xFF; 4]);
                let mut reader = Reader::new(io::Cursor::new(bytes)).unwrap();
                assert_eq!(reader.info().frames, 8_001);
                let mut out = vec![0.0; 8_001];
                reader.read_f32(&mut out).unwrap();
                assert!(out == samples);
            }
            let (bytes, error) = all(Follow::new(&path, growth.clone(), spec), 4_096).await;
            assert!(bytes == file && error.is_none(), "who comes after the end gets the file as it is");
            let (bytes, _) = all(Follow::new(&path, growth, spec).range(700, Some(1_234)), 100).await;
            assert!(bytes == file[700..1_234]);
        });
    }
}

#[test]
fn who_has_read_what_is_cut_is_told_and_who_has_not_ends_cleanly() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let spec = spec(8_000, 1, SampleFormat::S16);
        let (ticket, growth) = ticket(&path, spec);
        let mut recording = Recording::open(ticket, 0);
        let (mut fast, mut behind) = (Follow::new(&path, growth.clone(), spec), Follow::new(&path, growth, spec));
        recording.audio(0, 1_000, &samples(1_000));
        recording.flush();
        let whole = header::len(spec) + 2_000;
        assert_eq!(fast.next_chunk(1 << 20).await.unwrap().unwrap().len(), whole);
        assert_eq!(behind.next_chunk(header::len(spec) + 1_000).await.unwrap().unwrap().len(), whole - 1_000);
        recording.end(ending(Reason::StopTone, 500));
        assert!(matches!(fast.next_chunk(1).await, Some(Err(FollowError::Cut))));
        assert!(fast.next_chunk(1).await.is_none());
        assert!(behind.next_chunk(1).await.is_none());
    });
}

#[test]
fn readers_of_a_recording_that_leaves_no_audio_or_whose_writer_died_are_cut_off() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec(8_000, 1, SampleFormat::S16);
        for (name, reason) in [("silent", Some(Reason::InitialSilence)), ("died", None)] {
            let path = folder.path().join(format!("{name}.wav"));
            let (ticket, growth) = ticket(&path, spec);
            let mut recording = Recording::open(ticket, 0);
            recording.audio(0, 10, &samples(10));
            recording.flush();
            let mut follow = Follow::new(&path, growth, spec);
            follow.next_chunk(1 << 20).await.unwrap().unwrap();
            match reason {
                Some(reason) => recording.end(ending(reason, 10)),
                None => drop(recording),
            }
            let error = follow.next_chunk(1).await.unwrap().unwrap_err();
            match reason {
                Some(_) => assert!(matches!(error, FollowError::Gone)),
                None => assert!(matches!(error, FollowError::Interrupted)),
            }
        }
    });
}

#[test]
fn a_reader_finishes_although_the_file_is_deleted() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let spec = spec(8_000, 1, SampleFormat::S16);
        let (ticket, growth) = ticket(&path, spec);
        let mut recording = Recording::open(ticket, 0);
        recording.audio(0, 1_000, &samples(1_000));
        recording.end(ending(Reason::MaxDuration, 1_000));
        let mut follow = Follow::new(&path, growth, spec);
        let first = follow.next_chunk(100).await.unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        let (rest, error) = all(follow, 1 << 20).await;
        assert!(error.is_none());
        assert_eq!((first.len() + rest.len()) as u64, header::file_bytes(spec, 1_000));
    });
}
