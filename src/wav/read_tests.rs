use std::io::{Cursor, Write};
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::units::Rate;
use crate::wav::{Length, Metadata, SampleFormat, Spec, header};

/// A WAV by hand: `chunks` in order, odd ones padded when `pad`.
fn riff(id: &[u8; 4], chunks: &[(&[u8; 4], &[u8], u32)], pad: bool) -> Vec<u8> {
    let mut out = id.to_vec();
    out.extend([0; 4]);
    out.extend(b"WAVE");
    for (name, body, size) in chunks {
        out.extend(*name);
        out.extend(size.to_le_bytes());
        out.extend(*body);
        if pad && body.len() % 2 == 1 {
            out.push(0);
        }
    }
    let size = (out.len() - 8) as u32;
    out[4..8].copy_from_slice(&size.to_le_bytes());
    out
}

fn fmt(tag: u16, channels: u16, hz: u32, frame: u16, bits: u16) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(tag.to_le_bytes());
    out.extend(channels.to_le_bytes());
    out.extend(hz.to_le_bytes());
    out.extend((hz.wrapping_mul(u32::from(frame))).to_le_bytes());
    out.extend(frame.to_le_bytes());
    out.extend(bits.to_le_bytes());
    out
}

/// The same format in the extensible form, with so many valid bits in each container.
fn extensible(mut plain: Vec<u8>, valid_bits: u16) -> Vec<u8> {
    let tag = plain[0];
    plain[..2].copy_from_slice(&0xFFFEu16.to_le_bytes());
    plain.extend([22, 0, valid_bits as u8, 0, 0, 0, 0, 0, tag]);
    plain.resize(40, 0);
    plain
}

fn open(bytes: Vec<u8>) -> Result<Reader<Cursor<Vec<u8>>>, WavError> {
    Reader::new(Cursor::new(bytes))
}

fn all(reader: &mut Reader<impl Read + Seek>) -> Vec<f32> {
    let mut out = vec![9.0; (reader.info().frames as usize + 3) * usize::from(reader.info().channels)];
    let frames = reader.read_f32(&mut out).unwrap();
    out.truncate(frames * usize::from(reader.info().channels));
    out
}

fn sixteen(data: &[u8], size: u32) -> Vec<u8> {
    riff(b"RIFF", &[(b"fmt ", &fmt(1, 1, 8_000, 2, 16), 16), (b"data", data, size)], false)
}

#[test]
fn samples_of_every_size_become_the_exact_fraction_of_full_scale() {
    let cases: [(u16, u16, Vec<u8>, [f32; 2]); 6] = [
        (1, 8, vec![0, 192], [-1.0, 0.5]),
        (1, 16, [i16::MIN.to_le_bytes(), 1i16.to_le_bytes()].concat(), [-1.0, 1.0 / 32_768.0]),
        (1, 24, vec![0, 0, 128, 1, 0, 0], [-1.0, 1.0 / 8_388_608.0]),
        (1, 32, [i32::MIN.to_le_bytes(), (1i32 << 30).to_le_bytes()].concat(), [-1.0, 0.5]),
        (3, 32, [(-0.25f32).to_le_bytes(), 7.5f32.to_le_bytes()].concat(), [-0.25, 7.5]),
        (3, 64, [(-0.25f64).to_le_bytes(), 7.5f64.to_le_bytes()].concat(), [-0.25, 7.5]),
    ];
    for (tag, bits, data, expected) in cases {
        let plain = fmt(tag, 2, 44_100, 2 * bits / 8, bits);
        for format in [plain.clone(), extensible(plain, bits)] {
            let size = data.len() as u32;
            let mut reader =
                open(riff(b"RIFF", &[(b"fmt ", &format, format.len() as u32), (b"data", &data, size)], true)).unwrap();
            assert_eq!(reader.info(), Info { rate_hz: 44_100, channels: 2, bits, float: tag == 3, frames: 1 });
            assert_eq!(all(&mut reader), expected, "{bits} bits");
        }
    }
}

#[test]
fn valid_bits_are_the_upper_ones_of_a_larger_container() {
    // Microsoft on WAVEFORMATEXTENSIBLE: with fewer valid bits than the container has, the data is left-aligned in it.
    for (container, valid) in [(16, 12), (24, 20), (32, 20), (32, 24)] {
        let steps = [-1 << (valid - 1), 1, (1 << (valid - 1)) - 1];
        let stored = steps.map(|step: i32| (step << (container - valid)).to_le_bytes());
        let bytes = usize::from(container / 8);
        let data: Vec<u8> = stored.iter().flat_map(|sample| &sample[..bytes]).copied().collect();
        let format = extensible(fmt(1, 1, 48_000, container / 8, container), valid);
        let chunks: [(&[u8; 4], &[u8], u32); 2] = [(b"fmt ", &format, 40), (b"data", &data, data.len() as u32)];
        let expected = steps.map(|step| step as f32 / (1 << (valid - 1)) as f32);
        assert_eq!(all(&mut open(riff(b"RIFF", &chunks, true)).unwrap()), expected, "{valid} bits in {container}");
    }
}

