//! A daemon as its users run it: the program, a configuration file, HTTP.

use std::error::Error;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Method, Response};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tonearm::api::auth::digest;
use tonearm::store::hex;

pub type Outcome<T> = Result<T, Box<dyn Error>>;

pub const TOKEN: &str = "a-token-for-tests";

/// What answers HTTP at an address, asked as the application `bot`.
pub struct Http {
    pub base: String,
    pub client: Client,
}

/// A running daemon with one application, `bot`; it is killed when this is dropped.
pub struct Daemon {
    http: Http,
    #[allow(dead_code, reason = "benches share this file")]
    pub config: PathBuf,
    #[allow(dead_code, reason = "benches share this file")]
    pub child: Child,
    /// Kept open, or the daemon would write into a closed pipe.
    _stdout: tokio::io::Lines<BufReader<ChildStdout>>,
}

/// What lines are called, and what they hear.
pub type Lines<'a> = &'a [(&'a str, &'a str)];

/// Writes a configuration whose data lie in `folder`; `more` is appended as it is.
pub fn configure(folder: &Path, lines: Lines<'_>, more: &str) -> Outcome<PathBuf> {
    let digest = hex(&digest(TOKEN));
    let mut text = format!("[server]\nlisten = \"127.0.0.1:0\"\n[storage]\ndirectory = {:?}\n", folder.join("data"));
    for (name, source) in lines {
        text += &format!("[lines.{name}]\nsource = {source:?}\n");
    }
    text += &format!(
        "[[applications]]\nid = \"bot\"\ntoken_sha256 = \"{digest}\"\nroles = [\"Calls.AccessMedia.All\"]\nlines = [\"*\"]\n{more}\n"
    );
    let config = folder.join("tonearm.toml");
    std::fs::write(&config, text)?;
    Ok(config)
}

impl Daemon {
    #[allow(dead_code, reason = "benches share this file")]
    pub async fn start(folder: &Path, lines: Lines<'_>) -> Outcome<Daemon> {
        Daemon::with(&configure(folder, lines, "")?).await
    }

    /// Starts it and waits for the line with its address.
    pub async fn with(config: &Path) -> Outcome<Daemon> {
        Daemon::launch(config, Stdio::inherit()).await
    }

    /// The same, with its words for people going elsewhere.
    pub async fn launch(config: &Path, words: Stdio) -> Outcome<Daemon> {
        Daemon::launch_in(config, words, &[]).await
    }

    /// The same, with more in its environment.
    pub async fn launch_in(config: &Path, words: Stdio, environment: &[(&str, &str)]) -> Outcome<Daemon> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tonearm"));
        command.envs(environment.iter().copied());
        Daemon::launch_by(command, config, words).await
    }

    /// The same, by a command that ends in the program.
    pub async fn launch_by(mut command: Command, config: &Path, words: Stdio) -> Outcome<Daemon> {
        let mut child = command
            .args(["serve", "--config"])
            .arg(config)
            .stdout(Stdio::piped())
            .stderr(words)
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let base = loop {
            let line = lines.next_line().await?.ok_or("the daemon ended before it was ready")?;
            if let Some(at) = line.find("http") {
                break line[at..].split_whitespace().next().unwrap_or("").trim_end_matches('/').to_owned();
            }
        };
        Ok(Daemon { http: Http::at(base)?, config: config.to_owned(), child, _stdout: lines })
    }
}

impl Daemon {
    /// Ends it and waits until it is gone.
    #[allow(dead_code, reason = "benches share this file")]
    pub async fn stopped(mut self) -> Outcome<()> {
        Ok(self.child.kill().await?)
    }
}

impl Deref for Daemon {
    type Target = Http;

    fn deref(&self) -> &Http {
        &self.http
    }
}

impl Http {
    pub fn at(base: String) -> Outcome<Http> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (patience, idle) = (Duration::from_secs(30), Duration::from_secs(1));
        let client = Client::builder().no_proxy().timeout(patience).pool_idle_timeout(idle).build()?;
        Ok(Http { base, client })
    }

    /// A request as `bot` makes it.
    pub async fn send(&self, method: Method, path: &str, body: Option<&str>) -> Outcome<Response> {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        let mut request = self.client.request(method, url).header(AUTHORIZATION, format!("Bearer {TOKEN}"));
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_owned());
        }
        Ok(request.send().await?)
    }

    pub async fn post(&self, path: &str, body: &str) -> Outcome<Value> {
        Ok(self.send(Method::POST, path, Some(body)).await?.error_for_status()?.json().await?)
    }

    #[allow(dead_code, reason = "benches share this file")]
    pub async fn get(&self, path: &str) -> Outcome<Value> {
        Ok(self.send(Method::GET, path, None).await?.error_for_status()?.json().await?)
    }

    /// Waits until every line can record: they are opened behind the start.
    #[allow(dead_code, reason = "benches share this file")]
    pub async fn ready(&self) -> Outcome<()> {
        for _ in 0..1_500 {
            if self.send(Method::GET, "/readyz", None).await?.status().is_success() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err("a line was not ready within 15 s".into())
    }

    /// An operation of this call once it has ended.
    #[allow(dead_code, reason = "benches share this file")]
    pub async fn ended(&self, call: &str, operation: &Value) -> Outcome<Value> {
        let path = format!("/app/calls/{call}/operations/{}", operation["id"].as_str().ok_or("no id")?);
        for _ in 0..1_500 {
            let operation = self.get(&path).await?;
            if operation["status"] == "completed" || operation["status"] == "failed" {
                return Ok(operation);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err("it did not end within 15 s".into())
    }
}
