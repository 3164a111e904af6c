//! `tonearm record`: one recording from the terminal, through the same pipeline as the daemon's.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use console::{Term, truncate_str};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::meter::Level;
use super::{Done, Failure, request, runtime, waveform};
use crate::api;
use crate::clock;
use crate::config::Config;
use crate::control::chain::Setup;
use crate::control::line::{Ask, Begin, Line, Microphone, Running, Settings};
use crate::control::operation::{Canceler, Operation, RecordRequest};
use crate::dsp::ear::Meter;
use crate::pipeline::Channels;
use crate::playback::BEEP;
use crate::store::growth::{Abandoned, Outcome};
use crate::store::recording_in;
use crate::wav::SampleFormat;

/// The level moves so often.
const FRAME: Duration = Duration::from_millis(100);

#[derive(Args)]
pub struct Record {
    /// What to record from: device:NAME, `wav:PATH[?pace=real|fast][&loop=true]` or silence:
    #[arg(long, value_name = "SOURCE", default_value = "device:default")]
    source: String,
    /// A line of the configuration instead: its source, channels and rate
    #[arg(long, value_name = "NAME", conflicts_with = "source")]
    line: Option<String>,
    /// The configuration that the line is in
    #[arg(long, value_name = "FILE", env = "TONEARM_CONFIG")]
    config: Option<PathBuf>,
    /// The request, as it would be posted; the options below add to it
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// prompts: refused here, since only the daemon plays them
    #[arg(long = "prompt", value_name = "URI")]
    prompts: Vec<String>,
    /// bargeInAllowed: speech or a key ends the prompts
    #[arg(long)]
    barge_in_allowed: bool,
    /// initialSilenceTimeoutInSeconds: with no speech for so long it fails
    #[arg(long, value_name = "SECONDS")]
    initial_silence: Option<i64>,
    /// maxSilenceTimeoutInSeconds: with no speech for so long after speech it is complete
    #[arg(long, value_name = "SECONDS")]
    max_silence: Option<i64>,
    /// maxRecordDurationInSeconds: so long at the most
    #[arg(long, value_name = "SECONDS")]
    max_duration: Option<i64>,
    /// stopTones: the keys that end it; may be given several times
    #[arg(long = "stop-tone", value_name = "KEYS")]
    stop_tones: Vec<String>,
    /// playBeep: wait as long as the beep lasts before recording
    #[arg(long)]
    play_beep: bool,
    /// streamWhileRecording: checked only, since nobody streams from a terminal's recording
    #[arg(long)]
    stream_while_recording: bool,
    /// recordingFormat: what the recording is stored as
    #[arg(long, value_name = "FORMAT")]
    recording_format: Option<String>,
    /// clientContext: goes into the operation and the file's description
    #[arg(long, value_name = "TEXT")]
    client_context: Option<String>,
    /// Where the recording goes
    #[arg(short, long, value_name = "FILE", default_value = "recording.wav")]
    output: PathBuf,
}

impl Record {
    pub fn run(&self) -> Done {
        let request = self.request()?;
        let settings = self.settings().map_err(Failure::Misused)?;
        if self.output.exists() {
            return Err(Failure::Misused(format!(
                "{} exists already; give another name with -o",
                self.output.display()
            )));
        }
        runtime().map_err(Failure::Failed)?.block_on(self.record(settings, request))
    }

    /// What is recorded, and how; where it goes is not known yet.
    fn settings(&self) -> Result<Settings, String> {
        let settings = Settings {
            name: "terminal".to_owned(),
            source: self.source.parse()?,
            // So that a device that cannot be opened is told at once.
            open_always: false,
            channels: Channels::ALL,
            rate: None,
            format: SampleFormat::S16,
            playback: "none".to_owned(),
            folder: PathBuf::new(),
            sync_interval: Duration::from_secs(1),
        };
        let Some(name) = &self.line else { return Ok(settings) };
        let config = Config::find(self.config.as_deref()).map_err(|error| error.to_string())?;
        let line = config.lines.iter().find(|(known, _)| known == name).map(|(_, line)| line).ok_or_else(|| {
            let known: Vec<&str> = config.lines.iter().map(|(known, _)| known.as_str()).collect();
            format!("there is no line {name:?}; there are {}", known.join(", "))
        })?;
        Ok(Settings {
            name: name.clone(),
            source: line.source()?,
            channels: line.channels()?,
            rate: line.rate()?,
            format: config.sample_format()?,
            ..settings
        })
    }

