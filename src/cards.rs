//! Sound cards by name: which there are, and which one a configuration means.
//!
//! Belongs here: names, hosts, directions and formats, the same for microphones and loudspeakers, and what errors of
//! devices mean in words. Does not: streams (`capture::device`, `playback::device`).
//!
//! A name is `default`, a host's id of a device (`vmic`, `hw:Loopback,1`) or the words that the host shows for it,
//! optionally with the host in front (`pulse:vmic`, `alsa:default`). Ids come first: words are neither stable nor
//! unique. PulseAudio (and PipeWire's server of that name) comes before ALSA where both know a name, for it says when the
//! server goes away; ALSA's plugin for it just stops delivering.

mod hardware;

use std::fmt;
use std::ops::RangeInclusive;

use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{BufferSize, DeviceDirection, ErrorKind, HostId, SupportedBufferSize, SupportedStreamConfig};

pub use self::hardware::Identity;
use crate::units::Rate;

/// Which way sound goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A microphone.
    Input,
    /// A loudspeaker.
    Output,
}

impl Direction {
    fn opposite(self) -> DeviceDirection {
        match self {
            Direction::Input => DeviceDirection::Output,
            Direction::Output => DeviceDirection::Input,
        }
    }

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Input => "input",
            Direction::Output => "output",
        }
    }
}

/// Why a device cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceError {
    /// There is none of this name; it may come later.
    NotThere(String),
    /// Someone else uses it.
    Busy(String),
    /// We may not use it.
    Denied(String),
    /// It cannot do what is asked of it.
    Unsupported(String),
    /// Anything else.
    Failed(String),
}

impl DeviceError {
    /// Of an error of the device of this name.
    pub(crate) fn of(name: &str, error: &cpal::Error) -> DeviceError {
        let words = format!("{name}: {error}");
        match error.kind() {
            ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable => DeviceError::NotThere(words),
            ErrorKind::DeviceBusy => DeviceError::Busy(words),
            ErrorKind::PermissionDenied => DeviceError::Denied(words),
            ErrorKind::UnsupportedConfig | ErrorKind::UnsupportedOperation => DeviceError::Unsupported(words),
            _ => DeviceError::Failed(words),
        }
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (DeviceError::NotThere(words)
        | DeviceError::Busy(words)
        | DeviceError::Denied(words)
        | DeviceError::Unsupported(words)
        | DeviceError::Failed(words)) = self;
        f.write_str(words)
    }
}

impl std::error::Error for DeviceError {}

/// Which device this is, that was found by this name.
pub(crate) fn identity(name: &str, device: &cpal::Device) -> Identity {
    let exact = device.id().ok().and_then(|id| {
        let (_, prefix) = HOSTS.iter().find(|(host, _)| *host == id.host())?;
        Some(format!("{prefix}:{}", id.id()))
    });
    Identity::of(exact.unwrap_or_else(|| name.to_owned()))
}

/// What is wanted of a device beyond what it offers by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// This rate; by default the device's own.
    pub rate: Option<Rate>,
    /// At least so many channels; by default as many as it offers by itself.
    pub channels: Option<u16>,
    /// So much at a time, in ms; by default [`PERIOD_MS`](crate::capture::PERIOD_MS). What is granted may differ.
    pub period_ms: Option<u32>,
}

/// A device as `tonearm devices` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// What to write after `device:`.
    pub name: String,
    /// `PulseAudio` or `ALSA`.
    pub host: &'static str,
    /// The host's id.
    pub id: String,
    /// The host's words for it.
    pub words: String,
    /// Which way.
    pub direction: Direction,
    /// Whether `default` means it (at the first host that has one).
    pub default: bool,
    /// Rates in Hz, lowest and highest.
    pub rates_hz: Option<RangeInclusive<u32>>,
    /// Channels, fewest and most.
    pub channels: Option<RangeInclusive<u16>>,
    /// Sample formats.
    pub formats: Vec<String>,
    /// How it is opened if nothing else is asked for; why it cannot be opened.
    pub opens: Result<String, String>,
}

/// The hosts in the order in which they are asked.
const HOSTS: [(HostId, &str); 2] = [(HostId::PulseAudio, "pulse"), (HostId::Alsa, "alsa")];

/// The hosts that a name can mean, and the name without its host.
fn hosts_of(name: &str) -> (Vec<HostId>, &str) {
    if let Some((prefix, rest)) = name.split_once(':')
        && let Some((host, _)) = HOSTS.iter().find(|(_, word)| *word == prefix)
    {
        return (vec![*host], rest);
    }
    (HOSTS.iter().map(|(host, _)| *host).collect(), name)
}

