//! Callbacks that are down, that refuse, that are asked again; clients that leave; requests that go ahead of others.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::prelude::{BASE64_STANDARD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::Value;
use sha2::Sha256;
use tokio::io::AsyncWriteExt;

use crate::daemon::{Daemon, TOKEN, configure};
use crate::sound::Sound;

pub const KEY: &[u8] = b"twenty-four bytes of key";

/// A callback that answers as it is told to, and 200 after that.
#[derive(Clone)]
pub struct Callback {
    answers: Arc<Mutex<VecDeque<u16>>>,
    heard: Arc<Mutex<Vec<(HeaderMap, String)>>>,
}

impl Callback {
    pub async fn listen(answers: &[u16]) -> (Callback, String) {
        let answers = Arc::new(Mutex::new(answers.iter().copied().collect()));
        let callback = Callback { answers, heard: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/told", listener.local_addr().unwrap());
        async fn told(State(callback): State<Callback>, headers: HeaderMap, body: String) -> StatusCode {
            callback.heard.lock().unwrap().push((headers, body));
            let answer = callback.answers.lock().unwrap().pop_front().unwrap_or(200);
            StatusCode::from_u16(answer).unwrap()
        }
        let app = Router::new().route("/told", post(told)).with_state(callback.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (callback, uri)
    }

    /// What it was sent so far: the webhook-id of each.
    pub fn ids(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|(headers, _)| text(headers, "webhook-id").to_owned()).collect()
    }

    pub async fn heard(&self, times: usize) -> Vec<(HeaderMap, String)> {
        for _ in 0..750 {
            let heard = self.heard.lock().unwrap().clone();
            if heard.len() >= times {
                return heard;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the callback was not asked {times} times within 15 s");
    }
}

/// A daemon that records a word at once and tells the callback.
pub async fn stage(folder: &Path, uri: &str, more: &str) -> Daemon {
    Daemon::with(&staged(folder, uri, more)).await.unwrap()
}

pub fn staged(folder: &Path, uri: &str, more: &str) -> PathBuf {
    let wav = folder.join("word.wav");
    Sound::at(8_000).hiss(200).voice(500).hiss(7_000).write(&wav);
    let source = format!("wav:{}?pace=fast", wav.display());
    configure(folder, &[("mic", &source)], &format!("callback_uri = \"{uri}\"\n{more}")).unwrap()
}

pub async fn record(daemon: &Daemon) -> Value {
    daemon.post("/app/calls/mic/record", r#"{"playBeep":false,"maxSilenceTimeoutInSeconds":1}"#).await.unwrap()
}

pub fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers[name].to_str().unwrap()
}

#[tokio::test]
async fn a_callback_that_is_down_is_told_later_under_the_same_id_and_signed() {
    let folder = tempfile::tempdir().unwrap();
    let (callback, uri) = Callback::listen(&[503, 429]).await;
    let (token, key) = (folder.path().join("token"), folder.path().join("key"));
    std::fs::write(&token, "for-the-callback\n").unwrap();
    std::fs::write(&key, format!("whsec_{}\n", BASE64_STANDARD.encode(KEY))).unwrap();
    let daemon =
        stage(folder.path(), &uri, &format!("callback_token_file = {token:?}\nsigning_key_file = {key:?}")).await;
    let operation = record(&daemon).await;
    let heard = callback.heard(3).await;
    let ids: Vec<&str> = heard.iter().map(|(headers, _)| text(headers, "webhook-id")).collect();
    assert!(ids.iter().all(|id| *id == ids[0] && id.contains(operation["id"].as_str().unwrap())), "{ids:?}");
    for (headers, body) in &heard {
        assert_eq!(text(headers, "authorization"), "Bearer for-the-callback");
        let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
        mac.update(format!("{}.{}.{body}", ids[0], text(headers, "webhook-timestamp")).as_bytes());
        let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(text(headers, "webhook-signature"), signature);
    }
}

#[tokio::test]
async fn a_host_that_knows_no_authorities_tells_callbacks_on_loopback() {
    let folder = tempfile::tempdir().unwrap();
    let (callback, uri) = Callback::listen(&[]).await;
    let config = staged(folder.path(), &uri, "");
    // As on a Debian without ca-certificates.
    let without = [("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/nonexistent")];
    let daemon = Daemon::launch_in(&config, Stdio::inherit(), &without).await.unwrap();
    record(&daemon).await;
    callback.heard(1).await;
}

#[tokio::test]
async fn what_a_callback_refuses_is_listed_and_can_be_repeated() {
    for refusal in [400, 404, 302] {
        let folder = tempfile::tempdir().unwrap();
        let (callback, uri) = Callback::listen(&[refusal]).await;
        let daemon = stage(folder.path(), &uri, "").await;
        let operation = record(&daemon).await;
        callback.heard(1).await;
        let listed = wait_for(&daemon, "undeliverable").await;
        assert_eq!(listed["callbackUri"], uri);
        assert!(listed["lastError"].as_str().unwrap().contains(&refusal.to_string()), "{listed}");
        assert_eq!(listed["notification"]["value"][0]["resourceData"]["id"], operation["id"]);
        let path = format!("/notifications/{}/repeat", listed["id"].as_str().unwrap());
        assert_eq!(daemon.send(Method::POST, &path, None).await.unwrap().status(), 204);
        let heard = callback.heard(2).await;
        assert_eq!(text(&heard[1].0, "webhook-id"), listed["id"]);
        assert_eq!(wait_for(&daemon, "delivered").await["id"], listed["id"]);
        let unknown = daemon.send(Method::POST, "/notifications/msg_x/repeat", None).await.unwrap();
        assert_eq!(unknown.status(), 404);
    }
}

async fn wait_for(daemon: &Daemon, state: &str) -> Value {
    for _ in 0..500 {
        let listed = daemon.get(&format!("/notifications?state={state}")).await.unwrap();
        if let Some(first) = listed["value"].get(0) {
            return first.clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no notification became {state} within 10 s");
}

#[tokio::test]
async fn who_leaves_while_asking_leaves_nothing_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let (_callback, uri) = Callback::listen(&[]).await;
    let daemon = stage(folder.path(), &uri, "").await;
    let address = daemon.base.trim_start_matches("http://").to_owned();
    let body = r#"{"playBeep":false,"maxSilenceTimeoutInSeconds":1}"#;
    for pause_ms in 0..12 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let request = format!(
            "POST /app/calls/mic/record HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        drop(stream);
    }
    for _ in 0..500 {
        let operations = daemon.get("/app/calls/mic/operations").await.unwrap();
        let operations = operations["value"].as_array().unwrap();
        let over = operations.iter().filter(|operation| operation["status"] == "completed").count();
        if over > 0 && over == operations.len() {
            // And the next one is not held up by any of them.
            let next = record(&daemon).await;
            let path = format!("/app/calls/mic/operations/{}", next["id"].as_str().unwrap());
            for _ in 0..500 {
                if daemon.get(&path).await.unwrap()["status"] == "completed" {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("an operation did not end within 10 s");
}

#[tokio::test]
async fn a_request_that_barges_in_cancels_what_runs_and_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &[("mic", "silence:")]).await.unwrap();
    let long = r#"{"playBeep":false,"initialSilenceTimeoutInSeconds":60,"maxRecordDurationInSeconds":60}"#;
    let victims = [
        daemon.post("/app/calls/mic/record", long).await.unwrap(),
        daemon.post("/app/calls/mic/record", long).await.unwrap(),
    ];
    tokio::time::sleep(Duration::from_millis(300)).await;
    let short = r#"{"playBeep":false,"bargeInAllowed":true,"maxRecordDurationInSeconds":1}"#;
    let bold = daemon.post("/communications/calls/mic/recordResponse", short).await.unwrap();
    let bold = bold["id"].as_str().unwrap();
    for victim in victims {
        let operation = ended(&daemon, victim["id"].as_str().unwrap()).await;
        assert_eq!(
            (&operation["status"], &operation["completionReason"]),
            (&"failed".into(), &"operationCanceled".into())
        );
        assert_eq!(
            (operation["resultInfo"]["code"].as_i64(), operation["resultInfo"]["subcode"].as_i64()),
            (Some(400), Some(8508))
        );
        assert!(operation["resultInfo"]["message"].as_str().unwrap().contains(bold), "{operation}");
    }
    assert_eq!(ended(&daemon, bold).await["completionReason"], "maxRecordDurationReached");
}

async fn ended(daemon: &Daemon, id: &str) -> Value {
    for _ in 0..500 {
        let operation = daemon.get(&format!("/app/calls/mic/operations/{id}")).await.unwrap();
        if operation["resultInfo"] != Value::Null {
            return operation;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{id} did not end within 10 s");
}

#[tokio::test]
async fn whoever_refuses_it_every_refusal_is_json() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &[("mic", "silence:")]).await.unwrap();
    for (method, path, status) in [
        (Method::GET, "/app/calls/%ff", 404),
        (Method::GET, "/recordings/%ff%00", 404),
        (Method::GET, "/recordings/..%2f..%2fetc", 404),
        (Method::PUT, "/app/calls/mic", 405),
        (Method::DELETE, "/app/calls/mic", 409),
        (Method::GET, "/notifications?state=lost", 400),
        (Method::GET, "/nowhere", 404),
    ] {
        let answer = daemon.send(method, path, None).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/json", "{path}");
        assert!(status != 405 || answer.headers().contains_key("allow"));
        let body: Value = answer.json().await.unwrap();
        assert!(body["error"]["innerError"]["request-id"].is_string(), "{body}");
    }
}
