//! What goes into the journal and comes out of it, and why it may not.

use std::fmt;

/// One call: a key, its owner and a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRow {
    /// Its id.
    pub id: String,
    /// The application it belongs to.
    pub app: String,
    /// JSON without meaning here.
    pub doc: String,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRow {
    /// Its id.
    pub id: String,
    /// The call it belongs to.
    pub call_id: String,
    /// The application it belongs to.
    pub app: String,
    /// Its place among all operations; the order of every answer.
    pub seq: i64,
    /// Ended ones are never started or finished again.
    pub ended: bool,
    /// When it was accepted, Unix milliseconds.
    pub created_ms: i64,
    /// JSON without meaning here.
    pub doc: String,
}

/// A notification to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Stable over every attempt.
    pub webhook_id: String,
    /// Notifications of one key go out one after the other (the call's id).
    pub order_key: String,
    /// The application that gets it.
    pub app: String,
    /// Where it goes.
    pub callback_uri: String,
    /// What is sent.
    pub body: String,
    /// When it came to be, Unix milliseconds; also the earliest time of its first attempt.
    pub since_ms: i64,
}

/// What has become of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It waits for its next attempt.
    Pending,
    /// The callback took it.
    Delivered,
    /// Nobody tries any more.
    Undeliverable,
}

impl Delivery {
    /// The word in the journal and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Delivery::Pending => "pending",
            Delivery::Delivered => "delivered",
            Delivery::Undeliverable => "undeliverable",
        }
    }

    /// The state of this word.
    pub fn from_name(name: &str) -> Option<Delivery> {
        [Delivery::Pending, Delivery::Delivered, Delivery::Undeliverable].into_iter().find(|d| d.name() == name)
    }
}

/// A notification in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its place in the outbox.
    pub seq: i64,
    /// The notification; `since_ms` is anew the time at which it was last repeated by hand.
    pub notification: Notification,
    /// What has become of it.
    pub state: Delivery,
    /// Attempts that failed since `since_ms`.
    pub attempts: i64,
    /// When it may be tried again, Unix milliseconds.
    pub next_at_ms: i64,
    /// What the last attempt met.
    pub last_error: Option<String>,
}

/// A client's idempotency key with what it was sent for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The application.
    pub app: String,
    /// The path of the request.
    pub path: String,
    /// The header's value.
    pub key: String,
    /// A hash of the body.
    pub body_hash: String,
}

/// What claiming an idempotency key came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The key is new and now stands for the operation.
    New,
    /// The same request was taken before, as this operation.
    Repeated {
        /// The first operation.
        operation_id: String,
    },
    /// The key was used with another body.
    OtherBody,
}

/// What is left of an operation that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its id.
    pub id: String,
    /// The application it belonged to.
    pub app: String,
    /// Since when it is gone, Unix milliseconds.
    pub since_ms: i64,
}

/// Why the journal cannot do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalError {
    /// A later version of tonearm wrote it.
    Newer {
        /// The schema found.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// A database of some other program.
    Foreign,
    /// SQLite found it damaged.
    Corrupt(String),
    /// No space is left.
    DiskFull,
    /// Anything else, in SQLite's words.
    Failed(String),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Newer { found, known } => write!(
                f,
                "the journal is of schema {found}, this tonearm knows up to {known}: start the version that wrote it, or a later one"
            ),
            JournalError::Foreign => write!(f, "the journal is a database of another program"),
            JournalError::Corrupt(words) => write!(
                f,
                "the journal is damaged ({words}); `tonearm repair` with the [storage] directory puts it aside and leaves the recordings where they are"
            ),
            JournalError::DiskFull => write!(f, "no space is left for the journal"),
            JournalError::Failed(words) => write!(f, "the journal failed: {words}"),
        }
    }
}

impl std::error::Error for JournalError {}
