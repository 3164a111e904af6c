//! Prompts: where they come from, in which order they are played, and what of them is in a recording.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::get;
use reqwest::Method;
use serde_json::{Value, json};

use crate::endings::{Stage, summary};
use crate::sound::{Sound, samples};

fn talk() -> Sound {
    Sound::at(16_000).hiss(300).voice(800).hiss(400)
}

/// A stage with two prompts and an output that keeps what was played.
async fn stage(sound: &Sound, pace: &str, hosts: &str) -> Stage {
    Stage::with(sound, pace, |folder| {
        let prompts = folder.join("prompts");
        std::fs::create_dir(&prompts).unwrap();
        Sound::at(8_000).voice(300).write(&prompts.join("hello.wav"));
        Sound::at(44_100).key('5', 200).write(&prompts.join("key.wav"));
        std::fs::write(prompts.join("song.mp3"), b"ID3\x04 and so on").unwrap();
        let playback = format!("playback = \"wav:{}\"", folder.join("played.wav").display());
        (playback, format!("[prompts]\ndirectory = {prompts:?}\nallow_hosts = [{hosts}]"))
    })
    .await
}

async fn play(stage: &Stage, prompts: Value) -> Value {
    stage.daemon.post("/app/calls/mic/playPrompt", &json!({"prompts": prompts}).to_string()).await.unwrap()
}

fn prompt(uri: &str) -> Value {
    json!({"@odata.type": "#microsoft.graph.mediaPrompt", "mediaInfo": {"uri": uri}})
}

#[tokio::test]
async fn what_play_prompt_played_is_told_once_and_in_its_order() {
    let stage = stage(&talk(), "fast", "").await;
    let twice = json!({"mediaInfo": {"uri": "file:hello.wav"}, "loop": 2});
    let operation = play(&stage, json!([twice, prompt("file:key.wav")])).await;
    assert_eq!(operation["@odata.type"], "#microsoft.graph.playPromptOperation");
    assert_eq!((&operation["status"], &operation["completionReason"]), (&"notStarted".into(), &Value::Null));
    let operation = stage.ended(&operation).await;
    assert_eq!(summary(&operation), ("completed", "completedSuccessfully", 200, 0));
    let told = stage.callback.of(operation["id"].as_str().unwrap()).await;
    let kinds: Vec<_> = told.iter().map(|n| (&n["changeType"], &n["resourceData"]["status"])).collect();
    assert_eq!(kinds, [(&"deleted".into(), &"completed".into())]);
    assert_eq!(told[0]["resourceData"]["@odata.type"], "#microsoft.graph.playPromptOperation");
    let played = samples(&stage.folder.path().join("played.wav"));
    assert_eq!(played.len(), 48_000 * (300 + 300 + 200) / 1_000);
    // The same both times but for the filter's last bit, and then the key.
    assert!(played[..14_400] == played[14_400..28_800]);
    assert_ne!(played[28_900..30_000], played[100..1_200]);
}

#[tokio::test]
async fn prompts_and_beep_come_before_the_recording_and_nothing_of_them_is_in_it() {
    let sound = talk();
    let stage = stage(&sound, "fast", "").await;
    let request = json!({"prompts": [prompt("file:hello.wav"), prompt("file:key.wav")], "stopTones": ["5"],
        "maxRecordDurationInSeconds": 1});
    let operation = stage.play(&request.to_string()).await;
    assert_eq!(summary(&operation), ("completed", "maxRecordDurationReached", 200, 8515));
    let recorded =
        stage.folder.path().join("data/recordings").join(format!("{}.wav", operation["id"].as_str().unwrap()));
    assert!(samples(&recorded) == sound.samples[..16_000]);
    let played = samples(&stage.folder.path().join("played.wav"));
    assert_eq!(played.len(), 48_000 * (300 + 200 + 250) / 1_000);
}

#[tokio::test]
async fn without_an_output_prompts_take_as_many_frames_as_they_last() {
    let sound = talk();
    let stage = Stage::with(&sound, "real", |folder| {
        Sound::at(8_000).voice(300).write(&folder.join("hello.wav"));
        (String::new(), format!("[prompts]\ndirectory = {folder:?}"))
    })
    .await;
    let request = json!({"prompts": [prompt("file:hello.wav")], "maxRecordDurationInSeconds": 1});
    let operation = stage.play(&request.to_string()).await;
    assert_eq!(operation["playback"], "timed only: nothing can be heard on this line");
    let recorded =
        stage.folder.path().join("data/recordings").join(format!("{}.wav", operation["id"].as_str().unwrap()));
    assert!(samples(&recorded) == sound.samples[..16_000], "the file's first frame is the first after prompt and beep");
}

