//! The configuration: every key with its default, its unit and what is valid.
//!
//! Belongs here: reading TOML and the environment, and saying what is wrong with them. Does not: acting on it (`cli`).

mod detection;
mod jwt;
mod line;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::api::MEDIA_ROLE;
use crate::api::record::Limits;
use crate::control::call::plain;
use crate::control::hosts::Hosts;
use crate::control::retention::Policy;
use crate::wav::SampleFormat;
pub use detection::Detection;
pub use jwt::Jwt;
pub use line::{Line, Open};

/// What begins the name of a variable that overrides a key: `TONEARM__SERVER__LISTEN`.
const OVERRIDE: &str = "TONEARM__";

/// All of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// HTTP.
    pub server: Server,
    /// Where recordings are kept, and how.
    pub storage: Storage,
    /// What requests may ask for.
    pub record: Record,
    /// The microphones in their order; the first is the default.
    #[serde(deserialize_with = "in_order")]
    #[schemars(with = "BTreeMap<String, Line>")]
    pub lines: Vec<(String, Line)>,
    /// Who may use the daemon; with none, a token is made at the first start.
    pub applications: Vec<Application>,
    /// The identity provider whose tokens are taken beside applications' own; none.
    pub jwt: Option<Jwt>,
    /// Where notifications may go.
    pub notifications: Notifications,
    /// Where prompts come from.
    pub prompts: Prompts,
    /// The detectors' thresholds.
    pub detection: Detection,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port; `127.0.0.1:8723`. Port 0 takes any that is free.
    pub listen: SocketAddr,
    /// What locations begin with, where a proxy stands before the daemon; none.
    pub public_url: Option<String>,
    /// Further host names that requests may name; none.
    pub hosts: Vec<String>,
    /// Origins of web pages that may use the daemon; none.
    pub cors_origins: Vec<String>,
    /// The certificate and those that vouch for it, as PEM; none, which is HTTP without TLS. Read again when it changes.
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key, as PEM; none.
    pub tls_key: Option<PathBuf>,
    /// So long a stop waits for running recordings to be finished, 1 to 3,600 s; 10.
    pub shutdown_seconds: u32,
}

/// `[storage]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// The folder of all data; `$XDG_DATA_HOME/tonearm` or `~/.local/share/tonearm`.
    pub directory: Option<PathBuf>,
    /// With less space than this no recording is taken on, in bytes; 64 MiB.
    pub reserve_bytes: u64,
    /// Operations and their recordings go so many days after they ended, 1 to 36,500; none: they stay. What left no audio
    /// goes after 30 days then.
    pub retention_days: Option<u32>,
    /// While recordings take more than this many bytes, the one that ended first goes; none: however much they take.
    pub retention_bytes: Option<u64>,
    /// So much audio waits in memory for a slow disk, 1 to 600 s; 10.
    pub buffer_seconds: u32,
    /// A growing recording is synced so often, 0 (only at its end) to 60,000 ms; 1,000.
    pub sync_interval_ms: u32,
}

/// `[record]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Record {
    /// What a request that does not say it waits for the first speech, in s; 5.
    pub initial_silence_seconds: u32,
    /// And after the last, in s; 5.
    pub max_silence_seconds: u32,
    /// And how long it may be, in s; 5.
    pub max_duration_seconds: u32,
    /// The most of each that a request may ask for, 1 to 86,400 s; 86,400.
    pub ceiling_seconds: u32,
    /// So many recordings run or wait at once, 1 to 1,000; 64.
    pub max_recordings: usize,
    /// How samples are stored: `s16`, `s24` or `f32`; `s16`.
    pub sample_format: String,
}

/// `[[applications]]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// Its name.
    pub id: String,
    /// The SHA-256 of its token, in hex.
    #[serde(default)]
    pub token_sha256: Option<String>,
    /// A file that holds its token.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// What it may do; `["Calls.AccessMedia.All"]`, which is to record.
    #[serde(default = "all_media")]
    pub roles: Vec<String>,
    /// The lines it may use; `["*"]` is all.
    #[serde(default = "all_lines")]
    pub lines: Vec<String>,
    /// Where notifications of standing calls go; nowhere.
    #[serde(default)]
    pub callback_uri: Option<String>,
    /// A file that holds the token sent along with notifications; none.
    #[serde(default)]
    pub callback_token_file: Option<PathBuf>,
    /// A file that holds the key that notifications are signed with, `whsec_…` or base64; none.
    #[serde(default)]
    pub signing_key_file: Option<PathBuf>,
}

fn all_media() -> Vec<String> {
    vec![MEDIA_ROLE.to_owned()]
}