    /// What is asked for, checked as a posted request is.
    fn request(&self) -> Result<RecordRequest, Failure> {
        let members = Value::Object(self.members()?).to_string();
        request::parse(members.as_bytes()).map_err(Failure::Misused)
    }

    /// The file's members, and the options over them.
    fn members(&self) -> Result<Map<String, Value>, Failure> {
        let mut members = match &self.request {
            Some(file) => {
                let named = |why: String| Failure::Misused(format!("{}: {why}", file.display()));
                let bytes = fs::read(file).map_err(|error| named(error.to_string()))?;
                request::parse(&bytes).map_err(named)?;
                serde_json::from_slice::<Map<String, Value>>(&bytes).map_err(|error| named(error.to_string()))?
            }
            // A beep that nobody hears is no default for a terminal.
            None => Map::from_iter([("playBeep".to_owned(), json!(false))]),
        };
        let prompts: Vec<Value> = self.prompts.iter().map(|uri| json!({"mediaInfo": {"uri": uri}})).collect();
        let options = [
            ("prompts", (!prompts.is_empty()).then(|| json!(prompts))),
            ("bargeInAllowed", self.barge_in_allowed.then_some(Value::Bool(true))),
            ("initialSilenceTimeoutInSeconds", self.initial_silence.map(Value::from)),
            ("maxSilenceTimeoutInSeconds", self.max_silence.map(Value::from)),
            ("maxRecordDurationInSeconds", self.max_duration.map(Value::from)),
            ("stopTones", (!self.stop_tones.is_empty()).then(|| json!(self.stop_tones))),
            ("playBeep", self.play_beep.then_some(Value::Bool(true))),
            ("streamWhileRecording", self.stream_while_recording.then_some(Value::Bool(true))),
            ("recordingFormat", self.recording_format.clone().map(Value::from)),
            ("clientContext", self.client_context.clone().map(Value::from)),
        ];
        members.extend(options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Ok(members)
    }

    async fn record(&self, settings: Settings, request: RecordRequest) -> Done {
        let folder = Folder::beside(&self.output)?;
        let settings = Settings { folder: folder.0.clone(), ..settings };
        let microphone = Microphone::new(settings.source.clone(), Setup::default());
        let line = Line::new(settings, microphone).map_err(Failure::Misused)?;
        let (id, created) = (Uuid::new_v4(), clock::wall());
        let ask = Ask {
            id,
            begin: if request.play_beep { Begin::AfterTimed(BEEP) } else { Begin::Now },
            initial_silence: request.initial_silence,
            max_silence: request.max_silence,
            max_duration: request.max_duration,
            stop_tones: request.stop_tones(),
            client_context: request.client_context.clone(),
            muted: false,
        };
        let running = line.record(ask).map_err(|error| Failure::Failed(error.to_string()))?;
        let outcome = follow(&line, running).await?;
        let recorded = recording_in(&folder.0, id);
        if outcome.recording.is_some() {
            fs::rename(&recorded, &self.output).map_err(|error| {
                Failure::Failed(format!("{}: {error}; the recording is {}", self.output.display(), recorded.display()))
            })?;
        }
        let mut operation = Operation::finished(id, line.name(), request, &outcome, created, clock::wall());
        if outcome.ending.reason == crate::record::Reason::Canceled {
            operation.cancel(&Canceler::Shutdown, clock::wall());
        }
        let json = api::operations::operation_json(&operation, &api::operations::Links::NONE);
        if io::stderr().is_terminal() && outcome.recording.is_some() {
            eprintln!("{}", waveform::of_file(&self.output).unwrap_or_default());
            eprintln!("{}", self.output.display());
        }
        let text = serde_json::to_string_pretty(&json).map_err(|error| Failure::Failed(error.to_string()))?;
        println!("{text}");
        match operation.status {
            crate::control::operation::Status::Failed => {
                Err(Failure::Failed(operation.result.map(|result| result.message).unwrap_or_default()))
            }
            _ => Ok(()),
        }
    }
}

/// A folder that goes when it is not needed any more; what is still in it keeps it.
struct Folder(PathBuf);

impl Folder {
    /// Beside a file, so that moving there is a rename.
    fn beside(output: &Path) -> Result<Folder, Failure> {
        let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(".".as_ref());
        let folder = folder.join(format!(".tonearm-{}", Uuid::new_v4()));
        fs::create_dir(&folder).map_err(|error| Failure::Failed(format!("{}: {error}", folder.display())))?;
        Ok(Folder(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Shows the recording until it has ended; Ctrl-C ends it.
async fn follow(line: &Line, mut running: Running) -> Result<Arc<Outcome>, Failure> {
    let show = io::stderr().is_terminal();
    let mut frame = tokio::time::interval(FRAME);
    let terminal = Term::stderr();
    let watched = running.growth.clone();
    loop {
        tokio::select! {
            ended = running.growth.ended() => {
                if show {
                    eprint!("\r\x1b[K");
                }
                return ended.map_err(|Abandoned| Failure::Failed("the recording was lost".to_owned()));
            }
            _ = tokio::signal::ctrl_c() => line.cancel(running.key),
            _ = frame.tick() => if show {
                let frames = watched.now().committed_frames;
                let seconds = line.spec().map_or(0.0, |spec| spec.rate.seconds(frames));
                let status = status(seconds, &line.meters());
                // What does not fit would begin a second line that nobody clears.
                let columns = usize::from(terminal.size().1);
                let _ = write!(io::stderr(), "\r{}\x1b[K", truncate_str(&status, columns, ""));
                let _ = io::stderr().flush();
            },
        }
    }
}

/// Elapsed time, level, floor, whether there is speech, and the last key.
fn status(seconds: f64, meters: &[Meter]) -> String {
    let Some(meter) = meters.iter().max_by(|a, b| a.rms_dbfs.total_cmp(&b.rms_dbfs)) else {
        return format!("{seconds:7.1} s");
    };
    let level = Level::from(meter);
    let key = meters.iter().find_map(|meter| meter.last_key).map(|key| format!(", key {}", key.char()));
    format!(
        "{seconds:7.1} s  {}  {:6.1} dBFS, floor {:6.1}  {}{}",
        level.bar(),
        level.rms_dbfs,
        level.noise_floor_dbfs,
        level.word(),
        key.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::dsp::tone::Key;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        record: Record,
    }

    fn record(arguments: &str) -> Record {
        Arguments::parse_from(["record"].into_iter().chain(arguments.split_whitespace())).record
    }

    #[test]
    fn every_property_of_a_request_has_an_option() {
        let options = "--prompt file:a.wav --prompt file:b.wav --barge-in-allowed --initial-silence 1 --max-silence 2 \
                       --max-duration 3 --play-beep --stream-while-recording --stop-tone # --stop-tone 12 \
                       --recording-format wav --client-context desk";
        let asked = json!({
            "prompts": [{"mediaInfo": {"uri": "file:a.wav"}}, {"mediaInfo": {"uri": "file:b.wav"}}],
            "bargeInAllowed": true,
            "initialSilenceTimeoutInSeconds": 1,
            "maxSilenceTimeoutInSeconds": 2,
            "maxRecordDurationInSeconds": 3,
            "playBeep": true,
            "streamWhileRecording": true,
            "stopTones": ["#", "12"],
            "recordingFormat": "wav",
            "clientContext": "desk",
        });
        assert_eq!(Value::Object(record(options).members().unwrap()), asked);
    }

    #[test]
    fn options_are_checked_as_a_posted_request_is() {
        let Err(Failure::Misused(why)) = record("--recording-format flac").request() else { panic!("it was taken") };
        assert_eq!(why, "recordingFormat \"flac\" is not supported; supported: wav");
        let Err(Failure::Misused(why)) = record("--prompt file:a.wav").request() else { panic!("it was taken") };
        assert!(why.contains("by the daemon only"), "{why}");
        assert!(record("--recording-format wav --stream-while-recording").request().unwrap().stream);
    }

    #[test]
    fn the_status_line_shows_the_loudest_channel_and_the_last_key() {
        let quiet = Meter {
            rms_dbfs: -60.0,
            peak: 0.0,
            clipped: 0,
            floor_dbfs: -70.0,
            threshold_dbfs: -50.0,
            speaking: false,
            last_key: Key::new('#'),
        };
        let loud = Meter { rms_dbfs: -20.0, floor_dbfs: -58.5, threshold_dbfs: -40.0, speaking: true, ..quiet };
        let line = "   12.5 s  :#########|#########..........   -20.0 dBFS, floor  -58.5  speech, key #";
        assert_eq!(status(12.5, &[quiet, loud]), line);
        let none = Meter { last_key: None, ..quiet };
        assert!(status(0.0, &[none]).ends_with("floor  -70.0  silence"));
        assert_eq!(status(0.0, &[]), "    0.0 s");
    }
}
