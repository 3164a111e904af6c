//! Connections, ranges, browsers and texts that mean harm; recordings go on meanwhile.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::RANGE;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::daemon::{Daemon, TOKEN, configure};
use crate::sound::Sound;

/// A daemon with a line that hears speech without end, flat out, and one that hears silence.
async fn daemon(folder: &Path) -> Daemon {
    let wav = folder.join("talk.wav");
    Sound::at(48_000).voice(2_000).write(&wav);
    let source = format!("wav:{}?pace=fast&loop=true", wav.display());
    Daemon::start(folder, &[("talk", &source), ("mic", "silence:")]).await.unwrap()
}

async fn recorded(daemon: &Daemon, seconds: u32) -> Value {
    let request = json!({"playBeep": false, "maxRecordDurationInSeconds": seconds}).to_string();
    let operation = daemon.post("/app/calls/talk/record", &request).await.unwrap();
    daemon.ended("talk", &operation).await.unwrap()
}

async fn connect(daemon: &Daemon) -> TcpStream {
    TcpStream::connect(daemon.base.trim_start_matches("http://")).await.unwrap()
}

/// A GET as it goes over the wire.
fn get(daemon: &Daemon, path: &str) -> String {
    let host = daemon.base.trim_start_matches("http://");
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n")
}

#[tokio::test]
async fn ranges_are_answered_once_or_refused_and_never_multiply_what_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    let operation = recorded(&daemon, 1).await;
    let bytes = operation["recording"]["bytes"].as_u64().unwrap();
    let url = operation["recordingLocation"].as_str().unwrap();
    let many = format!("bytes={}", (0..500).map(|n| format!("{n}-")).collect::<Vec<_>>().join(","));
    let beyond = format!("bytes={bytes}-");
    let last = format!("bytes={}-{}", bytes - 1, u64::MAX);
    for (range, status, length) in [
        ("bytes=0-9", 206, 10),
        ("bytes=-10", 206, 10),
        (last.as_str(), 206, 1),
        (many.as_str(), 200, bytes),
        ("bytes=0-0,2-2", 200, bytes),
        ("bytes=9-0", 200, bytes),
        ("bytes=x-", 200, bytes),
        ("bytes=99999999999999999999999-", 200, bytes),
        ("frames=0-9", 200, bytes),
    ] {
        let answer = daemon.client.get(url).bearer_auth(TOKEN).header(RANGE, range).send().await.unwrap();
        assert_eq!(answer.status(), status, "{range}");
        assert_eq!(answer.bytes().await.unwrap().len() as u64, length, "{range}");
    }
    let answer = daemon.client.get(url).bearer_auth(TOKEN).header(RANGE, beyond).send().await.unwrap();
    assert_eq!(answer.status(), 416);
    assert_eq!(answer.headers()["content-range"], format!("bytes */{bytes}").as_str());

    let grows = r#"{"playBeep":false,"streamWhileRecording":true,"initialSilenceTimeoutInSeconds":60,"maxRecordDurationInSeconds":60}"#;
    let operation = daemon.post("/app/calls/mic/record", grows).await.unwrap();
    let url = format!("{}/recordings/{}", daemon.base, operation["id"].as_str().unwrap());
    sleep(Duration::from_millis(500)).await;
    let answer = daemon.client.get(&url).bearer_auth(TOKEN).header(RANGE, "bytes=999999999-").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (416, &"1".parse().unwrap()));
}

#[tokio::test]
async fn readers_that_do_not_read_hold_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    // More than all buffers on the way hold.
    let long = recorded(&daemon, 300).await;
    let path = format!("/recordings/{}", long["id"].as_str().unwrap());
    let mut readers = Vec::new();
    for _ in 0..8 {
        let mut stream = connect(&daemon).await;
        stream.write_all(get(&daemon, &path).as_bytes()).await.unwrap();
        stream.read_exact(&mut [0; 12]).await.unwrap();
        readers.push(stream);
    }
    sleep(Duration::from_millis(500)).await;
    let meanwhile = timeout(Duration::from_secs(5), recorded(&daemon, 1)).await.unwrap();
    assert_eq!((&meanwhile["status"], &meanwhile["recording"]["lostFrames"]), (&"completed".into(), &0.into()));
}

#[tokio::test]
async fn who_does_not_say_what_he_wants_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    let request = get(&daemon, "/healthz");
    let closes = async |said: &str, drip: bool| {
        let mut stream = connect(&daemon).await;
        stream.write_all(said.as_bytes()).await.unwrap();
        let started = tonearm::clock::now();
        let (mut reading, mut writing) = stream.into_split();
        let dripping = tokio::spawn(async move {
            while drip && writing.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(500)).await;
            }
            sleep(Duration::from_secs(60)).await;
        });
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(20), reading.read_to_end(&mut answer)).await.expect("it is still open");
        dripping.abort();
        started.elapsed().as_secs()
    };
    let (silent, slow, dripping, idle) = tokio::join!(
        closes("", false),
        closes(&request[..20], false),
        closes("GET /healthz HTTP/1.1\r\nx: ", true),
        closes(&request, false)
    );
    for seconds in [silent, slow, dripping, idle] {
        assert!((9..=13).contains(&seconds), "{silent} {slow} {dripping} {idle} s");
    }
}

