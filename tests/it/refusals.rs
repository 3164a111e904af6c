//! What the daemon refuses, in which words, and that nothing starts.

use reqwest::Method;
use serde_json::Value;

use crate::daemon::{Daemon, TOKEN};

async fn daemon(folder: &std::path::Path) -> Daemon {
    Daemon::start(folder, &[("front-desk", "silence:"), ("back", "silence:")]).await.unwrap()
}

#[tokio::test]
async fn malformed_requests_are_refused_by_name_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    let long = format!(r#"{{"clientContext":"{}"}}"#, "x".repeat(257));
    let deep = format!(r#"{{"prompts":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
    let huge = format!(r#"{{"clientContext":"{}"}}"#, "x".repeat(2 << 20));
    let many = format!(r#"{{"stopTones":[{}]}}"#, vec!["\"1\""; 33].join(","));
    let cases: &[(&str, u16, &str)] = &[
        (r#"{"maxSilenceTimeoutInSeconds":0}"#, 400, "maxSilenceTimeoutInSeconds"),
        (r#"{"maxSilenceTimeoutInSeconds":-1}"#, 400, "1 to 86400"),
        (r#"{"initialSilenceTimeoutInSeconds":5.0}"#, 400, "1 to 86400"),
        (r#"{"maxRecordDurationInSeconds":86401}"#, 400, "1 to 86400"),
        (r#"{"maxRecordDurationInSeconds":NaN}"#, 400, "JSON"),
        (r#"{"maxRecordDurationInSeconds":4294967297}"#, 400, "1 to 86400"),
        (r#"{"maxRecordDurationInSeconds":"5"}"#, 400, "1 to 86400"),
        (r#"{"playBeep":"yes"}"#, 400, "playBeep"),
        (r#"{"playBeep":true,"playBeep":false}"#, 400, "playBeep"),
        (r#"{"maxSilenceTimeOutInSecs":5}"#, 400, "maxSilenceTimeoutInSeconds"),
        (r#"{"stopTones":[""]}"#, 400, "stopTones[0]"),
        (r#"{"stopTones":["1",2]}"#, 400, "stopTones[1]"),
        (r#"{"stopTones":["x"]}"#, 400, "stopTones[0]"),
        (r##"{"stopTones":["12345678901234567"]}"##, 400, "stopTones[0]"),
        (&many, 400, "stopTones"),
        (r#"{"recordingFormat":"mp3"}"#, 422, "wav"),
        ("[]", 400, "object"),
        ("{", 400, "JSON"),
        (&long, 400, "256"),
        (&deep, 400, "JSON"),
        (&huge, 413, "1048576"),
    ];
    for (body, status, words) in cases {
        let answer = daemon.send(Method::POST, "/app/calls/front-desk/record", Some(body)).await.unwrap();
        assert_eq!(answer.status(), *status, "{}", &body[..body.len().min(60)]);
        assert!(answer.headers().contains_key("request-id"));
        let error: Value = answer.json().await.unwrap();
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message} does not say {words}");
        assert!(error["error"]["innerError"]["request-id"].is_string());
    }
    let operations = daemon.get("/app/calls/front-desk/operations").await.unwrap();
    assert_eq!(operations["value"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn bodies_that_are_not_declared_as_json_are_415() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    let url = format!("{}/app/calls/front-desk/record", daemon.base);
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let mut request = daemon.client.post(&url).bearer_auth(TOKEN).body("{}");
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        assert_eq!(request.send().await.unwrap().status(), 415, "{kind:?}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_400() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    let request = daemon.client.post(format!("{}/app/calls/front-desk/record", daemon.base)).bearer_auth(TOKEN);
    let request = request.header("content-type", "application/json").body(&b"{\"clientContext\":\"\xff\"}"[..]);
    assert_eq!(request.send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn strangers_are_401_and_other_things_404_in_one_way() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    for (path, token) in [
        ("/app/calls", ""),
        ("/app/calls", "wrong"),
        ("/app/calls/front-desk/operations", "wrong"),
        ("/recordings/00000000-0000-0000-0000-000000000000", "wrong"),
        ("/lines", "wrong"),
        ("/app/calls?access_token=a-token-for-tests", ""),
    ] {
        let answer = daemon.client.get(format!("{}{path}", daemon.base)).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    }
    for path in [
        "/app/calls/nobody",
        "/app/calls/..%2f..%2fetc",
        "/app/calls/front-desk%00",
        "/app/calls/front-desk/operations/nothing",
        "/app/calls/front-desk/operations/..",
        "/applications/other/calls/front-desk",
        "/recordings/nothing",
        "/recordings/00000000-0000-0000-0000-000000000000",
        "/nowhere",
    ] {
        let answer = daemon.send(Method::GET, path, None).await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        let error: Value = answer.json().await.unwrap();
        assert_eq!(error["error"]["code"], "itemNotFound", "{path}");
    }
    let answer = daemon.send(Method::PUT, "/app/calls", None).await.unwrap();
    assert_eq!(answer.status(), 405);
}

#[tokio::test]
async fn foreign_hosts_and_origins_are_403() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    for (name, value) in [("host", "evil.example"), ("origin", "https://evil.example")] {
        let url = format!("{}/healthz", daemon.base);
        let answer = daemon.client.get(url).header(name, value).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{name}");
    }
}

#[tokio::test]
async fn every_spelling_leads_to_the_same_call() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    for path in [
        "/app/calls/front-desk/record",
        "/App/Calls/FRONT-DESK/Record",
        "/beta/app/calls/frontdesk/microsoft.graph.record",
        "/v1.0/communications/calls/front-desk/microsoft.graph.recordResponse",
        "/communications/calls('front-desk')/recordResponse",
        "/beta/applications/bot/calls/front-desk/record",
    ] {
        let answer = daemon.send(Method::POST, path, Some("{}")).await.unwrap();
        let expected = if path.to_lowercase().ends_with("recordresponse") { 200 } else { 202 };
        assert_eq!(answer.status(), expected, "{path}");
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        let operation = daemon.get(&location).await.unwrap();
        assert_eq!(operation["@odata.type"], "#microsoft.graph.recordOperation");
    }
    let operations = daemon.get("/app/calls/front-desk/operations").await.unwrap();
    assert_eq!(operations["value"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn a_call_of_its_own_can_be_opened_used_and_ended() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    let body = r#"{"targets":[{"identity":{"user":{"id":"back"}}}],"subject":"a test","somethingNew":1}"#;
    let answer = daemon.send(Method::POST, "/app/calls", Some(body)).await.unwrap();
    assert_eq!(answer.status(), 201);
    let call: Value = answer.json().await.unwrap();
    let id = call["id"].as_str().unwrap();
    assert_eq!(call["state"], "established");
    let operation = daemon.post(&format!("/app/calls/{id}/record"), "{}").await.unwrap();
    assert_eq!(daemon.send(Method::DELETE, &format!("/app/calls/{id}"), None).await.unwrap().status(), 204);
    let path = format!("/app/calls/{id}/operations/{}", operation["id"].as_str().unwrap());
    let operation = loop {
        let operation = daemon.get(&path).await.unwrap();
        if operation["status"] == "completed" {
            break operation;
        }
        assert_ne!(operation["status"], "failed", "{operation}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    assert_eq!(operation["completionReason"], "operationCanceled");
    let after = daemon.send(Method::POST, &format!("/app/calls/{id}/record"), Some("{}")).await.unwrap();
    assert_eq!(after.status(), 409);
    let wrong = r#"{"targets":[{"identity":{"user":{"id":"nobody"}}}]}"#;
    let answer = daemon.send(Method::POST, "/app/calls", Some(wrong)).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(answer.text().await.unwrap().contains("front-desk"));
    assert_eq!(daemon.send(Method::DELETE, "/app/calls/back", None).await.unwrap().status(), 409);
}
