//! `tonearm repair`: what the daemon does with recordings at its start, by hand.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{Done, Failure};
use crate::clock;
use crate::control::operation::Operation;
use crate::control::restart::{frames_of, operations};
use crate::store::journal::{Journal, JournalError};
use crate::store::lock::{LOCK, Lock};
use crate::store::recover::{Fate, Found, recover};

#[derive(Args)]
pub struct Repair {
    /// A folder of recordings, or the daemon's directory that holds one
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// One line of JSON a file
    #[arg(long)]
    json: bool,
}

impl Repair {
    pub fn run(&self) -> Done {
        if !self.folder.is_dir() {
            return Err(Failure::Misused(format!("{} is no folder", self.folder.display())));
        }
        let recordings = self.folder.join("recordings");
        let recordings = if recordings.is_dir() { recordings } else { self.folder.clone() };
        let _locks = locks(&recordings).map_err(Failure::Failed)?;
        let operations = self.journal()?;
        let found = recover(&recordings, |id| frames_of(&operations, id))
            .map_err(|error| Failure::Failed(format!("{} cannot be read: {error}", recordings.display())))?;
        let mut out = io::stdout().lock();
        for found in &found {
            let line = if self.json { as_json(found) } else { in_words(found) };
            writeln!(out, "{line}").map_err(|error| Failure::Failed(error.to_string()))?;
        }
        let failed = found.iter().filter(|found| matches!(found.fate, Fate::Failed(_))).count();
        match failed {
            0 if found.is_empty() && !self.json => {
                eprintln!("there is nothing to repair: no .wav.part lies in {}", recordings.display());
                Ok(())
            }
            0 => Ok(()),
            failed => Err(Failure::Failed(format!("{failed} of {} files could not be repaired", found.len()))),
        }
    }
}

impl Repair {
    /// What the journal says, if there is one. A damaged one is put aside; the daemon makes an empty one then.
    fn journal(&self) -> Result<HashMap<Uuid, Operation>, Failure> {
        let path = self.folder.join("journal.sqlite");
        if !path.exists() {
            return Ok(HashMap::new());
        }
        match Journal::open(&path).and_then(|journal| operations(&journal)) {
            Ok(operations) => Ok(operations),
            Err(JournalError::Corrupt(words)) => {
                let stamp = clock::wall().strftime("%Y%m%dT%H%M%SZ").to_string();
                let to = Journal::quarantine(&path, &self.folder.join("quarantine"), &stamp);
                let to = to.map_err(|error| Failure::Failed(format!("{} cannot be moved: {error}", path.display())))?;
                let line = match self.json {
                    true => json!({"file": "journal.sqlite", "fate": "quarantined", "as": to.display().to_string(), "why": words}).to_string(),
                    false => format!("journal.sqlite: put aside as {}; it is damaged: {words}", to.display()),
                };
                writeln!(io::stdout(), "{line}").map_err(|error| Failure::Failed(error.to_string()))?;
                Ok(HashMap::new())
            }
            Err(error) => Err(Failure::Failed(format!("{}: {error}", path.display()))),
        }
    }
}

/// Where a daemon's lock lies beside or above these recordings, it is taken: nobody may be writing there.
fn locks(recordings: &Path) -> Result<Vec<Lock>, String> {
    let absolute = recordings.canonicalize().map_err(|error| format!("{}: {error}", recordings.display()))?;
    let folders = absolute.ancestors().take(2).filter(|folder| folder.join(LOCK).exists());
    folders.map(|folder| Lock::take(folder).map_err(|error| error.to_string())).collect()
}

fn in_words(Found { id, fate }: &Found) -> String {
    match fate {
        Fate::Finished { spec, frames } => {
            let (hz, channels, seconds) = (spec.rate.hz(), spec.channels, spec.rate.seconds(*frames));
            format!(
                "{id}.wav.part: finished as {id}.wav, {seconds:.3} s ({frames} frames at {hz} Hz, {channels} channels)"
            )
        }
        Fate::Quarantined { to, why } => format!("{id}.wav.part: put aside as {}; {why}", to.display()),
        Fate::Failed(error) => format!("{id}.wav.part: left as it is; {error}"),
    }
}

fn as_json(Found { id, fate }: &Found) -> String {
    let file = format!("{id}.wav.part");
    let fate = match fate {
        Fate::Finished { spec, frames } => json!({
            "file": file, "fate": "finished", "as": format!("{id}.wav"), "frames": frames,
            "sampleRate": spec.rate.hz(), "channels": spec.channels, "durationSeconds": spec.rate.seconds(*frames),
        }),
        Fate::Quarantined { to, why } => {
            json!({"file": file, "fate": "quarantined", "as": to.display().to_string(), "why": why})
        }
        Fate::Failed(error) => json!({"file": file, "fate": "failed", "why": error.message}),
    };
    fate.to_string()
}
