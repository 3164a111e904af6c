//! FLAC made of a recording's samples while they are read.
//!
//! Belongs here: which samples go into which block, the stream's head. Does not: reading them (`content`).
//! The stream is of FLAC's subset, with blocks of one size, so that it can be played from its first byte on while it
//! grows. Its head knows neither length nor MD5; the samples' SHA-256 is in the operation.

use std::io::{self, Write};
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flac_codec::encode::{FlacStreamWriter, Options};
use flac_codec::metadata::{Streaminfo, write_blocks};

use crate::wav::{SampleFormat, Spec};

/// A block is a tenth of a second, so that a live reader is not far behind, within what the subset allows to 48 kHz.
const BLOCKS_A_SECOND: u32 = 10;
const BLOCK_FRAMES: (u32, u32) = (576, 4_608);

/// Makes FLAC of samples as they are stored in a WAV.
pub struct Encoder {
    spec: Spec,
    writer: FlacStreamWriter<Made>,
    made: Made,
    block_bytes: usize,
    /// Less than a block of samples.
    rest: Vec<u8>,
}

/// What has been made and not been taken.
#[derive(Clone, Default)]
struct Made(Arc<Mutex<Vec<u8>>>);

impl Made {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Made {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const fn bits(format: SampleFormat) -> u32 {
    match format {
        SampleFormat::S16 => 16,
        SampleFormat::S24 | SampleFormat::F32 => 24,
    }
}

impl Encoder {
    /// For a recording like this. Floats, more than 8 channels and rates that FLAC's subset cannot say are refused.
    pub fn new(spec: Spec) -> Result<Encoder, String> {
        let channels = u8::try_from(spec.channels).ok().filter(|channels| *channels <= 8).and_then(NonZero::new);
        let channels = channels.ok_or_else(|| format!("FLAC has at most 8 channels, not {}", spec.channels))?;
        if spec.format == SampleFormat::F32 {
            return Err("FLAC holds integers, and the recording floats".to_owned());
        }
        let frames = (spec.rate.hz() / BLOCKS_A_SECOND).clamp(BLOCK_FRAMES.0, BLOCK_FRAMES.1);
        let made = Made::default();
        let head = Streaminfo {
            minimum_block_size: frames as u16,
            maximum_block_size: frames as u16,
            minimum_frame_size: None,
            maximum_frame_size: None,
            sample_rate: spec.rate.hz(),
            channels,
            bits_per_sample: bits(spec.format).try_into().map_err(|_| "no such size of a sample".to_owned())?,
            total_samples: None,
            md5: None,
        };
        write_blocks(made.clone(), [head]).map_err(|error| error.to_string())?;
        let writer = FlacStreamWriter::new(made.clone(), Options::default());
        let block_bytes = frames as usize * spec.frame_bytes() as usize;
        Ok(Encoder { spec, writer, made, block_bytes, rest: Vec::new() })
    }

    /// Takes samples and returns what they make with those before.
    pub fn encode(&mut self, samples: &[u8]) -> Result<Bytes, String> {
        self.rest.extend_from_slice(samples);
        let whole = self.rest.len() / self.block_bytes * self.block_bytes;
        let blocks: Vec<u8> = self.rest.drain(..whole).collect();
        blocks.chunks_exact(self.block_bytes).try_for_each(|block| self.block(block))?;
        Ok(self.made.take().into())
    }

    /// All samples have come: what is left makes the last block.
    pub fn finish(&mut self) -> Result<Bytes, String> {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            self.block(&rest)?;
        }
        Ok(self.made.take().into())
    }

    fn block(&mut self, bytes: &[u8]) -> Result<(), String> {
        let samples: Vec<i32> = match self.spec.format {
            SampleFormat::S16 => bytes.as_chunks().0.iter().map(|b| i16::from_le_bytes(*b).into()).collect(),
            _ => bytes.as_chunks().0.iter().map(|b: &[u8; 3]| i32::from_le_bytes([0, b[0], b[1], b[2]]) >> 8).collect(),
        };
        let (rate, channels) = (self.spec.rate.hz(), self.spec.channels as u8);
        self.writer.write(rate, channels, bits(self.spec.format), &samples).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use flac_codec::decode::FlacSampleReader;

    use super::*;
    use crate::units::Rate;

    #[test]
    fn what_is_decoded_is_what_was_stored_however_it_was_cut() {
        for (hz, channels, format) in
            [(8_000, 1, SampleFormat::S16), (48_000, 2, SampleFormat::S24), (192_000, 3, SampleFormat::S16)]
        {
            let spec = Spec { rate: Rate::new(hz).unwrap(), channels, format };
            let mut state = 7_u64;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 40) as u8
            };
            // No whole number of blocks, and a last one of less than the 16 frames that FLAC wants of all others.
            let frames = 3 * (hz / BLOCKS_A_SECOND).clamp(BLOCK_FRAMES.0, BLOCK_FRAMES.1) as usize + 5;
            let stored: Vec<u8> = (0..frames * spec.frame_bytes() as usize).map(|_| next()).collect();
            let mut encoder = Encoder::new(spec).unwrap();
            let mut flac = Vec::new();
            for piece in stored.chunks(1_001) {
                flac.extend(encoder.encode(piece).unwrap());
            }
            flac.extend(encoder.finish().unwrap());
            let mut reader = FlacSampleReader::new(Cursor::new(flac)).unwrap();
            let mut samples = Vec::new();
            reader.read_to_end(&mut samples).unwrap();
            let back: Vec<u8> = samples
                .iter()
                .flat_map(|sample| sample.to_le_bytes()[..usize::from(format.bytes())].to_vec())
                .collect();
            assert!(back == stored, "{hz} Hz, {channels} channels, {format:?}");
        }
    }
}