fn all_lines() -> Vec<String> {
    vec!["*".to_owned()]
}

/// `[notifications]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Notifications {
    /// Hosts beyond loopback, as `host` or `host:port`; none.
    pub allow_hosts: Vec<String>,
    /// So long a notification is tried, 0 to 2,592,000 s; 86,400.
    pub retry_for_seconds: u32,
}

/// `[prompts]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prompts {
    /// The folder that `file:` URIs resolve in; without one no file is a prompt.
    pub directory: Option<PathBuf>,
    /// Hosts that prompts may be fetched from, as `host` or `host:port`; none.
    pub allow_hosts: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        let mic = Line::of("device:default");
        Config {
            server: Server::default(),
            storage: Storage::default(),
            record: Record::default(),
            lines: vec![("mic".to_owned(), mic)],
            applications: Vec::new(),
            jwt: None,
            notifications: Notifications::default(),
            prompts: Prompts::default(),
            detection: Detection::default(),
        }
    }
}

impl Default for Server {
    fn default() -> Server {
        Server {
            listen: SocketAddr::from(([127, 0, 0, 1], 8723)),
            public_url: None,
            hosts: Vec::new(),
            cors_origins: Vec::new(),
            tls_cert: None,
            tls_key: None,
            shutdown_seconds: 10,
        }
    }
}

impl Server {
    /// Each is one origin, as browsers write it: pages of all the world are never let in.
    fn check_origins(&self) -> Result<(), Wrong> {
        // A URL's host may hold an asterisk.
        let is_origin = |text: &String| {
            let read = reqwest::Url::parse(text).map(|url| url.origin().ascii_serialization());
            !text.contains('*') && read.is_ok_and(|origin| origin == *text)
        };
        let why = |text: &String| format!("server.cors_origins: {text:?} is no origin; valid is https://HOST[:PORT]");
        self.cors_origins
            .iter()
            .find(|text| !is_origin(text))
            .map_or(Ok(()), |text| Err(Wrong::at("server.cors_origins", why(text))))
    }
}

impl Default for Storage {
    fn default() -> Storage {
        Storage {
            directory: None,
            reserve_bytes: 64 << 20,
            retention_days: None,
            retention_bytes: None,
            buffer_seconds: 10,
            sync_interval_ms: 1_000,
        }
    }
}

impl Default for Record {
    fn default() -> Record {
        let limits = Limits::default();
        Record {
            initial_silence_seconds: limits.initial_silence,
            max_silence_seconds: limits.max_silence,
            max_duration_seconds: limits.max_duration,
            ceiling_seconds: limits.ceiling,
            max_recordings: 64,
            sample_format: SampleFormat::S16.name().to_owned(),
        }
    }
}

impl Default for Notifications {
    fn default() -> Notifications {
        Notifications { allow_hosts: Vec::new(), retry_for_seconds: 86_400 }
    }
}

/// What is wrong with a configuration: file, place, and what is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// Where a configuration lies if nobody names one.
const SYSTEM: &str = "/etc/tonearm/tonearm.toml";

impl Config {
    /// Reads the file that is named, or else the system's, or else the defaults; and the variables that override it.
    pub fn find(named: Option<&Path>) -> Result<Config, ConfigError> {
        Config::load(Config::place(named), std::env::vars())
    }

    /// The file that is read, if this one is named or none is; `None` where there are only the defaults.
    pub fn place(named: Option<&Path>) -> Option<&Path> {
        let system = Path::new(SYSTEM);
        named.or(system.exists().then_some(system))
    }

