//! What the device's callback costs: handing a block to the ring beside a plain copy of the same samples, in turn.
//!
//! `cargo bench --bench callback`

use std::hint::black_box;
use std::time::Instant;

use tonearm::rt::ring::{Read, Sample, ring};

const FRAMES: usize = 480;

fn main() {
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let blocks = if is_test { 200 } else { 20_000 };
    println!("nanoseconds for a block of {FRAMES} frames, {blocks} blocks");
    println!("{:>6} {:>9} | {:>22} | {:>22} | ratio", "type", "channels", "copy p50/p99/max", "callback p50/p99/max");
    for channels in [1, 2, 16] {
        measure::<i16>("i16", channels, blocks);
        measure::<i32>("i32", channels, blocks);
        measure::<f32>("f32", channels, blocks);
    }
}

fn measure<T: Sample>(name: &str, channels: usize, blocks: usize) {
    // Two seconds, as a line has it; the copy goes round a buffer of the same size, through the same caches.
    let room = 96_000 / FRAMES * FRAMES;
    let (mut producer, mut consumer) = ring::<T>(channels, room);
    let block = vec![T::ZERO; FRAMES * channels];
    let mut plain = vec![T::ZERO; room * channels];
    let mut read = vec![0.0; FRAMES * channels];
    let (mut copies, mut pushes) = (Vec::with_capacity(blocks), Vec::with_capacity(blocks));
    let mut at = 0;
    for _ in 0..blocks {
        copies.push(nanoseconds(|| plain[at..at + block.len()].copy_from_slice(black_box(&block))));
        at = (at + block.len()) % plain.len();
        pushes.push(nanoseconds(|| producer.push(black_box(&block))));
        assert_eq!(consumer.read(&mut read), Read::Frames(FRAMES), "every block arrives whole");
    }
    black_box(&plain);
    let (copy, push) = (quantiles(&mut copies), quantiles(&mut pushes));
    let show = |q: [u64; 3]| format!("{} / {} / {}", q[0], q[1], q[2]);
    println!(
        "{name:>6} {channels:>9} | {:>22} | {:>22} | {:.2}",
        show(copy),
        show(push),
        push[0] as f64 / copy[0] as f64
    );
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn nanoseconds(run: impl FnOnce()) -> u64 {
    let started = Instant::now();
    run();
    started.elapsed().as_nanos() as u64
}

fn quantiles(values: &mut [u64]) -> [u64; 3] {
    values.sort_unstable();
    let at = |share: f64| values[((values.len() - 1) as f64 * share) as usize].max(1);
    [at(0.5), at(0.99), at(1.0)]
}
