//! What the documents say of the tree, held against the tree.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use crate::daemon::{Daemon, TOKEN};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn documents() -> Vec<PathBuf> {
    let mut found = vec![];
    for folder in ["", "design", "reference", "audio-fixtures"] {
        let Ok(entries) = fs::read_dir(root().join(folder)) else { continue };
        let paths = entries.map(|entry| entry.unwrap().path());
        found.extend(paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    assert!(found.len() >= 5, "{found:?}");
    found
}

/// The targets of `[words](target)`, without those that lead out of the tree.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.map(|target| target.split('#').next().unwrap_or("")).filter(|t| !t.is_empty() && !t.contains(':')).collect()
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut dead = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let folder = document.parent().unwrap();
        let missing = links(&text).into_iter().filter(|target| !folder.join(target).exists()).map(str::to_owned);
        dead.extend(missing.map(|target| format!("{}: {target}", document.display())));
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn every_make_verb_that_documents_name_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for rest in text.split("`make ").skip(1) {
            let verb: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            assert!(makefile.contains(&format!("\n{verb}:")), "{}: make {verb}", document.display());
        }
    }
}

#[test]
fn modules_say_what_belongs_in_them() {
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path().join("mod.rs");
        if path.exists() {
            let head = fs::read_to_string(&path).unwrap();
            let head: Vec<_> = head.lines().take_while(|line| line.starts_with("//!")).collect();
            let head = head.join(" ");
            assert!(head.contains("elongs here") && head.contains("Does not"), "{}", path.display());
        }
    }
}

/// The README's commands that begin with `$ curl`, each with the answer that it shows.
fn examples(text: &str) -> Vec<(String, String)> {
    let blocks = text.split("$ curl").skip(1).filter_map(|rest| rest.split("```").next());
    let split = |block: &str| {
        let mut lines = block.lines();
        let mut command = "curl -sS".to_owned();
        for line in lines.by_ref() {
            command = format!("{} {}", command.trim_end_matches('\\'), line.split("  #").next().unwrap_or(""));
            if !line.ends_with('\\') {
                break;
            }
        }
        (command, lines.collect())
    };
    blocks.map(split).collect()
}

#[tokio::test]
async fn the_readmes_examples_come_to_what_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &[("desk", "silence:")]).await.unwrap();
    let examples = examples(&fs::read_to_string(root().join("README.md")).unwrap());
    assert!(!examples.is_empty());
    for (command, shown) in examples {
        let command = command.replace("http://127.0.0.1:8723", &daemon.base);
        let output = Command::new("sh").args(["-c", &command]).env("TOKEN", TOKEN).output().await.unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&answer), names(&shown));
        for name in ["@odata.type", "clientContext", "resultInfo", "evidence"] {
            assert_eq!(answer[name], shown[name], "{name}");
        }
    }
}
