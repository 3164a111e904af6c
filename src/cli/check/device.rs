//! Sound cards: whether those that lines name open, and if not, what stands in the way.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::super::devices::quietly;
use super::lines::has_device;
use super::{Finding, host};
use crate::cards::{self, DeviceError, Direction, Offer};
use crate::config::{Config, Line};

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
            let group = group_of(path).unwrap_or_else(|| "audio".to_owned());
            let found = format!("{} may be used by group {group} only, and we are not in it", path.display());
            Finding::to_do(what, found, format!("`sudo usermod -aG {group} $USER`, and log in again"))
        }
    }]
}

/// The group that a file belongs to.
fn group_of(path: &Path) -> Option<String> {
    host::name_in("/etc/group", fs::metadata(path).ok()?.gid())
}
