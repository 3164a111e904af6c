//! A configured microphone and the threads behind it.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use crate::pipeline::{Meter, RecordingKey};
use crate::record::StopTones;
use crate::units::Rate;

/// When a recording begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the next frame captured.
    Now,
    /// When the beep, which is only timed because nothing can be heard on this line, would be over.
    AfterTimedBeep,
    /// At the very frame at which this one ends.
    After(RecordingKey),
}

/// What a recording shall be.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The operation's id, which is the recording's, too.
    pub id: Uuid,
    /// When it begins.
    pub begin: Begin,
    /// In seconds, as asked for.
    pub initial_silence: u32,
    /// In seconds.
    pub max_silence: u32,
    /// In seconds.
    pub max_duration: u32,
    /// The keys that end it.
    pub stop_tones: StopTones,
    /// Goes into the file's description.
    pub client_context: Option<String>,
}
