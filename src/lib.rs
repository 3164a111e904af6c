//! tonearm: a real-time audio recorder daemon.
//!
//! The way of a frame, and the modules in the order in which each may use the ones before it:
//!
//! ```text
//! units dsp record pipeline rt        wav capture playback store        error control api config cli
//! └──── pure, no clocks ────┘
//!
//! capture      a device's callback (or a file) fills the wait-free `rt::ring`
//!    │
//! rt::runner   the pipeline's thread empties it through
//! pipeline       one `dsp::ear` a channel: level, speech, keys …
//! record         … and one `Machine` a recording, which gives the one ending, at a frame
//!    │         blocks, each with the frame up to which nothing is taken back, and at last the ending: one queue
//! store        the writer's thread: `ID.wav.part` → `ID.wav`; readers follow what is committed; the journal
//!    │
//! control      lines, calls, operations, notifications
//! api          HTTP: requests in, operations, streams and downloads out
//! cli          `serve`, and the same pipeline without a daemon: `record`, `replay`, `detect`
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod api;
pub mod capture;
#[cfg(feature = "device")]
pub mod cards;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod dsp;
pub mod error;
pub mod pipeline;
pub mod playback;
pub mod record;
pub mod rt;
pub mod store;
pub mod units;
pub mod wav;
