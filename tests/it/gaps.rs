//! Frames that a device lost, from its ring to the operation and the file as they are read over HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::ServiceExt;
use axum::extract::Request;
use reqwest::Method;
use serde_json::json;
use sha2::{Digest, Sha256};
use tonearm::api::auth::{Door, RecordingTokens, digest};
use tonearm::api::operations::{Links, Notifications};
use tonearm::api::record::Limits;
use tonearm::api::{Api, MEDIA_ROLE, normalise, router};
use tonearm::capture::{Capture, Feeding, Source};
use tonearm::control::chain::Setup;
use tonearm::control::hosts::Hosts;
use tonearm::control::line::{Line, Microphone, Settings};
use tonearm::control::prompts::Prompts;
use tonearm::control::{Application, Control, Settings as Controls};
use tonearm::pipeline::Channels;
use tonearm::record::GapCause;
use tonearm::rt::ring::{Producer, ring};
use tonearm::store::hex;
use tonearm::store::journal::Journal;
use tonearm::units::Rate;
use tonearm::wav::SampleFormat;
use tower::Layer;

use crate::daemon::{Http, TOKEN};
use crate::sound::Sound;

const HZ: u32 = 16_000;
/// What the ring holds: the first push that is longer is an overrun, however fast the pipeline is.
const ROOM: usize = 4_001;

/// The daemon's inside behind real HTTP, on a device that the test plays.
struct Stage {
    device: Producer<i16>,
    http: Http,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let (device, ring) = ring(1, ROOM);
        let rate = Rate::new(HZ).unwrap();
        let capture = Capture::of(&Source::Silence, rate, ring, Feeding::Alone(Box::new(())));
        let microphone = Microphone::hearing(capture, Source::Silence, Setup::default()).unwrap();
        let settings = Settings {
            name: "mic".into(),
            source: Source::Silence,
            open_always: true,
            channels: Channels::ALL,
            rate: None,
            format: SampleFormat::S16,
            playback: "none".into(),
            folder: folder.path().to_owned(),
            sync_interval: Duration::from_secs(1),
        };
        let bot = Application {
            id: "bot".into(),
            token_sha256: Some(digest(TOKEN)),
            roles: vec![MEDIA_ROLE.into()],
            lines: vec!["*".into()],
            callback_uri: None,
            callback_token: None,
            signing_key: None,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let tokens = RecordingTokens::new([7; 32]);
        let links = Links { base: Some(base.clone()), tokens: Some(tokens.clone()) };
        let control = Control::start(Controls {
            lines: vec![Line::new(settings, microphone).unwrap()],
            applications: vec![bot.clone()],
            journal: Arc::new(Journal::open(&folder.path().join("journal.sqlite")).unwrap()),
            recordings: folder.path().to_owned(),
            max_recordings: 1,
            reserve_bytes: 0,
            retention: tonearm::control::retention::Policy::default(),
            callback_hosts: Hosts::parse::<&str>(&[]).unwrap(),
            prompts: Prompts::new(None, Hosts::default()).into(),
            retry_for: Duration::from_secs(1),
            wire: Arc::new(Notifications(links.clone())),
        });
        let api = Api {
            control: control.await.unwrap(),
            door: Door::new(&[bot], None, tokens),
            links,
            limits: Limits::default(),
            hosts: vec!["127.0.0.1".into()],
            cors_origins: Vec::new(),
            hub: Arc::default(),
            traffic: Arc::default(),
            on_loopback: true,
        };
        let app = tower::util::MapRequestLayer::new(normalise).layer(router(Arc::new(api)));
        let app = ServiceExt::<Request>::into_make_service(app);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Stage { device, http: Http::at(base).unwrap(), _folder: folder }
    }

    /// Plays frames that the ring has room for.
    async fn play(&mut self, samples: &[i16]) {
        for piece in samples.chunks(ROOM / 2) {
            while self.device.room() < piece.len() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            self.device.push(piece);
        }
    }
}

/// Noise without a zero in it.
fn noise(frames: usize) -> Vec<i16> {
    let mut state = 22_695_477_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 16) as i16) | 1
    });
    noise.take(frames).collect()
}

#[tokio::test]
async fn lost_frames_of_every_cause_are_zeros_in_the_file_and_stand_in_the_operation_with_their_place() {
    let mut stage = Stage::set().await;
    let request = r#"{"playBeep":false,"maxRecordDurationInSeconds":1}"#;
    let operation = stage.http.post("/app/calls/mic/record", request).await.unwrap();
    let heard = noise(HZ as usize);
    let (before, after) = heard.split_at(ROOM);
    let (between, after) = after.split_at(3_333);

    // The ring has room for `before` only.
    stage.device.push(&[before, &[1; 2_000]].concat());
    stage.play(between).await;
    stage.device.lose(777, GapCause::Xrun);
    stage.device.lose(1, GapCause::DeviceLost);
    stage.play(after).await;
    let expected = [before, &[0; 2_000], between, &[0; 778], after].concat();
    let expected = &expected[..HZ as usize];

    let operation = stage.http.ended("mic", &operation).await.unwrap();
    assert_eq!(operation["completionReason"], "maxRecordDurationReached");
    let recording = &operation["recording"];
    let gaps = json!([
        {"at": 4_001, "frames": 2_000, "cause": "overrun"},
        {"at": 9_334, "frames": 777, "cause": "xrun"},
        {"at": 10_111, "frames": 1, "cause": "deviceLost"},
    ]);
    assert_eq!((&recording["gaps"], &recording["lostFrames"]), (&gaps, &json!(2_778)));
    assert_eq!((&recording["frames"], &recording["durationSeconds"]), (&json!(16_000), &json!(1.0)));

    let location = operation["recordResourceLocation"].as_str().unwrap();
    let bytes = stage.http.send(Method::GET, location, None).await.unwrap().bytes().await.unwrap();
    assert_eq!(recording["bytes"], bytes.len());
    let samples: Vec<i16> =
        hound::WavReader::new(&bytes[..]).unwrap().into_samples().collect::<Result<_, _>>().unwrap();
    assert!(samples == expected, "it differs at {:?}", (0..).find(|&n| samples.get(n) != expected.get(n)));
    let data: Vec<u8> = expected.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    assert_eq!(recording["sha256"], hex(&Sha256::digest(&data)));
}

#[tokio::test]
async fn the_second_opinion_on_a_key_is_of_its_own_samples_though_frames_were_lost_before_it() {
    let mut stage = Stage::set().await;
    let request = r#"{"playBeep":false,"stopTones":["1#"]}"#;
    let operation = stage.http.post("/app/calls/mic/record", request).await.unwrap();
    stage.play(&Sound::at(HZ).hiss(300).key('1', 80).hiss(100).samples).await;
    stage.device.lose(1_600, GapCause::Xrun);
    stage.play(&Sound::at(HZ).hiss(100).key('#', 80).hiss(300).samples).await;
    let operation = stage.http.ended("mic", &operation).await.unwrap();
    let tone = &operation["evidence"]["tone"];
    assert_eq!((&operation["recording"]["gaps"], &tone["entry"]), (&json!([]), &json!("1#")), "{operation}");
    for (member, hz) in [("lowHz", 941.0), ("highHz", 1_477.0)] {
        assert!((tone["secondOpinion"][member].as_f64().unwrap() - hz).abs() < 1.0, "{tone}");
    }
}