    /// Reads a file and the variables that override it; without a file, the defaults.
    pub fn load(file: Option<&Path>, variables: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigError> {
        let (name, text) = match file {
            Some(file) => {
                let named = |error: std::io::Error| ConfigError(format!("{}: {error}", file.display()));
                (file.display().to_string(), std::fs::read_to_string(file).map_err(named)?)
            }
            None => ("the default configuration".to_owned(), String::new()),
        };
        let overrides: BTreeMap<String, String> =
            variables.filter_map(|(name, value)| Some((name.strip_prefix(OVERRIDE)?.to_owned(), value))).collect();
        Config::parse(&name, &text, &overrides)
    }

    fn parse(name: &str, text: &str, overrides: &BTreeMap<String, String>) -> Result<Config, ConfigError> {
        // The text by itself first: only then do messages name lines.
        let config: Config = toml::from_str(text).map_err(|error| ConfigError(format!("{name}: {error}")))?;
        let config = if overrides.is_empty() { config } else { overridden(text, overrides)? };
        config.check().map_err(|wrong| match line_of(text, &wrong.key) {
            Some(line) => ConfigError(format!("{name}, line {line}: {}", wrong.why)),
            None => ConfigError(format!("{name}: {}", wrong.why)),
        })?;
        Ok(config)
    }

    /// What no type can say.
    fn check(&self) -> Result<(), Wrong> {
        within("server.shutdown_seconds", self.server.shutdown_seconds, 1, 3_600)?;
        within("storage.buffer_seconds", self.storage.buffer_seconds, 1, 600)?;
        if let Some(days) = self.storage.retention_days {
            within("storage.retention_days", days, 1, 36_500)?;
        }
        within("storage.sync_interval_ms", self.storage.sync_interval_ms, 0, 60_000)?;
        within("record.ceiling_seconds", self.record.ceiling_seconds, 1, 86_400)?;
        let ceiling = self.record.ceiling_seconds;
        within("record.initial_silence_seconds", self.record.initial_silence_seconds, 1, ceiling)?;
        within("record.max_silence_seconds", self.record.max_silence_seconds, 1, ceiling)?;
        within("record.max_duration_seconds", self.record.max_duration_seconds, 1, ceiling)?;
        let most = u32::try_from(self.record.max_recordings).unwrap_or(u32::MAX);
        within("record.max_recordings", most, 1, 1_000)?;
        within("notifications.retry_for_seconds", self.notifications.retry_for_seconds, 0, 2_592_000)?;
        self.sample_format().map_err(|why| Wrong::at("record.sample_format", why))?;
        self.detection.check()?;
        let hosts = Hosts::parse(&self.notifications.allow_hosts);
        let hosts = hosts.map_err(|why| Wrong::at("notifications.allow_hosts", why))?;
        if self.server.tls_cert.is_some() != self.server.tls_key.is_some() {
            return Err(Wrong::at("server", "[server] needs both tls_cert and tls_key, or neither".to_owned()));
        }
        self.server.check_origins()?;
        self.jwt.as_ref().map_or(Ok(()), Jwt::check)?;
        Hosts::parse(&self.prompts.allow_hosts).map_err(|why| Wrong::at("prompts.allow_hosts", why))?;
        if self.lines.is_empty() {
            return Err(Wrong::at("", "there is no line; add [lines.NAME] with a source".to_owned()));
        }
        for (index, (name, line)) in self.lines.iter().enumerate() {
            line.check(name)?;
            if let Some((other, _)) = self.lines[..index].iter().find(|(other, _)| plain(other) == plain(name)) {
                let why = format!("lines {other:?} and {name:?} would be one call: dashes do not count");
                return Err(Wrong::at(&format!("lines.{name}"), why));
            }
            let same = |other: &&(String, Line)| other.1.source == line.source;
            let of_source = |line: &Line| (line.device_loss, line.media_timeout_seconds, line.period_ms);
            if let Some((other, its)) = self.lines[..index].iter().find(same)
                && of_source(its) != of_source(line)
            {
                let why = format!(
                    "lines {other:?} and {name:?} share a source, so they need the same device_loss, media_timeout_seconds and period_ms"
                );
                return Err(Wrong::at(&format!("lines.{name}"), why));
            }
        }
        self.applications.iter().enumerate().try_for_each(|(index, app)| self.check_application(index, app, &hosts))
    }

    fn check_application(&self, index: usize, app: &Application, hosts: &Hosts) -> Result<(), Wrong> {
        let wrong = |key: &str, why: String| {
            Err(Wrong::at(&format!("applications[{index}]{key}"), format!("application {:?} {why}", app.id)))
        };
        if self.applications[..index].iter().any(|other| plain(&other.id) == plain(&app.id)) {
            return wrong(".id", "is configured twice: neither case nor dashes count".to_owned());
        }
        let is_line = |line: &String| line == "*" || self.lines.iter().any(|(name, _)| name == line);
        if let Some(line) = app.lines.iter().find(|line| !is_line(line)) {
            return wrong(".lines", format!("names line {line:?}, which is not configured"));
        }
        let own =
            [app.token_sha256.is_some(), app.token_file.is_some()].into_iter().filter(|is_there| *is_there).count();
        if own > 1 || own == 0 && self.jwt.is_none() {
            return wrong("", "needs either token_sha256 or token_file, or [jwt] to be configured".to_owned());
        }
        match app.callback_uri.as_deref().map(|uri| hosts.check_callback(uri)) {
            Some(Err(why)) => wrong(".callback_uri", format!("has no valid callback_uri: {why}")),
            _ => Ok(()),
        }
    }

    /// The keys that a running daemon cannot take from here, where they are not what they were.
    pub fn fixed_but_different(&self, before: &Config) -> Vec<&'static str> {
        let (now, then) = (&self.server, &before.server);
        let different = [
            ("server.listen", now.listen != then.listen),
            ("server.public_url", now.public_url != then.public_url),
            ("server.tls_cert", now.tls_cert != then.tls_cert),
            ("server.tls_key", now.tls_key != then.tls_key),
            ("storage.directory", self.storage.directory != before.storage.directory),
        ];
        different.into_iter().filter_map(|(key, is_different)| is_different.then_some(key)).collect()
    }

