//! The requests of `record`, `recordResponse` and `playPrompt`: every member checked, nothing clamped.
//!
//! Belongs here: section by section what a request may say. Does not: what becomes of it (`control`).

use super::json::{Json, Members, Unknown};
use crate::control::operation::{Format, PlayRequest, Prompt, RecordRequest};
use crate::error::{Error, Kind};
use crate::record::StopTones;

/// The formats that a recording can be asked for in.
const FORMATS: [Format; 2] = [Format::Wav, Format::Flac];
/// The most prompts of a request.
const MAX_PROMPTS: usize = 20;
/// The most characters of a client context.
const MAX_CONTEXT: usize = 256;

/// What a request that says nothing asks for, and the most it may ask for; from `[record]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In seconds.
    pub initial_silence: u32,
    /// In seconds.
    pub max_silence: u32,
    /// In seconds.
    pub max_duration: u32,
    /// The most of each, in seconds.
    pub ceiling: u32,
    /// Whether recordings can be read as FLAC, which holds integers only, and has no place on the command line.
    pub flac: bool,
}

/// The word for a format.
pub const fn format_name(format: Format) -> &'static str {
    match format {
        Format::Wav => "wav",
        Format::Flac => "flac",
    }
}

impl Default for Limits {
    /// Graph's defaults, and a day.
    fn default() -> Limits {
        Limits { initial_silence: 5, max_silence: 5, max_duration: 5, ceiling: 86_400, flac: true }
    }
}

/// Reads a request.
pub fn request(bytes: &[u8], limits: &Limits) -> Result<RecordRequest, Error> {
    let mut members = Members::of_body(bytes)?;
    let prompts = prompts(&mut members)?;
    let barge_in_allowed = members.bool("bargeInAllowed")?.unwrap_or(false);
    let seconds = |members: &mut Members, name, default| {
        members.integer(name, 1, limits.ceiling).map(|seconds| seconds.unwrap_or(default))
    };
    let request = RecordRequest {
        initial_silence: seconds(&mut members, "initialSilenceTimeoutInSeconds", limits.initial_silence)?,
        max_silence: seconds(&mut members, "maxSilenceTimeoutInSeconds", limits.max_silence)?,
        max_duration: seconds(&mut members, "maxRecordDurationInSeconds", limits.max_duration)?,
        play_beep: members.bool("playBeep")?.unwrap_or(true),
        stream: members.bool("streamWhileRecording")?.unwrap_or(false),
        stop_tones: stop_tones(&mut members)?,
        client_context: client_context(&mut members)?,
        prompts,
        barge_in_allowed,
        format: format(&mut members, limits)?,
    };
    members.finish(Unknown::Refused)?;
    if let Some(index) = request.prompts.iter().position(|prompt| prompt.plays == 0 && !request.barge_in_allowed) {
        let place = format!("prompts[{index}].loop");
        let message = format!("{place} of 0 is for ever, which only bargeInAllowed can end");
        return Err(Error::invalid(place, message));
    }
    Ok(request)
}

/// Reads a request of playPrompt.
pub fn play_request(bytes: &[u8]) -> Result<PlayRequest, Error> {
    let mut members = Members::of_body(bytes)?;
    let request = PlayRequest { prompts: prompts(&mut members)?, client_context: client_context(&mut members)? };
    members.finish(Unknown::Refused)?;
    match request.prompts.is_empty() {
        true => Err(Error::invalid("prompts", "prompts is missing or empty; there is nothing to play")),
        false => Ok(request),
    }
}

/// The client context of any action.
pub fn client_context(members: &mut Members) -> Result<Option<String>, Error> {
    let context = members.string("clientContext")?;
    match context.as_ref().map(|text| text.chars().count()) {
        Some(length) if length > MAX_CONTEXT => {
            let path = members.path("clientContext");
            Err(Error::invalid(path, format!("clientContext has {length} characters; at most {MAX_CONTEXT} are valid")))
        }
        _ => Ok(context),
    }
}

