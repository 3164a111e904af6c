//! The control plane: lines, calls, operations and what is told about them.
//!
//! Belongs here: what a request means, in which order operations run, what is remembered. Does not: HTTP and JSON
//! (`api`), audio (`pipeline`), files (`store`).

mod actions;
pub mod call;
pub mod chain;
pub mod client;
pub mod counts;
pub mod hosts;
pub mod keys;
mod known;
pub mod line;
mod microphone;
pub mod notify;
pub mod operation;
pub mod overview;
mod play;
pub mod prompts;
mod reload;
pub mod restart;
pub mod retention;
mod run;
mod supervisor;
mod unnamed;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, watch};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::clock;
use crate::error::{Error, Kind};
use crate::store::crash::reached;
use crate::store::growth::Watcher;
use crate::store::journal::{CallRow, Claim, IdempotencyKey, Journal, JournalError, Notification};
use crate::store::recording_in;
use crate::wav::Spec;
use call::{Call, CallKey, CallRequest, CallState, plain};
use counts::Counts;
use hosts::Hosts;
use known::Operations;
use line::Line;
use notify::{Change, Wire};
use operation::{Canceler, Format, Operation};
use overview::{Changed, Space};
use prompts::Prompts;
use retention::{Candidate, Policy};
use run::Queue;

/// Idempotency keys are kept so long.
const IDEMPOTENCY: Duration = Duration::from_secs(24 * 3_600);

/// Who may use the daemon, and how it is told.
#[derive(Clone, Debug)]
pub struct Application {
    /// Its name.
    pub id: String,
    /// The digest of its own token; without one, only an identity provider's will do.
    pub token_sha256: Option<[u8; 32]>,
    /// What it may do, in Graph's words.
    pub roles: Vec<String>,
    /// The lines it may use; `*` is all of them.
    pub lines: Vec<String>,
    /// Where notifications of standing calls go.
    pub callback_uri: Option<String>,
    /// Sent along with notifications.
    pub callback_token: Option<String>,
    /// Notifications are signed with it.
    pub signing_key: Option<Vec<u8>>,
}

impl Application {
    /// Whether it may use this line.
    pub fn may_use(&self, line: &str) -> bool {
        self.lines.iter().any(|allowed| allowed == "*" || allowed == line)
    }
}

/// What the control plane is made of.
pub struct Settings {
    /// The lines in their order; the first is the default.
    pub lines: Vec<Arc<Line>>,
    /// Who may use them.
    pub applications: Vec<Application>,
    /// What is remembered.
    pub journal: Arc<Journal>,
    /// Where recordings are.
    pub recordings: PathBuf,
    /// So many recordings may run or wait at once.
    pub max_recordings: usize,
    /// So much space must stay free.
    pub reserve_bytes: u64,
    /// How long recordings are kept.
    pub retention: Policy,
    /// Where notifications may go.
    pub callback_hosts: Hosts,
    /// Where prompts come from.
    pub prompts: Arc<Prompts>,
    /// Notifications are tried so long.
    pub retry_for: Duration,
    /// Writes what is told to others.
    pub wire: Arc<dyn Wire>,
}

/// The control plane.
pub struct Control {
    /// Replaced as a whole when the configuration is read again.
    settings: RwLock<Arc<Settings>>,
    state: Mutex<State>,
    /// Counts the operations that ended, for those who wait for it.
    ended: watch::Sender<u64>,
    /// What has changed, for those who look on.
    changes: broadcast::Sender<Changed>,
    counts: Counts,
    outbox: Notify,
}

#[derive(Default)]
struct State {
    calls: BTreeMap<CallKey, Queue>,
    operations: Operations,
    /// Those whose disk would not let them be finished.
    unnamed: Vec<Uuid>,
    last_seq: i64,
    stopping: bool,
}

impl State {
    /// What runs and waits on all calls.
    fn live(&self) -> impl Iterator<Item = &run::Entry> {
        self.calls.values().flat_map(Queue::waiting).filter_map(|id| self.operations.get(&id))
    }
}

/// A recording for its readers.
pub struct Readable {
    /// The application whose it is.
    pub app: String,
    /// What it is read as.
    pub format: Format,
    /// Its audio.
    pub audio: Audio,
}

