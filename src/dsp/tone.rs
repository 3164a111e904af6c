//! The sixteen keys of DTMF, and what was measured of one that was heard.

use std::fmt;

/// One key of a telephone: `0`-`9`, `*`, `#`, `A`-`D`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u8);

/// The row frequencies in Hz (ITU-T Q.23).
pub const LOW_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
/// The column frequencies in Hz (ITU-T Q.23).
pub const HIGH_HZ: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const KEYS: [[u8; 4]; 4] = [*b"123A", *b"456B", *b"789C", *b"*0#D"];

impl Key {
    /// The key that this character names; letters in any case.
    pub fn new(character: char) -> Option<Key> {
        let byte = u8::try_from(character.to_ascii_uppercase()).ok()?;
        KEYS.as_flattened().contains(&byte).then_some(Key(byte))
    }

    /// The key at this row and column (each 0 to 3) of the keypad.
    pub const fn at(row: usize, column: usize) -> Key {
        Key(KEYS[row][column])
    }

    /// Its character, letters in upper case.
    pub const fn char(self) -> char {
        self.0 as char
    }

    /// Its place among the sixteen, row by row.
    pub fn index(self) -> usize {
        KEYS.as_flattened().iter().position(|&key| key == self.0).unwrap_or(0)
    }

    /// Its two frequencies in Hz, the row's and the column's.
    pub fn hz(self) -> (f32, f32) {
        let index = self.index();
        (LOW_HZ[index / 4], HIGH_HZ[index % 4])
    }
}

/// A set of keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keys(u16);

impl Keys {
    /// All sixteen.
    pub const ALL: Keys = Keys(u16::MAX);

    /// The keys that these characters name, or the first character that names none.
    pub fn parse(characters: &str) -> Result<Keys, char> {
        characters.chars().try_fold(Keys(0), |Keys(set), character| {
            let key = Key::new(character).ok_or(character)?;
            Ok(Keys(set | Keys::bit(key)))
        })
    }

    /// Whether this key is among them.
    pub fn contains(self, key: Key) -> bool {
        self.0 & Keys::bit(key) != 0
    }

    fn bit(key: Key) -> u16 {
        1 << KEYS.as_flattened().iter().position(|&other| other == key.0).unwrap_or(0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.char())
    }
}

/// A key that was heard, with the evidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tone {
    /// Which key.
    pub key: Key,
    /// The first frame of the tone, measured.
    pub onset_frame: u64,
    /// The last frame that the detector had seen when it reported.
    pub decision_frame: u64,
    /// The row's frequency as measured, in Hz.
    pub low_hz: f32,
    /// The column's frequency as measured, in Hz.
    pub high_hz: f32,
    /// The row's level, in dBFS.
    pub low_dbfs: f32,
    /// The column's level, in dBFS.
    pub high_dbfs: f32,
    /// The share of the energy between 600 and 1,800 Hz that lies in the two tones, 0 to 1.
    pub purity: f32,
}

impl Tone {
    /// Twist: the column's level over the row's, in dB.
    pub fn twist_db(&self) -> f32 {
        self.high_dbfs - self.low_dbfs
    }
}