fn format(members: &mut Members, limits: &Limits) -> Result<Format, Error> {
    let Some(name) = members.string("recordingFormat")? else { return Ok(Format::Wav) };
    let supported: Vec<Format> = FORMATS.into_iter().filter(|format| *format != Format::Flac || limits.flac).collect();
    supported.iter().copied().find(|format| format_name(*format) == name).ok_or_else(|| {
        let names: Vec<&str> = supported.iter().map(|format| format_name(*format)).collect();
        let message = format!("recordingFormat {name:?} is not supported; supported: {}", names.join(", "));
        Error { kind: Kind::Format, message, target: Some("recordingFormat".to_owned()) }
    })
}

fn stop_tones(members: &mut Members) -> Result<Vec<String>, Error> {
    let entries = members.array("stopTones")?.unwrap_or_default();
    let mut tones = Vec::with_capacity(entries.len().min(64));
    for (index, entry) in entries.into_iter().enumerate() {
        match entry {
            Json::String(text) => tones.push(text),
            _ => {
                let path = format!("stopTones[{index}]");
                return Err(Error::invalid(path.clone(), format!("{path} must be a string of keys")));
            }
        }
    }
    StopTones::parse(&tones).map_err(|error| Error::invalid("stopTones", error.to_string()))?;
    Ok(tones)
}

fn prompts(members: &mut Members) -> Result<Vec<Prompt>, Error> {
    let entries = members.array("prompts")?.unwrap_or_default();
    if entries.len() > MAX_PROMPTS {
        let message = format!("prompts has {} entries; at most {MAX_PROMPTS} are valid", entries.len());
        return Err(Error::invalid("prompts", message));
    }
    entries.into_iter().enumerate().map(|(index, entry)| prompt(&format!("prompts[{index}]"), entry)).collect()
}

