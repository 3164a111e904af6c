//! What the console shows: operations searched, outlines, events, and what each of them keeps from others.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::daemon::{Daemon, Http, TOKEN, configure};
use crate::sound::Sound;

/// A daemon that hears a sentence and a `#` in real time, and another application beside `bot`.
async fn stage(folder: &std::path::Path) -> Daemon {
    let wav = folder.join("sentence.wav");
    Sound::at(8_000).hiss(300).voice(700).hiss(400).key('#', 100).hiss(60_000).write(&wav);
    let source = format!("wav:{}?pace=real", wav.display());
    let other = format!(
        "[[applications]]\nid = \"other\"\ntoken_sha256 = \"{}\"\nlines = [\"quiet\"]",
        tonearm::store::hex(&tonearm::api::auth::digest("other"))
    );
    let config = configure(folder, &[("desk", &source), ("quiet", "silence:")], &other).unwrap();
    let daemon = Daemon::with(&config).await.unwrap();
    daemon.ready().await.unwrap();
    daemon
}

/// Events until one that `last` knows, each with its name.
async fn events(http: &Http, token: &str, last: impl Fn(&str, &Value) -> bool) -> Vec<(String, Value)> {
    let request = http.client.get(format!("{}/events", http.base)).bearer_auth(token);
    let mut answer = request.send().await.unwrap().error_for_status().unwrap();
    let (mut rest, mut found) = (String::new(), Vec::new());
    while let Some(piece) = answer.chunk().await.unwrap() {
        rest.push_str(std::str::from_utf8(&piece).unwrap());
        while let Some((event, more)) = rest.split_once("\n\n") {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(name), Some(data)) = (field("event: "), field("data: ")) {
                found.push((name.to_owned(), serde_json::from_str(data).unwrap()));
            }
            rest = more.to_owned();
            if found.last().is_some_and(|(name, data)| last(name, data)) {
                return found;
            }
        }
    }
    panic!("the events ended");
}

