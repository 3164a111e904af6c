use super::*;

fn seen() -> Seen {
    let line = Line { name: "desk".to_owned(), trouble: None, levels: Vec::new(), key: None };
    Seen { lines: vec![line], operations: Vec::new(), ended: VecDeque::new() }
}

fn operation(id: &str, status: &str, more: &str) -> String {
    format!(
        r#"{{"line":"desk","call":"desk","request":null,"progress":null,"operation":{{"id":"{id}","status":"{status}"{more}}}}}"#
    )
}

#[test]
fn an_operation_is_told_at_each_stage_once_and_remembered_when_it_has_ended() {
    let mut seen = seen();
    let told = |seen: &mut Seen, text: &str| seen.told("operation", text);
    assert_eq!(told(&mut seen, &operation("a", "notStarted", "")), ["desk: operation a waits for its turn"]);
    assert!(told(&mut seen, &operation("a", "notStarted", "")).is_empty());
    assert_eq!(told(&mut seen, &operation("a", "running", "")), ["desk: operation a plays"]);
    let progress = r#"{"running":[{"id":"a","frames":8000,"sampleRate":8000,"due":{"reason":"maxSilenceTimeout","atFrame":20000}},
        {"id":"unknown","frames":1,"sampleRate":8000,"due":null}]}"#;
    assert!(seen.told("progress", progress).is_empty());
    let due = Some(("maxSilenceTimeout".to_owned(), 1.5));
    assert_eq!(seen.operations[0].state, State::Records { seconds: 1.0, due });
    let more = r#","completionReason":"stopToneDetected","recording":{"durationSeconds":2.5}"#;
    let ended = operation("a", "completed", more);
    assert_eq!(told(&mut seen, &ended), ["desk: operation a ended, stopToneDetected, 2.500 s"]);
    assert!(told(&mut seen, &ended).is_empty());
    assert!(seen.operations.is_empty());
    assert_eq!(seen.ended.len(), 1);
    for id in ["b", "c", "d", "e", "f", "g"] {
        told(&mut seen, &operation(id, "failed", r#","completionReason":"initialSilenceTimeout""#));
    }
    let left: Vec<&str> = seen.ended.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(left, ["g", "f", "e", "d", "c"]);
    seen.told("gone", r#"{"id":"e"}"#);
    assert_eq!(seen.ended.len(), 4);
}

#[test]
fn speech_and_keys_are_told_when_they_come_and_levels_are_only_kept() {
    let mut seen = seen();
    let levels = |speaking: bool| {
        format!(
            r#"{{"line":"desk","levels":[{{"rmsDbfs":-20.04,"peak":0.1,"clipped":0,"noiseFloorDbfs":-58.0,"thresholdDbfs":-40.0,"speaking":{speaking}}}]}}"#
        )
    };
    assert!(seen.told("levels", &levels(false)).is_empty());
    assert_eq!(seen.told("levels", &levels(true)), ["desk: speech, -20.0 dBFS, floor -58.0, threshold -40.0"]);
    assert!(seen.told("levels", &levels(true)).is_empty());
    assert!(seen.told("levels", &levels(false))[0].starts_with("desk: silence, "));
    let key = r##"{"line":"desk","digit":"#","lowHz":941.0,"highHz":1477.0,"levelDbfs":-12.0}"##;
    assert_eq!(seen.told("key", key), ["desk: key #, -12.0 dBFS"]);
    assert_eq!(seen.lines[0].key.as_deref(), Some("#"));
    assert!(seen.told("something-new", "{}").is_empty());
    assert!(seen.told("levels", "no JSON").is_empty());
}

#[test]
fn a_line_that_is_not_ready_is_told_with_its_reason_and_again_when_it_is() {
    let mut seen = seen();
    let ready = |reason: Option<&str>| ReadyBody {
        lines: vec![LineReadyBody { line: "desk".to_owned(), reason: reason.map(str::to_owned) }],
    };
    assert!(seen.are(ready(None)).is_empty());
    assert_eq!(seen.are(ready(Some("it is busy"))), ["desk: not ready: it is busy"]);
    assert!(seen.are(ready(Some("it is busy"))).is_empty());
    assert_eq!(seen.are(ready(None)), ["desk: ready"]);
}
