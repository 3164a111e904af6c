//! `tonearm serve`: the daemon.

mod front;
mod lines;
mod systemd;
pub(super) mod tls;
#[cfg(feature = "opentelemetry")]
mod traces;

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::{Router, ServiceExt};
use axum_server::tls_rustls::RustlsAcceptor;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use clap::Args;
use tokio::signal::unix::{self, SignalKind, signal};
use tower::Layer;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::front::Front;
use super::{Done, Failure};
use crate::api::auth::{Door, RecordingTokens, digest};
use crate::api::connections::Guard;
use crate::api::jwt::Issuer;
use crate::api::operations::{Links, Notifications};
use crate::api::{Api, Hub, MEDIA_ROLE, Traffic, name_of, normalise, router};
use crate::config::{self, Config};
use crate::control::hosts::Hosts;
use crate::control::line::Line;
use crate::control::notify::signing_key;
use crate::control::prompts::Prompts;
use crate::control::{Application, Control, Settings};
use crate::store::hex;
use crate::store::journal::Journal;
use crate::store::lock::Lock;

/// Threads of the control plane; nothing there is in a hurry that the pipeline is not.
const WORKERS: usize = 2;
/// Threads for the disk; they go when they have had nothing to do for a while.
const DISK_THREADS: usize = 4;
/// An idle disk thread goes after so long.
const DISK_THREAD_REST: Duration = Duration::from_secs(2);

#[derive(Args)]
pub struct Serve {
    /// The configuration; otherwise /etc/tonearm/tonearm.toml, or the defaults
    #[arg(long, value_name = "FILE", env = "TONEARM_CONFIG")]
    config: Option<PathBuf>,
}

impl Serve {
    pub fn run(&self) -> Done {
        let config = Config::find(self.config.as_deref()).map_err(|error| Failure::Misused(error.to_string()))?;
        let _words = log()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(DISK_THREADS)
            .thread_keep_alive(DISK_THREAD_REST)
            .enable_all()
            .build()
            .map_err(|error| Failure::Failed(error.to_string()))?;
        runtime.block_on(serve(self.config.clone(), config)).map_err(Failure::Failed)
    }
}

/// A client has so long to say what it wants; who says nothing is not waited for.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// Words go to the journal if systemd started us, where every field is one of the entry's (`TONEARM_OPERATION`), else to
/// standard error; `RUST_LOG` chooses which. What comes back is kept as long as there are words.
fn log() -> Result<impl Sized, Failure> {
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,pulseaudio=warn".into());
    let journal = is_journal().then(tracing_journald::layer).and_then(Result::ok);
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let terminal = journal.is_none().then(|| fmt::layer().with_ansi(colour).with_writer(io::stderr));
    let journal = journal.map(|journal| journal.with_field_prefix(Some("TONEARM".to_owned())));
    let words = tracing_subscriber::registry().with(filter).with(journal).with(terminal);
    #[cfg(feature = "opentelemetry")]
    {
        let traces = traces::Traces::from_environment()
            .map_err(|error| Failure::Misused(format!("traces cannot be sent: {error}")))?;
        words.with(traces.as_ref().map(traces::Traces::layer)).init();
        Ok(traces)
    }
    #[cfg(not(feature = "opentelemetry"))]
    {
        words.init();
        Ok(())
    }
}

/// Whether standard error is systemd's stream to the journal: then JOURNAL_STREAM names its device and inode.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// What stays as it is from the start to the end, whatever the configuration becomes.
struct Standing {
    /// Where the configuration is read from.
    file: Option<PathBuf>,
    data: PathBuf,
    recordings: PathBuf,
    journal: Arc<Journal>,
    links: Links,
    tokens: RecordingTokens,
    address: IpAddr,
    traffic: Arc<Traffic>,
    /// Who looks on does so under one configuration.
    hub: Mutex<Arc<Hub>>,
}

