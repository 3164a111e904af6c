//! What people see in a terminal: `tonearm watch`, and progress over many files.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::daemon::{Daemon, Outcome, TOKEN};
use crate::sound::Sound;

const TONEARM: &str = env!("CARGO_BIN_EXE_tonearm");
/// Whatever is waited for comes within this, or not at all.
const PATIENCE: Duration = Duration::from_secs(30);

async fn refused(url: &str, token: &str) -> String {
    let run = Command::new(TONEARM).args(["watch", url]).env("TONEARM_TOKEN", token).output();
    let Output { status, stdout, stderr } = timeout(PATIENCE, run).await.expect("it did not end").unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(stdout.is_empty());
    String::from_utf8(stderr).unwrap()
}

/// What it prints, up to a line or a piece that holds this.
async fn printed(out: &mut (impl tokio::io::AsyncRead + Unpin), until: &str) -> String {
    let (mut all, mut piece) = (Vec::new(), vec![0; 4_096]);
    let read = async {
        while !String::from_utf8_lossy(&all).contains(until) {
            let read = out.read(&mut piece).await.unwrap();
            assert!(read > 0, "it ended without {until:?}: {}", String::from_utf8_lossy(&all));
            all.extend_from_slice(&piece[..read]);
        }
    };
    let came = timeout(PATIENCE, read).await;
    assert!(came.is_ok(), "never {until:?}: {}", String::from_utf8_lossy(&all));
    String::from_utf8_lossy(&all).into_owned()
}

fn signal(child: &Child, signal: &str) {
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
}

#[tokio::test]
async fn watch_says_what_is_wrong_where_no_daemon_is_or_it_is_another_or_does_not_know_the_token() -> Outcome<()> {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let words = refused(&format!("http://{nobody}"), TOKEN).await;
    assert!(words.contains("no daemon answers") && words.contains("tonearm serve"), "{words}");
    let folder = tempfile::tempdir()?;
    let daemon = Daemon::start(folder.path(), &[("desk", "silence:")]).await?;
    let words = refused(&daemon.base, "").await;
    assert!(words.contains("wants a token") && words.contains("TONEARM_TOKEN"), "{words}");
    let words = refused(&daemon.base, "another").await;
    assert!(words.contains("does not know this token"), "{words}");
    let output = Command::new(TONEARM).args(["watch", "ftp://x"]).output().await?;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("http://HOST[:PORT]"));
    Ok(())
}

#[tokio::test]
async fn watch_prints_a_line_for_whatever_happens_and_goes_on_after_the_daemon_was_away() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let mut daemon = Daemon::start(folder.path(), &[("desk", "silence:")]).await?;
    let mut watch = Command::new(TONEARM)
        .args(["watch", &daemon.base])
        .env("TONEARM_TOKEN", TOKEN)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut out = watch.stdout.take().ok_or("no output")?;
    printed(&mut out, "desk: ready\n").await;
    let ask = r#"{"playBeep":false,"maxRecordDurationInSeconds":1,"clientContext":"hello"}"#;
    let operation = daemon.post("/app/calls/desk/record", ask).await?;
    let id = operation["id"].as_str().ok_or("no id")?;
    let words = printed(&mut out, "ended, ").await;
    assert!(words.contains(&format!("desk: operation {id} (hello) records\n")), "{words}");
    assert!(words.contains(&format!("operation {id} (hello) ended, maxRecordDurationReached, 1.000 s")), "{words}");
    // A configuration that is read again sends away who looks on.
    signal(&daemon.child, "-HUP");
    let mut errors = BufReader::new(watch.stderr.take().ok_or("no errors")?).lines();
    let words = timeout(PATIENCE, errors.next_line()).await??.ok_or("no words")?;
    assert!(words.contains("Trying again"), "{words}");
    loop {
        // Until it looks on again, nobody tells it.
        let operation = daemon.post("/app/calls/desk/record", ask).await?;
        let id = operation["id"].as_str().ok_or("no id")?.to_owned();
        daemon.ended("desk", &operation).await?;
        let mut piece = vec![0; 65_536];
        let told = timeout(Duration::from_secs(1), out.read(&mut piece)).await;
        if let Ok(read) = told
            && String::from_utf8_lossy(&piece[..read?]).contains(&id)
        {
            break;
        }
    }
    daemon.child.kill().await?;
    signal(&watch, "-TERM");
    assert_eq!(watch.wait().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn watch_draws_a_table_on_a_terminal_and_leaves_it_as_it_was() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let daemon = Daemon::start(folder.path(), &[("desk", "silence:"), ("hall", "silence:")]).await?;
    daemon.ready().await?;
    let command = format!("stty cols 100 rows 20; exec {TONEARM} watch {}", daemon.base);
    let mut terminal = Command::new("script")
        .args(["-qfec", &command, "/dev/null"])
        .env("TONEARM_TOKEN", TOKEN)
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut out = terminal.stdout.take().ok_or("no output")?;
    let begun = printed(&mut out, "silence").await;
    assert!(begun.starts_with("\x1b[?1049h\x1b[?25l"), "{begun:?}");
    let operation =
        daemon.post("/app/calls/desk/record", r#"{"playBeep":false,"maxSilenceTimeoutInSeconds":60}"#).await?;
    let id = operation["id"].as_str().ok_or("no id")?;
    let drawn = printed(&mut out, "initialSilenceTimeout in ").await;
    assert!(drawn.contains(id) && drawn.contains("1 running, 0 waiting"), "{drawn:?}");
    // Ctrl-C, as the keyboard sends it.
    terminal.stdin.as_mut().ok_or("no input")?.write_all(b"\x03").await?;
    let mut rest = Vec::new();
    timeout(PATIENCE, out.read_to_end(&mut rest)).await??;
    let rest = String::from_utf8_lossy(&rest).into_owned();
    assert!(rest.trim_end().ends_with("\x1b[?25h\x1b[?1049l"), "{rest:?}");
    assert_eq!(timeout(PATIENCE, terminal.wait()).await??.code(), Some(0));
    Ok(())
}

/// What a shell prints on a terminal, standard error of a command among it.
fn on_a_terminal(command: &str) -> String {
    let command = format!("stty cols 100 rows 20; {command}");
    let output = std::process::Command::new("script").args(["-qfec", &command, "/dev/null"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn many_files_have_a_progress_bar_on_a_terminal_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<String> = (0..3).map(|n| folder.path().join(format!("{n}.wav")).display().to_string()).collect();
    files.iter().for_each(|file| Sound::at(8_000).hiss(200).key('5', 80).hiss(200).write(Path::new(file)));
    let request = folder.path().join("request.json");
    std::fs::write(&request, r#"{"playBeep":false}"#).unwrap();
    let replay = format!("replay --request {} --out {}", request.display(), folder.path().join("out").display());
    for command in ["detect".to_owned(), replay] {
        let command = format!("{TONEARM} {command} {}", files.join(" "));
        let shown = on_a_terminal(&format!("{command} > {}", folder.path().join("printed").display()));
        assert!(shown.contains("0 of 3 files"), "{shown:?}");
        let printed = std::fs::read_to_string(folder.path().join("printed")).unwrap();
        assert_eq!(printed.lines().count(), 3, "{printed}");
        let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), printed);
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    }
    assert!(!on_a_terminal(&format!("{TONEARM} detect {}", files[0])).contains("of 1 files"));
}
