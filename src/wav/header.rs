//! Our own header: of one length for a spec, whatever is written later, so that byte offsets into a recording stay valid
//! from its first second to the finished file.
//!
//! ```text
//! RIFF size WAVE          RF64 instead once the sizes need 64 bits
//! JUNK 28                 becomes ds64
//! bext 602                who, when, which operation (EBU Tech 3285)
//! JUNK                    1,952 in all: markers, once there are any (`marks`)
//! fmt  16 | 40            40 (extensible) for more than 16 bits or two channels, as Microsoft asks
//! data size
//! ```
//! Every chunk before `data` is even-sized: hound, which appends the samples, does not know pad bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use jiff::civil::DateTime;

use super::marks::{self, Marker};
use super::{SampleFormat, Spec};
use crate::units::Rate;

const RIFF_BYTES: usize = 12;
const DS64_BYTES: usize = 8 + DS64_BODY as usize;
const DS64_BODY: u32 = 28;
const BEXT_BODY: u32 = 602;
const MARKS_AT: usize = RIFF_BYTES + DS64_BYTES + 8 + BEXT_BODY as usize;
const FMT_AT: usize = MARKS_AT + marks::BYTES;
/// No header of ours has more bytes.
pub const MOST_BYTES: usize = FMT_AT + 8 + 40 + 8;
const ORIGINATOR: &[u8] = b"tonearm";
const ORIGINATOR_AT: usize = RIFF_BYTES + DS64_BYTES + 8 + 256;
/// The tail of both KSDATAFORMAT_SUBTYPE GUIDs; the first two bytes are the plain format tag.
const GUID_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];
const TAG_PCM: u16 = 1;
const TAG_FLOAT: u16 = 3;
const TAG_EXTENSIBLE: u16 = 0xFFFE;
/// In a size field: "not known" in a stream, "see ds64" in an RF64 file.
const NOT_HERE: u32 = u32::MAX;

/// What the header says beside the format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Free words, at most 256 bytes are kept (cut at a character).
    pub description: String,
    /// The operation's id; dashes are left out, for the field holds 32 bytes and a UUID with dashes has 36.
    pub reference: String,
    /// When the first frame was captured, in UTC.
    pub started: Option<DateTime>,
}

/// How long the audio is, as the header says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Not known yet: the header of a live stream.
    Unknown,
    /// This many frames.
    Frames(u64),
}

/// How many bytes the header of this spec takes.
pub const fn len(spec: Spec) -> usize {
    FMT_AT + 8 + fmt_body(spec) as usize + 8
}

/// Bytes after the samples: a chunk of odd size is followed by one pad byte.
pub const fn pad(spec: Spec, frames: u64) -> u64 {
    frames * spec.frame_bytes() % 2
}

/// The size of a finished file with `frames` frames.
pub const fn file_bytes(spec: Spec, frames: u64) -> u64 {
    len(spec) as u64 + frames * spec.frame_bytes() + pad(spec, frames)
}

/// The most sample bytes whose sizes a plain RIFF file can say, leaving hound's 32-bit counters room.
pub const fn riff_ceiling(spec: Spec) -> u64 {
    u32::MAX as u64 - len(spec) as u64 - 1
}

/// The header, `len(spec)` bytes.
pub fn header(spec: Spec, metadata: &Metadata, length: Length) -> Vec<u8> {
    let mut out = Vec::with_capacity(len(spec));
    out.extend(front(spec, length));
    bext(&mut out, spec, metadata);
    out.extend(marks::room(&[]));
    fmt(&mut out, spec);
    out.extend(b"data");
    out.extend(data_size(spec, length).to_le_bytes());
    debug_assert_eq!(out.len(), len(spec));
    out
}

/// Says in an existing file of ours that it holds `frames` frames; the file's cursor stays where it is.
/// The sizes of a file past 4 GiB turn it into an RF64.
pub fn set_length(file: &File, spec: Spec, frames: u64) -> io::Result<()> {
    let length = Length::Frames(frames);
    file.write_all_at(&data_size(spec, length).to_le_bytes(), len(spec) as u64 - 4)?;
    file.write_all_at(&front(spec, length), 0)
}

/// Says in an existing file of ours what lies where.
pub fn set_markers(file: &File, markers: &[Marker]) -> io::Result<()> {
    file.write_all_at(&marks::room(markers), MARKS_AT as u64)
}

/// The markers of a file that begins with these bytes.
pub fn markers(start: &[u8]) -> Vec<Marker> {
    start.get(MARKS_AT..FMT_AT).map(marks::read).unwrap_or_default()
}

/// Makes of a piece of a file of ours, which begins at the file's byte `from`, that of a stream of unknown length.
pub fn unknown_length(piece: &mut [u8], from: u64, spec: Spec) {
    let front = front(spec, Length::Unknown);
    let stream = front.into_iter().enumerate().chain((len(spec) - 4..len(spec)).map(|at| (at, 0xFF)));
    for (at, byte) in stream.map(|(at, byte)| (at as u64, byte)) {
        if let Some(place) = at.checked_sub(from).and_then(|at| piece.get_mut(at as usize)) {
            *place = byte;
        }
    }
}

