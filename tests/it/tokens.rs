//! Who is let in: tokens of an identity provider, and what another application can find out.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Method, Response};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::Sha256;
use tonearm::api::auth::digest;
use tonearm::clock;
use tonearm::store::hex;

use crate::daemon::{Daemon, TOKEN, configure};

const ROLE: &str = "Calls.AccessMedia.All";
const OTHER: &str = "the-other-ones-token";

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A key of the provider's.
struct Key {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Key {
    fn new(id: &'static str) -> Key {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        Key { id, pair }
    }

    fn public(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "kid": self.id, "x": encoded(&point[1..33]), "y": encoded(&point[33..])})
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": self.id});
        let message = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", encoded(signature))
    }
}

/// An identity provider that counts who fetches its keys.
#[derive(Clone)]
struct Provider(Arc<Mutex<(Vec<Value>, usize)>>);

impl Provider {
    async fn listen(keys: &[&Key]) -> (Provider, String) {
        let provider = Provider(Arc::new(Mutex::new((keys.iter().map(|key| key.public()).collect(), 0))));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/keys", listener.local_addr().unwrap());
        async fn keys_of(State(Provider(state)): State<Provider>) -> Json<Value> {
            let mut state = state.lock().unwrap();
            state.1 += 1;
            Json(json!({"keys": state.0}))
        }
        let app = Router::new().route("/keys", get(keys_of)).with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (provider, uri)
    }