/// The device that a name means.
pub(crate) fn find(name: &str, direction: Direction) -> Result<cpal::Device, DeviceError> {
    let (hosts, bare) = hosts_of(name);
    let mut failed = Vec::new();
    let mut candidates = Vec::new();
    for id in hosts {
        match search(id, bare, direction) {
            Ok(Found::ById(device)) => return Ok(*device),
            Ok(Found::ByWords(devices)) => candidates.extend(devices),
            Err(error) => failed.push(format!("{}: {error}", id.name())),
        }
    }
    let mut candidates = candidates.into_iter();
    match (candidates.next(), candidates.next()) {
        (Some(device), None) => Ok(device),
        (Some(first), Some(second)) => {
            let ids =
                [&first, &second].map(|device| device.id().map(|id| id.to_string()).unwrap_or_default()).join(", ");
            Err(DeviceError::NotThere(format!("{name}: more than one device is called so; use the id: {ids}, …")))
        }
        (None, _) if failed.is_empty() => {
            let kind = direction.name();
            Err(DeviceError::NotThere(format!("{name}: there is no such {kind} device; `tonearm devices` lists all")))
        }
        (None, _) => Err(DeviceError::NotThere(format!("{name}: {}", failed.join("; ")))),
    }
}

enum Found {
    /// By its id, or as the default.
    ById(Box<cpal::Device>),
    /// Any number by their words.
    ByWords(Vec<cpal::Device>),
}

fn search(id: HostId, name: &str, direction: Direction) -> Result<Found, cpal::Error> {
    let host = cpal::host_from_id(id)?;
    if name == "default" {
        let device = match direction {
            Direction::Input => host.default_input_device(),
            Direction::Output => host.default_output_device(),
        };
        return Ok(device.map_or(Found::ByWords(Vec::new()), |device| Found::ById(Box::new(device))));
    }
    let serves =
        |device: &cpal::Device| device.description().is_ok_and(|words| words.direction() != direction.opposite());
    if let Some(device) = host.device_by_id(&cpal::DeviceId::new(id, name)).filter(serves) {
        return Ok(Found::ById(Box::new(device)));
    }
    let called =
        |device: &cpal::Device| device.description().is_ok_and(|words| words.name().eq_ignore_ascii_case(name));
    Ok(Found::ByWords(host.devices()?.filter(serves).filter(called).collect()))
}

/// How a device is opened.
pub(crate) fn choose(
    device: &cpal::Device,
    direction: Direction,
    wanted: Wanted,
) -> Result<SupportedStreamConfig, cpal::Error> {
    let own = match direction {
        Direction::Input => device.default_input_config()?,
        Direction::Output => device.default_output_config()?,
    };
    let fits = |config: &SupportedStreamConfig| {
        usable(config) && wanted.channels.is_none_or(|channels| config.channels() >= channels)
    };
    if fits(&own) && wanted.rate.is_none_or(|rate| own.sample_rate() == rate.hz()) {
        return Ok(own);
    }
    let hz = wanted.rate.map_or(own.sample_rate().clamp(Rate::MIN_HZ, Rate::MAX_HZ), Rate::hz);
    let mut others: Vec<_> = ranges(device, direction)?
        .into_iter()
        .filter_map(|range| range.try_with_sample_rate(hz))
        .filter(fits)
        .collect();
    // Its own format first, then the fewest channels that are enough.
    others.sort_by_key(|config| (config.sample_format() != own.sample_format(), config.channels()));
    others.into_iter().next().ok_or_else(|| {
        let channels = wanted.channels.map_or(String::new(), |channels| format!(" with {channels} channels"));
        cpal::Error::with_message(ErrorKind::UnsupportedConfig, format!("it cannot deliver {hz} Hz{channels}"))
    })
}

/// What the rest of the program can deal with.
fn usable(config: &SupportedStreamConfig) -> bool {
    Rate::new(config.sample_rate()).is_some()
        && usize::from(config.channels()) <= crate::pipeline::Channels::MOST
        && !config.sample_format().is_dsd()
}

fn ranges(device: &cpal::Device, direction: Direction) -> Result<Vec<cpal::SupportedStreamConfigRange>, cpal::Error> {
    Ok(match direction {
        Direction::Input => device.supported_input_configs()?.collect(),
        Direction::Output => device.supported_output_configs()?.collect(),
    })
}

