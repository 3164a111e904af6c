//! Telling applications what has become of their requests: the outbox and its sender.
//!
//! Belongs here: how they are signed, when they are tried again. Does not: where they may go (`hosts`), what they say
//! (`api`, through [`Wire`]). Recording never waits for any of this.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use sha2::Sha256;
use tokio::sync::Semaphore;

use super::call::Call;
use super::counts::Attempt;
use super::operation::Operation;
use super::{Application, Control, blocking, client};
use crate::clock;
use crate::dsp::tone::Key;
use crate::error::{Error, Kind};
use crate::store::crash::reached;
use crate::store::journal::{Delivery, OutboxRow};

/// A callback has so long to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A failed attempt is repeated after so long …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … doubling up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The pauses are spread by so much, so that not all come back at once.
const SPREAD: f64 = 0.2;
/// So many are on their way at once, of different calls.
const AT_ONCE: usize = 16;
/// The outbox is looked through so often even if nobody says that something is in it.
const LOOK: Duration = Duration::from_secs(30);

/// What happened to what a notification is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It goes on.
    Updated,
    /// It is over.
    Deleted,
}

impl Change {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Change::Updated => "updated",
            Change::Deleted => "deleted",
        }
    }
}

/// Writes what is told to others.
pub trait Wire: Send + Sync {
    /// The body of a notification about an operation.
    fn operation(&self, operation: &Operation, change: Change) -> String;
    /// The body of a notification about a call.
    fn call(&self, call: &Call, change: Change) -> String;
    /// The body of a notification about a key that was pressed on a call, the so many-th.
    fn tone(&self, call: &Call, sequence: u64, pressed: Key) -> String;
}

impl Control {
    /// An application's notifications of one state, the oldest first: at most `limit` of those whose place is behind `after`.
    pub async fn notifications(
        &self,
        app: &Application,
        state: Delivery,
        after: i64,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, Error> {
        let (journal, app) = (self.journal().clone(), app.id.clone());
        blocking(move || journal.list(&app, state, after, limit)).await
    }

    /// Sends a notification again, under the same id.
    pub async fn repeat_notification(&self, app: &Application, id: &str) -> Result<(), Error> {
        let (journal, app, id) = (self.journal().clone(), app.id.clone(), id.to_owned());
        let now_ms = clock::wall().as_millisecond();
        match blocking(move || journal.repeat(&app, &id, now_ms)).await? {
            None => Err(Error::not_found()),
            Some(Delivery::Pending) => {
                Err(Error::new(Kind::Conflict, "the notification waits for its next attempt already"))
            }
            Some(Delivery::Delivered | Delivery::Undeliverable) => {
                self.outbox.notify_one();
                Ok(())
            }
        }
    }
}

/// What the callback said.
enum Answer {
    Taken,
    /// It may take it later; not before so long, if it says so.
    Later(String, Option<Duration>),
    /// It never will.
    Refused(String),
}

/// Sends what is in the outbox, for ever.
pub async fn send(control: Arc<Control>) {
    let (slots, busy) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Mutex::new(HashSet::new())));
    loop {
        let journal = control.journal().clone();
        let now_ms = clock::wall().as_millisecond();
        let look = blocking(move || Ok::<_, Error>((journal.due(now_ms, AT_ONCE as i64 * 4)?, journal.next_due_ms()?)));
        let (due, next_ms) = look.await.unwrap_or_else(|error| {
            tracing::warn!("the outbox cannot be read: {error}");
            (Vec::new(), None)
        });
        let mut started = false;
        for row in due {
            if !busy.lock().unwrap_or_else(PoisonError::into_inner).insert(row.seq) {
                continue;
            }
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            started = true;
            let (control, busy) = (control.clone(), busy.clone());
            tokio::spawn(async move {
                let seq = row.seq;
                attempt(&control, row).await;
                busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&seq);
                control.outbox.notify_one();
                drop(slot);
            });
        }
        let in_work = started || !busy.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        let pause = match next_ms {
            // What is due and in work says itself when it is done.
            Some(at_ms) if !in_work => Duration::from_millis(at_ms.saturating_sub(now_ms).max(10) as u64).min(LOOK),
            _ if in_work => FIRST_PAUSE,
            _ => LOOK,
        };
        let _ = tokio::time::timeout(pause, control.outbox.notified()).await;
    }
}

