//! Calls: an application's sessions on a line.
//!
//! Belongs here: what a call is, how its id is compared, its row in the journal. Does not: what runs on it (`run`).
//!
//! Every application has a *standing call* of its own on each line it may use, named as the line; so what one application
//! does on `front-desk` neither waits for another's nor is seen by it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An id as it is compared: without case and dashes.
pub fn plain(id: &str) -> String {
    id.chars().filter(|&c| c != '-').flat_map(char::to_lowercase).collect()
}

/// Names a call: whose it is, and its id as compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey {
    app: String,
    id: String,
}

impl CallKey {
    /// The call of this application with this id, however it is written.
    pub fn new(app: &str, id: &str) -> CallKey {
        CallKey { app: app.to_owned(), id: plain(id) }
    }

    /// Notifications of one call keep their order by this.
    pub fn order(&self) -> String {
        format!("{}/{}", self.app, self.id)
    }
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallState {
    /// It can record.
    Established,
    /// It was ended, and what ran on it is ending.
    Terminating,
    /// It is over.
    Terminated,
}

/// What a new call shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallRequest {
    /// The line that is asked for; `None` is the default line.
    pub line: Option<String>,
    /// Where notifications go.
    pub callback_uri: Option<String>,
    /// For people.
    pub subject: Option<String>,
    /// Echoed.
    pub client_context: Option<String>,
}

/// An application's session on a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its id as it is written.
    pub id: String,
    /// Whose it is.
    pub app: String,
    /// The line's name.
    pub line: String,
    /// Whether it is the line's own, which never ends.
    pub standing: bool,
    /// How far it is.
    pub state: CallState,
    /// Where notifications go.
    pub callback_uri: Option<String>,
    /// For people.
    pub subject: Option<String>,
    /// Echoed.
    pub client_context: Option<String>,
    /// Whether its recordings are muted.
    #[serde(default)]
    pub muted: bool,
    /// When it was opened.
    pub created: Timestamp,
    /// Grows with every change.
    pub revision: u64,
}

impl Call {
    /// The standing call of an application on a line.
    pub fn standing(app: &str, line: &str, callback_uri: Option<String>, now: Timestamp) -> Call {
        Call {
            id: line.to_owned(),
            app: app.to_owned(),
            line: line.to_owned(),
            standing: true,
            state: CallState::Established,
            callback_uri,
            subject: None,
            client_context: None,
            muted: false,
            created: now,
            revision: 1,
        }
    }

    /// Its name.
    pub fn key(&self) -> CallKey {
        CallKey::new(&self.app, &self.id)
    }

    /// It is so far now.
    pub fn turn(&mut self, state: CallState) {
        self.state = state;
        self.revision += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_without_case_and_dashes_and_only_within_an_application() {
        assert_eq!(CallKey::new("bot", "Front-Desk"), CallKey::new("bot", "frontdesk"));
        assert_ne!(CallKey::new("bot", "desk"), CallKey::new("other", "desk"));
        assert_ne!(CallKey::new("bot", "frontdesk"), CallKey::new("bot", "Front-Desk-2"));
    }
}
