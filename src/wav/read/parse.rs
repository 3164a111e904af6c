//! The chunks of a WAV up to its samples.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use super::Info;

/// Why a file cannot be read as a WAV.
#[derive(Debug)]
pub enum WavError {
    /// The file could not be opened or read.
    Io(io::Error),
    /// It begins with something else.
    NotWav {
        /// The first bytes.
        found: Vec<u8>,
    },
    /// It ends before its samples begin.
    NoData,
    /// The samples come before their format, or the format is missing.
    NoFormat,
    /// The format chunk is too short.
    ShortFormat {
        /// Its bytes.
        bytes: u32,
    },
    /// The samples are compressed, or of a kind we do not know.
    Codec {
        /// Microsoft's number of it.
        tag: u16,
    },
    /// A size of sample that does not exist.
    Bits {
        /// What was found.
        bits: u16,
        /// Whether they are floats.
        float: bool,
    },
    /// No channels.
    NoChannels,
    /// A rate of zero.
    NoRate,
    /// The bytes of a frame are not channels times bytes of a sample.
    FrameBytes {
        /// What was found.
        found: u16,
        /// What it would have to be.
        expected: u32,
    },
}

impl fmt::Display for WavError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WavError::Io(e) => write!(f, "the file cannot be read: {e}"),
            WavError::NotWav { found } if found.is_empty() => write!(f, "the file is empty, not a WAV"),
            WavError::NotWav { found } => write!(f, "not a WAV: it begins with \"{}\"", found.escape_ascii()),
            WavError::NoData => write!(f, "the WAV ends before its samples begin"),
            WavError::NoFormat => write!(f, "the WAV does not say the format of its samples before they begin"),
            WavError::ShortFormat { bytes } => {
                write!(f, "the WAV's format chunk has {bytes} bytes, it needs 16 (extensible: 40)")
            }
            WavError::Codec { tag } => {
                write!(f, "the WAV's samples are of format 0x{tag:04x}{}, only PCM and float are read", codec(*tag))
            }
            WavError::Bits { bits, float: false } => write!(f, "the WAV's samples have {bits} bits, 1 to 32 are read"),
            WavError::Bits { bits, float: true } => {
                write!(f, "the WAV's float samples have {bits} bits, 32 and 64 are read")
            }
            WavError::NoChannels => write!(f, "the WAV has no channels"),
            WavError::NoRate => write!(f, "the WAV has a sample rate of 0"),
            WavError::FrameBytes { found, expected } => {
                write!(f, "the WAV says that a frame takes {found} bytes, its channels and bits make {expected}")
            }
        }
    }
}

impl std::error::Error for WavError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WavError::Io(e) => Some(e),
            _ => None,
        }
    }
}

/// The names of what is met most often.
fn codec(tag: u16) -> &'static str {
    match tag {
        0x0002 => " (Microsoft ADPCM)",
        0x0006 => " (A-law)",
        0x0007 => " (µ-law)",
        0x0011 => " (IMA ADPCM)",
        0x0031 => " (GSM 6.10)",
        0x0055 => " (MP3)",
        _ => "",
    }
}

/// Beyond this many chunks before the samples a file is taken for a trap.
const MOST_CHUNKS: usize = 1_000;
/// In a size field: not known, or given in `ds64`.
const NOT_HERE: u32 = u32::MAX;

/// What the file holds, and at which byte its samples begin.
pub(super) fn header<R: Read + Seek>(source: &mut R) -> Result<(Info, u64), WavError> {
    let file_bytes = source.seek(SeekFrom::End(0)).map_err(WavError::Io)?;
    source.seek(SeekFrom::Start(0)).map_err(WavError::Io)?;
    let start = take::<12>(source, file_bytes.min(12) as usize)?;
    let wave = matches!(&start[..4], b"RIFF" | b"RF64" | b"BW64") && &start[8..] == b"WAVE";
    if !wave {
        let found = start[..4].iter().copied().take(file_bytes.min(4) as usize).collect();
        return Err(WavError::NotWav { found });
    }
    let riff_bytes = u32_of(&start[4..]);

    let (mut at, mut format, mut data64) = (12u64, None, None);
    for _ in 0..MOST_CHUNKS {
        let Some((id, bytes)) = chunk(source, at, file_bytes)? else { return Err(WavError::NoData) };
        let body = at + 8;
        match &id {
            b"fmt " => format = Some(fmt(source, bytes)?),
            b"ds64" if bytes >= 28 => data64 = Some(u64_of(&take::<16>(source, 16)?[8..])),
            b"data" => {
                let mut info = format.ok_or(WavError::NoFormat)?;
                let there = file_bytes - body;
                let claimed = match (bytes, data64) {
                    (NOT_HERE, Some(wide)) => wide,
                    (NOT_HERE, None) => there,
                    // A killed writer leaves zeros; who really has no samples says in the RIFF size where the file ends.
                    (0, _) if riff_bytes == NOT_HERE || u64::from(riff_bytes) + 8 <= body => there,
                    _ => u64::from(bytes),
                };
                info.frames = claimed.min(there) / info.frame_bytes();
                return Ok((info, body));
            }
            _ => {}
        }
        at = next(source, body + u64::from(bytes), file_bytes)?;
    }
    Err(WavError::NoData)
}