/// The audio of an operation, as far as there is any.
pub enum Audio {
    /// It grows.
    Growing {
        /// Where it is.
        path: PathBuf,
        /// How far it is.
        growth: Watcher,
        /// Its samples; `None` where only its header knows.
        spec: Option<Spec>,
        /// To be held as long as it is read: retention leaves it alone.
        reading: Arc<()>,
    },
    /// It is final.
    Final {
        /// Where it is.
        path: PathBuf,
        /// What identifies its content.
        sha256: String,
        /// To be held as long as it is read: retention leaves it alone.
        reading: Arc<()>,
    },
    /// None was kept, or it was deleted.
    Gone,
    /// Its operation waits.
    NotYet,
    /// A crash interrupted it, and what is left is being looked at.
    Recovering,
}

impl Control {
    /// What it is made of now.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lines in their order.
    pub fn lines(&self) -> Vec<Arc<Line>> {
        self.settings().lines.clone()
    }

    /// The line of this name.
    pub fn line(&self, name: &str) -> Option<Arc<Line>> {
        self.settings().lines.iter().find(|line| line.name() == name).cloned()
    }

    /// What is remembered.
    pub fn journal(&self) -> Arc<Journal> {
        self.settings().journal.clone()
    }

    /// What has happened since the start.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The calls of an application: its standing ones first.
    pub fn calls(&self, app: &Application) -> Vec<Call> {
        let lines = self.lines();
        let usable = lines.iter().filter(|line| app.may_use(line.name()));
        let mut calls: Vec<Call> = usable.filter_map(|line| self.call(app, line.name()).ok()).collect();
        let state = self.state();
        let opened = state.calls.values().map(|queue| &queue.call).filter(|call| call.app == app.id && !call.standing);
        calls.extend(opened.cloned());
        calls
    }

    /// One call of an application, by its id however written.
    pub fn call(&self, app: &Application, id: &str) -> Result<Call, Error> {
        let key = CallKey::new(&app.id, id);
        let mut state = self.state();
        if let Some(queue) = state.calls.get(&key) {
            return Ok(queue.call.clone());
        }
        let lines = self.lines();
        let line = lines.iter().find(|line| plain(line.name()) == plain(id) && app.may_use(line.name()));
        let line = line.ok_or_else(Error::not_found)?;
        let call = Call::standing(&app.id, line.name(), app.callback_uri.clone(), clock::wall());
        state.calls.insert(key, Queue::of(call.clone()));
        Ok(call)
    }

    /// Opens a call.
    pub async fn open_call(self: &Arc<Self>, app: &Application, request: CallRequest) -> Result<Call, Error> {
        let lines = self.lines();
        let usable: Vec<&str> = lines.iter().map(|line| line.name()).filter(|name| app.may_use(name)).collect();
        let line = match &request.line {
            None => usable.first().copied(),
            Some(wanted) => usable.iter().copied().find(|name| plain(name) == plain(wanted)),
        };
        let unknown = || Error::invalid("targets", format!("there is no such line; valid are {}", usable.join(", ")));
        let line = line.ok_or_else(unknown)?;
        if let Some(uri) = &request.callback_uri {
            self.settings().callback_hosts.check_callback(uri).map_err(|why| Error::invalid("callbackUri", why))?;
        }
        let call = Call {
            id: Uuid::now_v7().to_string(),
            standing: false,
            callback_uri: request.callback_uri,
            subject: request.subject,
            client_context: request.client_context,
            ..Call::standing(&app.id, line, None, clock::wall())
        };
        self.save_call(&call, &[(Change::Updated, "established")]).await?;
        self.state().calls.insert(call.key(), Queue::of(call.clone()));
        Ok(call)
    }

    /// Ends a call and what runs on it.
    pub async fn end_call(self: &Arc<Self>, app: &Application, id: &str) -> Result<(), Error> {
        let mut call = self.call(app, id)?;
        if call.standing {
            let message = format!("{} is the standing call of a line; it never ends", call.id);
            return Err(Error::new(Kind::Conflict, message));
        }
        if call.state != CallState::Established {
            return Ok(());
        }
        call.turn(CallState::Terminating);
        self.save_call(&call, &[(Change::Updated, "terminating")]).await?;
        let key = call.key();
        if let Some(queue) = self.state().calls.get_mut(&key) {
            queue.call = call.clone();
        }
        self.unsubscribe(&key);
        self.cancel_all(&key, &Canceler::EndOfCall, None);
        let control = self.clone();
        tokio::spawn(async move { control.terminate(call).await });
        Ok(())
    }