fn prompt(place: &str, entry: Json) -> Result<Prompt, Error> {
    let mut prompt = Members::of(place, entry)?;
    if let Some(odata_type) = prompt.odata_type()
        && odata_type.trim_start_matches('#') != "microsoft.graph.mediaPrompt"
    {
        let message = format!("{place} is of type {odata_type:?}; valid is #microsoft.graph.mediaPrompt");
        return Err(Error::invalid(place, message));
    }
    let mut info = prompt
        .object("mediaInfo")?
        .ok_or_else(|| Error::invalid(prompt.path("mediaInfo"), format!("{place}.mediaInfo is missing")))?;
    let uri = info.string("uri")?.or(info.string("url")?);
    let uri = uri.ok_or_else(|| Error::invalid(info.path("uri"), format!("{place}.mediaInfo.uri is missing")))?;
    let resource_id = info.string("resourceId")?.or(info.string("id")?);
    info.finish(Unknown::Refused)?;
    let plays = prompt.integer("loop", 0, i32::MAX as u32)?.unwrap_or(1);
    prompt.finish(Unknown::Refused)?;
    Ok(Prompt { uri, resource_id, plays })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(body: &str) -> Error {
        request(body.as_bytes(), &Limits::default()).unwrap_err()
    }

    #[test]
    fn an_empty_request_asks_for_the_defaults() {
        for body in ["", "{}", r#"{"prompts":null,"@odata.context":1}"#] {
            let request = request(body.as_bytes(), &Limits::default()).unwrap();
            assert_eq!((request.initial_silence, request.max_silence, request.max_duration), (5, 5, 5));
            assert!(request.play_beep && !request.stream && request.stop_tones.is_empty());
        }
    }

    #[test]
    fn limits_outside_their_range_are_refused_with_the_range() {
        for value in ["0", "-1", "5.0", "5e0", "86401", "4294967296", "1e400", "\"5\"", "true", "[]"] {
            for name in ["initialSilenceTimeoutInSeconds", "maxSilenceTimeoutInSeconds", "maxRecordDurationInSeconds"] {
                let error = refused(&format!("{{\"{name}\":{value}}}"));
                assert_eq!(error.kind, Kind::Invalid, "{value}");
                if value != "1e400" {
                    assert!(error.message.contains("1 to 86400") && error.message.contains(name), "{}", error.message);
                }
            }
        }
    }

    #[test]
    fn what_is_twice_or_unknown_is_refused_by_name() {
        assert!(refused(r#"{"playBeep":true,"playBeep":true}"#).message.contains("\"playBeep\" stands twice"));
        assert!(refused(r#"{"stopTone":[]}"#).message.contains("stopTones"));
        assert!(
            refused(r#"{"prompts":[{"mediaInfo":{"uri":"file:a.wav","size":1}}]}"#)
                .message
                .contains("prompts[0].mediaInfo.size")
        );
    }

    #[test]
    fn stop_tones_contexts_formats_and_prompts_are_checked() {
        assert_eq!(refused(r#"{"stopTones":["1",""]}"#).target.as_deref(), Some("stopTones"));
        assert_eq!(refused(r#"{"stopTones":[1]}"#).target.as_deref(), Some("stopTones[0]"));
        let long = format!(r#"{{"clientContext":"{}"}}"#, "ä".repeat(257));
        assert!(refused(&long).message.contains("257"));
        let longest = format!(r#"{{"clientContext":"{}"}}"#, "ä".repeat(256));
        assert!(request(longest.as_bytes(), &Limits::default()).is_ok());
        let mp3 = refused(r#"{"recordingFormat":"mp3"}"#);
        assert_eq!((mp3.kind, mp3.message.ends_with("supported: wav, flac")), (Kind::Format, true));
        let floats = Limits { flac: false, ..Limits::default() };
        let flac = br#"{"recordingFormat":"flac"}"#;
        assert_eq!(request(flac, &Limits::default()).unwrap().format, Format::Flac);
        assert!(request(flac, &floats).unwrap_err().message.ends_with("supported: wav"));
        assert_eq!(refused(r#"{"prompts":[{}]}"#).target.as_deref(), Some("prompts[0].mediaInfo"));
        let prompt =
            request(br#"{"prompts":[{"mediaInfo":{"uri":"file:a.wav","id":"a"},"loop":2}]}"#, &Limits::default());
        let expected = Prompt { uri: "file:a.wav".to_owned(), resource_id: Some("a".to_owned()), plays: 2 };
        assert_eq!(prompt.unwrap().prompts, [expected]);
        let endless = r#"{"prompts":[{"mediaInfo":{"uri":"file:a.wav"},"loop":0}]}"#;
        assert_eq!(refused(endless).target.as_deref(), Some("prompts[0].loop"));
        assert!(request(br#"{"bargeInAllowed":true}"#, &Limits::default()).unwrap().barge_in_allowed);
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        let deep = format!("{{\"prompts\":{}{}}}", "[".repeat(1_000), "]".repeat(1_000));
        assert_eq!(refused(&deep).kind, Kind::Invalid);
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let names = prop_oneof![
            Just("prompts".to_owned()),
            Just("stopTones".to_owned()),
            Just("maxSilenceTimeoutInSeconds".to_owned()),
            Just("playBeep".to_owned()),
            Just("clientContext".to_owned()),
            Just("mediaInfo".to_owned()),
            ".{0,8}",
        ];
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 48, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::hash_map(names.clone(), inner, 0..6)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn arbitrary_json_is_a_request_or_an_error_of_the_senders(json in any_json()) {
            match request(json.to_string().as_bytes(), &Limits::default()) {
                Ok(request) => prop_assert!((1..=86_400).contains(&request.max_duration)),
                Err(error) => prop_assert!(matches!(error.kind, Kind::Invalid | Kind::Format)),
            }
        }

        #[test]
        fn arbitrary_bytes_are_no_crash(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = request(&bytes, &Limits::default());
        }
    }
}
