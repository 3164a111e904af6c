//! Sound through a real sound server: what is played into a microphone comes back from it, sample for sample.
//!
//! Each test starts a virtual card (`scripts/virtual-card.sh`) and runs its inner half in a process of its own, whose
//! environment names that card. Without PulseAudio they say so and pass, unless `TONEARM_TEST_CARD=required`, which
//! `make test` sets after it has installed it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::counted::{self, Counted, Tally};
use crate::daemon::Daemon;
use crate::echo::person_at;
use crate::inner;
use crate::losses::{daemon, request};
use crate::sound::Sound as Made;
use crate::starved::heard;
use tonearm::capture::device::{Device, open_with};
use tonearm::cards::Wanted;
use tonearm::playback::{Playback, Sound, beep};
use tonearm::record::GapCause;
use tonearm::rt::ring::{Gap, Read};
use tonearm::rt::sounding::Sounding;

/// What the card runs at; a test that plays this rate hears it bit for bit.
const HZ: u32 = 48_000;
const CHANNELS: usize = 2;
/// The folder of the card, for the inner half.
const CARD: &str = "TONEARM_TEST_CARD_DIR";

pub fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/virtual-card.sh")
}

/// A card of our own, stopped at the end.
struct Card(tempfile::TempDir);

impl Card {
    fn start() -> Option<Card> {
        let there = Command::new("pulseaudio").arg("--version").stdout(Stdio::null()).status().is_ok();
        if !there {
            let required = std::env::var("TONEARM_TEST_CARD").is_ok_and(|value| value == "required");
            assert!(!required, "PulseAudio is not installed");
            eprintln!("skipped: PulseAudio is not installed; `make test` installs it");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        assert!(Command::new(script()).arg("start").arg(folder.path()).status().unwrap().success());
        Some(Card(folder))
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        let _ = Command::new(script()).arg("stop").arg(self.0.path()).status();
    }
}

/// Runs an inner half where the card is the only one.
fn with_card(inner: &str) {
    with_card_in("device", inner);
}

/// The same, where the inner half is in another module.
pub fn with_card_in(module: &str, inner: &str) {
    // One at a time: a player that is late because of its neighbours would be taken for a loss.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(card) = Card::start() else { return };
    let folder = card.0.path();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{inner}"), "--ignored", "--nocapture"])
        .env("PULSE_SERVER", format!("unix:{}", folder.join("native").display()))
        .env("ALSA_CONFIG_PATH", folder.join("asound.conf"))
        .env(CARD, folder)
        .stderr(inner::progress())
        .output()
        .unwrap();
    inner::check(&output);
}

/// The folder of the card.
pub fn folder() -> PathBuf {
    std::env::var_os(CARD).expect("run by its outer half").into()
}

/// Everything that comes from a microphone.
struct Heard {
    samples: Vec<f32>,
    gaps: Vec<Gap>,
}

impl Heard {
    fn frames(&self) -> u64 {
        (self.samples.len() / CHANNELS) as u64 + self.gaps.iter().map(|gap| gap.frames).sum::<u64>()
    }

