//! `tonearm check`: what is well is said to be, and each thing that is not with what to do about it.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::daemon::{Daemon, Outcome, configure};

/// What it was, how it is, and what to do.
type Finding = (String, String, Option<String>);

/// What it says of this configuration, and its exit code.
fn check(config: &Path) -> (Option<i32>, Vec<Finding>) {
    // No program of this host is asked whether its clock is right.
    let program = env!("CARGO_BIN_EXE_tonearm");
    let output =
        Command::new(program).args(["check", "--json", "--config"]).arg(config).env("PATH", "").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let finding = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        (text("what").unwrap(), text("found").unwrap(), text("next"))
    };
    (output.status.code(), text.lines().map(finding).collect())
}

/// The one thing that needs something done: what it is, and all that is said of it.
fn to_do(config: &Path) -> (String, String) {
    let (code, findings) = check(config);
    let is_bad = findings[0].0 == "configuration" && findings[0].2.is_some();
    assert_eq!(code, Some(if is_bad { 2 } else { 1 }), "{findings:?}");
    let mut to_do = findings.into_iter().filter_map(|(what, found, next)| Some((what, format!("{found}. {}", next?))));
    let first = to_do.next().unwrap();
    let more: Vec<_> = to_do.collect();
    assert!(more.is_empty(), "{first:?} {more:?}");
    first
}

#[test]
fn a_host_that_can_do_all_is_well_and_is_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let config = configure(folder.path(), &[("desk", "silence:")], "").unwrap();
    let (code, findings) = check(&config);
    assert_eq!(code, Some(0), "{findings:?}");
    let looked_at: Vec<&str> = findings.iter().map(|(what, ..)| what.as_str()).collect();
    let all =
        ["configuration", "user", "port", "folder of data", "free space", "tokens", "line desk", "clock", "callbacks"];
    assert!(all.iter().all(|one| looked_at.contains(one)), "{looked_at:?}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["tonearm.toml"]);
    let output =
        Command::new(env!("CARGO_BIN_EXE_tonearm")).args(["check", "--config"]).arg(&config).env("PATH", "").output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().count() == findings.len() && text.lines().all(|line| line.starts_with("ok     ")), "{text}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("tonearm serve"));
}

#[test]
fn each_thing_that_is_wrong_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let silence = [("desk", "silence:")];
    let written = |text: &str| {
        let config = configure(folder.path(), &silence, "").unwrap();
        let whole = fs::read_to_string(&config).unwrap();
        fs::write(&config, whole.replacen("[storage]\n", &format!("[storage]\n{text}\n"), 1)).unwrap();
        config
    };
    let (what, words) = to_do(&written("buffer_seconds = 0"));
    assert!(what == "configuration" && words.contains("1 to 600") && words.contains("configuration.md"), "{words}");
    let (what, words) = to_do(&written("reserve_bytes = 9000000000000000000"));
    assert!(what == "free space" && words.contains("tonearm prune --dry-run"), "{words}");

    let config = configure(folder.path(), &silence, "").unwrap();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("/data\"", "/file/data\"")).unwrap();
    let (what, words) = to_do(&config);
    assert!(what == "folder of data" && words.contains("to a folder"), "{words}");

    let missing = format!("wav:{}/missing.wav", folder.path().display());
    let (what, words) = to_do(&configure(folder.path(), &[("desk", "silence:"), ("hall", &missing)], "").unwrap());
    assert!(what == "line hall" && words.contains("missing.wav"), "{words}");

    let app = |file: &Path| format!("[[applications]]\nid = \"second\"\ntoken_file = {:?}", file);
    let (what, words) = to_do(&configure(folder.path(), &silence, &app(&folder.path().join("none"))).unwrap());
    assert!(what == "tokens" && words.contains("second") && words.contains("sha256sum"), "{words}");
    let (what, words) = to_do(&configure(folder.path(), &silence, &app(&file)).unwrap());
    assert!(what == "secrets" && words.contains("chmod o="), "{words}");

    let hosts = "[notifications]\nallow_hosts = [\"127.0.0.1:9\", \"nowhere.invalid:8443\"]";
    let (what, words) = to_do(&configure(folder.path(), &silence, hosts).unwrap());
    assert!(what == "callbacks" && words.contains("getent hosts nowhere.invalid"), "{words}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = configure(folder.path(), &silence, "").unwrap();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string())).unwrap();
    drop(std::thread::spawn(move || taken.incoming().for_each(drop)));
    let (what, words) = to_do(&config);
    assert!(what == "port" && words.contains("ss -ltnp"), "{words}");
}

#[cfg(feature = "device")]
#[test]
fn a_microphone_that_is_not_there_is_looked_for_with_devices() {
    let folder = tempfile::tempdir().unwrap();
    let config = configure(folder.path(), &[("desk", "device:alsa:no-such-microphone")], "").unwrap();
    let (code, findings) = check(&config);
    assert_eq!(code, Some(1));
    let (_, found, next) = findings.iter().find(|(what, ..)| what == "line desk").unwrap();
    assert!(
        found.contains("no-such-microphone") && next.as_ref().unwrap().contains("tonearm devices"),
        "{found} {next:?}"
    );
    assert!(findings.iter().any(|(what, ..)| what == "real-time priority"));
}

#[tokio::test]
async fn a_daemon_that_runs_is_asked_for_its_lines() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let daemon = Daemon::start(folder.path(), &[("desk", "silence:")]).await?;
    let text = fs::read_to_string(&daemon.config)?;
    let address = daemon.base.trim_start_matches("http://");
    let more = "[lines.hall]\nsource = \"silence:\"\n[[applications]]";
    fs::write(&daemon.config, text.replace("127.0.0.1:0", address).replace("[[applications]]", more))?;
    let config = daemon.config.clone();
    let (code, findings) = tokio::task::spawn_blocking(move || check(&config)).await?;
    let of =
        |name: &str| findings.iter().find(|(what, ..)| what == name).cloned().ok_or(format!("no {name}: {findings:?}"));
    assert!(of("port")?.1.contains("a daemon answers"));
    assert!(of("line desk")?.1.contains("the daemon says that it is ready"));
    assert!(of("folder of data")?.1.contains("a daemon uses it"));
    assert!(of("line hall")?.2.ok_or("it is there")?.contains("systemctl reload tonearm"));
    assert_eq!(code, Some(1));
    Ok(())
}
