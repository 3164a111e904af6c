//! Where prompts and beeps are played.
use std::time::Duration;

/// How long the beep is.
pub const BEEP: Duration = Duration::from_millis(250);

/// An output.
pub struct Playback;

impl Playback {
    /// Opens what a line's configuration names; `none` is `None`.
    pub fn open(name: &str) -> Result<Option<Playback>, String> {
        if name == "none" { Ok(None) } else { Err(format!("{name}: no")) }
    }

    /// Plays the beep.
    pub async fn beep(&self) -> Result<(), String> {
        Ok(())
    }
}