async fn serve(file: Option<PathBuf>, mut config: Config) -> Result<(), String> {
    let data = folder(data_path(&config)?)?;
    let _lock = Lock::take(&data).map_err(|error| error.to_string())?;
    let recordings = folder(data.join("recordings"))?;
    let journal = Journal::open(&data.join("journal.sqlite")).map_err(|error| error.to_string())?;
    let tokens = RecordingTokens::new(host_key(&data.join("host.key"))?);

    let listener = match systemd::listener()? {
        Some(listener) => listener,
        None => TcpListener::bind(config.server.listen)
            .map_err(|error| format!("{} cannot be listened on: {error}", config.server.listen))?,
    };
    listener.set_nonblocking(true).map_err(|error| error.to_string())?;
    let listens = listener.local_addr().map_err(|error| error.to_string())?;
    let tls = tls::config(&config.server).await?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let base = config.server.public_url.clone().unwrap_or_else(|| format!("{scheme}://{listens}"));
    let links = Links { base: Some(base.trim_end_matches('/').to_owned()), tokens: Some(tokens.clone()) };

    let (journal, address, traffic, hub) = (Arc::new(journal), listens.ip(), Arc::default(), Mutex::default());
    let standing = Standing { file, data, recordings, journal, links, tokens, address, traffic, hub };
    let lines = lines::lines(&config, &standing.recordings, None)?;
    let control = Control::start(standing.settings(&config, lines)?).await.map_err(|error| error.to_string())?;
    control.lines().iter().for_each(|line| line.start());
    let front = Front::new(standing.router(&config, &control));
    let app = tower::util::MapRequestLayer::new(normalise).layer(front.clone());
    let handle = axum_server::Handle::new();
    let mut server = axum_server::from_tcp(listener)
        .map_err(|error| error.to_string())?
        .handle(handle.clone())
        .first_request_timeout(HEAD_WITHIN);
    server.http_builder().http1().header_read_timeout(HEAD_WITHIN);
    let (guard, app) = (Guard::default(), app.into_make_service());
    let serving = match tls {
        None => tokio::spawn(server.acceptor(guard).serve(app)),
        Some(tls) => tokio::spawn(server.acceptor(RustlsAcceptor::new(tls).acceptor(guard)).serve(app)),
    };
    // Before anyone is told that it is ready: a signal that comes then has to find it listening.
    let mut signals = Signals::new().map_err(|error| error.to_string())?;
    writeln!(io::stdout(), "tonearm listens on {scheme}://{listens}").map_err(|error| error.to_string())?;
    systemd::ready();
    tokio::spawn(systemd::feed_watchdog(control.clone()));

    while signals.next().await == Signal::Reload {
        systemd::reloading();
        match standing.reload(&config, &control, &front) {
            Ok(read) => {
                config = read;
                tracing::info!("the configuration was read again");
            }
            Err(why) => tracing::error!("the configuration stays as it was: {why}"),
        }
        systemd::ready();
    }
    let deadline = Duration::from_secs(config.server.shutdown_seconds.into());
    systemd::stopping(deadline);
    tracing::info!("stopping: running recordings are being finished");
    if tokio::time::timeout(deadline, control.stop()).await.is_err() {
        tracing::warn!("recordings were still being finished at the deadline; they are recovered at the next start");
    }
    handle.graceful_shutdown(Some(Duration::from_secs(1)));
    let _ = serving.await;
    Ok(())
}

impl Standing {
    fn settings(&self, config: &Config, lines: Vec<Arc<Line>>) -> Result<Settings, String> {
        Ok(Settings {
            lines,
            applications: applications(config, &self.data)?,
            journal: self.journal.clone(),
            recordings: self.recordings.clone(),
            max_recordings: config.record.max_recordings,
            reserve_bytes: config.storage.reserve_bytes,
            retention: config.retention(),
            callback_hosts: Hosts::parse(&config.notifications.allow_hosts)?,
            prompts: Prompts::new(config.prompts.directory.clone(), Hosts::parse(&config.prompts.allow_hosts)?).into(),
            retry_for: Duration::from_secs(config.notifications.retry_for_seconds.into()),
            wire: Arc::new(Notifications(self.links.clone())),
        })
    }

    fn router(&self, config: &Config, control: &Arc<Control>) -> Router {
        // Who looked on under the old configuration comes again under the new one.
        let hub = Arc::<Hub>::default();
        std::mem::replace(&mut *self.hub.lock().unwrap_or_else(PoisonError::into_inner), hub.clone()).close();
        let issuer = config.jwt.as_ref().map(|jwt| Issuer::new(jwt.terms()));
        router(Arc::new(Api {
            control: control.clone(),
            door: Door::new(&control.settings().applications, issuer, self.tokens.clone()),
            links: self.links.clone(),
            limits: config.limits(),
            hosts: hosts(config, &self.address.to_string()),
            cors_origins: config.server.cors_origins.clone(),
            hub,
            traffic: self.traffic.clone(),
            on_loopback: self.address.is_loopback(),
        }))
    }

