//! `tonearm prune`: what retention removes, listed or done by hand.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::serve::data_path;
use super::{Done, Failure};
use crate::clock;
use crate::config::Config;
use crate::control::restart::operations;
use crate::control::retention::{Candidate, Why, choose, remove};
use crate::store::journal::Journal;
use crate::store::lock::Lock;

#[derive(Args)]
pub struct Prune {
    /// The configuration, as for `serve`
    #[arg(long, value_name = "FILE", env = "TONEARM_CONFIG")]
    config: Option<PathBuf>,

    /// Only list what would go; a daemon may be running
    #[arg(long)]
    dry_run: bool,

    /// One line of JSON an operation
    #[arg(long)]
    json: bool,
}

impl Prune {
    pub fn run(&self) -> Done {
        let config = Config::find(self.config.as_deref()).map_err(|error| Failure::Misused(error.to_string()))?;
        let data = data_path(&config).map_err(Failure::Failed)?;
        let path = data.join("journal.sqlite");
        if !path.exists() {
            return Err(Failure::Failed(format!("there is no journal in {}", data.display())));
        }
        let _lock = match self.dry_run {
            true => None,
            false => Some(Lock::take(&data).map_err(|error| {
                Failure::Failed(format!("{error}; it removes by itself what is due, --dry-run lists that"))
            })?),
        };
        let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
        let journal = if self.dry_run { Journal::read(&path) } else { Journal::open(&path) };
        let journal = journal.map_err(|error| failed(&error))?;
        let operations = operations(&journal).map_err(|error| failed(&error))?;
        let candidates = operations.values().filter_map(Candidate::of).collect();
        let going = choose(config.retention(), candidates, clock::wall());
        self.list(&going).map_err(|error| failed(&error))?;
        if !self.dry_run {
            let due = going.len();
            let going = going.into_iter().map(|(one, _)| one).collect();
            let gone = remove(&journal, &data.join("recordings"), going, clock::wall());
            let gone = gone.map_err(|error| failed(&error))?.len();
            if gone < due {
                return Err(Failure::Failed(format!("{} of {due} could not be removed", due - gone)));
            }
        }
        Ok(())
    }

    fn list(&self, going: &[(Candidate, Why)]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for (one, why) in going {
            match self.json {
                true => {
                    let line = json!({"id": one.id, "ended": one.ended, "bytes": one.bytes, "why": why.key()});
                    writeln!(out, "{line}")?;
                }
                false => {
                    let bytes = one.bytes.map_or("no audio".to_owned(), |bytes| format!("{bytes} bytes"));
                    writeln!(out, "{}  ended {:.0}  {bytes}  {}", one.id, one.ended, why.key())?;
                }
            }
        }
        let bytes: u64 = going.iter().filter_map(|(one, _)| one.bytes).sum();
        let what = if self.dry_run { "would go" } else { "are due" };
        eprintln!("{} operations with {bytes} bytes of recordings {what}", going.len());
        Ok(())
    }
}
