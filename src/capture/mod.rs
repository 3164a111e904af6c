//! Where frames come from: devices, files, silence. All of them fill the same ring.
//!
//! Belongs here: opening a source and keeping its ring filled. Does not: what becomes of the frames (`rt`, `pipeline`).

#[cfg(feature = "device")]
pub mod device;
#[cfg(feature = "device")]
mod drift;
#[cfg(feature = "device")]
mod gaps;
pub mod health;
pub mod wav;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use audio_thread_priority::promote_current_thread_to_real_time;

use crate::rt::ring::Consumer;
use crate::units::Rate;
use health::Health;

/// A source as configuration writes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// `device:NAME`.
    Device(String),
    /// `wav:PATH[?pace=real|fast][&loop=true]`.
    Wav {
        /// The file.
        path: PathBuf,
        /// How fast it is delivered.
        pace: Pace,
        /// Whether it starts anew at its end; otherwise silence follows.
        repeat: bool,
    },
    /// `silence:`, in real time.
    Silence,
}

/// How fast a file is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pace {
    /// As a device would.
    Real,
    /// As fast as the pipeline takes it, to every recording from the file's start.
    Fast,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Source, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            "device" if !rest.is_empty() => Ok(Source::Device(rest.to_owned())),
            "silence" if rest.is_empty() => Ok(Source::Silence),
            "wav" if !rest.is_empty() => {
                let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
                let (mut pace, mut repeat) = (Pace::Real, false);
                for option in options.split('&').filter(|option| !option.is_empty()) {
                    match option {
                        "pace=real" => pace = Pace::Real,
                        "pace=fast" => pace = Pace::Fast,
                        "loop=true" => repeat = true,
                        "loop=false" => repeat = false,
                        _ => {
                            return Err(format!(
                                "{option:?} is no option of a wav: source; valid are pace=real, pace=fast, loop=true and loop=false"
                            ));
                        }
                    }
                }
                Ok(Source::Wav { path: path.into(), pace, repeat })
            }
            _ => Err(format!(
                "{text:?} is no source; valid are device:NAME, wav:PATH[?pace=real|fast][&loop=true] and silence:"
            )),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Device(name) => write!(f, "device:{name}"),
            Source::Silence => write!(f, "silence:"),
            Source::Wav { path, pace, repeat } => {
                let pace = if *pace == Pace::Fast { "fast" } else { "real" };
                write!(f, "wav:{}?pace={pace}&loop={repeat}", path.display())
            }
        }
    }
}

/// A source that delivers. It stops when this is dropped.
pub struct Capture {
    /// Its rate.
    pub rate: Rate,
    /// The frames it delivers.
    pub ring: Consumer,
    /// What keeps it going.
    pub feed: Feeding,
    /// How it is doing.
    pub health: Health,
    /// How to come by the same again.
    pub same: Same,
}

impl Capture {
    /// What is no device, and is always well.
    pub fn of(source: &Source, rate: Rate, ring: Consumer, feed: Feeding) -> Capture {
        Capture { rate, ring, feed, health: Health::default(), same: Same::Source(source.clone()) }
    }
}

/// Which source it is, so that no other is taken for it when it is opened again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Same {
    /// By its name in the configuration: no other can stand behind it.
    Source(Source),
    /// A device.
    #[cfg(feature = "device")]
    Device(crate::cards::Identity),
}

impl fmt::Display for Same {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Same::Source(source) => source.fmt(f),
            #[cfg(feature = "device")]
            Same::Device(identity) => identity.fmt(f),
        }
    }
}

/// What keeps a source going.
pub enum Feeding {
    /// A thread or a device of its own does; it stops when this is dropped.
    Alone(Box<dyn Send>),
    /// Someone has to ask for frames: nothing else runs.
    Asked(Box<wav::Feed>),
}

/// Devices are asked for so much at a time by default, in ms. ALSA doubles it for its buffer: with more, keys are heard
/// later; with less, a host that refuses real-time priority overruns.
pub const PERIOD_MS: u32 = 10;

/// Opens a source. A paced one delivers from now on.
pub fn open(source: &Source) -> Result<Capture, String> {
    open_with(source, Duration::ZERO, PERIOD_MS)
}

/// The same; what is no device begins with so much silence, for those who wait before they listen, and a device is asked for
/// `period_ms` at a time.
#[cfg_attr(not(feature = "device"), expect(unused_variables, reason = "only devices have periods"))]
pub fn open_with(source: &Source, lead: Duration, period_ms: u32) -> Result<Capture, String> {
    match source {
        #[cfg(feature = "device")]
        Source::Device(name) => device::open(name, period_ms).map_err(|error| error.to_string()),
        #[cfg(not(feature = "device"))]
        Source::Device(name) => Err(format!("device:{name} cannot be opened: this build has no sound devices")),
        Source::Silence => Ok(wav::paced(source, wav::Feed::silence(), lead)),
        Source::Wav { path, pace, repeat } => {
            let feed = wav::Feed::open(path, *repeat).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(match pace {
                Pace::Real => wav::paced(source, feed, lead),
                Pace::Fast => wav::asked(source, feed),
            })
        }
    }
}

/// Whether threads of ours are given real-time priority, as a device's thread asks for it: tried on one that ends at once.
pub fn try_real_time() -> Result<(), String> {
    // 10 ms of sound at a usual rate; the system wants to know.
    let ask = || promote_current_thread_to_real_time(480, 48_000).map(drop).map_err(|error| error.to_string());
    std::thread::spawn(ask).join().unwrap_or_else(|_| Err("the thread that tried it ended".to_owned()))
}

/// Opens the same source again, and no other.
pub fn reopen(same: &Same, period_ms: u32) -> Result<Capture, String> {
    match same {
        Same::Source(source) => open_with(source, Duration::ZERO, period_ms),
        #[cfg(feature = "device")]
        Same::Device(identity) => device::reopen(identity, period_ms).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_read_back_as_they_are_written() {
        for text in
            ["device:hw:Loopback,1", "silence:", "wav:/a b.wav?pace=fast&loop=true", "wav:x.wav?pace=real&loop=false"]
        {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        assert_eq!("wav:x.wav".parse(), Ok(Source::Wav { path: "x.wav".into(), pace: Pace::Real, repeat: false }));
    }

    #[test]
    fn what_is_no_source_is_refused_with_what_is_valid() {
        for text in ["", "device:", "wav:", "microphone", "silence:x"] {
            assert!(text.parse::<Source>().unwrap_err().contains("valid are device:NAME"), "{text}");
        }
        assert!("wav:a.wav?pace=slow".parse::<Source>().unwrap_err().contains("pace=real"));
    }
}