#[test]
fn odd_chunks_are_skipped_with_and_without_their_pad_byte() {
    for pad in [true, false] {
        let chunks: [(&[u8; 4], &[u8], u32); 4] = [
            (b"LIST", b"abc", 3),
            (b"fmt ", &fmt(1, 1, 8_000, 2, 16), 16),
            (b"note", b"x", 1),
            (b"data", &[1, 0, 2, 0], 4),
        ];
        let mut reader = open(riff(b"RIFF", &chunks, pad)).unwrap();
        let mut samples = [0; 2];
        assert_eq!(reader.read_i16(&mut samples).unwrap(), 2);
        assert_eq!(samples, [1, 2], "pad: {pad}");
    }
}

#[test]
fn a_size_that_is_unknown_or_too_large_means_to_the_end_of_the_file() {
    for size in [u32::MAX, 1_000_000, 7] {
        assert_eq!(open(sixteen(&[1, 0, 2, 0, 3, 0, 9], size)).unwrap().info().frames, 3, "{size}");
    }
    let mut killed = sixteen(&[1, 0, 2, 0], 0);
    killed[4..8].fill(0);
    assert_eq!(open(killed).unwrap().info().frames, 2);
}

#[test]
fn an_empty_wav_with_something_behind_it_is_empty() {
    let chunks: [(&[u8; 4], &[u8], u32); 3] =
        [(b"fmt ", &fmt(1, 1, 8_000, 2, 16), 16), (b"data", b"", 0), (b"LIST", b"abcd", 4)];
    assert_eq!(open(riff(b"RIFF", &chunks, true)).unwrap().info().frames, 0);
}

#[test]
fn an_rf64_tells_its_size_in_ds64() {
    let mut ds64 = vec![0; 28];
    ds64[8] = 4;
    let chunks: [(&[u8; 4], &[u8], u32); 4] = [
        (b"ds64", &ds64, 28),
        (b"fmt ", &fmt(1, 1, 8_000, 2, 16), 16),
        (b"data", &[1, 0, 2, 0], u32::MAX),
        (b"LIST", b"abcd", 4),
    ];
    assert_eq!(open(riff(b"RF64", &chunks, true)).unwrap().info().frames, 2);
}

#[test]
fn each_lie_is_named() {
    let with = |format: Vec<u8>| {
        let size = format.len() as u32;
        open(riff(b"RIFF", &[(b"fmt ", &format, size), (b"data", &[0; 64], 64)], true)).err().unwrap().to_string()
    };
    assert_eq!(with(fmt(1, 0, 8_000, 2, 16)), "the WAV has no channels");
    assert_eq!(with(fmt(1, 1, 0, 2, 16)), "the WAV has a sample rate of 0");
    assert_eq!(with(fmt(1, 2, 8_000, 2, 16)), "the WAV says that a frame takes 2 bytes, its channels and bits make 4");
    assert_eq!(with(fmt(1, 1, 8_000, 0, 0)), "the WAV's samples have 0 bits, 1 to 32 are read");
    assert_eq!(with(fmt(1, 65_535, 8_000, 65_535, 65_535)), "the WAV's samples have 65535 bits, 1 to 32 are read");
    assert_eq!(with(fmt(3, 1, 8_000, 2, 16)), "the WAV's float samples have 16 bits, 32 and 64 are read");
    assert_eq!(
        with(fmt(0x11, 1, 8_000, 2, 4)),
        "the WAV's samples are of format 0x0011 (IMA ADPCM), only PCM and float are read"
    );
    assert_eq!(with(vec![1, 0]), "the WAV's format chunk has 2 bytes, it needs 16 (extensible: 40)");
    let error = |bytes: &[u8]| open(bytes.to_vec()).err().unwrap().to_string();
    assert_eq!(error(b""), "the file is empty, not a WAV");
    assert_eq!(error(b"ID3\x04rest of an mp3"), "not a WAV: it begins with \"ID3\\x04\"");
    assert_eq!(error(&sixteen(&[], 0)[..40]), "the WAV ends before its samples begin");
    assert_eq!(
        error(&riff(b"RIFF", &[(b"data", &[0; 4], 4)], true)),
        "the WAV does not say the format of its samples before they begin"
    );
}

#[test]
fn reading_in_any_pieces_and_from_any_frame_gives_the_same_samples() {
    let data: Vec<u8> = (0..3 * 2 * 70_000u32).map(|n| ((n * 7_919) >> 3) as u8).collect();
    let file = riff(b"RIFF", &[(b"fmt ", &fmt(1, 2, 8_000, 6, 24), 16), (b"data", &data, data.len() as u32)], true);
    let mut reader = open(file).unwrap();
    let whole = all(&mut reader);
    assert_eq!(whole.len(), 140_000);
    for frames in [1, 7, 4_099] {
        reader.seek(0).unwrap();
        let (mut pieces, mut piece) = (Vec::new(), vec![0.0; frames * 2 + 1]);
        loop {
            let n = reader.read_f32(&mut piece).unwrap();
            pieces.extend_from_slice(&piece[..n * 2]);
            if n < frames {
                break;
            }
        }
        assert!(pieces == whole, "{frames}");
    }
    for frame in [69_999u64, 32_769, 1] {
        reader.seek(frame).unwrap();
        assert_eq!(reader.position(), frame);
        assert!(all(&mut reader) == whole[frame as usize * 2..], "{frame}");
    }
    reader.seek(u64::MAX).unwrap();
    assert_eq!(reader.read_f32(&mut [0.0; 2]).unwrap(), 0);
}