/// The spec of a file that begins with these bytes, if we wrote them: nothing of the layout is taken on trust.
pub fn recognise(start: &[u8]) -> Option<Spec> {
    let tag = |at: usize| start.get(at..at + 4);
    let u16_at = |at: usize| start.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let u32_at = |at: usize| tag(at).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let riff = matches!((tag(0)?, tag(12)?), (b"RIFF", b"JUNK") | (b"RF64", b"ds64"));
    let ours = riff
        && tag(8)? == b"WAVE"
        && u32_at(16)? == DS64_BODY
        && tag(RIFF_BYTES + DS64_BYTES)? == b"bext"
        && u32_at(RIFF_BYTES + DS64_BYTES + 4)? == BEXT_BODY
        && start.get(ORIGINATOR_AT..)?.starts_with(ORIGINATOR)
        && tag(FMT_AT)? == b"fmt ";
    if !ours {
        return None;
    }
    let body = FMT_AT + 8;
    let format = match (u16_at(body + 14)?, u16_at(body)?) {
        (16, _) => SampleFormat::S16,
        (24, _) => SampleFormat::S24,
        (32, _) => SampleFormat::F32,
        _ => return None,
    };
    let spec = Spec { rate: Rate::new(u32_at(body + 4)?)?, channels: u16_at(body + 2)?, format };
    let mut expected = Vec::new();
    fmt(&mut expected, spec);
    expected.extend(b"data");
    let same = spec.channels > 0 && start.get(FMT_AT..FMT_AT + expected.len())? == expected;
    (same && start.len() >= len(spec)).then_some(spec)
}

/// `RIFF` and the chunk behind it, which both change when the file outgrows 32-bit sizes.
fn front(spec: Spec, length: Length) -> Vec<u8> {
    let mut out = Vec::with_capacity(RIFF_BYTES + DS64_BYTES);
    let frames = match length {
        Length::Frames(frames) => frames,
        Length::Unknown => 0,
    };
    let (riff, data) = (file_bytes(spec, frames) - 8, frames * spec.frame_bytes());
    let wide = data > riff_ceiling(spec);
    let riff32 = if wide || length == Length::Unknown { NOT_HERE } else { riff as u32 };
    out.extend(if wide { b"RF64" } else { b"RIFF" });
    out.extend(riff32.to_le_bytes());
    out.extend(b"WAVE");
    out.extend(if wide { b"ds64" } else { b"JUNK" });
    out.extend(DS64_BODY.to_le_bytes());
    if wide {
        for size in [riff, data, frames] {
            out.extend(size.to_le_bytes());
        }
    }
    out.resize(RIFF_BYTES + DS64_BYTES, 0);
    out
}

fn data_size(spec: Spec, length: Length) -> u32 {
    match length {
        Length::Frames(frames) if frames * spec.frame_bytes() <= riff_ceiling(spec) => {
            (frames * spec.frame_bytes()) as u32
        }
        _ => NOT_HERE,
    }
}

fn bext(out: &mut Vec<u8>, spec: Spec, metadata: &Metadata) {
    out.extend(b"bext");
    out.extend(BEXT_BODY.to_le_bytes());
    let end = out.len() + BEXT_BODY as usize;
    let mut field = |text: &str, bytes: usize| {
        let mut cut = text.len().min(bytes);
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        out.extend(&text.as_bytes()[..cut]);
        out.resize(out.len() + bytes - cut, 0);
    };
    field(&metadata.description, 256);
    field("tonearm", 32);
    field(&metadata.reference.replace('-', ""), 32);
    let (mut day, mut time, mut frames_since_midnight) = (String::new(), String::new(), 0);
    if let Some(started) = metadata.started {
        day = started.strftime("%Y-%m-%d").to_string();
        time = started.strftime("%H:%M:%S").to_string();
        let clock = started.time();
        let seconds = i64::from(clock.hour()) * 3_600 + i64::from(clock.minute()) * 60 + i64::from(clock.second());
        let rate = u64::from(spec.rate.hz());
        frames_since_midnight = seconds as u64 * rate + clock.subsec_nanosecond() as u64 * rate / 1_000_000_000;
    }
    field(&day, 10);
    field(&time, 8);
    out.extend(frames_since_midnight.to_le_bytes());
    out.extend(1u16.to_le_bytes());
    out.resize(end, 0);
}

const fn extensible(spec: Spec) -> bool {
    !matches!(spec.format, SampleFormat::S16) || spec.channels > 2
}

const fn fmt_body(spec: Spec) -> u32 {
    if extensible(spec) { 40 } else { 16 }
}

