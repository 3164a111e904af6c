//! The last second of every channel.

use std::ops::Range;

/// Interleaved frames are taken apart in tiles that stay in the first-level cache while every channel takes its own.
pub(super) const TILE_FRAMES: usize = 64;

/// A ring per channel, planar. Frames are absolute; lost ones are zeros.
pub struct History {
    room: usize,
    channels: Vec<Box<[f32]>>,
    end_frame: u64,
}

impl History {
    pub fn new(channels: usize, room: usize) -> History {
        History { room, channels: (0..channels).map(|_| vec![0.0; room].into()).collect(), end_frame: 0 }
    }

    /// The first frame that has not come yet.
    pub fn end_frame(&self) -> u64 {
        self.end_frame
    }

    /// The oldest frame at hand.
    pub fn start_frame(&self) -> u64 {
        self.end_frame.saturating_sub(self.room as u64)
    }

    /// Takes interleaved frames, at most as many as there is room for.
    pub fn push(&mut self, interleaved: &[f32]) {
        let width = self.channels.len();
        let frames = (interleaved.len() / width) as u64;
        let mut from = interleaved;
        for place in self.places(self.end_frame..self.end_frame + frames) {
            let (piece, rest) = from.split_at(place.len() * width);
            from = rest;
            if width == 1 {
                self.channels[0][place].copy_from_slice(piece);
                continue;
            }
            for (at, tile) in piece.chunks(TILE_FRAMES * width).enumerate() {
                let start = place.start + at * TILE_FRAMES;
                for (channel, ring) in self.channels.iter_mut().enumerate() {
                    let to = &mut ring[start..start + tile.len() / width];
                    for (to, frame) in to.iter_mut().zip(tile.chunks_exact(width)) {
                        *to = frame[channel];
                    }
                }
            }
        }
        self.end_frame += frames;
    }

    /// Takes zeros for frames that were lost.
    pub fn lose(&mut self, frames: u64) {
        self.end_frame += frames;
        let start = self.end_frame.saturating_sub(frames.min(self.room as u64));
        let places = self.places(start..self.end_frame);
        for ring in &mut self.channels {
            for place in places.clone() {
                ring[place].fill(0.0);
            }
        }
    }

    /// One channel's samples of these frames, all at hand, in one or two pieces.
    pub fn slices(&self, channel: usize, frames: Range<u64>) -> impl Iterator<Item = &[f32]> {
        self.places(frames).into_iter().map(move |place| &self.channels[channel][place])
    }

    /// Where frames, at most as many as there is room for, lie in the rings.
    fn places(&self, frames: Range<u64>) -> [Range<usize>; 2] {
        let start = (frames.start % self.room as u64) as usize;
        let end = start + (frames.end - frames.start) as usize;
        if end <= self.room { [start..end, 0..0] } else { [start..self.room, 0..end - self.room] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(history: &History, channel: usize, frames: Range<u64>) -> Vec<f32> {
        history.slices(channel, frames).flatten().copied().collect()
    }

    #[test]
    fn the_last_frames_of_each_channel_are_at_hand_across_the_seam() {
        let mut history = History::new(2, 5);
        for frame in 0..8 {
            history.push(&[frame as f32, -(frame as f32)]);
        }
        assert_eq!((history.start_frame(), history.end_frame()), (3, 8));
        assert_eq!(read(&history, 0, 3..8), [3.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!(read(&history, 1, 4..6), [-4.0, -5.0]);
    }

    #[test]
    fn lost_frames_are_zeros_however_many() {
        let mut history = History::new(1, 4);
        history.push(&[1.0, 2.0, 3.0, 4.0]);
        history.lose(2);
        assert_eq!(read(&history, 0, 2..6), [3.0, 4.0, 0.0, 0.0]);
        history.lose(1_000);
        assert_eq!(history.end_frame(), 1_006);
        assert_eq!(read(&history, 0, 1_002..1_006), [0.0; 4]);
    }
}