    fn fetched(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

async fn daemon(folder: &std::path::Path, jwks_uri: &str) -> Daemon {
    let more = format!(
        "[[applications]]\nid = \"app-of-the-provider\"\n[[applications]]\nid = \"other\"\ntoken_sha256 = \"{}\"\n\
         [jwt]\nissuer = \"https://issuer.test\"\naudience = \"tonearm\"\njwks_uri = \"{jwks_uri}\"\nalgorithms = [\"ES256\"]\nrefetch_seconds = 1\n",
        hex(&digest(OTHER))
    );
    Daemon::with(&configure(folder, &[("mic", "silence:")], &more).unwrap()).await.unwrap()
}

fn claims() -> Value {
    let exp = clock::wall().as_second() + 600;
    json!({"iss": "https://issuer.test", "aud": "tonearm", "exp": exp, "azp": "app-of-the-provider", "roles": [ROLE]})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

async fn ask(daemon: &Daemon, method: Method, path: &str, token: &str) -> Response {
    let request = daemon.client.request(method, format!("{}{path}", daemon.base)).bearer_auth(token);
    request.header("content-type", "application/json").body("{}").send().await.unwrap()
}

/// Status and body, without what differs from request to request.
async fn seen(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let mut body: Value = answer.json().await.unwrap();
    assert!(body["error"]["innerError"].take().is_object());
    (status, body)
}

#[tokio::test]
async fn a_providers_token_lets_its_application_in_with_the_roles_that_it_grants() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new("first");
    let (provider, uri) = Provider::listen(&[&key]).await;
    let daemon = daemon(folder.path(), &uri).await;
    let token = key.sign(&claims());
    let answer = ask(&daemon, Method::POST, "/app/calls/mic/record", &token).await;
    assert_eq!(answer.status(), 202);
    let operation: Value = answer.json().await.unwrap();
    let path = format!("/app/calls/mic/operations/{}", operation["id"].as_str().unwrap());
    assert_eq!(ask(&daemon, Method::GET, &path, &token).await.status(), 200);
    assert_eq!(ask(&daemon, Method::GET, &path, TOKEN).await.status(), 404);
    for roles in [json!([]), json!(["Calls.JoinGroupCall.All"]), json!(ROLE), Value::Null] {
        let poor = key.sign(&with("roles", roles));
        assert_eq!(ask(&daemon, Method::GET, "/app/calls", &poor).await.status(), 200);
        assert_eq!(ask(&daemon, Method::POST, "/app/calls/mic/record", &poor).await.status(), 403);
    }
    assert_eq!(provider.fetched(), 1);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_it_is_refused_in_the_same_words() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new("first");
    let (_provider, uri) = Provider::listen(&[&key]).await;
    let daemon = daemon(folder.path(), &uri).await;
    let now = clock::wall().as_second();
    let mut without_exp = claims();
    without_exp.as_object_mut().unwrap().remove("exp");
    let signed = key.sign(&claims());
    let (head, signature) = signed.rsplit_once('.').unwrap();
    let payload = head.split_once('.').unwrap().1;
    let none = |alg| format!("{}.{payload}.", encoded(json!({"alg": alg, "kid": "first"}).to_string()));
    // Who takes the public key for a shared secret can sign anything.
    let confused = format!("{}.{payload}", encoded(json!({"alg": "HS256", "kid": "first"}).to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(key.pair.public_key().as_ref()).unwrap();
    mac.update(confused.as_bytes());
    let wrong = [
        key.sign(&with("iss", "https://other.test".into())),
        key.sign(&with("aud", "another".into())),
        key.sign(&with("exp", (now - 600).into())),
        key.sign(&with("nbf", (now + 600).into())),
        key.sign(&with("azp", "nobody".into())),
        key.sign(&with("azp", Value::Null)),
        key.sign(&without_exp),
        Key::new("first").sign(&claims()),
        Key::new("unknown").sign(&claims()),
        none("none"),
        none("None"),
        none("ES256"),
        format!("{confused}.{}", encoded(mac.finalize().into_bytes())),
        format!("{}.{signature}", &head[..head.len() - 4]),
        format!("{head}.{}", encoded([0; 64])),
        "a.b.c".to_owned(),
    ];
    assert_eq!(ask(&daemon, Method::GET, "/app/calls", &signed).await.status(), 200);
    let nobody = seen(ask(&daemon, Method::GET, "/app/calls", "nonsense").await).await;
    assert_eq!(nobody.0, 401);
    for (index, token) in wrong.iter().enumerate() {
        assert_eq!(seen(ask(&daemon, Method::GET, "/app/calls", token).await).await, nobody, "{index}");
    }
}

#[tokio::test]
async fn a_new_key_is_fetched_when_it_is_used_and_unknown_ones_do_not_make_us_ask_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Key::new("first"), Key::new("second"));
    let (provider, uri) = Provider::listen(&[&first]).await;
    let daemon = daemon(folder.path(), &uri).await;
    assert_eq!(ask(&daemon, Method::GET, "/app/calls", &first.sign(&claims())).await.status(), 200);
    let before = provider.fetched();
    let unknown = Key::new("unknown").sign(&claims());
    for _ in 0..30 {
        assert_eq!(ask(&daemon, Method::GET, "/app/calls", &unknown).await.status(), 401);
    }
    assert!(provider.fetched() <= before + 1, "{}", provider.fetched());
    provider.0.lock().unwrap().0 = vec![second.public()];
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(ask(&daemon, Method::GET, "/app/calls", &second.sign(&claims())).await.status(), 200);
    assert_eq!(ask(&daemon, Method::GET, "/app/calls", &first.sign(&claims())).await.status(), 401);
}

/// The two requests that must look alike, and the token of both.
type Pair = (&'static str, Method, String, String);

#[tokio::test]
async fn what_is_another_applications_cannot_be_told_from_what_does_not_exist() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), "http://127.0.0.1:1/").await;
    let waits = r#"{"playBeep":false,"maxRecordDurationInSeconds":60,"initialSilenceTimeoutInSeconds":60,"streamWhileRecording":true}"#;
    let call = daemon.post("/app/calls", "{}").await.unwrap()["id"].as_str().unwrap().to_owned();
    let operation = daemon.post(&format!("/app/calls/{call}/record"), waits).await.unwrap();
    let id = operation["id"].as_str().unwrap();
    let none = "01a20000-0000-7000-8000-000000000000";
    let pair = |what, method: Method, theirs: String, nobodys: String| -> Pair { (what, method, theirs, nobodys) };
    let pairs = [
        pair("call", Method::GET, format!("/app/calls/{call}"), format!("/app/calls/{none}")),
        pair("end", Method::DELETE, format!("/app/calls/{call}"), format!("/app/calls/{none}")),
        pair("record", Method::POST, format!("/app/calls/{call}/record"), format!("/app/calls/{none}/record")),
        pair("list", Method::GET, format!("/app/calls/{call}/operations"), format!("/app/calls/{none}/operations")),
        pair(
            "operation",
            Method::GET,
            format!("/app/calls/{call}/operations/{id}"),
            format!("/app/calls/{none}/operations/{none}"),
        ),
        pair(
            "own call",
            Method::GET,
            format!("/app/calls/mic/operations/{id}"),
            format!("/app/calls/mic/operations/{none}"),
        ),
        pair("audio", Method::GET, format!("/recordings/{id}"), format!("/recordings/{none}")),
        pair(
            "notification",
            Method::POST,
            format!("/notifications/msg_{id}_deleted/repeat"),
            format!("/notifications/msg_{none}_deleted/repeat"),
        ),
    ];
    for (what, method, theirs, nobodys) in &pairs {
        let (mut times, mut last) = ([Vec::new(), Vec::new()], Vec::new());
        for round in 0..300 {
            last.clear();
            // By turns, and in both orders, so that what else goes on meets both alike.
            for index in [round % 2, (round + 1) % 2] {
                let path = [theirs, nobodys][index];
                let started = clock::now();
                let answer = ask(&daemon, method.clone(), path, OTHER).await;
                times[index].push(started.elapsed());
                last.push(seen(answer).await);
            }
        }
        assert_eq!((last[0].0, &last[0]), (404, &last[1]), "{what}");
        let [theirs, nobodys] = times.map(|mut times| {
            times.sort();
            times[times.len() / 2].as_secs_f64()
        });
        println!("{what}: {:.0} and {:.0} µs", theirs * 1e6, nobodys * 1e6);
        // A look into the journal would take 100 µs.
        assert!((theirs - nobodys).abs() < 50e-6, "{what}: {theirs} s and {nobodys} s");
    }
    // And none of it did anything.
    let still = daemon.get(&format!("/app/calls/{call}/operations/{id}")).await.unwrap();
    assert_eq!((&still["status"], still["completionReason"].is_null()), (&"running".into(), true));
}

