//! Keys, as a call tells them to those who subscribe.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::endings::Stage;
use crate::sound::Sound;

impl Stage {
    /// What was told of keys so far, once it is so much.
    async fn tones(&self, count: usize) -> Vec<Value> {
        for _ in 0..500 {
            let heard = self.callback.heard.lock().unwrap().clone();
            let tones: Vec<Value> =
                heard.into_iter().map(|(_, n)| n).filter(|n| n["resourceData"]["toneInfo"].is_object()).collect();
            if tones.len() >= count {
                return tones;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no {count} keys were told within 5 s");
    }
}

fn words(tones: &[Value]) -> Vec<(u64, &str)> {
    let info = tones.iter().map(|told| &told["resourceData"]["toneInfo"]);
    info.map(|info| (info["sequenceId"].as_u64().unwrap(), info["tone"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn every_key_is_told_once_and_in_its_order_from_the_files_first_frame_on() {
    let sound = Sound::at(16_000).key('1', 80).hiss(100).key('#', 80).hiss(100).key('#', 300).hiss(100).key('D', 60);
    let stage = Stage::set(&sound, "real").await;
    let operation = stage.daemon.post("/app/calls/mic/subscribeToTone", r#"{"clientContext":"x"}"#).await.unwrap();
    assert_eq!(operation["@odata.type"], "#microsoft.graph.subscribeToToneOperation");
    assert_eq!((&operation["status"], &operation["clientContext"]), (&"completed".into(), &"x".into()));
    // A second subscription does not tell anything twice.
    stage.daemon.post("/app/calls/mic/subscribeToTone", "{}").await.unwrap();
    let told = stage.tones(4).await;
    assert_eq!(words(&told), [(1, "tone1"), (2, "pound"), (3, "pound"), (4, "d")]);
    for told in &told {
        assert_eq!((&told["changeType"], &told["resource"]), (&"updated".into(), &"/app/calls/mic".into()));
        assert_eq!(told["resourceData"]["@odata.type"], "#microsoft.graph.call");
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(stage.tones(4).await.len(), 4);
}

#[tokio::test]
async fn a_muted_call_hears_no_keys() {
    let stage = Stage::set(&Sound::at(16_000).hiss(500).key('1', 80).hiss(900).key('2', 80).hiss(200), "real").await;
    stage.daemon.post("/app/calls/mic/subscribeToTone", "{}").await.unwrap();
    stage.daemon.post("/app/calls/mic/mute", "{}").await.unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    stage.daemon.post("/app/calls/mic/unmute", "{}").await.unwrap();
    assert_eq!(words(&stage.tones(1).await), [(1, "tone2")]);
}

#[tokio::test]
async fn a_file_that_is_read_flat_out_has_no_keys_to_subscribe_to() {
    let stage = Stage::set(&Sound::at(16_000).hiss(500), "fast").await;
    let answer = stage.daemon.send(Method::POST, "/app/calls/mic/subscribeToTone", Some("{}")).await.unwrap();
    assert_eq!(answer.status(), 409);
    let error: Value = answer.json().await.unwrap();
    assert!(error["error"]["message"].as_str().unwrap().contains("pace=real"), "{error}");
}

#[tokio::test]
async fn who_subscribes_to_tones_needs_the_role_and_who_mutes_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let config = crate::daemon::configure(folder.path(), &[("mic", "silence:")], "").unwrap();
    let text = std::fs::read_to_string(&config).unwrap().replace("[\"Calls.AccessMedia.All\"]", "[]");
    std::fs::write(&config, text).unwrap();
    let daemon = crate::daemon::Daemon::with(&config).await.unwrap();
    for (action, status) in [("subscribeToTone", 403), ("record", 403), ("mute", 200), ("unmute", 200)] {
        let path = format!("/app/calls/mic/{action}");
        let answer = daemon.send(Method::POST, &path, Some("{}")).await.unwrap();
        assert_eq!(answer.status(), status, "{action}");
    }
    let unknown = daemon.send(Method::POST, "/app/calls/mic/mute", Some(r#"{"participants":[]}"#)).await.unwrap();
    assert_eq!(unknown.status(), 400);
}
