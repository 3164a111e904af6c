//! From `f32` samples to the bytes of a recording.
//!
//! A sample that came from 16 or 24 bits returns bit for bit; others go to the nearest step (halves to even), what is beyond
//! full scale to full scale, and what is no number to zero. No dither: it would cost the first of these promises.

use super::SampleFormat;

/// Appends the bytes of `samples` to `out`.
pub fn quantise(format: SampleFormat, samples: &[f32], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + samples.len() * usize::from(format.bytes()), 0);
    let out = &mut out[start..];
    match format {
        SampleFormat::S16 => s16(samples, out),
        SampleFormat::S24 => s24(samples, out),
        SampleFormat::F32 => f32s(samples, out),
    }
}

/// Adding 1.5·2²³ moves the integer part of a small `f32` into its low mantissa bits, rounded to nearest: the one way to
/// round that needs no instruction beyond SSE2, so that the loop is vectorised on any x86-64.
const F32_MAGIC: f32 = 12_582_912.0;
/// The same for `f64`, 1.5·2⁵², as an `f32` has too few bits for 24-bit values.
const F64_MAGIC: f64 = 6_755_399_441_055_744.0;

fn s16(samples: &[f32], out: &mut [u8]) {
    for (x, bytes) in samples.iter().zip(out.as_chunks_mut::<2>().0) {
        let y = bounded(x * 32_768.0, -32_768.0, 32_767.0);
        let n = (y + F32_MAGIC).to_bits().wrapping_sub(F32_MAGIC.to_bits()) as i16;
        *bytes = n.to_le_bytes();
    }
}

fn s24(samples: &[f32], out: &mut [u8]) {
    for (x, bytes) in samples.iter().zip(out.as_chunks_mut::<3>().0) {
        let y = f64::from(bounded(x * 8_388_608.0, -8_388_608.0, 8_388_607.0));
        let n = (y + F64_MAGIC).to_bits() as u32;
        let [a, b, c, _] = n.to_le_bytes();
        *bytes = [a, b, c];
    }
}

fn f32s(samples: &[f32], out: &mut [u8]) {
    for (x, bytes) in samples.iter().zip(out.as_chunks_mut::<4>().0) {
        let y = if x.is_nan() { 0.0 } else { *x };
        *bytes = y.to_le_bytes();
    }
}

/// `f32::clamp` keeps NaN and its comparisons cost more; these three are one instruction each.
#[inline(always)]
fn bounded(y: f32, low: f32, high: f32) -> f32 {
    let y = if y.is_nan() { 0.0 } else { y };
    let y = if y > low { y } else { low };
    if y < high { y } else { high }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(format: SampleFormat, samples: &[f32]) -> Vec<u8> {
        let mut out = Vec::new();
        quantise(format, samples, &mut out);
        out
    }

    #[test]
    fn every_16_bit_sample_returns_bit_for_bit() {
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let floats: Vec<f32> = all.iter().map(|&n| f32::from(n) / 32_768.0).collect();
        let back: Vec<i16> =
            bytes(SampleFormat::S16, &floats).chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
        assert_eq!(back, all);
    }

    #[test]
    fn every_24_bit_sample_returns_bit_for_bit() {
        let floats: Vec<f32> = (-(1 << 23)..1 << 23).map(|n: i32| n as f32 / 8_388_608.0).collect();
        let back = bytes(SampleFormat::S24, &floats);
        for (n, b) in (-(1 << 23)..1 << 23).zip(back.chunks_exact(3)) {
            assert_eq!(i32::from_le_bytes([0, b[0], b[1], b[2]]) >> 8, n);
        }
    }

    #[test]
    fn what_is_beyond_full_scale_or_no_number_is_bounded() {
        let odd =
            [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.0, -1.0, 1e30, -1.5, 0.4 / 32_768.0, 0.6 / 32_768.0, 1e-40];
        let n16 = bytes(SampleFormat::S16, &odd);
        let n16: Vec<i16> = n16.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
        assert_eq!(n16, [0, 32_767, -32_768, 32_767, -32_768, 32_767, -32_768, 0, 1, 0]);
        let n24 = bytes(SampleFormat::S24, &odd[..5]);
        assert_eq!(n24, [0, 0, 0, 255, 255, 127, 0, 0, 128, 255, 255, 127, 0, 0, 128]);
    }

    #[test]
    fn floats_are_kept_as_they_are_except_what_is_no_number() {
        let some = [0.1f32, -2.5, f32::MIN_POSITIVE];
        let expected: Vec<u8> = some.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(bytes(SampleFormat::F32, &some), expected);
        assert_eq!(bytes(SampleFormat::F32, &[f32::NAN]), [0; 4]);
    }
}
