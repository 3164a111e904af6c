//! The cookbook's commands, typed into a shell against a daemon that is configured as each says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::task::JoinSet;

use crate::daemon::{Daemon, TOKEN, configure};
use crate::sound::Sound;

/// The blocks of one language in a text, together.
fn blocks(text: &str, language: &str) -> String {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// The recipe's configuration, with files for what a host has: a microphone of two channels, a loudspeaker, a folder.
fn configured(folder: &Path, recipe: &str) -> PathBuf {
    let sound = Sound::at(16_000).hiss(900).voice(1_200).hiss(400).key('#', 100).hiss(4_000);
    sound.write(&folder.join("word.wav"));
    let doubled = Sound { hz: 8_000, samples: sound.samples.iter().step_by(2).flat_map(|s| [*s, *s]).collect() };
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut stereo = hound::WavWriter::create(folder.join("stereo.wav"), spec).unwrap();
    doubled.samples.iter().for_each(|sample| stereo.write_sample(*sample).unwrap());
    stereo.finalize().unwrap();
    std::fs::create_dir(folder.join("prompts")).unwrap();
    Sound::at(8_000).voice(400).write(&folder.join("prompts/greeting.wav"));
    let at = |name: &str| folder.join(name).display().to_string();
    let asked = match blocks(recipe, "toml") {
        none if none.is_empty() => "[lines.desk]\nsource = \"silence:\"\n".to_owned(),
        asked => asked
            .replace("playback = \"device:default", &format!("playback = \"wav:{}", at("played.wav")))
            .replace("device:default", &format!("wav:{}?pace=real&loop=true", at("stereo.wav")))
            .replace("wav:word.wav", &format!("wav:{}", at("word.wav")))
            .replace("\"prompts\"", &format!("{:?}", at("prompts"))),
    };
    configure(folder, &[], &asked).unwrap()
}

/// What a shell says of a recipe's commands, if one of them fails.
async fn cook(common: String, title: String, recipe: String) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::with(&configured(folder.path(), &recipe)).await.unwrap();
    let script = format!("set -euo pipefail\n{common}\n{}", blocks(&recipe, "sh"));
    let script = script.replace("http://127.0.0.1:8723", &daemon.base);
    let program = Path::new(env!("CARGO_BIN_EXE_tonearm")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(&folder).env("TOKEN", TOKEN).env("PATH", path).kill_on_drop(true);
    let Ok(output) = tokio::time::timeout(Duration::from_secs(60), shell.output()).await else {
        return Some(format!("{title}: not done within a minute"));
    };
    let output = output.unwrap();
    let words = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    eprintln!("{title}\n{words}");
    (!output.status.success()).then(|| format!("{title}: {}\n{words}", output.status))
}

#[tokio::test]
async fn every_recipe_of_the_cookbook_comes_to_its_end() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/reference/cookbook.md")).unwrap();
    let (head, recipes) = text.split_once("\n## ").unwrap();
    let mut all = JoinSet::new();
    for recipe in recipes.split("\n## ") {
        let (title, recipe) = recipe.split_once('\n').unwrap();
        assert!(recipe.contains("```sh"), "{title} has no commands");
        all.spawn(cook(blocks(head, "sh"), title.to_owned(), recipe.to_owned()));
    }
    assert_eq!(all.len(), 10);
    let failed: Vec<_> = all.join_all().await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
