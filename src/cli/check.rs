//! `tonearm check`: whether this host can do what the configuration asks of it, and what to do where it cannot.
//!
//! Belongs here: looking, and saying what to type next. Does not: mending anything; what is looked at stays as it was.

mod data;
#[cfg(feature = "device")]
mod device;
mod host;
mod lines;
mod network;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use console::{Style, style};
use serde::Serialize;

use super::{Done, Failure};
use crate::config::Config;

#[derive(Args)]
pub struct Check {
    /// The configuration, as for `serve`
    #[arg(long, value_name = "FILE", env = "TONEARM_CONFIG")]
    config: Option<PathBuf>,
    /// One line of JSON for each thing that was looked at
    #[arg(long)]
    json: bool,
}

/// What the first finding is about.
const CONFIGURATION: &str = "configuration";

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// What it was.
    what: String,
    /// How it is.
    found: String,
    /// What to do about it; nothing if it is well.
    next: Option<String>,
}

impl Finding {
    fn well(what: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding { what: what.into(), found: found.into(), next: None }
    }

    fn to_do(what: impl Into<String>, found: impl Into<String>, next: impl Into<String>) -> Finding {
        Finding { what: what.into(), found: found.into(), next: Some(next.into()) }
    }
}

impl Check {
    pub fn run(&self) -> Done {
        let print = |findings: &[Finding]| self.print(findings).map_err(|error| Failure::Failed(error.to_string()));
        let config = match Config::find(self.config.as_deref()) {
            Ok(config) => config,
            Err(error) => {
                let next = "mend it there; every key with what is valid: reference/configuration.md, in /usr/share/doc/tonearm";
                print(&[Finding::to_do(CONFIGURATION, error.to_string().trim_end(), next)])?;
                return Err(Failure::Misused("nothing else can be looked at without a configuration".to_owned()));
            }
        };
        let findings = self.look(&config);
        print(&findings)?;
        match findings.iter().filter(|one| one.next.is_some()).count() {
            0 => Ok(()),
            n => Err(Failure::Failed(format!("{n} of {} need something done", findings.len()))),
        }
    }

    fn look(&self, config: &Config) -> Vec<Finding> {
        let lines: Vec<&str> = config.lines.iter().map(|(name, _)| name.as_str()).collect();
        let place = Config::place(self.config.as_deref());
        let place = place.map_or("the defaults".to_owned(), |file| file.display().to_string());
        let read = format!("{place}, lines: {}", lines.join(", "));
        let (port, daemon) = network::port(config);
        let mut findings = vec![Finding::well(CONFIGURATION, read), host::user(), port];
        findings.extend(data::folder(config, daemon.is_some()));
        findings.push(data::tokens(config));
        findings.extend(data::secrets(config));
        findings.extend(lines::lines(config, daemon.as_deref()));
        if lines::has_device(config) {
            findings.push(host::real_time());
        }
        findings.push(host::clock());
        findings.extend(network::hosts(config));
        findings
    }

    fn print(&self, findings: &[Finding]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let width = findings.iter().map(|one| one.what.chars().count()).max().unwrap_or(0);
        for finding in findings {
            let Finding { what, found, next } = finding;
            if self.json {
                writeln!(out, "{}", serde_json::to_string(finding)?)?;
                continue;
            }
            let (word, of) =
                if next.is_some() { ("to do", Style::new().yellow()) } else { ("ok", Style::new().green()) };
            let next = next.as_ref().map(|next| format!(". Next: {next}")).unwrap_or_default();
            let found = found.replace('\n', "\n       ");
            writeln!(out, "{}  {what:width$}  {found}{next}", of.apply_to(format!("{word:5}")))?;
        }
        if !self.json && findings.iter().all(|one| one.next.is_none()) {
            eprintln!("{}", style("All is well. Next: `tonearm serve`, or `systemctl start tonearm`").for_stderr());
        }
        Ok(())
    }
}
