//! Codecs of telephony, there and back, on 16-bit samples at 8 kHz.

/// µ-law (ITU-T G.711).
pub fn mu_law(x: i16) -> i16 {
    let size = i32::from(x).abs().min(32_635) + 132;
    let step = size.ilog2() - 4;
    let back = (size >> step << step) + (1 << step >> 1) - 132;
    (back * i32::from(x).signum()) as i16
}

/// A-law (ITU-T G.711).
pub fn a_law(x: i16) -> i16 {
    let size = i32::from(x).abs().min(32_767);
    let step = (size.max(256).ilog2() - 4).max(4);
    let back = (size >> step << step) + (1 << step >> 1);
    (if x < 0 { -back } else { back }) as i16
}

const FRAME: usize = 160;
const PART: usize = 40;
const ORDER: usize = 8;
/// GSM 06.10's weighting filter, of 8,192.
const WEIGHTS: [f64; 11] = [-134.0, -374.0, 0.0, 2054.0, 5741.0, 8192.0, 5741.0, 2054.0, 0.0, -374.0, -134.0];

/// GSM's full-rate codec in its structure (13 kbit/s: pre-emphasis, 8 reflection coefficients every 20 ms, a long-term
/// predictor and one sample in three at 3 bits every 5 ms), in floating point and without its interpolations.
pub fn gsm(audio: &mut [f32]) {
    let (mut emphasised, mut deemphasised) = (0.0f64, 0.0f64);
    let (mut analysis, mut synthesis) = ([0.0f64; ORDER + 1], [0.0f64; ORDER + 1]);
    // The residual as the far end knows it, the last 120 samples before this part.
    let mut past = vec![0.0f64; 120];
    for frame in audio.chunks_exact_mut(FRAME) {
        let signal: Vec<f64> = frame
            .iter()
            .map(|&x| {
                let (now, before) = (f64::from(x), emphasised);
                emphasised = now;
                now - 0.86 * before
            })
            .collect();
        let reflections = reflections(&signal);
        let residual: Vec<f64> = signal.iter().map(|&x| analyse(x, &reflections, &mut analysis)).collect();
        for (part, residual) in residual.chunks_exact(PART).enumerate() {
            let known = excite(residual, &past);
            for (n, &x) in known.iter().enumerate() {
                deemphasised = synthesise(x, &reflections, &mut synthesis) + 0.86 * deemphasised;
                frame[part * PART + n] = deemphasised as f32;
            }
            past.extend_from_slice(&known);
            past.drain(..PART);
        }
    }
}

/// Reflection coefficients (Schur's recursion), quantised as log-area ratios in 6, 6, 5, 5, 4, 4, 3, 3 bits.
fn reflections(signal: &[f64]) -> [f64; ORDER] {
    let auto: [f64; ORDER + 1] =
        std::array::from_fn(|lag| signal[lag..].iter().zip(signal).map(|(a, b)| a * b).sum::<f64>());
    let (mut p, mut k) = (auto, [0.0; ORDER + 1]);
    k[..ORDER].copy_from_slice(&auto[1..]);
    let mut out = [0.0; ORDER];
    for (n, bits) in [6, 6, 5, 5, 4, 4, 3, 3].into_iter().enumerate() {
        if p[0] <= k[0].abs() || p[0] < 1e-9 {
            break;
        }
        let r = -k[0] / p[0];
        p[0] += k[0] * r;
        for m in 0..ORDER - 1 - n {
            let (pm, km) = (p[m + 1], k[m + 1]);
            p[m + 1] = pm + r * km;
            k[m] = km + r * pm;
        }
        let step = 3.2 / f64::from(1 << bits);
        let area = (((1.0 + r) / (1.0 - r)).log10() / step).round() * step;
        let ten = 10f64.powf(area.clamp(-1.6, 1.6));
        out[n] = (ten - 1.0) / (ten + 1.0);
    }
    out
}

fn analyse(x: f64, reflections: &[f64; ORDER], state: &mut [f64; ORDER + 1]) -> f64 {
    let (mut forward, mut backward) = (x, x);
    for (r, state) in reflections.iter().zip(state) {
        let delayed = std::mem::replace(state, backward);
        backward = delayed + r * forward;
        forward += r * delayed;
    }
    forward
}

fn synthesise(x: f64, reflections: &[f64; ORDER], state: &mut [f64; ORDER + 1]) -> f64 {
    let mut forward = x;
    for n in (0..ORDER).rev() {
        forward -= reflections[n] * state[n];
        state[n + 1] = state[n] + reflections[n] * forward;
    }
    state[0] = forward;
    forward
}

/// The residual of one part as the far end makes it again.
fn excite(residual: &[f64], past: &[f64]) -> [f64; PART] {
    let (mut lag, mut best, mut energy) = (PART, 0.0, 1.0);
    for candidate in PART..=120 {
        let earlier = &past[120 - candidate..][..PART];
        let cross: f64 = residual.iter().zip(earlier).map(|(a, b)| a * b).sum();
        if cross > best {
            (lag, best) = (candidate, cross);
            energy = earlier.iter().map(|x| x * x).sum::<f64>().max(1e-12);
        }
    }
    let gain = match best / energy {
        g if g < 0.2 => 0.1,
        g if g < 0.5 => 0.35,
        g if g < 0.8 => 0.65,
        _ => 1.0,
    };
    let predicted: [f64; PART] = std::array::from_fn(|n| gain * past[120 - lag + n]);
    let error: [f64; PART] = std::array::from_fn(|n| residual[n] - predicted[n]);
    let weighted: [f64; PART] = std::array::from_fn(|n| {
        let tap = |(k, w): (usize, &f64)| (n + k).checked_sub(5).and_then(|m| error.get(m)).map_or(0.0, |e| w * e);
        WEIGHTS.iter().enumerate().map(tap).sum::<f64>() / 8_192.0
    });
    let grid = |first: usize| weighted[first..].iter().step_by(3).take(13);
    let power = |first: &usize| grid(*first).map(|x| x * x).sum::<f64>();
    let first = (0..4).max_by(|a, b| power(a).total_cmp(&power(b))).unwrap_or(0);
    // The largest is sent in 6 bits (logarithmic, 1.5 dB a step), each sample in 3 bits of it.
    let largest = grid(first).fold(1e-6f64, |most, x| most.max(x.abs()));
    let block = 10f64.powf((largest.log10() / 0.075).ceil() * 0.075);
    let mut known = predicted;
    for (n, x) in grid(first).enumerate() {
        let level = ((x / block * 4.0).floor() + 0.5).clamp(-3.5, 3.5);
        known[first + 3 * n] += level / 4.0 * block;
    }
    known
}
