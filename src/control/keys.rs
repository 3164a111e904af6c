//! Keys as they are pressed on a line, for those who subscribe to tones.
//!
//! Belongs here: which of a source's keys are a line's, each press once. Does not: whom they are told to (`actions`).

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

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

/// The source is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl Keys {
    /// The keys that these channels hear from now on.
    pub fn of(desk: &Desk, channels: Channels) -> Keys {
        Keys { told: desk.listen(), channels, again_frames: desk.rate.frames_in_ms(SAME_KEY_MS), last: None }
    }

    /// The one that has come already, if so, with its tone; `Err` when the source is closed.
    pub fn came(&mut self) -> Result<Option<Tone>, Closed> {
        loop {
            match self.told.try_recv() {
                Ok(told) => match self.press(told) {
                    Some(tone) => return Ok(Some(tone)),
                    None => continue,
                },
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Closed) => return Err(Closed),
            }
        }
    }

    /// The next one; `None` when the source is closed.
    pub async fn next(&mut self) -> Option<Key> {
        loop {
            match self.told.recv().await {
                Ok(told) => {
                    if let Some(tone) = self.press(told) {
                        return Some(tone.key);
                    }
                }
                Err(RecvError::Closed) => return None,
                Err(RecvError::Lagged(_)) => {}
            }
        }
    }

    /// What was told, if it is a press and has not been told yet.
    fn press(&mut self, told: Told) -> Option<Tone> {
        let Told::Pressed { channel, tone } = told else { return None };
        if !self.channels.contains(channel) {
            return None;
        }
        // Two channels hear one key when its sound reaches both microphones.
        let same =
            |last: &Tone| last.key == tone.key && last.onset_frame.abs_diff(tone.onset_frame) < self.again_frames;
        (!self.last.replace(tone).is_some_and(|last| same(&last))).then_some(tone)
    }
}
