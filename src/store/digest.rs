//! SHA-256 over samples as they are written, with its state kept where the file may still be cut.

use sha2::{Digest as _, Sha256};

use super::marked::Marked;

/// A digest as it is told and kept: lower-case hex.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest of a growing recording.
pub(super) struct Digest {
    sha: Marked<Sha256>,
    frame_bytes: usize,
}

impl Digest {
    pub fn new(frame_bytes: u64) -> Digest {
        Digest { sha: Marked::new(Sha256::new()), frame_bytes: frame_bytes as usize }
    }

    /// The file may be cut at this frame. One that has been passed already is of no use.
    pub fn mark(&mut self, frame: u64) {
        self.sha.mark(frame);
    }

    /// The bytes of the next whole frames.
    pub fn update(&mut self, bytes: &[u8]) {
        let size = self.frame_bytes;
        self.sha.advance(bytes.len() / size, |sha, frames| sha.update(&bytes[frames.start * size..frames.end * size]));
    }

    /// The digest of the first `frames` frames, if it is known without reading them again.
    pub fn at(&self, frames: u64) -> Option<Sha256> {
        self.sha.at(frames).cloned()
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
