//! Why a request is refused: one type for the control plane and for whoever shows it.
//!
//! Belongs here: the kinds that are told apart, with words for people. Does not: status codes (`api`), exit codes (`cli`).

use std::fmt;

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is not valid.
    Invalid,
    /// Nobody we know sent it.
    Unauthenticated,
    /// The sender may not do this.
    Forbidden,
    /// There is nothing of this name, or it is somebody else's.
    NotFound,
    /// The thing exists, the method does not.
    Method,
    /// The state does not allow it.
    Conflict,
    /// It was there.
    Gone,
    /// The body is too large.
    TooLarge,
    /// The body is not declared as JSON.
    MediaType,
    /// No such bytes.
    Range,
    /// The recording would need a format that we do not write.
    Format,
    /// Too much is asked at once; it may be asked again.
    TooMany,
    /// Not now; it may be asked again.
    Unavailable,
    /// No space is left for recordings.
    DiskFull,
    /// A fault of ours.
    Internal,
}

/// Why something is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind it is.
    pub kind: Kind,
    /// For people: what is wrong and what would be right.
    pub message: String,
    /// The member of the request that it is about.
    pub target: Option<String>,
}

impl Error {
    /// A refusal of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), target: None }
    }

    /// A member of the request is not valid.
    pub fn invalid(target: impl Into<String>, message: impl Into<String>) -> Error {
        Error { kind: Kind::Invalid, message: message.into(), target: Some(target.into()) }
    }

    /// There is nothing of this name. The same words for what does not exist and for what is somebody else's.
    pub fn not_found() -> Error {
        Error::new(Kind::NotFound, "there is no such resource")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
