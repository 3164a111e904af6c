//! A state over a growing recording, kept where its file may still be cut.

use std::collections::VecDeque;
use std::ops::Range;

/// A stop tone has at most 16 keys, so that the first key of one is among the last 16 that were pressed.
const MARKS: usize = 16;

/// What is known of the frames so far, and of those before each mark.
pub(super) struct Marked<S> {
    now: S,
    frames: u64,
    /// Frames at which the file may be cut, in order, with the state there once it has been reached.
    marks: VecDeque<(u64, Option<S>)>,
}

impl<S: Clone> Marked<S> {
    /// Begins with the state of no frames.
    pub fn new(none: S) -> Marked<S> {
        Marked { now: none, frames: 0, marks: VecDeque::new() }
    }

    /// The file may be cut at this frame. One that has been passed already is of no use.
    pub fn mark(&mut self, frame: u64) {
        if frame < self.frames || self.marks.back().is_some_and(|(last, _)| *last >= frame) {
            return;
        }
        if self.marks.len() == MARKS {
            self.marks.pop_front();
        }
        let state = (frame == self.frames).then(|| self.now.clone());
        self.marks.push_back((frame, state));
    }

    /// The next `frames` frames: `take` adds some of them, counted from the first of these, to the state.
    pub fn advance(&mut self, frames: usize, mut take: impl FnMut(&mut S, Range<usize>)) {
        let (from, end) = (self.frames, self.frames + frames as u64);
        let mut done = 0;
        for (frame, state) in self.marks.iter_mut().filter(|(frame, _)| (from + 1..=end).contains(frame)) {
            let to = (*frame - from) as usize;
            take(&mut self.now, done..to);
            done = to;
            *state = Some(self.now.clone());
        }
        take(&mut self.now, done..frames);
        self.frames = end;
    }

    /// The state of the first `frames` frames, if it is known.
    pub fn at(&self, frames: u64) -> Option<&S> {
        if frames == self.frames {
            return Some(&self.now);
        }
        self.marks.iter().find(|(frame, _)| *frame == frames).and_then(|(_, state)| state.as_ref())
    }

    /// The state of all frames.
    pub fn now(&self) -> &S {
        &self.now
    }
}