#[tokio::test]
async fn thousands_of_idle_connections_do_not_touch_a_recording() {
    let limit = |files| Rlimit { current: Some(files), maximum: getrlimit(Resource::Nofile).maximum };
    setrlimit(Resource::Nofile, limit(16_384)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    // What a service usually may open.
    let process = Pid::from_raw(daemon.child.id().unwrap().cast_signed());
    prlimit(process, Resource::Nofile, limit(1_024)).unwrap();
    let request = r#"{"playBeep":false,"maxRecordDurationInSeconds":2,"initialSilenceTimeoutInSeconds":60}"#;
    let operation = daemon.post("/app/calls/mic/record", request).await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..10_000 {
        idle.push(connect(&daemon).await);
    }
    // It ends meanwhile, for which files have to be opened.
    sleep(Duration::from_secs(4)).await;
    drop(idle);
    let operation = daemon.ended("mic", &operation).await.unwrap();
    assert_eq!(operation["status"], "completed", "{operation}");
    assert_eq!(operation["recording"]["lostFrames"], 0);
}

#[tokio::test]
async fn floods_of_headers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    let many: String = (0..1_000).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(2 << 20));
    for flood in [many, long] {
        let mut stream = connect(&daemon).await;
        let request = get(&daemon, "/healthz").replace("\r\n\r\n", &format!("\r\n{flood}\r\n"));
        // It need not be read to its end.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    }
    assert!(daemon.get("/app/calls").await.is_ok());
}

#[tokio::test]
async fn browsers_that_were_led_here_start_nothing_and_learn_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    let url = format!("{}/app/calls/mic/record", daemon.base);
    let port = daemon.base.rsplit(':').next().unwrap();
    let rebound = format!("evil.example:{port}");
    for (name, value) in
        [("origin", "https://evil.example"), ("origin", "null"), ("host", "evil.example"), ("host", rebound.as_str())]
    {
        let request = daemon.client.post(&url).bearer_auth(TOKEN).header(name, value);
        let answer = request.header("content-type", "application/json").body("{}").send().await.unwrap();
        assert_eq!(answer.status(), 403, "{name}: {value}");
        let preflight = daemon.client.request(Method::OPTIONS, &url).header(name, value).send().await.unwrap();
        assert_eq!(preflight.status(), if name == "origin" || value.contains("evil") { 403 } else { 204 });
        assert_ne!(answer.headers().get("access-control-allow-origin").map(|v| v.as_bytes()), Some(&b"*"[..]));
    }
    // What a form can send without asking first.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let request = daemon.client.post(&url).bearer_auth(TOKEN).header("content-type", kind);
        assert_eq!(request.body("{}").send().await.unwrap().status(), 415, "{kind}");
    }
    assert_eq!(daemon.get("/app/calls/mic/operations").await.unwrap()["value"], json!([]));
}

#[tokio::test]
async fn callbacks_to_elsewhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    for uri in [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest",
        "http://[::ffff:127.0.0.1]/",
        "http://0x0a000001/",
        "https://evil.example/",
        "https://user:word@127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "javascript:alert(1)",
        "/told",
        "",
    ] {
        let body = json!({"callbackUri": uri}).to_string();
        let answer = daemon.send(Method::POST, "/app/calls", Some(&body)).await.unwrap();
        assert_eq!(answer.status(), 400, "{uri}");
        assert_eq!(answer.json::<Value>().await.unwrap()["error"]["target"], "callbackUri");
    }
}

#[tokio::test]
async fn what_lies_in_the_store_under_another_name_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    let id = "01a20000-0000-7000-8000-000000000000";
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join(format!("data/recordings/{id}.wav"))).unwrap();
    for path in
        [format!("/recordings/{id}"), format!("/recordings/{id}.wav"), "/recordings/..%2fjournal.sqlite".to_owned()]
    {
        assert_eq!(daemon.send(Method::GET, &path, None).await.unwrap().status(), 404, "{path}");
    }
}

#[tokio::test]
async fn texts_with_line_breaks_stay_one_line_in_logs_and_headers() {
    let folder = tempfile::tempdir().unwrap();
    let config = configure(folder.path(), &[("mic", "silence:")], "").unwrap();
    let log = folder.path().join("log");
    let daemon = Daemon::launch(&config, Stdio::from(std::fs::File::create(&log).unwrap())).await.unwrap();
    let forged = "x\r\n2026-11-25T00:00:00Z  INFO forged: forged\u{1b}[2J";
    let body =
        json!({"callbackUri": format!("http://127.0.0.1:1/{forged}"), "subject": forged, "clientContext": forged});
    let call = daemon.post("/app/calls", &body.to_string()).await.unwrap();
    assert_eq!(call["subject"], forged);
    let path = format!("/app/calls/{}/cancelMediaProcessing", call["id"].as_str().unwrap());
    let context = json!({"clientContext": forged}).to_string();
    assert_eq!(daemon.post(&path, &context).await.unwrap()["clientContext"], forged);
    for (length, echoed) in [(128, true), (129, false), (8_000, false)] {
        let id = "i".repeat(length);
        let request = daemon.client.get(format!("{}/healthz", daemon.base)).header("client-request-id", &id);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers().get("client-request-id").is_some(), echoed, "{length}");
    }
    let url = format!("{}/app/calls/mic/record", daemon.base);
    for key in ["", &"k".repeat(256)] {
        let request = daemon.client.post(&url).bearer_auth(TOKEN).header("idempotency-key", key);
        let answer = request.header("content-type", "application/json").body("{}").send().await.unwrap();
        assert_eq!(answer.status(), 400);
    }
    // The callback is down, which is logged.
    for _ in 0..100 {
        if std::fs::read_to_string(&log).unwrap().contains("was not taken") {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("was not taken"), "{text}");
    assert!(!text.lines().any(|line| line.contains("INFO forged: forged") && line.starts_with("2026-11-25T00:00:00Z")));
    assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
}