#[tokio::test]
async fn an_application_knows_only_its_own_lines() {
    let folder = tempfile::tempdir().unwrap();
    let digest = hex(&digest(OTHER));
    let more = format!("[[applications]]\nid = \"other\"\ntoken_sha256 = \"{digest}\"\nlines = [\"back\"]");
    let config = configure(folder.path(), &[("mic", "silence:"), ("back", "silence:")], &more).unwrap();
    let daemon = Daemon::with(&config).await.unwrap();
    for (path, name) in [("/app/calls", "id"), ("/lines", "name")] {
        let listed: Value = ask(&daemon, Method::GET, path, OTHER).await.json().await.unwrap();
        assert_eq!(listed["value"].as_array().unwrap().len(), 1);
        assert_eq!(listed["value"][0][name], "back");
    }
    assert_eq!(ask(&daemon, Method::GET, "/app/calls/back", OTHER).await.status(), 200);
    let theirs = seen(ask(&daemon, Method::POST, "/app/calls/mic/record", OTHER).await).await;
    assert_eq!(
        (theirs.0, &theirs),
        (404, &seen(ask(&daemon, Method::POST, "/app/calls/no/record", OTHER).await).await)
    );
    let request = daemon.client.post(format!("{}/app/calls", daemon.base)).bearer_auth(OTHER);
    let request = request.header("content-type", "application/json");
    let answer = request.body(r#"{"targets":[{"identity":{"user":{"id":"mic"}}}]}"#).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let words = answer.text().await.unwrap();
    assert!(words.contains("back") && !words.contains("mic"), "{words}");
}