    /// Reads the configuration again: all of it is taken, but for what needs another start, or nothing.
    fn reload(&self, before: &Config, control: &Arc<Control>, front: &Front) -> Result<Config, String> {
        let config = Config::find(self.file.as_deref()).map_err(|error| error.to_string())?;
        let lines = lines::lines(&config, &self.recordings, Some((before, &control.lines())))?;
        control.reload(self.settings(&config, lines)?)?;
        control.lines().iter().for_each(|line| line.start());
        front.replace(self.router(&config, control));
        for key in config.fixed_but_different(before) {
            tracing::warn!("{key} has changed; that takes another start");
        }
        Ok(config)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Stop,
    Reload,
}

/// What the daemon is told from outside.
struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}

/// Where the data lie.
pub(super) fn data_path(config: &Config) -> Result<PathBuf, String> {
    let user = || {
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
        std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).or(home).map(|data| data.join("tonearm"))
    };
    let path = config.storage.directory.clone().or_else(user);
    path.ok_or_else(|| "there is no home folder for the data; set [storage] directory".to_owned())
}

/// A folder that only we can read.
fn folder(path: PathBuf) -> Result<PathBuf, String> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// The key that recordings' tokens are made under, made at the first start.
fn host_key(path: &Path) -> Result<[u8; 32], String> {
    let named = |error: io::Error| format!("{}: {error}", path.display());
    let mut key = [0; 32];
    match fs::File::open(path) {
        Ok(mut file) => file.read_exact(&mut key).map_err(named)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            getrandom::fill(&mut key).map_err(|error| error.to_string())?;
            write_secret(path, &key).map_err(named)?;
        }
        Err(error) => return Err(named(error)),
    }
    Ok(key)
}

fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn applications(config: &Config, data: &Path) -> Result<Vec<Application>, String> {
    if config.applications.is_empty() {
        return Ok(vec![local_application(&data.join("token.sha256"))?]);
    }
    config.applications.iter().map(application).collect()
}

/// An application with what its files hold.
pub(super) fn application(app: &config::Application) -> Result<Application, String> {
    let secret = |path: &PathBuf| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let token_sha256 = match (&app.token_sha256, &app.token_file) {
        (Some(hex), _) => {
            Some(from_hex(hex).ok_or_else(|| format!("application {:?}: token_sha256 needs 64 hex digits", app.id))?)
        }
        (None, Some(file)) => Some(digest(secret(file)?.trim_end())),
        (None, None) => None,
    };
    let callback_token = app.callback_token_file.as_ref().map(secret).transpose()?;
    let signing_key =
        app.signing_key_file.as_ref().map(|file| secret(file).and_then(|text| signing_key(&text))).transpose()?;
    Ok(Application {
        id: app.id.clone(),
        token_sha256,
        roles: app.roles.clone(),
        lines: app.lines.clone(),
        callback_uri: app.callback_uri.clone(),
        callback_token: callback_token.map(|token| token.trim_end().to_owned()),
        signing_key,
    })
}

/// Where nobody is configured, whoever has the token that is shown at the first start; only its digest is kept.
fn local_application(path: &Path) -> Result<Application, String> {
    let named = |error: io::Error| format!("{}: {error}", path.display());
    let token_sha256 = match fs::read_to_string(path) {
        Ok(hex) => from_hex(hex.trim()).ok_or_else(|| format!("{}: 64 hex digits are expected", path.display()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; 24];
            getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
            let token = BASE64_URL_SAFE_NO_PAD.encode(bytes);
            write_secret(path, hex(&digest(&token)).as_bytes()).map_err(named)?;
            eprintln!("The token of this daemon, shown only now: {token}");
            eprintln!("(To have another one made, delete {} and start again.)", path.display());
            digest(&token)
        }
        Err(error) => return Err(named(error)),
    };
    Ok(Application {
        id: "local".to_owned(),
        token_sha256: Some(token_sha256),
        roles: vec![MEDIA_ROLE.to_owned()],
        lines: vec!["*".to_owned()],
        callback_uri: None,
        callback_token: None,
        signing_key: None,
    })
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// The names that requests may call the daemon by.
fn hosts(config: &Config, address: &str) -> Vec<String> {
    let public = config.server.public_url.as_deref().and_then(|url| url.split_once("://"));
    let public = public.map(|(_, rest)| rest.split('/').next().unwrap_or("").to_owned());
    let all = ["localhost".to_owned(), address.to_owned()]
        .into_iter()
        .chain(public)
        .chain(config.server.hosts.iter().cloned());
    let mut hosts: Vec<String> = all.map(|host| if host == address { host } else { name_of(&host) }).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}
