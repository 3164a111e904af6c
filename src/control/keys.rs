//! Keys as they are pressed on a line, for those who subscribe to tones.
//!
//! Belongs here: which of a source's keys are a line's, each press once. Does not: whom they are told to (`actions`).

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::chain::Desk;
use crate::dsp::tone::{Key, Tone};
use crate::pipeline::Channels;
use crate::store::growth::Told;

/// The same key within so long on another channel is the same press; sound takes 3 ms a metre.
const SAME_KEY_MS: u32 = 40;

/// Keys as they are pressed on a line.
pub struct Keys {
    told: broadcast::Receiver<Told>,
    channels: Channels,
    again_frames: u64,
    last: Option<Tone>,
}

impl Keys {
    /// The keys that these channels hear from now on.
    pub fn of(desk: &Desk, channels: Channels) -> Keys {
        Keys { told: desk.listen(), channels, again_frames: desk.rate.frames_in_ms(SAME_KEY_MS), last: None }
    }

    /// The next one; `None` when the source is closed.
    pub async fn next(&mut self) -> Option<Key> {
        loop {
            let tone = match self.told.recv().await {
                Ok(Told::Pressed { channel, tone }) if self.channels.contains(channel) => tone,
                Err(RecvError::Closed) => return None,
                _ => continue,
            };
            // Two channels hear one key when its sound reaches both microphones.
            let same =
                |last: &Tone| last.key == tone.key && last.onset_frame.abs_diff(tone.onset_frame) < self.again_frames;
            if !self.last.replace(tone).is_some_and(|last| same(&last)) {
                return Some(tone.key);
            }
        }
    }
}
