//! `tonearm devices`: what can be recorded from and played to.

use std::fs::File;
use std::io::{self, Write};
use std::ops::RangeInclusive;

use clap::Args;
use serde::Serialize;

use super::{Done, Failure};
use crate::cards::{self, DeviceInfo};

#[derive(Args)]
pub struct Devices {
    /// Print JSON, one device a line
    #[arg(long)]
    json: bool,
    /// Show those that cannot be opened, too (ALSA knows many of them)
    #[arg(long)]
    all: bool,
}

/// ALSA writes to standard error about every device that does not open, and there is no safe way to tell it not to.
pub(super) fn quietly<T>(run: impl FnOnce() -> T) -> T {
    let kept = rustix::io::dup(rustix::stdio::stderr());
    let hushed = File::options().write(true).open("/dev/null").map(rustix::stdio::dup2_stderr);
    let result = run();
    if let (Ok(kept), Ok(Ok(()))) = (kept, hushed) {
        let _ = rustix::stdio::dup2_stderr(kept);
    }
    result
}

/// One device.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeviceLine<'a> {
    configure: String,
    direction: &'static str,
    default: bool,
    host: &'static str,
    id: &'a str,
    name: &'a str,
    lowest_rate: Option<u32>,
    highest_rate: Option<u32>,
    fewest_channels: Option<u16>,
    most_channels: Option<u16>,
    formats: &'a [String],
    opens: bool,
    opens_with: Option<&'a str>,
    why_not: Option<&'a str>,
}

impl Devices {
    pub fn run(&self) -> Done {
        let mut devices = quietly(cards::list);
        devices.retain(|device| self.all || device.opens.is_ok());
        let mut out = io::stdout().lock();
        let printed =
            if self.json { devices.iter().try_for_each(|one| json(one, &mut out)) } else { table(&devices, &mut out) };
        printed.map_err(|error| Failure::Failed(error.to_string()))?;
        if devices.is_empty() {
            return Err(Failure::Failed(
                "no sound device opens; `tonearm devices --all` says why, `make demo` sets up a virtual one".to_owned(),
            ));
        }
        Ok(())
    }
}

fn json(device: &DeviceInfo, out: &mut impl Write) -> io::Result<()> {
    let line = DeviceLine {
        configure: format!("device:{}", device.name),
        direction: device.direction.name(),
        default: device.default,
        host: device.host,
        id: &device.id,
        name: &device.words,
        lowest_rate: device.rates_hz.as_ref().map(|rates| *rates.start()),
        highest_rate: device.rates_hz.as_ref().map(|rates| *rates.end()),
        fewest_channels: device.channels.as_ref().map(|channels| *channels.start()),
        most_channels: device.channels.as_ref().map(|channels| *channels.end()),
        formats: &device.formats,
        opens: device.opens.is_ok(),
        opens_with: device.opens.as_deref().ok(),
        why_not: device.opens.as_ref().err().map(String::as_str),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

fn table(devices: &[DeviceInfo], out: &mut impl Write) -> io::Result<()> {
    let mut rows = vec![["CONFIGURE", "", "RATES", "CHANNELS", "OPENS", "NAME"].map(str::to_owned)];
    rows.extend(devices.iter().map(|device| {
        let default = if device.default { "*" } else { "" };
        [
            format!("device:{}{default}", device.name),
            device.direction.name().to_owned(),
            span(&device.rates_hz),
            span(&device.channels),
            device.opens.clone().unwrap_or_else(|why| format!("no: {why}")),
            device.words.clone(),
        ]
    }));
    let widths: [usize; 6] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    if devices.iter().any(|device| device.default) {
        writeln!(out, "* what `device:default` means, at the first host that has one")?;
    }
    Ok(())
}

fn span<T: Copy + PartialEq + std::fmt::Display>(range: &Option<RangeInclusive<T>>) -> String {
    match range {
        Some(range) if range.start() == range.end() => range.start().to_string(),
        Some(range) => format!("{}-{}", range.start(), range.end()),
        None => "?".to_owned(),
    }
}