/// The buffer to ask for so that about `ms` come at once; what is granted may differ.
pub(crate) fn buffer(config: &SupportedStreamConfig, ms: u32) -> BufferSize {
    let frames = config.sample_rate() * ms / 1_000;
    match *config.buffer_size() {
        SupportedBufferSize::Range { min, max } if min <= max => BufferSize::Fixed(frames.clamp(min, max)),
        _ => BufferSize::Default,
    }
}

/// Every device, with a try to open it.
pub fn list() -> Vec<DeviceInfo> {
    let mut all = Vec::new();
    for (id, prefix) in HOSTS {
        let Ok(host) = cpal::host_from_id(id) else { continue };
        for direction in [Direction::Input, Direction::Output] {
            let default = match direction {
                Direction::Input => host.default_input_device(),
                Direction::Output => host.default_output_device(),
            };
            let default_id = default.and_then(|device| device.id().ok());
            for device in host.devices().into_iter().flatten() {
                let (Ok(device_id), Ok(words)) = (device.id(), device.description()) else { continue };
                if words.direction() != direction.opposite() {
                    let default = default_id.as_ref() == Some(&device_id);
                    all.push(describe(&device, device_id.id(), words.name(), (id, prefix), direction, default));
                }
            }
        }
    }
    all
}

fn describe(
    device: &cpal::Device,
    id: &str,
    words: &str,
    (host, prefix): (HostId, &'static str),
    direction: Direction,
    default: bool,
) -> DeviceInfo {
    let ranges = ranges(device, direction).unwrap_or_default();
    let mut formats: Vec<_> = ranges.iter().map(|range| range.sample_format().to_string()).collect();
    formats.dedup();
    let span = |lows: Vec<u32>, highs: Vec<u32>| Some(lows.into_iter().min()?..=highs.into_iter().max()?);
    let channels: Vec<u16> = ranges.iter().map(|range| range.channels()).collect();
    DeviceInfo {
        name: format!("{prefix}:{id}"),
        host: host.name(),
        id: id.to_owned(),
        words: words.to_owned(),
        direction,
        default,
        rates_hz: span(
            ranges.iter().map(|range| range.min_sample_rate()).collect(),
            ranges.iter().map(|range| range.max_sample_rate()).collect(),
        ),
        channels: channels.iter().min().zip(channels.iter().max()).map(|(&fewest, &most)| fewest..=most),
        formats,
        opens: opens(device, direction).map(|offer| offer.to_string()).map_err(|error| error.to_string()),
    }
}

/// How a device is opened if nothing else is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its rate in Hz.
    pub rate_hz: u32,
    /// How many channels it has.
    pub channels: u16,
    /// Its samples, as cpal calls them.
    pub format: String,
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz, {} channels, {}", self.rate_hz, self.channels, self.format)
    }
}

/// Opens the device that a name means for a moment, without letting it run.
pub fn probe(name: &str, direction: Direction) -> Result<Offer, DeviceError> {
    opens(&find(name, direction)?, direction).map_err(|error| DeviceError::of(name, &error))
}

/// The same, of a device that was found.
fn opens(device: &cpal::Device, direction: Direction) -> Result<Offer, cpal::Error> {
    let config = choose(device, direction, Wanted::default())?;
    let timeout = Some(std::time::Duration::from_secs(2));
    let (stream, format) = (config.config(), config.sample_format());
    drop(match direction {
        Direction::Input => device.build_input_stream_raw(stream, format, |_, _| {}, |_| {}, timeout)?,
        Direction::Output => device.build_output_stream_raw(stream, format, |_, _| {}, |_| {}, timeout)?,
    });
    Ok(Offer { rate_hz: config.sample_rate(), channels: config.channels(), format: format.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_hosts_are_taken_for_hosts() {
        assert_eq!(hosts_of("pulse:vmic"), (vec![HostId::PulseAudio], "vmic"));
        assert_eq!(hosts_of("alsa:hw:Loopback,1"), (vec![HostId::Alsa], "hw:Loopback,1"));
        assert_eq!(hosts_of("hw:Loopback,1").1, "hw:Loopback,1");
        assert_eq!(hosts_of("default").0.len(), 2);
    }

    #[test]
    fn a_device_that_is_not_there_is_named_in_the_error() {
        let Err(error) = find("alsa:no-such-microphone", Direction::Input) else { panic!("it is there") };
        assert!(error.to_string().contains("no-such-microphone"), "{error}");
        assert!(matches!(error, DeviceError::NotThere(_)));
    }
}