#[test]
fn our_own_header_is_read_whatever_length_it_states() {
    for format in [SampleFormat::S16, SampleFormat::S24, SampleFormat::F32] {
        for length in [Length::Unknown, Length::Frames(0), Length::Frames(5), Length::Frames(1 << 40)] {
            let spec = Spec { rate: Rate::new(16_000).unwrap(), channels: 3, format };
            let mut bytes = header::header(spec, &Metadata::default(), length);
            bytes.extend(vec![0; spec.frame_bytes() as usize * 5]);
            let info = open(bytes).unwrap().info();
            assert_eq!((info.frames, info.channels, info.rate_hz), (5, 3, 16_000));
        }
    }
}

#[test]
fn what_sox_writes_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options) in [
        ("8.wav", &["-b", "8", "-e", "unsigned"][..]),
        ("16.wav", &["-b", "16"]),
        ("24.wav", &["-b", "24"]),
        ("32.wav", &["-b", "32"]),
        ("f32.wav", &["-b", "32", "-e", "float"]),
        ("f64.wav", &["-b", "64", "-e", "float"]),
    ] {
        let path = folder.path().join(name);
        let done = Command::new("sox")
            .args(["-D", "-n", "-r", "16000", "-c", "3"])
            .args(options)
            .arg(&path)
            .args(["synth", "0.1", "sine", "440", "gain", "-6"])
            .status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("not tested: sox is not here");
            return;
        }
        let mut reader = Reader::open(&path).unwrap();
        assert_eq!((reader.info().frames, reader.info().channels), (1_600, 3), "{name}");
        let samples = all(&mut reader);
        let peak = samples.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        assert!((peak - 0.5012).abs() < 0.01, "{name}: {peak}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it measures how long it takes")]
#[ignore = "a measurement: cargo test --release --lib wav::read -- --ignored --nocapture"]
fn an_hour_of_48_khz_mono_takes_about_a_tenth_of_a_second() {
    let mut file = tempfile::tempfile().unwrap();
    let spec = Spec { rate: Rate::new(48_000).unwrap(), channels: 1, format: SampleFormat::S16 };
    file.write_all(&header::header(spec, &Metadata::default(), Length::Unknown)).unwrap();
    let second: Vec<u8> = (0..96_000u32).map(|n| n as u8).collect();
    for _ in 0..3_600 {
        file.write_all(&second).unwrap();
    }
    let mut reader = Reader::new(file).unwrap();
    for _ in 0..3 {
        reader.seek(0).unwrap();
        let (mut out, mut sum) = (vec![0.0f32; 4_800], 0.0);
        let started = std::time::Instant::now();
        while reader.read_f32(&mut out).unwrap() > 0 {
            sum += out[7];
        }
        println!("read_f32: {:?} ({sum})", started.elapsed());
    }
    let samples: Vec<f32> = (0..4_800).map(|n| (n as f32 * 0.01).sin()).collect();
    for format in [SampleFormat::S16, SampleFormat::S24, SampleFormat::F32] {
        let (mut out, started) = (Vec::new(), std::time::Instant::now());
        for _ in 0..2_000 {
            out.clear();
            crate::wav::quantise::quantise(format, std::hint::black_box(&samples), &mut out);
            std::hint::black_box(&out);
        }
        println!("quantise {}: {:.2} ns a sample", format.name(), started.elapsed().as_nanos() as f64 / 9.6e6);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = open(bytes);
    }

    #[test]
    fn no_header_that_lies_makes_it_panic(
        tag in prop::sample::select(vec![1u16, 3, 0xFFFE, 7]), channels: u16, hz: u32, frame: u16,
        bits in prop::sample::select(vec![0u16, 8, 12, 16, 24, 32, 64, 65_535]),
        size: u32, honest: bool, data in prop::collection::vec(any::<u8>(), 0..64)
    ) {
        let (channels, frame) = if honest { (channels % 3, channels % 3 * (bits / 8)) } else { (channels, frame) };
        let file = riff(b"RIFF", &[(b"fmt ", &fmt(tag, channels, hz, frame, bits), 16), (b"data", &data, size)], true);
        if let Ok(mut reader) = open(file) {
            let mut out = [0.0; 128];
            let frames = reader.read_f32(&mut out).unwrap();
            prop_assert!(frames as u64 <= reader.info().frames);
            reader.seek(1).unwrap();
            reader.read_f32(&mut out).unwrap();
        }
    }
}
