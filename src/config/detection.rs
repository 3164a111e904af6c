//! `[detection]`: the detectors' thresholds, for who has a real microphone.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Wrong;
use crate::dsp::dtmf::DtmfConfig;
use crate::dsp::silence::SilenceConfig;
use crate::dsp::tone::Keys;

/// The keys of a telephone.
const DIGITS: &str = "0123456789*#ABCD";
/// The limits of a key's least length.
const TONE_MS: (f32, f32) = (1e3 * DtmfConfig::SHORTEST_S, 1e3 * DtmfConfig::LONGEST_S);

/// `[detection]`
#[derive(Clone, Debug, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Detection {
    /// A fixed threshold of speech, −90 to 0 dBFS, instead of the adaptive one.
    pub silence_threshold_dbfs: Option<f32>,
    /// The least level of each tone of a key, −60 to 0 dBFS; −46.
    pub minimum_tone_dbfs: Option<f32>,
    /// The least length of a key, 23 to 40 ms: what must be refused and what must be accepted; 25.3.
    pub minimum_tone_ms: Option<f32>,
    /// The keys that are heard, some of `0123456789*#ABCD`; all.
    pub digits: Option<String>,
}

impl Detection {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        measured("detection.silence_threshold_dbfs", self.silence_threshold_dbfs, -90.0, 0.0)?;
        measured("detection.minimum_tone_dbfs", self.minimum_tone_dbfs, -60.0, 0.0)?;
        measured("detection.minimum_tone_ms", self.minimum_tone_ms, TONE_MS.0, TONE_MS.1)?;
        self.keys().map(drop)
    }

    /// The thresholds of the detectors.
    pub fn detectors(&self) -> (DtmfConfig, SilenceConfig) {
        let default = DtmfConfig::default();
        let dtmf = DtmfConfig {
            minimum_dbfs: self.minimum_tone_dbfs.unwrap_or(default.minimum_dbfs),
            minimum_s: self.minimum_tone_ms.map_or(default.minimum_s, |ms| ms / 1e3),
            keys: self.keys().unwrap_or(default.keys),
            ..default
        };
        (dtmf, SilenceConfig { threshold_dbfs: self.silence_threshold_dbfs })
    }

    fn keys(&self) -> Result<Keys, Wrong> {
        let digits = self.digits.as_deref().unwrap_or(DIGITS);
        let keys = if digits.is_empty() { Err(None) } else { Keys::parse(digits).map_err(Some) };
        keys.map_err(|wrong| {
            let what = wrong.map_or_else(|| "names none".to_owned(), |character| format!("has {character:?}"));
            Wrong::at("detection.digits", format!("detection.digits {what}; valid are one or more of {DIGITS}"))
        })
    }
}

/// A value that may be left out; NaN is not valid.
fn measured(key: &str, value: Option<f32>, from: f32, to: f32) -> Result<(), Wrong> {
    match value {
        Some(value) if !(from..=to).contains(&value) => {
            Err(Wrong::at(key, format!("{key} is {value}; valid are {from} to {to}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> String {
        let detection: Detection = toml::from_str(line).unwrap();
        detection.check().unwrap_err().why
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_valid() {
        for line in ["silence_threshold_dbfs = 3.0", "silence_threshold_dbfs = nan"] {
            assert!(refused(line).contains("valid are -90 to 0"));
        }
        assert!(refused("minimum_tone_dbfs = -61.0").contains("valid are -60 to 0"));
        assert!(refused("minimum_tone_ms = 80.0").contains("valid are 23 to 40"));
        assert!(refused("digits = \"12x\"").contains("has 'x'; valid are one or more of 0123456789*#ABCD"));
        assert!(refused("digits = \"\"").contains("names none"));
    }

    #[test]
    fn what_is_left_out_is_the_default() {
        let (dtmf, silence) = Detection::default().detectors();
        assert_eq!((dtmf, silence), (DtmfConfig::default(), SilenceConfig::default()));
        let text = "minimum_tone_ms = 40.0\ndigits = \"1#\"\nsilence_threshold_dbfs = -45.0";
        let (dtmf, silence) = toml::from_str::<Detection>(text).unwrap().detectors();
        assert_eq!((dtmf.minimum_s, dtmf.keys), (0.04, Keys::parse("#1").unwrap()));
        assert_eq!(silence.threshold_dbfs, Some(-45.0));
    }
}