    /// Waits until nothing runs on the call any more, and then says that it is over.
    async fn terminate(self: Arc<Self>, mut call: Call) {
        let key = call.key();
        self.until(|state| state.calls.get(&key).is_none_or(|queue| queue.is_empty())).await;
        call.turn(CallState::Terminated);
        if let Err(error) = self.save_call(&call, &[(Change::Deleted, "terminated")]).await {
            tracing::error!(call = %call.id, %error, "the end of a call could not be written down");
        }
        if let Some(queue) = self.state().calls.get_mut(&key) {
            queue.call = call;
        }
    }

    /// Takes a recording or a playPrompt on; with `repeat`, a request that was taken on before comes to the same operation.
    pub async fn take_on(
        self: &Arc<Self>,
        app: &Application,
        call_id: &str,
        kind: operation::Kind,
        repeat: Option<IdempotencyKey>,
    ) -> Result<Operation, Error> {
        let call = self.established(app, call_id)?;
        if let Some(key) = &repeat {
            let (journal, key) = (self.settings().journal.clone(), key.clone());
            let found = blocking(move || journal.lookup(&key, oldest_key_ms())).await?;
            if let Some(first) = self.repeated(found)? {
                return Ok(first);
            }
        }
        let line = self.line_of(&call)?;
        if matches!(kind, operation::Kind::Record(_)) {
            line.ready()
                .map_err(|why| Error::new(Kind::Unavailable, format!("line {} is not ready: {why}", line.name())))?;
            self.has_space().await?;
        }
        let operation = Operation::new(Uuid::now_v7(), &call, kind, clock::wall());
        for (index, prompt) in operation.prompts().iter().enumerate() {
            let place = format!("prompts[{index}].mediaInfo.uri");
            self.settings()
                .prompts
                .check(&prompt.uri)
                .map_err(|why| Error::invalid(&place, format!("{place}: {why}")))?;
        }
        let operation = self.reserve(operation)?;
        let id = operation.id;
        let (journal, row) = (self.settings().journal.clone(), run::row(&operation, &call.key()));
        let taken = blocking(move || match &repeat {
            Some(key) => journal.claim(key, &row, oldest_key_ms()),
            None => journal.put_operation(&row).map(|()| Claim::New),
        });
        let taken = taken.await;
        reached("accepted");
        match taken.and_then(|found| self.repeated(found)) {
            Ok(None) => Ok(self.accept(operation)),
            Ok(Some(first)) => {
                self.unreserve(id);
                Ok(first)
            }
            Err(error) => {
                self.unreserve(id);
                Err(error)
            }
        }
    }

