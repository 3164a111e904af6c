//! The daemon's life as systemd and its users steer it: ready, reloaded, stopped, alive.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tonearm::api::auth::digest;
use tonearm::store::hex;

use crate::daemon::{Daemon, Http, Outcome, configure};

fn signal(daemon: &Daemon, name: &str) {
    let id = daemon.child.id().unwrap().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

/// What stands in the log so far.
struct Log(PathBuf);

impl Log {
    async fn says(&self, words: &str) -> String {
        for _ in 0..500 {
            let text = std::fs::read_to_string(&self.0).unwrap();
            if text.contains(words) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the log does not say {words:?}: {}", std::fs::read_to_string(&self.0).unwrap());
    }
}

async fn daemon(folder: &Path) -> (Daemon, Log) {
    let config = configure(folder, &[("one", "silence:"), ("two", "silence:?")], "").unwrap();
    let text = std::fs::read_to_string(&config).unwrap().replace("silence:?", "wav:two.wav");
    std::fs::write(&config, text).unwrap();
    let log = folder.join("log");
    let daemon = Daemon::launch(&config, Stdio::from(std::fs::File::create(&log).unwrap())).await.unwrap();
    (daemon, Log(log))
}

fn change(daemon: &Daemon, from: &str, to: &str) {
    let text = std::fs::read_to_string(&daemon.config).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&daemon.config, text.replace(from, to)).unwrap();
}

async fn lines(daemon: &Daemon) -> Vec<String> {
    let lines = daemon.get("/lines").await.unwrap();
    let names = lines["value"].as_array().unwrap().iter().map(|line| line["name"].as_str().unwrap().to_owned());
    names.collect()
}

async fn status(daemon: &Daemon, token: &str) -> u16 {
    let request = daemon.client.get(format!("{}/lines", daemon.base)).bearer_auth(token);
    request.send().await.unwrap().status().as_u16()
}

const LONG: &str = r#"{"playBeep":false,"initialSilenceTimeoutInSeconds":60,"maxRecordDurationInSeconds":60}"#;

#[tokio::test]
async fn a_reload_takes_lines_and_applications_and_disturbs_no_recording() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, log) = daemon(folder.path()).await;
    while daemon.send(Method::POST, "/app/calls/one/record", Some(LONG)).await.unwrap().status() != 202 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let newcomer = format!(
        "[lines.three]\nsource = \"wav:three.wav\"\n[[applications]]\nid = \"other\"\ntoken_sha256 = \"{}\"\n[[applications]]",
        hex(&digest("another-token"))
    );
    assert_eq!(status(&daemon, "another-token").await, 401);
    change(&daemon, "[[applications]]", &newcomer);
    change(&daemon, "[lines.two]\nsource = \"wav:two.wav\"\n", "");
    signal(&daemon, "-HUP");
    log.says("the configuration was read again").await;
    assert_eq!(lines(&daemon).await, ["one", "three"]);
    assert_eq!(status(&daemon, "another-token").await, 200);
    let operations = daemon.get("/app/calls/one/operations").await.unwrap();
    assert_eq!(operations["value"][0]["status"], "running");
}

#[tokio::test]
async fn a_reload_that_is_not_valid_or_would_cut_a_recording_changes_nothing_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, log) = daemon(folder.path()).await;
    while daemon.send(Method::POST, "/app/calls/one/record", Some(LONG)).await.unwrap().status() != 202 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let good = std::fs::read_to_string(&daemon.config).unwrap();
    change(&daemon, "[lines.two]", "[lines.two]\nmedia_timeout_seconds = 0");
    change(&daemon, "[[applications]]", "[lines.three]\nsource = \"silence:\"\n[[applications]]");
    signal(&daemon, "-HUP");
    log.says("media_timeout_seconds is 0").await;
    assert_eq!(lines(&daemon).await, ["one", "two"]);
    std::fs::write(&daemon.config, good).unwrap();
    change(&daemon, "[lines.one]", "[lines.one]\nrate = 16000");
    signal(&daemon, "-HUP");
    log.says("line one is recording").await;
    let operations: Value = daemon.get("/app/calls/one/operations").await.unwrap();
    assert_eq!(operations["value"][0]["status"], "running");
    daemon.post("/app/calls/one/cancelMediaProcessing", "{}").await.unwrap();
    daemon.ended("one", &operations["value"][0]).await.unwrap();
    signal(&daemon, "-HUP");
    log.says("the configuration was read again").await;
    // Opened anew, at its new rate.
    loop {
        let line = daemon.get("/lines").await.unwrap()["value"][0].clone();
        if line["sampleRate"] == 16_000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn systemd_is_told_when_it_is_ready_reloads_lives_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let config = configure(folder.path(), &[("one", "silence:")], "").unwrap();
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "4000000")];
    let mut daemon = Daemon::launch_in(&config, Stdio::inherit(), &variables).await.unwrap();
    let told = move || {
        let mut words = [0; 256];
        let length = socket.recv(&mut words).unwrap();
        String::from_utf8_lossy(&words[..length]).into_owned()
    };
    assert!(told().contains("READY=1"));
    for _ in 0..3 {
        assert!(told().contains("WATCHDOG=1"));
    }
    signal(&daemon, "-HUP");
    let next = move || loop {
        let words = told();
        if !words.contains("WATCHDOG=1") {
            return words;
        }
    };
    let reloading = next();
    assert!(reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert!(next().contains("READY=1"));
    signal(&daemon, "-TERM");
    let stopping = next();
    assert!(stopping.contains("STOPPING=1") && stopping.contains("EXTEND_TIMEOUT_USEC=15000000"), "{stopping}");
    assert!(daemon.child.wait().await.unwrap().success());
}

#[tokio::test]
async fn the_socket_that_systemd_passes_is_listened_on_instead_of_the_configured_address() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    // It names port 0: whoever answers at the port below does so on the socket that was passed.
    let config = configure(folder.path(), &[("one", "silence:")], "")?;
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let _daemon = tokio::process::Command::new("systemd-socket-activate")
        .args(["--listen", &address, env!("CARGO_BIN_EXE_tonearm"), "serve", "--config"])
        .arg(&config)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let http = Http::at(format!("http://{address}"))?;
    let answered = async {
        loop {
            // At first nobody listens.
            match http.get("/lines").await {
                Ok(lines) => return lines["value"][0]["name"].clone(),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), answered).await?, "one");
    Ok(())
}
