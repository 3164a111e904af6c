//! A reader of any uncompressed WAV: integers of 8 to 32 bits, floats of 32 and 64, plain or extensible, RIFF or RF64.
//!
//! Headers are taken as claims: a size beyond the file's end is cut to it, and nothing is allocated by what a header says.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

mod parse;

pub use parse::WavError;

/// One read of the file. Divisible by every sample size, so that no sample lies across two reads.
const BUFFER_BYTES: usize = 48 * 1024;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Frames a second, as the header says it: at least 1, else unchecked.
    pub rate_hz: u32,
    /// Channels, at least 1.
    pub channels: u16,
    /// Bits of one sample as it is stored: 8, 16, 24, 32 or 64.
    pub bits: u16,
    /// IEEE floats rather than integers.
    pub float: bool,
    /// Whole frames that are really there.
    pub frames: u64,
}

impl Info {
    fn sample_bytes(&self) -> usize {
        usize::from(self.bits / 8)
    }

    fn frame_bytes(&self) -> u64 {
        u64::from(self.bits / 8) * u64::from(self.channels)
    }
}

/// Reads the samples of a WAV in order, from any frame.
pub struct Reader<R = File> {
    source: R,
    info: Info,
    data_at: u64,
    next_frame: u64,
    buffer: Box<[u8]>,
    /// The part of `buffer` that has been read from the file and not been handed on.
    from: usize,
    to: usize,
}

impl Reader<File> {
    /// Opens a file and reads its header.
    pub fn open(path: impl AsRef<Path>) -> Result<Reader<File>, WavError> {
        Reader::new(File::open(path).map_err(WavError::Io)?)
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Reads the header of `source`.
    pub fn new(mut source: R) -> Result<Reader<R>, WavError> {
        let (info, data_at) = parse::header(&mut source)?;
        source.seek(SeekFrom::Start(data_at)).map_err(WavError::Io)?;
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Ok(Reader { source, info, data_at, next_frame: 0, buffer, from: 0, to: 0 })
    }

    /// What the file holds.
    pub fn info(&self) -> Info {
        self.info
    }

    /// The frame that the next read begins with.
    pub fn position(&self) -> u64 {
        self.next_frame
    }

    /// The next read begins with this frame (the end, if the file has fewer).
    pub fn seek(&mut self, frame: u64) -> io::Result<()> {
        self.next_frame = frame.min(self.info.frames);
        (self.from, self.to) = (0, 0);
        self.source.seek(SeekFrom::Start(self.data_at + self.next_frame * self.info.frame_bytes()))?;
        Ok(())
    }

    /// Fills `out` with interleaved whole frames, full scale ±1, and returns how many frames: fewer than fit only at the
    /// end. What was 16 bits is the integer over 32,768 exactly, and so on.
    pub fn read_f32(&mut self, out: &mut [f32]) -> io::Result<usize> {
        let convert: fn(&[u8], &mut [f32]) = match (self.info.bits, self.info.float) {
            (8, _) => |bytes, out| each(bytes, out, |b: [u8; 1]| (f32::from(b[0]) - 128.0) / 128.0),
            (16, _) => |bytes, out| each(bytes, out, |b| f32::from(i16::from_le_bytes(b)) / 32_768.0),
            // Into the upper three bytes of 32: the sign comes for free, and the result is exact.
            (24, _) => |bytes, out| {
                each(bytes, out, |b: [u8; 3]| i32::from_le_bytes([0, b[0], b[1], b[2]]) as f32 / 2_147_483_648.0)
            },
            (32, false) => |bytes, out| each(bytes, out, |b| i32::from_le_bytes(b) as f32 / 2_147_483_648.0),
            (32, true) => |bytes, out| each(bytes, out, f32::from_le_bytes),
            _ => |bytes, out| each(bytes, out, |b| f64::from_le_bytes(b) as f32),
        };
        self.read(out, convert)
    }

    /// The same without conversion, for a file of 16-bit integers only.
    pub fn read_i16(&mut self, out: &mut [i16]) -> io::Result<usize> {
        if self.info.bits != 16 || self.info.float {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file does not hold 16-bit integers"));
        }
        self.read(out, |bytes, out| each(bytes, out, i16::from_le_bytes))
    }

    fn read<T>(&mut self, out: &mut [T], convert: impl Fn(&[u8], &mut [T])) -> io::Result<usize> {
        let channels = usize::from(self.info.channels);
        let left = usize::try_from(self.info.frames - self.next_frame).unwrap_or(usize::MAX);
        let frames = left.min(out.len() / channels);
        let (size, wanted) = (self.info.sample_bytes(), frames * channels);
        let mut done = 0;
        while done < wanted {
            if self.to - self.from < size && !self.refill()? {
                break;
            }
            let samples = ((self.to - self.from) / size).min(wanted - done);
            convert(&self.buffer[self.from..self.from + samples * size], &mut out[done..done + samples]);
            self.from += samples * size;
            done += samples;
        }
        let whole = done / channels;
        self.next_frame += whole as u64;
        if whole < frames {
            // The file has shrunk since it was opened: this is its end now.
            self.info.frames = self.next_frame;
        }
        Ok(whole)
    }

    /// Reads on behind what is left in the buffer; `false` at the end of the file.
    fn refill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        while self.to < self.info.sample_bytes() {
            match self.source.read(&mut self.buffer[self.to..]) {
                Ok(0) => return Ok(false),
                Ok(n) => self.to += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

/// One closure a sample in a loop over exact pieces: the shape that the compiler vectorises.
fn each<const N: usize, T>(bytes: &[u8], out: &mut [T], one: impl Fn([u8; N]) -> T) {
    for (piece, sample) in bytes.as_chunks::<N>().0.iter().zip(out) {
        *sample = one(*piece);
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
