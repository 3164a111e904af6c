//! `tonearm watch`: the lines and operations of a running daemon, as its console shows them, in a terminal.

mod seen;
mod table;

use std::convert::Infallible;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::Url;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

use self::seen::Seen;
use self::table::Table;
use super::daemon::{Daemon, Lost};
use super::{Done, Failure, runtime};

/// The table is drawn so often; the daemon tells levels so often.
const FRAME: Duration = Duration::from_millis(100);
/// Which lines are ready is asked so often.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// A daemon that is gone is looked for so often.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Args)]
pub struct Watch {
    /// Where the daemon is
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8723")]
    url: Url,
    /// A file with the daemon's token; otherwise the variable TONEARM_TOKEN holds it
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Watch {
    pub fn run(&self) -> Done {
        let token = match &self.token_file {
            Some(file) => {
                let text = fs::read_to_string(file);
                Some(text.map_err(|error| Failure::Misused(format!("{}: {error}", file.display())))?)
            }
            None => std::env::var("TONEARM_TOKEN").ok(),
        };
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        let daemon = Daemon::at(self.url.clone(), token).map_err(Failure::Misused)?;
        runtime().map_err(Failure::Failed)?.block_on(watch(&daemon))
    }
}

/// Where what is seen goes: a table that is drawn in place, or what happens, a line each.
enum Shown {
    Table(Table),
    Lines,
}

/// Until a signal comes, or the daemon refuses.
async fn watch(daemon: &Daemon) -> Done {
    let failed = |error: io::Error| Failure::Failed(error.to_string());
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
        .map(signal)
        .into_iter()
        .collect::<io::Result<Vec<_>>>()
        .map_err(failed)?;
    let [interrupt, terminate, hang_up] = &mut signals[..] else { return Ok(()) };
    tokio::select! {
        refused = follow(daemon) => refused,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = hang_up.recv() => Ok(()),
    }
}

/// Shows the daemon; one that was there and is gone is waited for.
async fn follow(daemon: &Daemon) -> Done {
    let mut shown: Option<Shown> = None;
    loop {
        let Err(lost) = show(daemon, &mut shown).await;
        let why = match lost {
            Lost::Refused(words) => return Err(Failure::Failed(words)),
            Lost::Gone(words) if shown.is_none() => return Err(Failure::Failed(words)),
            // Whoever reads our lines has read enough.
            Lost::Unread => return Ok(()),
            Lost::Gone(words) => words,
        };
        match &mut shown {
            Some(Shown::Table(table)) => table.wait(&why),
            _ => eprintln!("tonearm: {why} Trying again."),
        }
        sleep(AGAIN).await;
    }
}

/// Shows the daemon for as long as it tells what happens.
async fn show(daemon: &Daemon, shown: &mut Option<Shown>) -> Result<Infallible, Lost> {
    // First the events, so that nothing happens between them and what is asked for.
    let mut events = daemon.events().await?;
    let mut seen = Seen::of(daemon).await?;
    let is_new = shown.is_none();
    let shown = shown.get_or_insert_with(|| match io::stdout().is_terminal() {
        true => Shown::Table(Table::open()),
        false => Shown::Lines,
    });
    if let Shown::Lines = shown
        && is_new
    {
        print(&seen.lines_in_words())?;
    }
    let (mut frame, mut ask) = (interval(FRAME), interval(ASK_EVERY));
    frame.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            told = events.next() => {
                let (name, data) = told?;
                let words = match name.as_str() {
                    "missed" => {
                        seen = Seen::of(daemon).await?;
                        Vec::new()
                    }
                    _ => seen.told(&name, &data),
                };
                if let Shown::Lines = shown {
                    print(&words)?;
                }
            }
            _ = frame.tick() => if let Shown::Table(table) = shown {
                table.draw(daemon.url(), &seen);
            },
            _ = ask.tick() => {
                let words = seen.ask(daemon).await?;
                if let Shown::Lines = shown {
                    print(&words)?;
                }
            }
        }
    }
}

fn print(lines: &[String]) -> Result<(), Lost> {
    let mut out = io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}")).map_err(|_| Lost::Unread)
}
