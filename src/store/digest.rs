//! SHA-256 over samples as they are written, with its state kept where the file may still be cut.

use std::collections::VecDeque;

use sha2::{Digest as _, Sha256};

/// A digest as it is told and kept: lower-case hex.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A stop tone has at most 16 keys, so that the first key of one is among the last 16 that were pressed.
const MARKS: usize = 16;

/// The digest of a growing recording.
pub(super) struct Digest {
    sha: Sha256,
    frame_bytes: usize,
    frames: u64,
    /// Frames at which the file may be cut, in order, with the state there once it has been reached.
    marks: VecDeque<(u64, Option<Sha256>)>,
}

impl Digest {
    pub fn new(frame_bytes: u64) -> Digest {
        Digest { sha: Sha256::new(), frame_bytes: frame_bytes as usize, frames: 0, marks: VecDeque::new() }
    }

    /// The file may be cut at this frame. One that has been passed already is of no use.
    pub fn mark(&mut self, frame: u64) {
        if frame < self.frames || self.marks.back().is_some_and(|(last, _)| *last >= frame) {
            return;
        }
        if self.marks.len() == MARKS {
            self.marks.pop_front();
        }
        let state = (frame == self.frames).then(|| self.sha.clone());
        self.marks.push_back((frame, state));
    }

    /// The bytes of the next whole frames.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let end = self.frames + (bytes.len() / self.frame_bytes) as u64;
        let from = self.frames;
        for (frame, state) in self.marks.iter_mut().filter(|(frame, _)| (from + 1..=end).contains(frame)) {
            let (before, rest) = bytes.split_at((*frame - self.frames) as usize * self.frame_bytes);
            self.sha.update(before);
            (self.frames, bytes) = (*frame, rest);
            *state = Some(self.sha.clone());
        }
        self.sha.update(bytes);
        self.frames = end;
    }

    /// The digest of the first `frames` frames, if it is known without reading them again.
    pub fn at(&self, frames: u64) -> Option<Sha256> {
        if frames == self.frames {
            return Some(self.sha.clone());
        }
        self.marks.iter().find(|(frame, _)| *frame == frames).and_then(|(_, state)| state.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_at_a_mark_is_the_digest_of_what_lies_before_it() {
        let bytes: Vec<u8> = (0..200).collect();
        let mut digest = Digest::new(2);
        digest.mark(0);
        digest.update(&bytes[..20]);
        for frame in [9, 10, 15, 15, 40, 41] {
            digest.mark(frame);
        }
        digest.update(&bytes[20..82]);
        digest.update(&bytes[82..]);
        for frame in [0, 10, 15, 40, 41, 100] {
            let expected = Sha256::digest(&bytes[..frame as usize * 2]);
            assert_eq!(digest.at(frame).map(Sha256::finalize), Some(expected), "{frame}");
        }
        assert!(digest.at(9).is_none(), "it was marked too late");
    }

    #[test]
    fn the_last_sixteen_marks_are_kept() {
        let mut digest = Digest::new(1);
        for frame in 1..=20 {
            digest.mark(frame);
        }
        digest.update(&[0; 30]);
        assert!(digest.at(4).is_none());
        assert!(digest.at(5).is_some() && digest.at(20).is_some());
    }
}
