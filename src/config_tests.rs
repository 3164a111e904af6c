use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse("tonearm.toml", text, &BTreeMap::new())
}

fn refused(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn nothing_is_a_valid_configuration_with_one_microphone_on_loopback() {
    let config = parse("").unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8723");
    assert_eq!(config.lines[0].0, "mic");
}

#[test]
fn lines_keep_their_order() {
    let config = parse("[lines.z]\nsource = \"silence:\"\n[lines.a]\nsource = \"silence:\"\n").unwrap();
    assert_eq!(config.lines.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["z", "a"]);
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_what_is_valid() {
    let unknown = refused("[server]\nlissen = \"127.0.0.1:1\"\n");
    assert!(
        unknown.contains("tonearm.toml") && unknown.contains("line 2") && unknown.contains("`listen`"),
        "{unknown}"
    );
    assert!(refused("[lines.a]\nsource = \"mic\"\n").contains("device:NAME"));
    assert!(refused("[lines.a]\nsource = \"silence:\"\nchannels = [0]\n").contains("count from 1"));
    assert!(refused("[lines.a]\nsource = \"silence:\"\nperiod_ms = 4\n").contains("5 to 200"));
    let shared = "[lines.a]\nsource = \"silence:\"\n[lines.b]\nsource = \"silence:\"\nperiod_ms = 20\n";
    assert!(refused(shared).contains("share a source"));
    assert!(refused("[storage]\nbuffer_seconds = 0\n").contains("1 to 600"));
    for origin in ["*", "https://*", "https://page.example/", "page.example", "null", "file:///x"] {
        let words = refused(&format!("[server]\ncors_origins = [\"https://ok.example\", \"{origin}\"]\n"));
        assert!(words.contains("line 2") && words.contains("https://HOST[:PORT]"), "{words}");
    }
    assert!(refused("[record]\nsample_format = \"mp3\"\n").contains("s16, s24 and f32"));
    assert!(refused("[[applications]]\nid = \"a\"\n").contains("token_sha256 or token_file"));
}

#[test]
fn the_commented_file_is_valid_as_it_is_and_with_every_key_switched_on() {
    let text = include_str!("../systemd/tonearm.toml");
    parse(text).unwrap();
    let is_key =
        |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) || line.starts_with('[');
    let switched_on: Vec<&str> =
        text.lines().map(|line| line.strip_prefix("# ").filter(|rest| is_key(rest)).unwrap_or(line)).collect();
    let config = parse(&switched_on.join("\n")).unwrap();
    assert_eq!(config.applications[0].id, "bot");
}

#[test]
fn a_value_that_no_type_refuses_is_named_with_its_line_too() {
    assert!(refused("\n[storage]\nbuffer_seconds = 0\n").contains("tonearm.toml, line 3: storage.buffer_seconds is 0"));
    let lines = "[lines.front-desk]\nsource = \"silence:\"\n\n[lines.frontdesk]\nsource = \"silence:\"\n";
    assert!(refused(lines).contains("line 4"), "{}", refused(lines));
    let digest = "0".repeat(64);
    let apps = format!("[[applications]]\nid = \"a\"\ntoken_sha256 = \"{digest}\"\n");
    let second = format!("{apps}[[applications]]\nid = \"b\"\ntoken_sha256 = \"{digest}\"\n");
    let twice = refused(&second.replace("\"b\"", "\"A\""));
    assert!(twice.contains("line 5") && twice.contains("twice"), "{twice}");
    let abroad = refused(&format!("{second}callback_uri = \"http://10.0.0.1/\"\n"));
    assert!(abroad.contains("line 7") && abroad.contains("allow_hosts"), "{abroad}");
}

#[test]
fn a_variable_overrides_a_key() {
    let overrides = BTreeMap::from([
        ("SERVER__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
        ("STORAGE__BUFFER_SECONDS".to_owned(), "3".to_owned()),
        ("LINES__FRONT_DESK__RATE".to_owned(), "16000".to_owned()),
    ]);
    let config = Config::parse("x", "[lines.front-desk]\nsource = \"silence:\"\n", &overrides).unwrap();
    assert_eq!((config.server.listen.port(), config.storage.buffer_seconds), (0, 3));
    assert_eq!(config.lines[0].1.rate, Some(16_000));
    let wrong = BTreeMap::from([("NONSENSE".to_owned(), "1".to_owned())]);
    assert!(Config::parse("x", "", &wrong).is_err());
}

#[test]
fn each_threshold_of_the_detectors_is_checked_at_load_and_named_with_its_line() {
    for (key, valid) in [
        ("silence_threshold_dbfs = -91.0", "-90 to 0"),
        ("minimum_tone_dbfs = 0.5", "-60 to 0"),
        ("minimum_tone_ms = 22.9", "23 to 40"),
        ("digits = \"12E\"", "0123456789*#ABCD"),
    ] {
        let why = refused(&format!("[detection]\n{key}\n"));
        let name = key.split(' ').next().unwrap();
        assert!(why.contains("tonearm.toml, line 2") && why.contains(name) && why.contains(valid), "{why}");
    }
}

#[test]
fn a_rate_outside_8_to_192_khz_is_refused_at_load() {
    for hz in [7_999, 192_001] {
        let why = refused(&format!("[lines.a]\nsource = \"silence:\"\nrate = {hz}\n"));
        assert!(why.contains("line 3") && why.contains("8000 to 192000"), "{why}");
    }
    for hz in [8_000, 192_000] {
        assert!(parse(&format!("[lines.a]\nsource = \"silence:\"\nrate = {hz}\n")).is_ok());
    }
}