fn fmt(out: &mut Vec<u8>, spec: Spec) {
    let plain = if spec.format == SampleFormat::F32 { TAG_FLOAT } else { TAG_PCM };
    let (hz, frame) = (spec.rate.hz(), spec.frame_bytes() as u32);
    out.extend(b"fmt ");
    out.extend(fmt_body(spec).to_le_bytes());
    out.extend(if extensible(spec) { TAG_EXTENSIBLE } else { plain }.to_le_bytes());
    out.extend(spec.channels.to_le_bytes());
    out.extend(hz.to_le_bytes());
    out.extend(hz.wrapping_mul(frame).to_le_bytes());
    out.extend((frame as u16).to_le_bytes());
    out.extend((spec.format.bytes() * 8).to_le_bytes());
    if extensible(spec) {
        out.extend(22u16.to_le_bytes());
        out.extend((spec.format.bytes() * 8).to_le_bytes());
        // Microphones are not loudspeakers: no channel belongs to a speaker position.
        out.extend(0u32.to_le_bytes());
        out.extend(plain.to_le_bytes());
        out.extend(GUID_TAIL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn spec(channels: u16, format: SampleFormat) -> Spec {
        Spec { rate: Rate::new(48_000).unwrap(), channels, format }
    }

    const ALL: [SampleFormat; 3] = [SampleFormat::S16, SampleFormat::S24, SampleFormat::F32];

    #[test]
    fn the_header_has_one_length_for_a_spec_and_every_chunk_before_data_is_even() {
        for format in ALL {
            for channels in [1, 2, 3, 8] {
                let spec = spec(channels, format);
                for length in [Length::Unknown, Length::Frames(0), Length::Frames(7), Length::Frames(1 << 40)] {
                    let bytes = header(spec, &Metadata::default(), length);
                    assert_eq!(bytes.len(), len(spec));
                    assert_eq!(bytes.len() % 2, 0);
                    assert_eq!(&bytes[bytes.len() - 8..bytes.len() - 4], b"data");
                    assert_eq!(recognise(&bytes), Some(spec));
                }
            }
        }
        assert_eq!(len(spec(1, SampleFormat::S16)), 2_642);
        assert_eq!(len(spec(1, SampleFormat::F32)), MOST_BYTES);
    }

    #[test]
    fn what_is_not_ours_is_not_recognised() {
        let ours = header(spec(1, SampleFormat::S16), &Metadata::default(), Length::Frames(0));
        for cut in 0..ours.len() {
            assert_eq!(recognise(&ours[..cut]), None, "{cut} bytes");
        }
        for at in [0, 9, 13, 17, ORIGINATOR_AT, FMT_AT, FMT_AT + 10, FMT_AT + 16, ours.len() - 8] {
            let mut other = ours.clone();
            other[at] ^= 0x55;
            assert_eq!(recognise(&other), None, "byte {at}");
        }
    }

    #[test]
    fn a_length_set_in_place_gives_the_bytes_of_a_header_built_with_it() {
        for frames in [0, 1, 12_345, u64::from(u32::MAX) / 3, u64::from(u32::MAX)] {
            let spec = spec(1, SampleFormat::S24);
            let metadata = Metadata { description: "x".repeat(300), ..Metadata::default() };
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&header(spec, &metadata, Length::Frames(3))).unwrap();
            set_length(&file, spec, frames).unwrap();
            let mut bytes = vec![0; len(spec)];
            file.read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!(bytes, header(spec, &metadata, Length::Frames(frames)));
        }
    }

    #[test]
    fn past_4_gib_it_is_an_rf64_whose_sizes_stand_in_ds64() {
        let spec = spec(2, SampleFormat::S16);
        let frames = 1u64 << 31;
        let bytes = header(spec, &Metadata::default(), Length::Frames(frames));
        assert_eq!((&bytes[..8], &bytes[12..16]), (&b"RF64\xFF\xFF\xFF\xFF"[..], &b"ds64"[..]));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!((u64_at(20), u64_at(28), u64_at(36)), (file_bytes(spec, frames) - 8, frames * 4, frames));
        assert_eq!(bytes[bytes.len() - 4..], [0xFF; 4]);
        let last_plain = riff_ceiling(spec) / 4;
        assert_eq!(&header(spec, &Metadata::default(), Length::Frames(last_plain))[..4], b"RIFF");
        assert_eq!(&header(spec, &Metadata::default(), Length::Frames(last_plain + 1))[..4], b"RF64");
    }

    #[test]
    fn bext_says_who_when_and_which_operation_and_cuts_at_a_character() {
        let metadata = Metadata {
            description: "ä".repeat(200),
            reference: "0192aabb-ccdd-7eee-8fff-001122334455".into(),
            started: Some(jiff::civil::date(2026, 11, 24).at(1, 2, 3, 500_000_000)),
        };
        let bytes = header(spec(1, SampleFormat::S16), &metadata, Length::Unknown);
        let body = &bytes[56..56 + 602];
        assert_eq!(std::str::from_utf8(&body[..256]).unwrap(), "ä".repeat(128));
        assert!(body[256..].starts_with(b"tonearm\0"));
        assert_eq!(&body[288..320], b"0192aabbccdd7eee8fff001122334455");
        assert_eq!(&body[320..338], b"2026-11-2401:02:03");
        let reference = u64::from_le_bytes(body[338..346].try_into().unwrap());
        assert_eq!(reference, (3_723 * 48_000) + 24_000);
    }
}
