//! From configured lines to running ones.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Config, Open};
use crate::control::chain::Setup;
use crate::control::line::{self, Line, Microphone};
use crate::pipeline::Channels;

/// The lines of a configuration. Those that name one source share one microphone; those that were there before and are the
/// same in all that matters to them stay.
pub fn lines(
    config: &Config,
    recordings: &Path,
    before: Option<(&Config, &[Arc<Line>])>,
) -> Result<Vec<Arc<Line>>, String> {
    let (dtmf, silence) = config.detection.detectors();
    let mut microphones: Vec<(String, Arc<Microphone>)> = Vec::new();
    let mut lines = Vec::new();
    for (name, line) in &config.lines {
        if let Some((old, running)) = before.filter(|(old, _)| same(old, config, &line.source))
            && let Some((_, kept)) = old.lines.iter().zip(running).find(|((other, _), _)| other == name)
        {
            lines.push(kept.clone());
            continue;
        }
        let source = line.source()?;
        let key = source.to_string();
        let microphone = match microphones.iter().find(|(known, _)| *known == key) {
            Some((_, microphone)) => microphone.clone(),
            None => {
                let of_source = config.lines.iter().filter(|(_, other)| other.source == line.source);
                let channels: Vec<Channels> = of_source.map(|(_, other)| other.channels()).collect::<Result<_, _>>()?;
                let heard = channels.into_iter().reduce(Channels::union).unwrap_or(Channels::ALL);
                let media_timeout = Duration::from_secs(line.media_timeout_seconds.into());
                let (buffer_seconds, period_ms, device_loss) =
                    (config.storage.buffer_seconds, line.period_ms, line.device_loss);
                let setup = Setup { heard, dtmf, silence, buffer_seconds, period_ms, media_timeout, device_loss };
                let microphone = Microphone::new(source.clone(), setup);
                microphones.push((key, microphone.clone()));
                microphone
            }
        };
        let settings = line::Settings {
            name: name.clone(),
            source,
            open_always: line.open == Open::Always,
            channels: line.channels()?,
            rate: line.rate()?,
            format: config.sample_format()?,
            playback: line.playback.clone(),
            folder: recordings.to_owned(),
            sync_interval: Duration::from_millis(config.storage.sync_interval_ms.into()),
        };
        lines.push(Line::new(settings, microphone).map_err(|why| format!("line {name}: {why}"))?);
    }
    Ok(lines)
}

/// Whether all lines of this source are the same in both configurations, and so is what else they are built from.
fn same(old: &Config, new: &Config, source: &str) -> bool {
    fn of<'a>(config: &'a Config, source: &'a str) -> impl Iterator<Item = &'a (String, config::Line)> {
        config.lines.iter().filter(move |(_, line)| line.source == source)
    }
    let storage = |config: &Config| (config.storage.buffer_seconds, config.storage.sync_interval_ms);
    of(old, source).eq(of(new, source))
        && old.detection == new.detection
        && old.record.sample_format == new.record.sample_format
        && storage(old) == storage(new)
}