#[tokio::test]
async fn events_tell_levels_keys_and_how_a_recording_goes_to_who_may_know() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = stage(folder.path()).await;
    let http = Http::at(daemon.base.clone()).unwrap();
    let mine = tokio::spawn(async move {
        // Keys are told with the levels, so the last one may come after the end that it brought about.
        let (key, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        events(&http, TOKEN, |name, data| {
            key.fetch_or(name == "key", Relaxed);
            ended.fetch_or(name == "operation" && data["operation"]["status"] == "completed", Relaxed);
            key.load(Relaxed) && ended.load(Relaxed)
        })
        .await
    });
    let http = Http::at(daemon.base.clone()).unwrap();
    let others = tokio::spawn(async move {
        let levels = AtomicUsize::new(0);
        events(&http, "other", |name, _| name == "levels" && levels.fetch_add(1, Relaxed) == 30).await
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let asked = r##"{"stopTones":["#"],"playBeep":false,"clientContext":"watched"}"##;
    let operation = daemon.post("/app/calls/desk/record", asked).await.unwrap();
    let mine = mine.await.unwrap();
    let named = |name: &'static str| mine.iter().filter(move |(known, _)| known == name).map(|(_, data)| data);
    assert!(named("levels").any(|data| data["line"] == "desk" && data["levels"][0]["speaking"] == true));
    assert!(named("levels").any(|data| data["line"] == "quiet"));
    assert_eq!(named("key").map(|key| key["digit"].as_str().unwrap()).collect::<String>(), "#");
    // Until somebody has spoken the initial silence is due, after that the duration or the silence.
    let due: Vec<(&str, u64)> = named("progress")
        .flat_map(|data| data["running"].as_array().unwrap())
        .filter(|one| one["id"] == operation["id"])
        .filter_map(|one| Some((one["due"]["reason"].as_str()?, one["due"]["atFrame"].as_u64()?)))
        .collect();
    assert!(due.contains(&("maxRecordDurationReached", 40_000)), "{due:?}");
    let ended = named("operation").next_back().unwrap();
    assert_eq!(ended["operation"]["completionReason"], "stopToneDetected");
    assert_eq!((&ended["line"], &ended["request"]["stopTones"][0]), (&"desk".into(), &"#".into()));
    let others = others.await.unwrap();
    assert!(others.iter().all(|(name, data)| name == "levels" && data["line"] == "quiet"), "{others:?}");
}

#[tokio::test]
async fn operations_are_found_by_what_they_are_and_the_newest_is_first() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = stage(folder.path()).await;
    for (line, context) in [("quiet", "Anna"), ("quiet", "Berta & Söhne"), ("desk", "anna again")] {
        let body = serde_json::json!({"playBeep": false, "maxRecordDurationInSeconds": 1, "clientContext": context});
        let operation = daemon.post(&format!("/app/calls/{line}/record"), &body.to_string()).await.unwrap();
        daemon.ended(line, &operation).await.unwrap();
    }
    let contexts = async |query: &str| -> Vec<String> {
        let page = daemon.get(&format!("/operations?{query}")).await.unwrap();
        let all = page["value"].as_array().unwrap();
        all.iter().map(|one| one["operation"]["clientContext"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(contexts("").await, ["anna again", "Berta & Söhne", "Anna"]);
    assert_eq!(contexts("text=ANNA").await, ["anna again", "Anna"]);
    assert_eq!(contexts("text=%26%20s%C3%B6").await, ["Berta & Söhne"]);
    assert_eq!(contexts("line=quiet&reason=maxRecordDurationReached").await, ["Berta & Söhne", "Anna"]);
    assert!(contexts("status=running").await.is_empty());
    assert!(contexts("before=2020-01-01T00:00:00Z").await.is_empty());
    assert_eq!(contexts("since=2020-01-01T00:00:00Z").await.len(), 3);
    // A page at a time, with the filter kept.
    let first = daemon.get("/operations?text=anna&$top=1").await.unwrap();
    assert_eq!(first["@odata.count"], 2);
    let next = daemon.get(first["@odata.nextLink"].as_str().unwrap()).await.unwrap();
    assert_eq!(next["value"][0]["operation"]["clientContext"], "Anna");
    assert!(next.get("@odata.nextLink").is_none());
    for wrong in ["status=going", "reason=none", "since=yesterday"] {
        let answer = daemon.send(Method::GET, &format!("/operations?{wrong}"), None).await.unwrap();
        assert_eq!(answer.status(), 400, "{wrong}");
        let words = answer.text().await.unwrap();
        assert!(words.contains("valid are") || words.contains("2026-"), "{words}");
    }
    let others = daemon.client.get(format!("{}/operations", daemon.base)).bearer_auth("other").send().await.unwrap();
    assert_eq!(others.json::<Value>().await.unwrap()["@odata.count"], 0);
}

#[tokio::test]
async fn an_outline_shows_where_somebody_spoke_to_the_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = stage(folder.path()).await;
    let operation = daemon.post("/app/calls/desk/record", r##"{"stopTones":["#"],"playBeep":false}"##).await.unwrap();
    let operation = daemon.ended("desk", &operation).await.unwrap();
    let path = format!("/recordings/{}/outline", operation["id"].as_str().unwrap());
    let outline = daemon.get(&format!("{path}?step=800")).await.unwrap();
    let peaks: Vec<f64> = outline["peaks"].as_array().unwrap().iter().map(|peak| peak.as_f64().unwrap()).collect();
    let frames = operation["recording"]["frames"].as_u64().unwrap();
    assert_eq!((outline["frames"].as_u64(), peaks.len()), (Some(frames), (frames / 800) as usize));
    // 300 ms of hiss, 700 ms of voice, hiss.
    assert!(peaks[..3].iter().all(|peak| *peak < 0.01) && peaks[4..9].iter().all(|peak| *peak > 0.1), "{peaks:?}");
    let rest = daemon.get(&format!("{path}?from=4000&step=800")).await.unwrap();
    assert_eq!(rest["peaks"][0], outline["peaks"][5]);
    assert_eq!(daemon.send(Method::GET, &format!("{path}?step=x"), None).await.unwrap().status(), 400);
    let others = daemon.client.get(format!("{}{path}", daemon.base)).bearer_auth("other").send().await.unwrap();
    assert_eq!(others.status(), 404);
}

#[tokio::test]
async fn the_console_needs_no_token_and_lets_nothing_foreign_in() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &[("mic", "silence:")]).await.unwrap();
    let get = async |path: &str| daemon.client.get(format!("{}{path}", daemon.base)).send().await.unwrap();
    let page = get("/").await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
    let text = page.text().await.unwrap();
    for name in text.split("/console/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert_eq!(get(&format!("/console/{name}")).await.status(), 200, "{name}");
    }
    assert_eq!(get("/console/nobody.js").await.status(), 404);
    for path in ["/operations", "/space", "/events", "/lines"] {
        assert_eq!(get(path).await.status(), 401, "{path}");
    }
}