/// Tries one notification, and writes down what came of it.
async fn attempt(control: &Control, row: OutboxRow) {
    let answer = post(control, &row).await;
    control.counts.attempted(match &answer {
        Answer::Taken => Attempt::Taken,
        Answer::Later(..) => Attempt::Failed,
        Answer::Refused(_) => Attempt::Refused,
    });
    let journal = control.journal().clone();
    let now_ms = clock::wall().as_millisecond();
    let give_up_ms = row.notification.since_ms + control.settings().retry_for.as_millis() as i64;
    reached("posted");
    // What others wrote is quoted in the log: a line break in it begins no line.
    let (id, uri) = (row.notification.webhook_id, row.notification.callback_uri);
    let settled = match answer {
        Answer::Taken => blocking(move || journal.delivered(row.seq)).await,
        Answer::Later(error, after) => {
            let pause = after.unwrap_or_else(|| pause(row.attempts));
            let next_ms = now_ms + pause.as_millis() as i64;
            tracing::warn!(id, attempts = row.attempts + 1, "a notification was not taken by {uri:?}: {error:?}");
            blocking(move || match next_ms > give_up_ms {
                true => journal.undeliverable(row.seq, &error),
                false => journal.retry(row.seq, next_ms, &error),
            })
            .await
        }
        Answer::Refused(error) => {
            tracing::warn!(id, "a notification was refused by {uri:?}; it is kept as undeliverable: {error:?}");
            blocking(move || journal.undeliverable(row.seq, &error)).await
        }
    };
    reached("delivered");
    if let Err(error) = settled {
        tracing::error!("what came of a notification could not be written down; it may be sent again: {error}");
        tokio::time::sleep(FIRST_PAUSE).await;
    }
}

/// So long after so many attempts that failed.
fn pause(attempts: i64) -> Duration {
    let longest = LONGEST_PAUSE.as_secs_f64();
    let pause = (FIRST_PAUSE.as_secs_f64() * 2_f64.powi(attempts.clamp(0, 30) as i32)).min(longest);
    let mut random = [0; 4];
    let _ = getrandom::fill(&mut random);
    let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
    Duration::from_secs_f64(pause * (1.0 + SPREAD * (2.0 * share - 1.0)))
}

async fn post(control: &Control, row: &OutboxRow) -> Answer {
    let notification = &row.notification;
    // Configuration may have changed since it was taken on.
    if let Err(why) = control.settings().callback_hosts.check_callback(&notification.callback_uri) {
        return Answer::Refused(why);
    }
    let settings = control.settings();
    let app = settings.applications.iter().find(|app| app.id == notification.app);
    let seconds = clock::wall().as_second();
    let mut request = client()
        .post(&notification.callback_uri)
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", &notification.webhook_id)
        .header("webhook-timestamp", seconds);
    if let Some(key) = app.and_then(|app| app.signing_key.as_deref()) {
        let signature = signature(key, &notification.webhook_id, seconds, &notification.body);
        request = request.header("webhook-signature", signature);
    }
    if let Some(token) = app.and_then(|app| app.callback_token.as_deref()) {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = match request.body(notification.body.clone()).send().await {
        Ok(response) => response,
        Err(error) => return Answer::Later(words_of(&error), None),
    };
    let status = response.status();
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(seconds_of);
    match status.as_u16() {
        200..=299 => Answer::Taken,
        429 | 500..=599 => Answer::Later(format!("the callback answered {status}"), after),
        _ => Answer::Refused(format!("the callback answered {status}")),
    }
}

/// The seconds form of Retry-After, at most a day; dates are as good as nothing.
fn seconds_of(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(|seconds: u64| Duration::from_secs(seconds.min(86_400)))
}

/// The error with its causes.
pub(super) fn words_of(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        words = format!("{words}: {next}");
        cause = next.source();
    }
    words
}

/// As Standard Webhooks signs.
fn signature(key: &[u8], id: &str, seconds: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

/// The client of all that goes out, made when it is first needed: that takes longer than all the rest of the start.
pub fn client() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| client::client(|options| options.timeout(TIMEOUT)))
}

/// Reads a signing key as its file holds it: base64, maybe behind `whsec_`.
pub fn signing_key(text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim_end();
    let encoded = text.strip_prefix("whsec_").unwrap_or(text);
    BASE64_STANDARD.decode(encoded).map_err(|_| "a signing key is base64, maybe behind whsec_".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        let key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(signing_key("?").is_err());
    }

    #[test]
    fn pauses_double_up_to_five_minutes_and_are_spread() {
        for (attempts, seconds) in [(0, 1.0), (3, 8.0), (9, 300.0), (i64::MAX, 300.0)] {
            let pause = pause(attempts).as_secs_f64();
            assert!((seconds * 0.8..=seconds * 1.2).contains(&pause), "{attempts}: {pause}");
        }
    }
}
