//! `tonearm replay`: the whole pipeline over files, flat out: same audio and request, same operation and same samples
//! as live.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use indicatif::ProgressBar;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Done, Failure, progress, request};
use crate::api;
use crate::capture::{Pace, Source};
use crate::control::chain::{FlatChain, Setup, next_key};
use crate::control::operation::{Operation, RecordRequest};
use crate::pipeline::{Channels, Order, Start};
use crate::record::Rules;
use crate::store::growth::growth;
use crate::store::writer::{Anchor, Ticket};
use crate::wav::{Metadata, SampleFormat, Spec};

#[derive(Args)]
pub struct Replay {
    /// The request, as it would be posted
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// Where the recordings go, each under its file's name
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// So many files at a time; by default one a processor
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// The files
    #[arg(required = true, value_name = "WAV")]
    files: Vec<PathBuf>,
}

impl Replay {
    pub fn run(&self) -> Done {
        let bytes = fs::read(&self.request)
            .map_err(|error| Failure::Misused(format!("{}: {error}", self.request.display())))?;
        let request =
            request::parse(&bytes).map_err(|why| Failure::Misused(format!("{}: {why}", self.request.display())))?;
        fs::create_dir_all(&self.out).map_err(|error| Failure::Failed(format!("{}: {error}", self.out.display())))?;
        let outs = self.outs()?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.jobs.unwrap_or(processors).clamp(1, self.files.len());
        let next = AtomicUsize::new(0);
        let results = self.files.iter().map(|_| None).collect();
        let printer = Mutex::new(Printer { printed: 0, results, bar: progress::over(self.files.len()) });
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let index = next.fetch_add(1, Ordering::Relaxed)
                        && index < self.files.len()
                    {
                        let result = replay(&self.files[index], &outs[index], &request, &bytes);
                        let result = result.map_err(|why| format!("{}: {why}", self.files[index].display()));
                        if let Ok(mut printer) = printer.lock() {
                            printer.take(index, result);
                        }
                    }
                });
            }
        });
        match printer.into_inner().map_or(0, |printer| printer.failed()) {
            0 => Ok(()),
            n => Err(Failure::Failed(format!("{n} of {} files could not be processed", self.files.len()))),
        }
    }

    /// Where each file's recording goes; no two may meet.
    fn outs(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut seen = HashSet::new();
        let out = |file: &PathBuf| {
            let stem = file.file_stem().ok_or_else(|| Failure::Misused(format!("{} is no file", file.display())))?;
            let out = self.out.join(stem).with_added_extension("wav");
            if fs::canonicalize(&out).is_ok_and(|out| fs::canonicalize(file).is_ok_and(|file| file == out)) {
                return Err(Failure::Misused(format!("{} would be overwritten by its own recording", file.display())));
            }
            match seen.insert(out.clone()) {
                true => Ok(out),
                false => Err(Failure::Misused(format!("two files would be recorded to {}", out.display()))),
            }
        };
        self.files.iter().map(out).collect()
    }
}

/// Prints results in the order of the files, as soon as all before one are there.
struct Printer {
    printed: usize,
    results: Vec<Option<Result<String, String>>>,
    bar: ProgressBar,
}

impl Printer {
    fn take(&mut self, index: usize, result: Result<String, String>) {
        self.results[index] = Some(result);
        while let Some(Some(result)) = self.results.get(self.printed) {
            self.bar.suspend(|| match result {
                // A closed pipe ends the output, not the work.
                Ok(line) => drop(writeln!(io::stdout(), "{line}")),
                Err(why) => eprintln!("tonearm: {why}"),
            });
            self.printed += 1;
        }
        self.bar.inc(1);
    }

    /// Ends the bar; how many files could not be processed.
    fn failed(&self) -> usize {
        self.bar.finish_and_clear();
        self.results.iter().flatten().filter(|result| result.is_err()).count()
    }
}

/// Records one file; the operation as one line of JSON.
fn replay(file: &Path, out: &Path, request: &RecordRequest, bytes: &[u8]) -> Result<String, String> {
    let source = Source::Wav { path: file.to_owned(), pace: Pace::Fast, repeat: false };
    let mut chain = FlatChain::open(&source, &Setup::default())?;
    let desk = chain.desk();
    let (growth, watched) = growth();
    let id = id_of(file, bytes);
    let rate = desk.rate;
    let ticket = Box::new(Ticket {
        path: out.to_owned(),
        spec: Spec { rate, channels: desk.channels as u16, format: SampleFormat::S16 },
        channels: Channels::ALL,
        device_rate: rate,
        metadata: Metadata {
            description: request.client_context.clone().unwrap_or_default(),
            reference: id.to_string(),
            started: None,
        },
        // Nothing was captured at any time of day, and the same input shall give the same file.
        anchor: Anchor { frame: 0, at: Timestamp::UNIX_EPOCH },
        sync_every_frames: 0,
        ceiling_bytes: u64::MAX,
        growth,
    });
    for stale in [out.to_owned(), crate::store::part_of(out)] {
        match fs::remove_file(&stale) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(format!("{}: {error}", stale.display()));
            }
            _ => {}
        }
    }
    let (initial, silence, duration) = (request.initial_silence, request.max_silence, request.max_duration);
    let rules = Rules::in_seconds(rate, initial, silence, duration, request.stop_tones());
    desk.begin(Order { key: next_key(), channels: Channels::ALL, start: Start::At(0), rules, ticket }, false)?;
    let outcome = loop {
        if let Some(outcome) = watched.outcome() {
            break outcome;
        }
        chain.turn();
    };
    let epoch = Timestamp::UNIX_EPOCH;
    let operation = Operation::finished(id, "replay", request.clone(), &outcome, epoch, epoch);
    let json = api::operations::operation_json(&operation, &api::operations::Links::NONE);
    serde_json::to_string(&json).map_err(|error| error.to_string())
}

/// An id that is the same for the same file name and request.
fn id_of(file: &Path, request: &[u8]) -> Uuid {
    let mut digest = Sha256::new();
    digest.update(file.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default());
    digest.update([0]);
    digest.update(request);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
