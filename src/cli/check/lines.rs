//! The lines: whether what they hear, and what they play to, opens.

use super::Finding;
#[cfg(feature = "device")]
use super::device;
use super::network::LineReady;
use crate::capture::{self, Source};
use crate::config::{Config, Line};

/// Each line. A running daemon has the devices, and so it is asked.
pub fn lines(config: &Config, daemon: Option<&[LineReady]>) -> Vec<Finding> {
    let mut findings = device::cards(config);
    for (name, line) in &config.lines {
        let what = format!("line {name}");
        match daemon {
            Some(lines) => findings.push(asked(what, name, line, lines)),
            None => {
                findings.push(source(what, line));
                findings.extend(device::playback(name, line));
            }
        }
    }
    findings
}

/// Whether any line has to do with a sound card.
pub fn has_device(config: &Config) -> bool {
    config.lines.iter().any(|(_, line)| [&line.source, &line.playback].iter().any(|name| name.starts_with("device:")))
}

fn asked(what: String, name: &str, line: &Line, lines: &[LineReady]) -> Finding {
    match lines.iter().find(|one| one.line == name) {
        Some(LineReady { reason: None, .. }) => {
            Finding::well(what, format!("{}: the daemon says that it is ready", line.source))
        }
        Some(LineReady { reason: Some(why), .. }) => {
            Finding::to_do(what, format!("{}: {why}", line.source), "`tonearm devices`; the daemon goes on trying")
        }
        None => Finding::to_do(what, "the daemon that runs does not have it", "`sudo systemctl reload tonearm`"),
    }
}

fn source(what: String, line: &Line) -> Finding {
    match line.source() {
        Ok(Source::Device(name)) => device::microphone(what, line, &name),
        Ok(source) => match capture::open(&source) {
            Ok(capture) => Finding::well(what, format!("{}, {} Hz", line.source, capture.rate.hz())),
            Err(why) => {
                Finding::to_do(what, why, "`ls -l` says whether it is there; a WAV in any PCM or float form is one")
            }
        },
        // A configuration that was read has none of these.
        Err(why) => Finding::to_do(what, why, "mend its source"),
    }
}

/// What there is instead of `device` in a build without sound devices.
#[cfg(not(feature = "device"))]
mod device {
    use super::*;

    pub fn microphone(what: String, line: &Line, _: &str) -> Finding {
        Finding::to_do(what, format!("{}: this build has no sound devices", line.source), "`cargo build --release`")
    }

    pub fn playback(_: &str, _: &Line) -> Option<Finding> {
        None
    }

    pub fn cards(_: &Config) -> Vec<Finding> {
        Vec::new()
    }
}