    /// How samples are stored.
    pub fn sample_format(&self) -> Result<SampleFormat, String> {
        let name = &self.record.sample_format;
        SampleFormat::from_name(name)
            .ok_or_else(|| format!("record.sample_format is {name:?}; valid are s16, s24 and f32"))
    }

    /// How long recordings are kept.
    pub fn retention(&self) -> Policy {
        Policy { days: self.storage.retention_days, bytes: self.storage.retention_bytes }
    }

    /// What a record request may ask for.
    pub fn limits(&self) -> Limits {
        Limits {
            initial_silence: self.record.initial_silence_seconds,
            max_silence: self.record.max_silence_seconds,
            max_duration: self.record.max_duration_seconds,
            ceiling: self.record.ceiling_seconds,
            flac: self.sample_format().is_ok_and(|format| format != SampleFormat::F32),
        }
    }
}

/// A value that no type can refuse.
struct Wrong {
    /// Its key, as `section.key` or `section[index].key`.
    key: String,
    why: String,
}

impl Wrong {
    fn at(key: &str, why: String) -> Wrong {
        Wrong { key: key.to_owned(), why }
    }
}

fn within(key: &str, value: u32, from: u32, to: u32) -> Result<(), Wrong> {
    let why = || format!("{key} is {value}; valid are {from} to {to}");
    if (from..=to).contains(&value) { Ok(()) } else { Err(Wrong::at(key, why())) }
}

/// The line that a key stands in, or else that its section begins in; `None` where it is written in some rarer way.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let (mut section, mut entries, mut found) = (String::new(), 0, None);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let name = if let Some(list) = line.strip_prefix("[[").and_then(|rest| rest.split_once("]]")) {
            section = format!("{}[{entries}]", list.0.trim());
            entries += 1;
            section.clone()
        } else if let Some(table) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            section = table.0.trim().to_owned();
            section.clone()
        } else {
            let name = line.split('=').next().unwrap_or("").trim();
            if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
        };
        if name == key {
            return Some(index + 1);
        }
        if section == name && key.strip_prefix(&section).is_some_and(|rest| rest.starts_with('.')) {
            found = Some(index + 1);
        }
    }
    found
}

/// The text with single keys replaced; a value is TOML, or else a string.
fn overridden(text: &str, overrides: &BTreeMap<String, String>) -> Result<Config, ConfigError> {
    let mut root: toml::Table = toml::from_str(text).map_err(|error| ConfigError(error.to_string()))?;
    for (path, value) in overrides {
        let wrong = || ConfigError(format!("{OVERRIDE}{path} names no key; it is {OVERRIDE}SECTION__KEY"));
        let keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        let (last, sections) = keys.split_last().filter(|(_, sections)| !sections.is_empty()).ok_or_else(wrong)?;
        let mut table = &mut root;
        for section in sections {
            // Names of lines may hold dashes, variables may not.
            let dashed = section.replace('_', "-");
            let name =
                if !table.contains_key(section) && table.contains_key(&dashed) { dashed } else { section.clone() };
            let entry = table.entry(name).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            table = entry.as_table_mut().ok_or_else(wrong)?;
        }
        let parsed = toml::from_str::<toml::Table>(&format!("value = {value}")).ok();
        let parsed = parsed.and_then(|mut table| table.remove("value"));
        table.insert(last.clone(), parsed.unwrap_or_else(|| toml::Value::String(value.clone())));
    }
    Config::deserialize(root).map_err(|error| ConfigError(format!("with the {OVERRIDE}… variables: {error}")))
}

/// A table whose order counts.
fn in_order<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Line)>, D::Error> {
    struct InOrder;
    impl<'de> Visitor<'de> for InOrder {
        type Value = Vec<(String, Line)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("tables of lines: [lines.NAME]")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut lines = Vec::new();
            while let Some(entry) = entries.next_entry()? {
                lines.push(entry);
            }
            Ok(lines)
        }
    }
    deserializer.deserialize_map(InOrder)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