/// The chunk header at `at`, `None` at the end of the file.
fn chunk<R: Read + Seek>(source: &mut R, at: u64, file_bytes: u64) -> Result<Option<([u8; 4], u32)>, WavError> {
    if at.saturating_add(8) > file_bytes {
        return Ok(None);
    }
    source.seek(SeekFrom::Start(at)).map_err(WavError::Io)?;
    let bytes = take::<8>(source, 8)?;
    Ok(Some(([bytes[0], bytes[1], bytes[2], bytes[3]], u32_of(&bytes[4..]))))
}

/// Where the chunk after one that ends at `end` begins. Odd chunks are padded to an even place; some writers forget it,
/// which shows in that a name stands where the pad byte should be.
fn next<R: Read + Seek>(source: &mut R, end: u64, file_bytes: u64) -> Result<u64, WavError> {
    if end.is_multiple_of(2) {
        return Ok(end);
    }
    let forgot = chunk(source, end, file_bytes)?.is_some_and(|(id, _)| id.iter().all(|b| (b' '..=b'~').contains(b)));
    Ok(if forgot { end } else { end + 1 })
}

fn fmt<R: Read>(source: &mut R, bytes: u32) -> Result<Info, WavError> {
    const EXTENSIBLE: u16 = 0xFFFE;
    if bytes < 16 {
        return Err(WavError::ShortFormat { bytes });
    }
    let b = take::<40>(source, bytes.min(40) as usize)?;
    let mut tag = u16_of(&b);
    if tag == EXTENSIBLE {
        if bytes < 40 {
            return Err(WavError::ShortFormat { bytes });
        }
        tag = u16_of(&b[24..]);
    }
    let (channels, rate_hz, frame, bits) = (u16_of(&b[2..]), u32_of(&b[4..]), u16_of(&b[12..]), u16_of(&b[14..]));
    let float = match tag {
        1 => false,
        3 => true,
        _ => return Err(WavError::Codec { tag }),
    };
    if channels == 0 {
        return Err(WavError::NoChannels);
    }
    if rate_hz == 0 {
        return Err(WavError::NoRate);
    }
    // 12 bits are stored in the upper bits of 16, and so on: to us the container is the sample.
    let stored = bits.div_ceil(8).saturating_mul(8);
    if !matches!((stored, float), (8 | 16 | 24 | 32, false) | (32 | 64, true)) {
        return Err(WavError::Bits { bits, float });
    }
    let expected = u32::from(channels) * u32::from(stored / 8);
    if u32::from(frame) != expected {
        return Err(WavError::FrameBytes { found: frame, expected });
    }
    Ok(Info { rate_hz, channels, bits: stored, float, frames: 0 })
}

/// The next `bytes` of at most N, the rest zeros.
fn take<const N: usize>(source: &mut impl Read, bytes: usize) -> Result<[u8; N], WavError> {
    let mut out = [0; N];
    match source.read_exact(&mut out[..bytes]) {
        Ok(()) => Ok(out),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(WavError::NoData),
        Err(e) => Err(WavError::Io(e)),
    }
}

fn u16_of(b: &[u8]) -> u16 {
    u16::from_le_bytes([b[0], b[1]])
}

fn u32_of(b: &[u8]) -> u32 {
    u32::from_le_bytes([b[0], b[1], b[2], b[3]])
}

fn u64_of(b: &[u8]) -> u64 {
    u64::from(u32_of(b)) | u64::from(u32_of(&b[4..])) << 32
}
