//! What the store relies on: hound appends to our header, and reads what comes of it.

use std::fs::OpenOptions;
use std::io::{Seek, Write};

use super::*;

fn specs() -> impl Iterator<Item = Spec> {
    let rate = Rate::new(48_000).unwrap();
    [SampleFormat::S16, SampleFormat::S24, SampleFormat::F32]
        .into_iter()
        .flat_map(move |format| [1, 2, 3, 6].map(|channels| Spec { rate, channels, format }))
}

#[test]
fn hound_appends_to_our_header_and_leaves_the_sizes_that_we_would_set() {
    for spec in specs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        file.write_all(&header::header(spec, &Metadata::default(), Length::Frames(0))).unwrap();
        file.rewind().unwrap();
        let mut writer = hound::WavWriter::new_append(file).unwrap();
        let frames = 4;
        for n in 0..frames * i32::from(spec.channels) {
            match spec.format {
                SampleFormat::F32 => writer.write_sample(n as f32 / 100.0).unwrap(),
                _ => writer.write_sample(n * 100).unwrap(),
            }
        }
        writer.finalize().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let expected = header::header(spec, &Metadata::default(), Length::Frames(frames as u64));
        assert_eq!(bytes[..expected.len()], expected, "{spec:?}");
        assert_eq!(bytes.len() as u64, header::file_bytes(spec, frames as u64), "{spec:?}");
        let read = hound::WavReader::open(&path).unwrap();
        assert_eq!(read.duration(), frames as u32);
        let info = Reader::open(&path).unwrap().info();
        assert_eq!((info.frames, info.channels, info.bits), (4, spec.channels, spec.format.bytes() * 8));
    }
}

#[test]
fn hounds_own_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (bits, float) in [(8, false), (16, false), (24, false), (32, false), (32, true)] {
        let path = folder.path().join(format!("{bits}{float}.wav"));
        let sample_format = if float { hound::SampleFormat::Float } else { hound::SampleFormat::Int };
        let spec = hound::WavSpec { channels: 2, sample_rate: 22_050, bits_per_sample: bits, sample_format };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        for n in [-100i32, 100] {
            if float { writer.write_sample(n as f32).unwrap() } else { writer.write_sample(n).unwrap() }
        }
        writer.finalize().unwrap();
        let mut reader = Reader::open(&path).unwrap();
        assert_eq!(reader.info(), Info { rate_hz: 22_050, channels: 2, bits, float, frames: 1 });
        let mut out = [0.0; 2];
        reader.read_f32(&mut out).unwrap();
        let step = if float { 1.0 } else { 1.0 / (1u64 << (bits - 1)) as f32 };
        assert_eq!(out, [-100.0 * step, 100.0 * step]);
    }
}
