//! The last stretch of a signal, in one contiguous piece, addressed by absolute index.

/// Keeps at least the last `keep` samples. What lies before the first sample reads as zeros.
#[derive(Clone)]
pub(super) struct Tape {
    samples: Box<[f32]>,
    /// How many of `samples` are filled.
    filled: usize,
    keep: usize,
    /// The absolute index of the next sample.
    end: u64,
}

impl Tape {
    /// `keep` samples stay readable after every push of at most `push` samples.
    pub fn new(keep: usize, push: usize) -> Tape {
        // Room for several pushes, so that moving the kept part to the front is rare.
        let room = (2 * keep).max(keep + 2 * push);
        Tape { samples: vec![0.0; keep + room].into(), filled: keep, keep, end: 0 }
    }

    /// The absolute index after the last sample.
    #[inline]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Room for the next `count` samples, to be filled by the caller.
    #[inline]
    pub fn extend(&mut self, count: usize) -> &mut [f32] {
        if self.filled + count > self.samples.len() {
            self.samples.copy_within(self.filled - self.keep..self.filled, 0);
            self.filled = self.keep;
        }
        let at = self.filled;
        self.filled += count;
        self.end += count as u64;
        &mut self.samples[at..at + count]
    }

    /// The `count` samples before absolute index `to`, which must still be kept.
    #[inline]
    pub fn before(&self, to: u64, count: usize) -> &[f32] {
        let at = self.filled - (self.end - to) as usize;
        &self.samples[at - count..at]
    }

    /// Forgets everything (reads as zeros) and goes on at absolute index `end`.
    pub fn restart(&mut self, end: u64) {
        self.samples[..self.keep].fill(0.0);
        self.filled = self.keep;
        self.end = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_samples_stay_readable_across_moves() {
        let mut tape = Tape::new(10, 7);
        for index in 0..1_000u64 {
            tape.extend(1)[0] = index as f32;
            if index >= 9 {
                let kept = tape.before(index + 1, 10);
                assert_eq!((kept[0], kept[9]), ((index - 9) as f32, index as f32));
            }
        }
    }

    #[test]
    fn before_the_beginning_there_are_zeros() {
        let mut tape = Tape::new(4, 4);
        tape.extend(2).fill(1.0);
        assert_eq!(tape.before(2, 4), [0.0, 0.0, 1.0, 1.0]);
    }
}
