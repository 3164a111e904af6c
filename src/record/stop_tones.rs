//! The keys and sequences of keys that end a recording, and matching them against what is pressed.

use std::fmt;

use super::{MAX_KEYS, StopTone};
use crate::dsp::tone::{Key, Tone};

/// The most stop tones a request can name.
const MAX_ENTRIES: usize = 32;

/// The words of Graph's `tone` enum, each an alias of one key.
const WORDS: [(&str, char); 16] = [
    ("tone0", '0'),
    ("tone1", '1'),
    ("tone2", '2'),
    ("tone3", '3'),
    ("tone4", '4'),
    ("tone5", '5'),
    ("tone6", '6'),
    ("tone7", '7'),
    ("tone8", '8'),
    ("tone9", '9'),
    ("star", '*'),
    ("pound", '#'),
    ("a", 'A'),
    ("b", 'B'),
    ("c", 'C'),
    ("d", 'D'),
];

/// Graph's word for a key.
pub fn word_of(key: Key) -> &'static str {
    WORDS.iter().find(|(_, character)| *character == key.char()).map_or("", |(word, _)| word)
}

/// What is wrong with a list of stop tones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopToneError {
    /// More than 32 entries.
    TooMany,
    /// The entry at this index is empty.
    Empty(usize),
    /// The entry at this index has more than 16 keys.
    TooLong(usize),
    /// The entry at this index holds a character that is no key.
    NoKey(usize, char),
}

impl fmt::Display for StopToneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopToneError::TooMany => write!(f, "stopTones has more than {MAX_ENTRIES} entries"),
            StopToneError::Empty(i) => {
                write!(f, "stopTones[{i}] is empty; it needs 1 to {MAX_KEYS} keys of 0-9, *, # and A-D")
            }
            StopToneError::TooLong(i) => write!(f, "stopTones[{i}] has more than {MAX_KEYS} keys"),
            StopToneError::NoKey(i, c) => {
                write!(f, "stopTones[{i}] holds {c:?}, which is no key; valid are 0-9, *, # and A-D")
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    keys: [Option<Key>; MAX_KEYS],
    len: usize,
}

/// Up to 32 stop tones of 1 to 16 keys each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopTones {
    entries: [Entry; MAX_ENTRIES],
    len: usize,
}

impl StopTones {
    /// No stop tones.
    pub const NONE: StopTones = StopTones { entries: [Entry { keys: [None; MAX_KEYS], len: 0 }; MAX_ENTRIES], len: 0 };

    /// Reads entries as a request writes them: keys, or one of the words of Graph's `tone` enum.
    pub fn parse<S: AsRef<str>>(entries: &[S]) -> Result<StopTones, StopToneError> {
        if entries.len() > MAX_ENTRIES {
            return Err(StopToneError::TooMany);
        }
        let mut tones = StopTones { len: entries.len(), ..StopTones::NONE };
        for (i, text) in entries.iter().enumerate() {
            let text = text.as_ref();
            let entry = &mut tones.entries[i];
            if let Some((_, character)) = WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
                entry.keys[0] = Key::new(*character);
                entry.len = 1;
                continue;
            }
            for character in text.chars() {
                let key = Key::new(character).ok_or(StopToneError::NoKey(i, character))?;
                let place = entry.keys.get_mut(entry.len).ok_or(StopToneError::TooLong(i))?;
                *place = Some(key);
                entry.len += 1;
            }
            if entry.len == 0 {
                return Err(StopToneError::Empty(i));
            }
        }
        Ok(tones)
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether one of them has several keys.
    pub fn has_sequences(&self) -> bool {
        self.entries[..self.len].iter().any(|entry| entry.len > 1)
    }

    /// The keys of each entry, as text.
    pub fn entries(&self) -> impl Iterator<Item = String> {
        self.entries[..self.len].iter().map(|entry| entry.keys.iter().flatten().map(|key| key.char()).collect())
    }
}

/// The last keys pressed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pressed {
    keys: [Option<Tone>; MAX_KEYS],
    len: usize,
}

impl Pressed {
    pub(super) const NONE: Pressed = Pressed { keys: [None; MAX_KEYS], len: 0 };

    /// Takes a key and says which entry it completes. The shortest wins: an entry that is a prefix of a longer one
    /// wins at once, by its last key; among entries that end with this key, the first in the list.
    pub(super) fn press(&mut self, tone: Tone, tones: &StopTones) -> Option<StopTone> {
        if self.len == MAX_KEYS {
            self.keys.rotate_left(1);
            self.len -= 1;
        }
        self.keys[self.len] = Some(tone);
        self.len += 1;
        let entry =
            (0..tones.len).filter(|&i| self.ends_with(&tones.entries[i])).min_by_key(|&i| tones.entries[i].len)?;
        let length = tones.entries[entry].len;
        let mut keys = [None; MAX_KEYS];
        keys[..length].copy_from_slice(&self.keys[self.len - length..self.len]);
        Some(StopTone { entry, keys })
    }

    fn ends_with(&self, entry: &Entry) -> bool {
        entry.len <= self.len
            && self.keys[self.len - entry.len..self.len]
                .iter()
                .zip(&entry.keys)
                .all(|(pressed, wanted)| pressed.map(|tone| tone.key) == *wanted)
    }

    /// All keys so far were pressed at frame 0.
    pub(super) fn rebase(&mut self) {
        for tone in self.keys.iter_mut().flatten() {
            (tone.onset_frame, tone.decision_frame) = (0, 0);
        }
    }

    /// A new sequence starts.
    pub(super) fn clear(&mut self) {
        *self = Pressed::NONE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_words_and_sequences_are_read_in_any_case() {
        let tones = StopTones::parse(&["#", "11", "*", "Pound", "tone7", "a", "abCD"]).unwrap();
        assert_eq!(tones.entries().collect::<Vec<_>>(), ["#", "11", "*", "#", "7", "A", "ABCD"]);
    }

    #[test]
    fn what_is_no_stop_tone_is_refused_with_its_place() {
        assert_eq!(StopTones::parse(&["1", ""]), Err(StopToneError::Empty(1)));
        assert_eq!(StopTones::parse(&["1x"]), Err(StopToneError::NoKey(0, 'x')));
        assert_eq!(StopTones::parse(&["12345678901234567"]), Err(StopToneError::TooLong(0)));
        assert_eq!(StopTones::parse(&["1"; 33]), Err(StopToneError::TooMany));
        assert!(StopTones::parse(&["1234567890123456"; 32]).is_ok());
        assert!(StopTones::parse::<&str>(&[]).unwrap().is_empty());
    }
}
