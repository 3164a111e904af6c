//! Every way in which a recording ends, over HTTP: seen in the operation, the notification and the file.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use reqwest::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tonearm::store::hex;

use crate::daemon::{Daemon, configure};
use crate::sound::Sound;

/// Who is notified.
pub struct Callback {
    pub uri: String,
    pub heard: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Callback {
    pub async fn listen() -> Callback {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/told", listener.local_addr().unwrap());
        type Heard = Arc<Mutex<Vec<(String, Value)>>>;
        async fn told(State(heard): State<Heard>, headers: HeaderMap, Json(body): Json<Value>) -> StatusCode {
            let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or("").to_owned();
            heard.lock().unwrap().push((id, body["value"][0].clone()));
            StatusCode::OK
        }
        let app = Router::new().route("/told", post(told)).with_state(heard.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Callback { uri, heard }
    }

    /// The notifications about an operation, once the terminal one has come.
    pub async fn of(&self, id: &str) -> Vec<Value> {
        for _ in 0..500 {
            let heard = self.heard.lock().unwrap().clone();
            let mine: Vec<Value> =
                heard.into_iter().map(|(_, n)| n).filter(|n| n["resourceData"]["id"] == id).collect();
            if mine.iter().any(|notification| notification["changeType"] == "deleted") {
                return mine;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no terminal notification of {id} within 10 s");
    }
}

pub struct Stage {
    pub daemon: Daemon,
    pub callback: Callback,
    pub folder: tempfile::TempDir,
}

impl Stage {
    /// A daemon whose line hears `sound` flat out, or in real time.
    pub async fn set(sound: &Sound, pace: &str) -> Stage {
        Stage::with(sound, pace, |_| (String::new(), String::new())).await
    }

    /// The same with more keys of the line, and more sections, made in its folder.
    pub async fn with(sound: &Sound, pace: &str, more: impl FnOnce(&Path) -> (String, String)) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let callback = Callback::listen().await;
        let wav = folder.path().join("sound.wav");
        sound.write(&wav);
        let (line, sections) = more(folder.path());
        let source = format!("wav:{}?pace={pace}", wav.display());
        let sections = format!("callback_uri = \"{}\"\n{sections}", callback.uri);
        let config = configure(folder.path(), &[("mic", &source)], &sections).unwrap();
        let text =
            std::fs::read_to_string(&config).unwrap().replace("[lines.mic]\n", &format!("[lines.mic]\n{line}\n"));
        std::fs::write(&config, text).unwrap();
        Stage { daemon: Daemon::with(&config).await.unwrap(), callback, folder }
    }

    pub async fn record(&self, request: &str) -> Value {
        self.daemon.post("/app/calls/mic/record", request).await.unwrap()
    }

    pub async fn ended(&self, operation: &Value) -> Value {
        self.daemon.ended("mic", operation).await.unwrap()
    }

    /// Records to the end, and holds operation, notification and file against each other.
    pub async fn play(&self, request: &str) -> Value {
        let operation = self.record(request).await;
        assert_eq!(operation["@odata.type"], "#microsoft.graph.recordOperation");
        let operation = self.ended(&operation).await;
        self.check(&operation).await;
        operation
    }

    pub async fn check(&self, operation: &Value) {
        let id = operation["id"].as_str().unwrap();
        let told = self.callback.of(id).await;
        let last = told.last().unwrap();
        assert_eq!(last["changeType"], "deleted");
        assert_eq!(last["resource"], format!("/app/calls/mic/operations/{id}"));
        for member in ["status", "completionReason", "resultInfo", "recording", "evidence", "recordResourceLocation"] {
            assert_eq!(last["resourceData"][member], operation[member], "{member}");
        }
        let Some(location) = operation["recordResourceLocation"].as_str() else {
            assert_eq!(operation["recording"], Value::Null);
            return;
        };
        let token = operation["recordResourceAccessToken"].as_str().unwrap();
        let answer = self.daemon.client.get(location).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let bytes = answer.bytes().await.unwrap();
        assert_eq!(operation["recording"]["bytes"], bytes.len());
        let mut reader = hound::WavReader::new(&bytes[..]).unwrap();
        let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
        assert_eq!(operation["recording"]["frames"], samples.len());
        let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        assert_eq!(operation["recording"]["sha256"], hex(&Sha256::digest(&data)));
    }
}

/// Status, reason, code and subcode of an operation.
pub fn summary(operation: &Value) -> (&str, &str, i64, i64) {
    let text = |value: &'static str| operation[value].as_str().unwrap_or("");
    let result = &operation["resultInfo"];
    let number = |value: &Value| value.as_i64().unwrap_or(-1);
    (text("status"), text("completionReason"), number(&result["code"]), number(&result["subcode"]))
}

fn talk() -> Sound {
    Sound::at(16_000).hiss(300).voice(800).hiss(400)
}

#[tokio::test]
async fn a_stop_tone_ends_a_recording_and_the_operation_says_how_sure_it_is() {
    let sound = talk();
    let onset = sound.now() as i64;
    let stage = Stage::set(&sound.key('#', 90).hiss(300), "fast").await;
    let operation = stage.play(r##"{"playBeep":false,"stopTones":["11","#"],"clientContext":"desk 7"}"##).await;
    assert_eq!(summary(&operation), ("completed", "stopToneDetected", 200, 8514));
    assert_eq!(operation["clientContext"], "desk 7");
    let frames = operation["recording"]["frames"].as_i64().unwrap();
    assert!((-160..=16).contains(&(frames - onset)), "cut at {frames}, the tone began at {onset}");
    let tone = &operation["evidence"]["tone"];
    assert_eq!((&tone["entry"], &tone["keys"][0]["digit"]), (&"#".into(), &"#".into()));
    // Each tone has a quarter of full scale.
    for (measured, expected, within) in
        [("lowHz", 941.0, 1.0), ("highHz", 1_477.0, 1.0), ("lowDbfs", -12.04, 0.2), ("highDbfs", -12.04, 0.2)]
    {
        for heard in [&tone["keys"][0], &tone["secondOpinion"]] {
            assert!((heard[measured].as_f64().unwrap() - expected).abs() < within, "{measured}: {tone}");
        }
    }
    let key = |member: &str| tone["keys"][0][member].as_f64().unwrap();
    assert!(key("twistDb").abs() < 0.2 && key("purity") > 0.98, "{tone}");
    assert_eq!(tone["keys"][0]["onsetFrame"], frames);
    let decided = (key("decisionFrame") - onset as f64) / 16.0;
    assert!((25.3..31.0).contains(&decided), "decided {decided} ms after the onset");
    assert!(operation["evidence"]["decidedAtFrame"].as_f64().unwrap() >= key("decisionFrame"));
}

#[tokio::test]
async fn the_detectors_of_a_line_are_as_configured() {
    let detection = "[detection]\ndigits = \"0123456789\"\nsilence_threshold_dbfs = -30.0\n";
    let sound = talk().key('#', 90).hiss(300).key('7', 90).hiss(300);
    let stage = Stage::with(&sound, "fast", |_| (String::new(), detection.to_owned())).await;
    let operation = stage.play(r##"{"playBeep":false,"stopTones":["#","7"]}"##).await;
    assert_eq!(operation["evidence"]["tone"]["entry"], "7");
    assert_eq!(operation["evidence"]["thresholdDbfs"], -30.0);
}

#[tokio::test]
async fn a_sequence_of_keys_is_cut_at_its_first() {
    let sound = talk();
    let onset = sound.now() as i64;
    let stage = Stage::set(&sound.key('1', 70).hiss(150).key('1', 70).hiss(300), "fast").await;
    let operation = stage.play(r##"{"playBeep":false,"stopTones":["11","#"]}"##).await;
    assert_eq!(summary(&operation), ("completed", "stopToneDetected", 200, 8514));
    assert_eq!(operation["evidence"]["tone"]["entry"], "11");
    assert_eq!(operation["evidence"]["tone"]["keys"].as_array().unwrap().len(), 2);
    let frames = operation["recording"]["frames"].as_i64().unwrap();
    assert!((-160..=16).contains(&(frames - onset)), "cut at {frames}, the first key began at {onset}");
}

#[tokio::test]
async fn limits_end_a_recording_at_their_very_frame() {
    let stage = Stage::set(&talk().hiss(3_000), "fast").await;
    let silence =
        stage.play(r#"{"playBeep":false,"maxSilenceTimeoutInSeconds":2,"maxRecordDurationInSeconds":60}"#).await;
    assert_eq!(summary(&silence), ("completed", "maxSilenceTimeout", 200, 0));
    let last = silence["evidence"]["lastVoicedFrame"].as_u64().unwrap();
    assert_eq!(silence["recording"]["frames"], last + 2 * 16_000);
    // The hiss lies at −60 dBFS, the voice 45 dB over it: its end is told by the fall from it.
    let evidence = |member: &str| silence["evidence"][member].as_f64().unwrap();
    assert!((-68.0..-58.0).contains(&evidence("noiseFloorDbfs")), "{silence}");
    assert!((-68.0..-58.0).contains(&evidence("levelDbfs")), "{silence}");
    assert!((-60.0..-25.0).contains(&evidence("thresholdDbfs")), "{silence}");
    assert_eq!(silence["evidence"]["tone"], Value::Null);
    let duration = stage.play(r#"{"playBeep":false,"maxRecordDurationInSeconds":1}"#).await;
    assert_eq!(summary(&duration), ("completed", "maxRecordDurationReached", 200, 8515));
    assert_eq!(duration["recording"]["frames"], 16_000);
}

#[tokio::test]
async fn with_no_speech_it_fails_and_no_audio_is_kept() {
    let stage = Stage::set(&Sound::at(16_000).hiss(1_000), "fast").await;
    let operation = stage.play("{}").await;
    assert_eq!(summary(&operation), ("failed", "initialSilenceTimeout", 400, 8510));
    assert_eq!(operation["recordResourceLocation"], Value::Null);
    let id = operation["id"].as_str().unwrap();
    let answer = stage.daemon.send(Method::GET, &format!("/recordings/{id}"), None).await.unwrap();
    assert_eq!(answer.status(), 410);
}

#[tokio::test]
async fn a_cancel_of_each_kind_ends_what_runs_and_keeps_what_was_recorded() {
    let stage = Stage::set(&Sound::at(16_000).voice(20_000), "real").await;
    let long = r#"{"playBeep":false,"maxRecordDurationInSeconds":60,"maxSilenceTimeoutInSeconds":60}"#;

    let running = stage.record(long).await;
    let waiting = stage.record(long).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let cancel = stage.daemon.post("/app/calls/mic/cancelMediaProcessing", "{}").await.unwrap();
    assert_eq!(
        (&cancel["@odata.type"], &cancel["status"]),
        (&"#microsoft.graph.cancelMediaProcessingOperation".into(), &"completed".into())
    );
    let running = stage.ended(&running).await;
    assert_eq!(summary(&running), ("failed", "operationCanceled", 400, 8508));
    assert!(running["recording"]["frames"].as_u64().unwrap() > 1_600);
    assert!(running["resultInfo"]["message"].as_str().unwrap().contains(cancel["id"].as_str().unwrap()));
    stage.check(&running).await;
    let waiting = stage.ended(&waiting).await;
    assert_eq!(summary(&waiting), ("failed", "operationCanceled", 400, 8508));
    assert_eq!(waiting["recording"], Value::Null);
    stage.check(&waiting).await;

    let deleted = stage.record(long).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let path = format!("/app/calls/mic/operations/{}", deleted["id"].as_str().unwrap());
    assert_eq!(stage.daemon.send(Method::DELETE, &path, None).await.unwrap().status(), 204);
    let deleted = stage.ended(&deleted).await;
    assert_eq!(summary(&deleted), ("failed", "operationCanceled", 400, 8508));
    assert_eq!(stage.daemon.send(Method::DELETE, &path, None).await.unwrap().status(), 204);
    assert_eq!(stage.daemon.send(Method::GET, &path, None).await.unwrap().status(), 404);
}

#[tokio::test]
async fn queued_recordings_join_frame_to_frame() {
    let sound = Sound::at(16_000).hiss(100).voice(4_000);
    let stage = Stage::set(&sound, "real").await;
    let second = r#"{"playBeep":false,"maxRecordDurationInSeconds":1}"#;
    let operations = [stage.record(second).await, stage.record(second).await, stage.record(second).await];
    let mut all = Vec::new();
    for operation in &operations {
        let operation = stage.ended(operation).await;
        assert_eq!(summary(&operation).1, "maxRecordDurationReached");
        let location = operation["recordResourceLocation"].as_str().unwrap();
        let bytes = stage.daemon.send(Method::GET, location, None).await.unwrap().bytes().await.unwrap();
        all.extend(hound::WavReader::new(&bytes[..]).unwrap().into_samples::<i16>().map(Result::unwrap));
    }
    assert!(all == sound.samples[..48_000]);
}

#[tokio::test]
async fn a_stream_grows_while_it_is_recorded_and_is_a_prefix_of_the_file() {
    let sound = Sound::at(16_000).hiss(200).voice(1_200).key('#', 90).hiss(500);
    let stage = Stage::set(&sound, "real").await;
    let operation = stage.record(r##"{"playBeep":false,"streamWhileRecording":true,"stopTones":["#"]}"##).await;
    let path = format!("/recordings/{}", operation["id"].as_str().unwrap());
    let mut stream = loop {
        let answer = stage.daemon.send(Method::GET, &path, None).await.unwrap();
        if answer.status() == 200 {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(stream.headers().get("content-length"), None);
    let (mut streamed, mut pieces) = (Vec::new(), 0);
    while let Some(piece) = stream.chunk().await.unwrap() {
        streamed.extend_from_slice(&piece);
        pieces += 1;
    }
    assert!(pieces > 20, "the stream came in {pieces} pieces");
    let operation = stage.ended(&operation).await;
    stage.check(&operation).await;
    let told = stage.callback.of(operation["id"].as_str().unwrap()).await;
    let kinds: Vec<_> = told.iter().map(|n| (n["changeType"].as_str(), n["resourceData"]["status"].as_str())).collect();
    assert_eq!(kinds, [(Some("updated"), Some("running")), (Some("deleted"), Some("completed"))]);
    assert!(told[0]["resourceData"]["recordResourceLocation"].is_string());
    let frames = operation["recording"]["frames"].as_u64().unwrap() as usize;
    let data = &streamed[streamed.len() - frames * 2..];
    let samples: Vec<i16> = data.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
    assert!(samples == sound.samples[..frames], "the whole stream is the file's samples");
}

#[tokio::test]
async fn live_and_replayed_the_same_request_comes_to_the_same_operation() {
    let sound = Sound::at(16_000).hiss(200).voice(900).key('1', 70).hiss(120).key('#', 90).hiss(300);
    let stage = Stage::set(&sound, "real").await;
    let request = r##"{"playBeep":false,"stopTones":["#","77"],"clientContext":"twice"}"##;
    let live = stage.play(request).await;
    let folder = stage.folder.path();
    std::fs::write(folder.join("request.json"), request).unwrap();
    let mut replay = std::process::Command::new(env!("CARGO_BIN_EXE_tonearm"));
    replay.arg("replay").arg("--request").arg(folder.join("request.json")).arg("--out").arg(folder.join("out"));
    let output = replay.arg(folder.join("sound.wav")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let replayed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let without_what_may_differ = |mut operation: Value| {
        let members = operation.as_object_mut().unwrap();
        for name in ["id", "createdDateTime", "lastActionDateTime"] {
            members.remove(name);
        }
        members.retain(|name, _| !name.ends_with("Location") && !name.ends_with("AccessToken"));
        operation["recording"].as_object_mut().unwrap().remove("startedAt");
        operation
    };
    assert_eq!(without_what_may_differ(live), without_what_may_differ(replayed));
}

#[tokio::test]
async fn a_full_disk_ends_a_recording_with_its_cause_and_a_valid_file() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let Some(_mounted) = Mounted::tmpfs(&disk) else {
        eprintln!("a full disk cannot be made here: mounting needs root");
        return;
    };
    let callback = Callback::listen().await;
    let wav = folder.path().join("sound.wav");
    Sound::at(48_000).voice(1_000).write(&wav);
    let more = format!("callback_uri = \"{}\"", callback.uri);
    let source = format!("wav:{}?pace=fast&loop=true", wav.display());
    let config = configure(&disk, &[("mic", &source)], &more).unwrap();
    let mut text = std::fs::read_to_string(&config).unwrap();
    text = text.replace("[storage]\n", "[storage]\nreserve_bytes = 0\n");
    std::fs::write(&config, text).unwrap();
    let daemon = Daemon::with(&config).await.unwrap();
    let stage = Stage { daemon, callback, folder };
    let operation = stage.play(r#"{"playBeep":false,"maxRecordDurationInSeconds":600}"#).await;
    assert_eq!(summary(&operation), ("failed", "unspecifiedError", 500, 9999));
    assert!(operation["resultInfo"]["message"].as_str().unwrap().to_lowercase().contains("no space"));
    assert!(operation["recording"]["frames"].as_u64().unwrap() > 48_000);
}

/// A small disk, gone when this is dropped.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn tmpfs(at: &Path) -> Option<Mounted> {
        let mount =
            std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(at).status();
        mount.is_ok_and(|status| status.success()).then(|| Mounted(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