    /// Listens until `enough`, for 20 s at the most.
    fn listen(&mut self, device: &mut Device, mut enough: impl FnMut(&Heard) -> bool) {
        let began = now();
        let mut block = vec![0.0; 4_800 * CHANNELS];
        while !enough(self) {
            assert!(began.elapsed() < Duration::from_secs(20), "heard {} frames in 20 s", self.frames());
            match device.consumer.read(&mut block) {
                Read::Frames(frames) => self.samples.extend(&block[..frames * CHANNELS]),
                Read::Gap(gap) => self.gaps.push(gap),
                Read::Nothing => nap(),
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a sound server runs in real time")]
pub fn nap() {
    std::thread::sleep(Duration::from_millis(5));
}

#[expect(clippy::disallowed_methods, reason = "a sound server runs in real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Noise in which no frame is like another, and no sample zero: that is what is recorded where nothing was.
pub fn noise_from(mut state: u32) -> impl Iterator<Item = i16> + Send {
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 16) as i16) | 1
    })
}

/// Three seconds of it.
fn noise() -> Vec<i16> {
    noise_from(22_695_477).take(3 * HZ as usize * CHANNELS).collect()
}

fn write(path: &Path, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels: CHANNELS as u16,
        sample_rate: HZ,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
    writer.finalize().unwrap();
}

fn play(path: &Path) -> Child {
    Command::new("paplay").arg("--device=vspk").arg("--latency-msec=500").arg(path).spawn().unwrap()
}

/// A sound server without real-time priority drops out on a busy host, by itself and without telling: about once in thirty
/// runs beside a compiler, three times in a row beside five. So eight tries.
fn comes_back_exactly(microphone: &str) {
    let tries: Vec<_> = (0..8).map_while(|_| compare(microphone).err()).collect();
    assert!(tries.len() < 8, "{tries:#?}");
    eprintln!("{microphone}: as played, at try {}; before that: {tries:?}", tries.len() + 1);
}

fn compare(microphone: &str) -> Result<(), String> {
    let mut device = open_with(microphone, Wanted::default()).unwrap();
    assert_eq!((device.rate.hz(), device.channels), (HZ, CHANNELS));
    let mut heard = Heard { samples: Vec::new(), gaps: Vec::new() };
    // The microphone runs before anything is played.
    heard.listen(&mut device, |heard| heard.frames() > u64::from(HZ) / 10);
    let (path, played) = (folder().join("noise.wav"), noise());
    write(&path, &played);
    let mut player = play(&path);
    let mut first = None;
    heard.listen(&mut device, |heard| {
        first = first.or_else(|| heard.samples.iter().position(|sample| *sample != 0.0));
        first.is_some_and(|first| heard.samples.len() - first >= played.len() + 9_600)
    });
    assert!(player.wait().unwrap().success());
    let health = &device.health;
    if !heard.gaps.is_empty() || health.xruns() + health.lost_frames() + health.errors() > 0 {
        return Err(format!("gaps {:?}, {health:?}", heard.gaps));
    }
    let first = first.unwrap();
    assert_eq!(first % CHANNELS, 0);
    let differs = |index: &usize| heard.samples[first + index] * 32_768.0 != f32::from(played[*index]);
    if let Some(index) = (0..played.len()).find(differs) {
        let run = heard.samples[first + index..].iter().take_while(|sample| **sample == 0.0).count();
        let after = heard.samples.get(first + index + run).map_or(0.0, |sample| sample * 32_768.0);
        let goes_on = after == f32::from(played[index]);
        return Err(format!("sample {index} of {} differs; {run} zeros, then it goes on: {goes_on}", played.len()));
    }
    assert!(heard.samples[first + played.len()..].iter().all(|sample| *sample == 0.0));
    Ok(())
}

#[test]
fn what_is_played_into_the_microphone_comes_back_sample_for_sample_through_pulseaudio() {
    with_card("inner_pulse");
}

#[test]
#[ignore = "run by its outer half"]
fn inner_pulse() {
    comes_back_exactly("pulse:vmic");
}

#[test]
fn what_is_played_into_the_microphone_comes_back_sample_for_sample_through_alsa() {
    with_card("inner_alsa");
}

#[test]
#[ignore = "run by its outer half"]
fn inner_alsa() {
    comes_back_exactly("alsa:vmic");
}

#[test]
fn a_beep_has_left_the_loudspeaker_when_it_is_said_to_have_ended() {
    with_card("inner_beep");
}

#[test]
#[ignore = "run by its outer half"]
fn inner_beep() {
    for output in ["device:pulse:vspk", "device:alsa:vspk"] {
        let mut device = open_with("pulse:vmic", Wanted::default()).unwrap();
        let mut heard = Heard { samples: Vec::new(), gaps: Vec::new() };
        heard.listen(&mut device, |heard| heard.frames() > u64::from(HZ) / 10);
        let playback = Playback::open(output).unwrap().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(playback.play(&Sound::Beep, &Sounding::default())).unwrap();
        let ended_frame = device.captured.next_frame();
        heard.listen(&mut device, |heard| heard.frames() > ended_frame + u64::from(HZ));
        let first = heard.samples.iter().position(|sample| *sample != 0.0).unwrap() / CHANNELS;
        let last = heard.samples.iter().rposition(|sample| *sample != 0.0).unwrap() / CHANNELS;
        let lasts = beep(device.rate, 1).len();
        assert!((last - first).abs_diff(lasts) < 100, "{output}: {first} to {last}, {lasts} expected");
        assert!(last < ended_frame as usize, "{output}: until {last}, said to have ended at {ended_frame}");
        assert!(ended_frame as usize - last < HZ as usize / 4, "{output}: {last}, {ended_frame}: too long after it");
        eprintln!("{output}: the beep's last frame is {last}, its end was reported at {ended_frame}");
    }
}

#[test]
fn a_server_that_dies_is_noticed_and_one_that_pauses_leaves_a_gap_of_that_length() {
    with_card("inner_loss");
}

#[test]
#[ignore = "run by its outer half"]
fn inner_loss() {
    let mut device = open_with("pulse:vmic", Wanted::default()).unwrap();
    let mut heard = Heard { samples: Vec::new(), gaps: Vec::new() };
    let pause = |on: &str| {
        assert!(Command::new("pactl").args(["suspend-sink", "vspk", on]).status().unwrap().success());
    };
    heard.listen(&mut device, |heard| heard.frames() > u64::from(HZ));
    pause("1");
    let paused = now();
    heard.listen(&mut device, |_| paused.elapsed() > Duration::from_millis(1_500));
    pause("0");
    let lasted = paused.elapsed().as_secs_f64();
    heard.listen(&mut device, |heard| !heard.gaps.is_empty());
    let gap = heard.gaps[0];
    assert_eq!(gap.cause, GapCause::DeviceLost);
    let off = gap.frames as f64 / f64::from(HZ) - lasted;
    assert!(off.abs() < 0.1, "a pause of {lasted:.3} s became a gap of {} frames", gap.frames);
    eprintln!("a pause of {lasted:.3} s became a gap of {} frames", gap.frames);
    assert!(!device.health.is_dead());
    assert!(Command::new(script()).arg("stop").arg(folder()).status().unwrap().success());
    let died = now();
    heard.listen(&mut device, |_| died.elapsed() > Duration::from_secs(3));
    assert!(device.health.is_dead() && device.health.errors() > 0);
}

#[test]
fn a_card_whose_clock_is_off_by_500_ppm_is_measured_and_every_frame_of_it_kept() {
    with_card("inner_drift");
}

#[tokio::test]
#[ignore = "run by its outer half"]
async fn inner_drift() {
    let _counted = Counted::start_fast(&folder(), 500);
    let data = tempfile::tempdir().unwrap();
    let daemon = daemon(data.path(), "device:pulse:raw", "wait").await;
    let operation = daemon.post("/app/calls/mic/record", &request(60)).await.unwrap();
    let began = now();
    let measured = loop {
        let lines = daemon.get("/lines").await.unwrap();
        match lines["value"][0]["device"]["clockDriftPpm"].as_f64() {
            Some(ppm) if (400.0..600.0).contains(&ppm) => break ppm,
            other => assert!(began.elapsed() < Duration::from_secs(45), "{other:?} after 45 s"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    daemon.post("/app/calls/mic/cancelMediaProcessing", "{}").await.unwrap();
    let operation = daemon.ended("mic", &operation).await.unwrap();
    let (samples, gaps) = heard(&daemon, &operation).await;
    let tally = Tally::of(&samples, &gaps);
    assert!(tally.off().unsigned_abs() <= counted::HZ * 60 / 1_000, "{tally:?}: {operation}");
    println!("500 ppm were measured as {measured} after {:.1} s; {tally:?}", began.elapsed().as_secs_f64());
}

#[test]
fn a_microphone_that_stops_delivering_ends_the_recording_and_keeps_what_came() {
    with_card("inner_dead");
}

#[tokio::test]
#[ignore = "run by its outer half"]
async fn inner_dead() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &[("mic", "device:pulse:vmic")]).await.unwrap();
    while !daemon.send(reqwest::Method::GET, "/readyz", None).await.unwrap().status().is_success() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let request = r#"{"playBeep":false,"initialSilenceTimeoutInSeconds":60,"maxRecordDurationInSeconds":60}"#;
    let operation = daemon.post("/app/calls/mic/record", request).await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    // The sound server dies: no frames come any more.
    let server = std::fs::read_to_string(self::folder().join("pid")).unwrap();
    assert!(Command::new("kill").args(["-9", server.trim()]).status().unwrap().success());
    let killed = now();
    let path = format!("/app/calls/mic/operations/{}", operation["id"].as_str().unwrap());
    let operation = loop {
        let operation = daemon.get(&path).await.unwrap();
        if operation["status"] == "failed" {
            break operation;
        }
        assert!(killed.elapsed() < Duration::from_secs(10), "{operation}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(killed.elapsed() > Duration::from_millis(1_500));
    assert_eq!(operation["completionReason"], "mediaReceiveTimeout");
    assert_eq!((&operation["resultInfo"]["code"], &operation["resultInfo"]["subcode"]), (&500.into(), &0.into()));
    let seconds = operation["recording"]["durationSeconds"].as_f64().unwrap();
    assert!((0.3..2.0).contains(&seconds), "{seconds} s were kept");
}

#[test]
fn a_prompt_that_the_microphone_hears_does_not_answer_itself_and_a_person_does() {
    with_card("inner_echo");
}

/// The loudspeaker leaks into the microphone at three levels.
#[tokio::test]
#[ignore = "run by its outer half"]
async fn inner_echo() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = folder.path().join("prompts");
    std::fs::create_dir(&prompts).unwrap();
    let prompt = || Made::at(HZ).voice(1_400).hiss(200).key('5', 200).hiss(200).voice(1_500).key('#', 200).hiss(100);
    // 10 dB below the person, and so that this one has room.
    let mut prompt = prompt();
    prompt.samples.iter_mut().for_each(|sample| *sample = (f64::from(*sample) * 10_f64.powf(-0.5)) as i16);
    prompt.write(&prompts.join("prompt.wav"));
    let person = folder.path().join("person.wav");
    let voice = person_at(HZ, 1.2, 0.0).iter().map(|sample| (sample * 32_767.0) as i16).collect();
    Made { hz: HZ, samples: voice }.write(&person);
    let more = format!("[prompts]\ndirectory = {prompts:?}");
    let config = crate::daemon::configure(folder.path(), &[("mic", "device:pulse:vmic")], &more).unwrap();
    let line = "[lines.mic]\nplayback = \"device:pulse:vspk\"\n";
    let text = std::fs::read_to_string(&config).unwrap().replace("[lines.mic]\n", line);
    std::fs::write(&config, text).unwrap();
    let request = r##"{"prompts":[{"mediaInfo":{"uri":"file:prompt.wav"}}],"bargeInAllowed":true,"playBeep":false,
        "stopTones":["5","#"],"initialSilenceTimeoutInSeconds":1,"maxSilenceTimeoutInSeconds":1}"##;
    for db in ["-6dB", "-20dB", "-40dB"] {
        // With a sign it is a change.
        for volume in ["100%", db] {
            assert!(Command::new("pactl").args(["set-source-volume", "vmic", volume]).status().unwrap().success());
        }
        // Each level is learnt from nothing.
        let daemon = Daemon::with(&config).await.unwrap();
        while !daemon.send(reqwest::Method::GET, "/readyz", None).await.unwrap().status().is_success() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for _ in 0..2 {
            let began = now();
            let operation = daemon.post("/app/calls/mic/record", request).await.unwrap();
            let operation = daemon.ended("mic", &operation).await.unwrap();
            assert_eq!(operation["completionReason"], "initialSilenceTimeout", "{db}: {operation}");
            assert!(began.elapsed() > Duration::from_millis(3_800 + 1_000), "{db}: after all of the prompt");
        }
        let began = now();
        let operation = daemon.post("/app/calls/mic/record", request).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1_900)).await;
        let mut player = Command::new("paplay").arg("--device=vspk").arg(&person).spawn().unwrap();
        let operation = daemon.ended("mic", &operation).await.unwrap();
        assert!(player.wait().unwrap().success());
        assert_eq!(operation["completionReason"], "maxSilenceTimeout", "{db}: {operation}");
        eprintln!("{db}: answered, {:.1} s in all: {}", began.elapsed().as_secs_f64(), operation["recording"]);
    }
}
