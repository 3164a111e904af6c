//! A microphone whose every frame says which it is, so that a recording of it says which are missing.
//!
//! A thread of ours is the card: by the clock it makes so many frames a second and writes them into the virtual card's pipe,
//! which holds what a card's buffer would. What does not fit is lost, as in a card whose buffer nobody has emptied. Each frame
//! is its number, as two samples.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::device::now;

pub const HZ: u64 = 48_000;
/// 85 ms.
const BUFFER_BYTES: usize = 16_384;
const FRAME_BYTES: usize = 4;
/// An odd number has an inverse, so a number that is multiplied by it can be had back; and neighbours are far apart.
const STRETCH: u32 = 0x9E37_79B1;

/// The card; it stops when this is dropped.
pub struct Counted {
    began: Instant,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Counted {
    /// Makes frames for the card in this folder, whether its sound server is there or not.
    pub fn start(card: &Path) -> Counted {
        Counted::start_fast(card, 0)
    }

    /// The same, with a clock that is too fast by so many parts per million.
    pub fn start_fast(card: &Path, ppm: u32) -> Counted {
        let (began, over) = (now(), Arc::new(AtomicBool::new(false)));
        let (pipe, ended) = (card.join("raw"), over.clone());
        let thread = std::thread::spawn(move || make(began, &pipe, ppm, &ended));
        Counted { began, over, thread: Some(thread) }
    }

    /// How many frames a card that is not fast has made by now.
    pub fn made(&self) -> u64 {
        (self.began.elapsed().as_nanos() * u128::from(HZ) / 1_000_000_000) as u64
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[expect(clippy::disallowed_methods, reason = "a card runs in real time")]
fn make(began: Instant, pipe: &PathBuf, ppm: u32, over: &AtomicBool) {
    let mut next = 0_u64;
    // What the pipe has no room for in the middle of a frame.
    let (mut end, mut rest): (Option<File>, Vec<u8>) = (None, Vec::new());
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(5));
        let millionths = u128::from(HZ) * u128::from(1_000_000 + ppm);
        let due = (began.elapsed().as_nanos() * millionths / 1_000_000_000_000_000) as u64;
        end = end.or_else(|| {
            rest.clear();
            open(pipe)
        });
        let Some(file) = &mut end else {
            next = due;
            continue;
        };
        // 0 would be silence.
        let frames = (next..due).flat_map(|n| (n as u32 + 1).wrapping_mul(STRETCH).to_le_bytes());
        let bytes: Vec<u8> = rest.drain(..).chain(frames).collect();
        next = due;
        let written = match file.write(&bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
            // The server has died.
            Err(_) => {
                end = None;
                continue;
            }
        };
        let left = &bytes[written..];
        rest.extend(&left[..left.len() % FRAME_BYTES]);
    }
}

fn open(pipe: &PathBuf) -> Option<File> {
    let end =
        OpenOptions::new().write(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(pipe).ok()?;
    rustix::pipe::fcntl_setpipe_size(&end, BUFFER_BYTES).ok()?;
    Some(end)
}

/// Frames of a recording: at which of them, and how many.
type Run = (u64, u64);

/// What a recording of a counted microphone is, by its own numbers.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// Before which frames some are missing.
    pub missing: Vec<Run>,
    /// Zeros that are no gap: the card makes none.
    pub blank: Vec<Run>,
    /// The number of its last frame.
    pub last: u64,
}

/// Looks at a recording; what it lists as gaps is looked over.
pub fn look(samples: &[i16], gaps: &[Run]) -> Looked {
    // Each round doubles the bits of the inverse that are right, from three on.
    let better = |inverse: u32, _| inverse.wrapping_mul(2_u32.wrapping_sub(STRETCH.wrapping_mul(inverse)));
    let back = (0..4).fold(STRETCH, better);
    let (mut looked, mut last) = (Looked::default(), None);
    for (at, frame) in (0..).zip(samples.chunks_exact(2)) {
        if gaps.iter().any(|(from, frames)| (*from..from + frames).contains(&at)) {
            continue;
        }
        let number = (u32::from(frame[0] as u16) | u32::from(frame[1] as u16) << 16).wrapping_mul(back);
        if number == 0 {
            match looked.blank.last_mut() {
                Some((from, frames)) if *from + *frames == at => *frames += 1,
                _ => looked.blank.push((at, 1)),
            }
            continue;
        }
        looked.last = u64::from(number);
        if let Some(last) = last.replace(number) {
            let frames = i64::from(number) - i64::from(last) - 1;
            assert!((0..1 << 28).contains(&frames), "frame {at} has number {number} behind {last}");
            if frames > 0 {
                looked.missing.push((at, frames as u64));
            }
        }
    }
    looked
}

/// A loss is known after so long at the latest (`capture::gaps`: 50 slots of 100 ms); what was lost just before a recording may
/// stand in it, and what was lost just before its end may not.
const KNOWN_AFTER: u64 = 6 * HZ;

/// What a recording lists as lost, held against what is missing in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub listed: u64,
    pub missing: u64,
    pub blank: u64,
    /// By how much the list ran ahead of what was missing at its beginning, which is of before; and those of the missing that
    /// may be listed later.
    pub early: u64,
    pub late: u64,
}

impl Tally {
    pub fn of(samples: &[i16], gaps: &[Run]) -> Tally {
        let Looked { missing, blank, .. } = look(samples, gaps);
        let length = (samples.len() / 2) as u64;
        // How much is missing at its very end no number says.
        let (last, gaps) = match gaps.split_last() {
            Some(((at, frames), before)) if at + frames == length => (*at, before),
            _ => (length, gaps),
        };
        let sum = |runs: &[Run], of: &dyn Fn(u64) -> bool| -> u64 {
            runs.iter().filter(|run| of(run.0)).map(|run| run.1).sum()
        };
        // While all of it is of the recording, no more is listed than is missing so far.
        let surplus = |end: &Run| sum(gaps, &|at| at <= end.0).saturating_sub(sum(&missing, &|at| at <= end.0));
        let early = gaps.iter().filter(|gap| gap.0 < 2 * KNOWN_AFTER).map(surplus).max().unwrap_or(0);
        Tally {
            listed: sum(gaps, &|_| true),
            missing: sum(&missing, &|_| true),
            blank: sum(&blank, &|_| true),
            early,
            late: sum(&missing, &|at| at + KNOWN_AFTER > last),
        }
    }

    /// By how many frames too much is listed, or too little if it is negative, whatever lies at the edges.
    pub fn off(&self) -> i64 {
        let off = (self.listed + self.blank) as i64 - self.missing as i64;
        if off > 0 { (off - self.early as i64).max(0) } else { (off + self.late as i64).min(0) }
    }
}

#[test]
fn what_is_missing_is_known_to_the_frame() {
    let number = |n: u32| {
        let bits = n.wrapping_mul(STRETCH);
        [bits as i16, (bits >> 16) as i16]
    };
    let samples: Vec<i16> =
        [1, 2, 3, 7, 8].into_iter().flat_map(number).chain([0, 0, 0, 0]).chain(number(11)).collect();
    let tally = Tally::of(&[&samples[..], &[0; 20]].concat(), &[(5, 2), (8, 10)]);
    assert_eq!((tally.listed, tally.missing, tally.late), (2, 5, 5));
    assert_eq!(look(&samples, &[(5, 2)]).missing, [(3, 3), (7, 2)]);
    let looked = look(&samples, &[]);
    assert_eq!((looked.missing, looked.blank), (vec![(3, 3), (7, 2)], vec![(5, 2)]));
}