    /// The operations of a call in their order: at most `limit` of those whose place is behind `after`.
    pub fn operations(
        &self,
        app: &Application,
        call_id: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Operation>, Error> {
        let key = self.call(app, call_id)?.key();
        let state = self.state();
        Ok(state.operations.of_call(&key, after).take(limit).map(|entry| entry.operation.clone()).collect())
    }

    /// One operation of a call.
    pub fn operation(&self, app: &Application, call_id: &str, id: &str) -> Result<Operation, Error> {
        let key = self.call(app, call_id)?.key();
        let id = Uuid::parse_str(&plain(id)).map_err(|_| Error::not_found())?;
        let state = self.state();
        let operation = state.operations.get(&id).map(|entry| &entry.operation).ok_or_else(Error::not_found)?;
        let its_key = CallKey::new(&operation.app, &operation.call);
        if its_key != key { Err(Error::not_found()) } else { Ok(operation.clone()) }
    }

    /// Cancels an operation that runs or waits; forgets one that has ended, and deletes its recording.
    pub async fn delete_operation(self: &Arc<Self>, app: &Application, call_id: &str, id: &str) -> Result<(), Error> {
        let operation = self.operation(app, call_id, id)?;
        let Some(candidate) = Candidate::of(&operation) else {
            self.cancel(operation.id, &Canceler::Delete);
            return Ok(());
        };
        match self.remove(vec![candidate]).await? {
            0 => Err(Error::new(Kind::Internal, "the recording cannot be removed; the daemon's log says why")),
            _ => Ok(()),
        }
    }

    /// A recording for its readers; `None` if nothing of it is known.
    pub fn audio(&self, id: Uuid) -> Option<Readable> {
        let state = self.state();
        let entry = state.operations.get(&id)?;
        let operation = &entry.operation;
        let format = operation.request()?.format;
        let (path, reading) = (self.path_of(id), entry.reading.clone());
        let audio = match (&operation.recording, &entry.growth) {
            (Some(recording), _) => Audio::Final { path, sha256: recording.sha256.clone(), reading },
            (None, _) if operation.status.is_terminal() => Audio::Gone,
            (None, Some(growth)) if operation.started.is_some() => {
                Audio::Growing { path, growth: growth.clone(), spec: entry.spec, reading }
            }
            (None, None) if operation.started.is_some() => Audio::Recovering,
            (None, _) => Audio::NotYet,
        };
        Some(Readable { app: operation.app.clone(), format, audio })
    }

    /// Whose operation it was, if it was deleted or retention has taken it.
    pub async fn gone(&self, id: Uuid) -> Result<Option<String>, Error> {
        let journal = self.settings().journal.clone();
        blocking(move || journal.gone(&id.to_string())).await
    }

    /// Ends what runs and waits until it is over.
    pub async fn stop(self: &Arc<Self>) {
        let keys: Vec<CallKey> = {
            let mut state = self.state();
            state.stopping = true;
            state.calls.keys().cloned().collect()
        };
        for key in &keys {
            self.cancel_all(key, &Canceler::Shutdown, None);
        }
        self.until(|state| state.calls.values().all(Queue::is_empty)).await;
    }

    fn established(&self, app: &Application, call_id: &str) -> Result<Call, Error> {
        let call = self.call(app, call_id)?;
        match call.state {
            CallState::Established => Ok(call),
            _ => Err(Error::new(Kind::Conflict, "the call has ended")),
        }
    }

    fn line_of(&self, call: &Call) -> Result<Arc<Line>, Error> {
        self.line(&call.line)
            .ok_or_else(|| Error::new(Kind::Conflict, format!("line {} is not configured any more", call.line)))
    }

    async fn has_space(&self) -> Result<(), Error> {
        let Space { free_bytes, reserve_bytes } = self.space().await?;
        if free_bytes < reserve_bytes {
            let message =
                format!("only {free_bytes} bytes are free for recordings; {reserve_bytes} are kept in reserve");
            return Err(Error::new(Kind::DiskFull, message));
        }
        Ok(())
    }

    fn repeated(&self, found: Claim) -> Result<Option<Operation>, Error> {
        match found {
            Claim::New => Ok(None),
            Claim::OtherBody => {
                Err(Error::new(Kind::Conflict, "this Idempotency-Key was used for another body on the same path"))
            }
            Claim::Repeated { operation_id } => {
                let id = Uuid::parse_str(&operation_id).map_err(|_| Error::not_found())?;
                let first = self.state().operations.get(&id).map(|entry| entry.operation.clone());
                first
                    .map(Some)
                    .ok_or_else(|| Error::new(Kind::Gone, "the operation of this Idempotency-Key was deleted"))
            }
        }
    }

    async fn save_call(&self, call: &Call, changes: &[(Change, &'static str)]) -> Result<(), Error> {
        let now_ms = clock::wall().as_millisecond();
        let notifications = call.callback_uri.iter().flat_map(|uri| {
            changes.iter().map(|(change, state)| Notification {
                webhook_id: format!("msg_{}_{state}", call.id),
                order_key: call.key().order(),
                app: call.app.clone(),
                callback_uri: uri.clone(),
                body: self.settings().wire.call(call, *change),
                since_ms: now_ms,
            })
        });
        let notifications: Vec<Notification> = notifications.collect();
        let doc = serde_json::to_string(call).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        let row = CallRow { id: call.id.clone(), app: call.app.clone(), doc };
        let journal = self.settings().journal.clone();
        blocking(move || journal.put_call_with_outbox(&row, &notifications)).await?;
        self.outbox.notify_one();
        Ok(())
    }

    fn path_of(&self, id: Uuid) -> PathBuf {
        recording_in(&self.settings().recordings, id)
    }

    async fn until(&self, done: impl Fn(&State) -> bool) {
        let mut ended = self.ended.subscribe();
        while !done(&self.state()) {
            if ended.changed().await.is_err() {
                return;
            }
        }
    }

    fn next_seq(&self) -> i64 {
        let mut state = self.state();
        state.last_seq += 1;
        state.last_seq
    }

    /// Held for short sections only, never across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<JournalError> for Error {
    fn from(error: JournalError) -> Error {
        let kind = if error == JournalError::DiskFull { Kind::DiskFull } else { Kind::Internal };
        Error::new(kind, error.to_string())
    }
}

fn oldest_key_ms() -> i64 {
    oldest_ms(IDEMPOTENCY)
}

fn oldest_ms(age: Duration) -> i64 {
    clock::wall().as_millisecond() - age.as_millis() as i64
}

/// Work on the disk.
async fn blocking<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Error>
where
    Error: From<E>,
{
    match spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Error::new(Kind::Internal, "the work on the disk was given up")),
    }
}