#[tokio::test]
async fn record_and_play_prompt_wait_for_each_other() {
    let stage = stage(&talk(), "fast", "").await;
    let first = play(&stage, json!([prompt("file:hello.wav")])).await;
    let second = stage.record(r#"{"playBeep":false,"maxRecordDurationInSeconds":1}"#).await;
    let third = play(&stage, json!([prompt("file:key.wav")])).await;
    assert_eq!((&second["status"], &third["status"]), (&"notStarted".into(), &"notStarted".into()));
    let mut ends = Vec::new();
    for operation in [&first, &second, &third] {
        let operation = stage.ended(operation).await;
        assert_eq!(operation["status"], "completed", "{operation}");
        ends.push(operation["lastActionDateTime"].as_str().unwrap().to_owned());
    }
    assert!(ends.is_sorted(), "{ends:?}");
}

#[tokio::test]
async fn a_cancel_stops_what_plays_for_ever() {
    let stage = stage(&talk(), "fast", "").await;
    let running = play(&stage, json!([{"mediaInfo": {"uri": "file:hello.wav"}, "loop": 0}])).await;
    let waiting = play(&stage, json!([prompt("file:hello.wav")])).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    stage.daemon.post("/app/calls/mic/cancelMediaProcessing", "{}").await.unwrap();
    for operation in [running, waiting] {
        let operation = stage.ended(&operation).await;
        assert_eq!(summary(&operation), ("failed", "mediaOperationCanceled", 400, 8508));
    }
    let length = || samples(&stage.folder.path().join("played.wav")).len();
    let at_the_end = length();
    assert!(at_the_end >= 2 * 14_400, "{at_the_end}");
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(length(), at_the_end, "it has stopped");
}

#[tokio::test]
async fn prompts_that_cannot_be_played_fail_by_kind_and_name_what_was_found() {
    let stage = stage(&talk(), "fast", "\"http://127.0.0.1:1\", \"rebound.localhost\"").await;
    for (uri, subcode, words) in [
        ("file:none.wav", 8535, "no such file"),
        ("file:song.mp3", 8535, "ID3"),
        ("http://127.0.0.1:1/a.wav", 8536, "onnect"),
        ("https://rebound.localhost/a.wav", 8536, "rebound.localhost"),
    ] {
        for path in ["playPrompt", "record"] {
            let body = json!({"prompts": [prompt(uri)]}).to_string();
            let operation = stage.daemon.post(&format!("/app/calls/mic/{path}"), &body).await.unwrap();
            let operation = stage.ended(&operation).await;
            let reason = if path == "record" { "playPromptFailed" } else { "unknown" };
            assert_eq!(summary(&operation), ("failed", reason, 500, subcode), "{uri}");
            let message = operation["resultInfo"]["message"].as_str().unwrap();
            assert!(message.contains(words), "{message}");
        }
    }
    std::fs::create_dir(stage.folder.path().join("played.wav")).unwrap();
    let operation = stage.ended(&play(&stage, json!([prompt("file:hello.wav")])).await).await;
    assert_eq!(summary(&operation), ("failed", "unknown", 500, 8511));
}

#[tokio::test]
async fn prompts_from_where_none_may_come_are_refused_at_once() {
    let stage = stage(&talk(), "fast", "\"cdn.example\"").await;
    for uri in [
        "http://cdn.example/a.wav",
        "https://evil.example/a.wav",
        "https://bot:word@cdn.example/a.wav",
        "http://127.0.0.1/a.wav",
        "http://2130706433/a.wav",
        "http://[::ffff:10.0.0.1]/a.wav",
        "http://169.254.169.254/latest",
        "ftp://cdn.example/a.wav",
        "data:audio/wav;base64,UklGRg==",
        "/etc/passwd",
    ] {
        for path in ["playPrompt", "record"] {
            let body = json!({"prompts": [prompt(uri)]}).to_string();
            let path = format!("/app/calls/mic/{path}");
            let answer = stage.daemon.send(Method::POST, &path, Some(&body)).await.unwrap();
            assert_eq!(answer.status(), 400, "{uri}");
            let error: Value = answer.json().await.unwrap();
            assert_eq!(error["error"]["target"], "prompts[0].mediaInfo.uri");
        }
    }
    let empty = stage.daemon.send(Method::POST, "/app/calls/mic/playPrompt", Some("{}")).await.unwrap();
    assert_eq!(empty.status(), 400);
    assert_eq!(stage.daemon.get("/app/calls/mic/operations").await.unwrap()["value"], json!([]));
}

#[tokio::test]
async fn what_is_fetched_is_kept_by_its_resource_id_and_neither_redirects_nor_floods_are_followed() {
    let asked = Arc::new(AtomicUsize::new(0));
    async fn hello(State(asked): State<Arc<AtomicUsize>>) -> Vec<u8> {
        asked.fetch_add(1, Ordering::Relaxed);
        let mut wav = std::io::Cursor::new(Vec::new());
        let (bits_per_sample, sample_format) = (16, hound::SampleFormat::Int);
        let spec = hound::WavSpec { channels: 1, sample_rate: 8_000, bits_per_sample, sample_format };
        let mut writer = hound::WavWriter::new(&mut wav, spec).unwrap();
        (0..800).for_each(|n| writer.write_sample(n as i16).unwrap());
        writer.finalize().unwrap();
        wav.into_inner()
    }
    let endless = || async {
        let piece = axum::body::Bytes::from(vec![0; 1 << 20]);
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move { while sender.send(piece.clone()).await.is_ok() {} });
        axum::body::Body::new(Endless(receiver))
    };
    let app = Router::new()
        .route("/hello.wav", get(hello))
        .route("/moved.wav", get(|| async { Redirect::temporary("/hello.wav") }))
        .route("/none.wav", get(|| async { StatusCode::NOT_FOUND }))
        .route("/endless.wav", get(endless))
        .with_state(asked.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let stage = stage(&talk(), "fast", &format!("{host:?}")).await;
    let named = json!({"mediaInfo": {"uri": format!("{host}/hello.wav"), "resourceId": "hello"}});
    for (prompt, total) in [(&named, 1), (&named, 1), (&prompt(&format!("{host}/hello.wav")), 2), (&named, 2)] {
        let operation = stage.ended(&play(&stage, json!([prompt])).await).await;
        assert_eq!(summary(&operation), ("completed", "completedSuccessfully", 200, 0), "{operation}");
        assert_eq!(asked.load(Ordering::Relaxed), total);
    }
    for (path, words) in [("moved.wav", "307"), ("none.wav", "404"), ("endless.wav", "64 MiB")] {
        let operation = stage.ended(&play(&stage, json!([prompt(&format!("{host}/{path}"))])).await).await;
        assert_eq!(summary(&operation), ("failed", "unknown", 500, 8536));
        let message = operation["resultInfo"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

/// A body that does not end.
struct Endless(tokio::sync::mpsc::Receiver<axum::body::Bytes>);

impl http_body::Body for Endless {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(http_body::Frame::data(piece))))
    }
}

/// What was recorded, found again in what the line heard.
fn recorded(stage: &Stage, operation: &Value) -> Vec<i16> {
    let name = format!("{}.wav", operation["id"].as_str().unwrap());
    samples(&stage.folder.path().join("data/recordings").join(name))
}

#[tokio::test]
async fn an_answer_ends_the_prompt_in_real_time_and_at_the_same_frame_flat_out() {
    let sound = Sound::at(16_000).hiss(600).voice(700).hiss(400);
    let request = json!({"prompts": [{"mediaInfo": {"uri": "file:hello.wav"}, "loop": 0}], "bargeInAllowed": true,
        "maxSilenceTimeoutInSeconds": 1});
    let mut starts = Vec::new();
    for pace in ["fast", "real"] {
        let stage = stage(&sound, pace, "").await;
        let operation = stage.play(&request.to_string()).await;
        assert_eq!(summary(&operation), ("completed", "maxSilenceTimeout", 200, 0), "{operation}");
        let recorded = recorded(&stage, &operation);
        let start = (0..sound.samples.len()).find(|at| sound.samples[*at..].starts_with(&recorded[..1_600])).unwrap();
        assert!((start as i64 - 16_000 * 400 / 1_000).abs() < 320, "begun at {start}");
        starts.push((start, recorded.len()));
        if pace == "real" {
            let played = || samples(&stage.folder.path().join("played.wav")).len();
            let then = played();
            tokio::time::sleep(Duration::from_millis(700)).await;
            assert_eq!(played(), then, "what was for ever has stopped");
        }
    }
    assert_eq!(starts[0], starts[1]);
}

#[tokio::test]
async fn a_stop_tone_ends_the_operation_and_its_prompt_and_leaves_no_audio() {
    let stage = stage(&Sound::at(16_000).hiss(500).key('#', 100).hiss(400), "real", "").await;
    let request = json!({"prompts": [{"mediaInfo": {"uri": "file:hello.wav"}, "loop": 0}], "bargeInAllowed": true,
        "stopTones": ["#"]});
    let operation = stage.play(&request.to_string()).await;
    assert_eq!(summary(&operation), ("completed", "stopToneDetected", 200, 8514));
    assert_eq!((&operation["recording"], &operation["evidence"]["tone"]["entry"]), (&Value::Null, &"#".into()));
}

#[tokio::test]
async fn a_prompt_that_nobody_answers_is_played_to_its_end() {
    let sound = Sound::at(16_000).hiss(2_500);
    let stage = stage(&sound, "real", "").await;
    let request = json!({"prompts": [prompt("file:hello.wav")], "bargeInAllowed": true,
        "maxRecordDurationInSeconds": 1});
    let operation = stage.play(&request.to_string()).await;
    assert_eq!(summary(&operation), ("completed", "maxRecordDurationReached", 200, 8515));
    let played = samples(&stage.folder.path().join("played.wav"));
    assert_eq!(played.len(), 48_000 * (300 + 250) / 1_000);
}

#[tokio::test]
async fn a_request_that_goes_ahead_cancels_what_plays_and_waits() {
    let stage = stage(&talk(), "real", "").await;
    let playing = play(&stage, json!([{"mediaInfo": {"uri": "file:hello.wav"}, "loop": 0}])).await;
    let waiting = stage.record("{}").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let request = r#"{"playBeep":false,"bargeInAllowed":true,"maxRecordDurationInSeconds":1}"#;
    let ahead = stage.daemon.post("/app/calls/mic/recordResponse", request).await.unwrap();
    for (operation, reason) in [(&playing, "mediaOperationCanceled"), (&waiting, "operationCanceled")] {
        let operation = stage.ended(operation).await;
        assert_eq!(summary(&operation), ("failed", reason, 400, 8508));
        assert!(operation["resultInfo"]["message"].as_str().unwrap().contains(ahead["id"].as_str().unwrap()));
    }
    assert_eq!(summary(&stage.ended(&ahead).await).1, "maxRecordDurationReached");
}

#[tokio::test]
async fn an_answerable_prompt_that_cannot_be_played_fails_and_its_recording_with_it() {
    let stage = stage(&talk(), "real", "").await;
    std::fs::create_dir(stage.folder.path().join("played.wav")).unwrap();
    let request = json!({"prompts": [prompt("file:hello.wav")], "bargeInAllowed": true});
    let operation = stage.play(&request.to_string()).await;
    assert_eq!(summary(&operation), ("failed", "playPromptFailed", 500, 8511));
}

#[tokio::test]
async fn a_beep_that_cannot_be_played_fails_the_recording_by_its_name() {
    let stage = stage(&talk(), "real", "").await;
    std::fs::create_dir(stage.folder.path().join("played.wav")).unwrap();
    for prompts in [json!([]), json!([prompt("file:none.wav")])] {
        let operation = stage.play(&json!({"prompts": prompts, "playBeep": true}).to_string()).await;
        let expected = if prompts == json!([]) { ("playBeepFailed", 8512) } else { ("playPromptFailed", 8535) };
        assert_eq!(summary(&operation), ("failed", expected.0, 500, expected.1), "{operation}");
        assert_eq!((&operation["recording"], &operation["recordingLocation"]), (&Value::Null, &Value::Null));
    }
}
