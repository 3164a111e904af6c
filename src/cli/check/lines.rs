//! The lines: whether what they hear, and what they play to, opens.

use super::Finding;
use super::network::LineReady;
use crate::capture::{self, Source};
use crate::config::{Config, Line};

/// Each line. A running daemon has the devices, and so it is asked.
pub fn lines(config: &Config, daemon: Option<&[LineReady]>) -> Vec<Finding> {
    let mut findings = cards(config);
    for (name, line) in &config.lines {
        let what = format!("line {name}");
        match daemon {
            Some(lines) => findings.push(asked(what, name, line, lines)),
            None => {
                findings.push(source(what, line));
                findings.extend(playback(name, line));
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
        Ok(Source::Device(device)) => microphone(what, line, &device),
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

#[cfg(feature = "device")]
mod device {
    use std::fs;
    use std::path::PathBuf;

    use rustix::fs::{Access, access};

    use super::super::super::devices::quietly;
    use super::super::{data, host};
    use super::*;
    use crate::cards::{self, DeviceError, Direction, Offer};

    pub fn microphone(what: String, line: &Line, device: &str) -> Finding {
        let most = line.channels.iter().flatten().copied().max().unwrap_or(1);
        match quietly(|| cards::probe(device, Direction::Input)) {
            Ok(Offer { channels, .. }) if usize::from(channels) < most => Finding::to_do(
                what,
                format!("{}: it has {channels} channels, and channel {most} is asked for", line.source),
                "set the line's channels; `tonearm devices` shows how many there are",
            ),
            Ok(offer) => Finding::well(what, format!("{}, {offer}", line.source)),
            Err(error) => refused(what, &error),
        }
    }

    pub fn playback(name: &str, line: &Line) -> Option<Finding> {
        let device = line.playback.strip_prefix("device:")?;
        let what = format!("playback of {name}");
        Some(match quietly(|| cards::probe(device, Direction::Output)) {
            Ok(offer) => Finding::well(what, format!("{}, {offer}", line.playback)),
            Err(error) => refused(what, &error),
        })
    }

    fn refused(what: String, error: &DeviceError) -> Finding {
        let next = match error {
            DeviceError::NotThere(_) => "`tonearm devices` lists what there is, as it is to be configured",
            DeviceError::Busy(_) => "see who has it: `fuser -v /dev/snd/*`; ALSA's dsnoop:… can be shared",
            DeviceError::Denied(_) => {
                "`sudo usermod -aG audio $USER`, and log in again; the unit has SupplementaryGroups=audio"
            }
            DeviceError::Unsupported(_) | DeviceError::Failed(_) => {
                "`tonearm devices --all` says of each what it can do and why not"
            }
        };
        Finding::to_do(what, error.to_string(), next)
    }

    /// ALSA shows devices that we may not open as if they were not there.
    pub fn cards(config: &Config) -> Vec<Finding> {
        if !has_device(config) {
            return Vec::new();
        }
        let what = "sound cards";
        let found = fs::read_dir("/dev/snd").into_iter().flatten().flatten().map(|entry| entry.path());
        let is_pcm = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pcm"));
        let devices: Vec<PathBuf> = found.filter(is_pcm).collect();
        let closed = devices.iter().find(|path| access(*path, Access::READ_OK | Access::WRITE_OK).is_err());
        vec![match closed {
            _ if devices.is_empty() => Finding::well(what, "ALSA knows none on this host; a sound server may"),
            None => Finding::well(what, format!("{} of ALSA's, and we may use them", devices.len())),
            Some(path) => {
                let group = data::group_of(path).map_or("audio".to_owned(), host::group_name);
                let found = format!("{} may be used by group {group} only, and we are not in it", path.display());
                Finding::to_do(what, found, format!("`sudo usermod -aG {group} $USER`, and log in again"))
            }
        }]
    }
}

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

use device::{cards, microphone, playback};
