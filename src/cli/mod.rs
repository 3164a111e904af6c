//! The commands. Data goes to standard output, words to standard error.
//!
//! Belongs here: arguments, what a terminal shows, exit codes. Does not: anything the daemon needs (`control`, `api`).

mod check;
mod daemon;
mod detect;
#[cfg(feature = "device")]
mod devices;
mod manual;
mod meter;
mod progress;
mod prune;
mod record;
mod repair;
mod replay;
mod request;
mod serve;
mod watch;
mod waveform;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A command failed.
#[derive(Debug)]
pub enum Failure {
    /// It could not be done: exit code 1.
    Failed(String),
    /// Wrong use or bad configuration: exit code 2.
    Misused(String),
}

/// What a command comes to: whether everything went well.
pub type Done = Result<(), Failure>;

#[derive(Parser)]
#[command(
    name = "tonearm",
    version,
    about = "Records local microphones when asked over HTTP, as Microsoft Graph's call: record does"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon
    Serve(serve::Serve),
    /// Make one recording, here and now
    Record(record::Record),
    /// Show the lines and operations of a running daemon until Ctrl-C: a live table on a terminal, else what happens, a line each
    Watch(watch::Watch),
    /// Look whether this host can do what the configuration asks of it; each line says what was found and what to do
    Check(check::Check),
    /// Run the whole pipeline over WAV files, as fast as it goes
    Replay(replay::Replay),
    /// Find every DTMF tone (and, if asked, speech) in WAV files
    Detect(detect::Detect),
    /// Finish or put aside what a crash left in a folder of recordings; the daemon does it at its start
    Repair(repair::Repair),
    /// Remove what retention keeps no longer, or list it; the daemon does it by itself
    Prune(prune::Prune),
    /// Print what makes a shell complete commands and options
    Completions(manual::Completions),
    /// Write a manual page for every command
    Man(manual::Man),
    /// List what can be recorded from and played to
    #[cfg(feature = "device")]
    Devices(devices::Devices),
}

/// Runs what the command line asks for.
pub fn run() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Record(record) => record.run(),
        Command::Watch(watch) => watch.run(),
        Command::Check(check) => check.run(),
        Command::Replay(replay) => replay.run(),
        Command::Detect(detect) => detect.run(),
        Command::Repair(repair) => repair.run(),
        Command::Prune(prune) => prune.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
        #[cfg(feature = "device")]
        Command::Devices(devices) => devices.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(words)) => complain(&words, 1),
        Err(Failure::Misused(words)) => complain(&words, 2),
    }
}

/// What commands wait on that ask or are told something, and what `record` runs on.
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())
}

fn complain(words: &str, code: u8) -> ExitCode {
    if !words.is_empty() {
        eprintln!("tonearm: {words}");
    }
    ExitCode::from(code)
}
