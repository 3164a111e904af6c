//! What the documents say of the tree, held against the tree.

use std::fs;
use std::path::{Path, PathBuf};

use schemars::schema_for;
use serde_json::Value;
use tokio::process::Command;
use tonearm::config::Config;

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

/// What the program says of itself stands in `reference/NAME` from this line on; `make reference` writes it there.
const FROM: &str = "<!-- From here on made by `make reference`. -->\n";

fn stands_in_the_reference(name: &str, made: &str) {
    let path = root().join("reference").join(name);
    let text = fs::read_to_string(&path).unwrap();
    let (head, stands) = text.split_once(FROM).unwrap();
    if std::env::var_os("WRITE_REFERENCE").is_some() {
        return fs::write(&path, format!("{head}{FROM}{made}")).unwrap();
    }
    assert!(stands == made, "reference/{name} is not up to date: run `make reference`");
}

/// A table of the keys of a section, or of one in it.
fn section(name: &str, what: &Value, definitions: &Value) -> String {
    let inner = [&what["additionalProperties"], &what["items"], &what["anyOf"][0], what];
    let of = inner.iter().find_map(|value| value["$ref"].as_str()).unwrap();
    let keys = definitions[of.rsplit('/').next().unwrap()]["properties"].as_object().unwrap();
    let head = match () {
        () if what["items"].is_object() => format!("[[{name}]]"),
        () if what["additionalProperties"].is_object() => format!("[{name}.NAME]"),
        () => format!("[{name}]"),
    };
    let mut text = format!("\n## `{head}`\n\n{}\n\n| key | what; default |\n|---|---|\n", spoken(what));
    for (key, what) in keys {
        text += &format!("| `{key}` | {} |\n", spoken(what).replace('|', "\\|"));
    }
    text
}

fn spoken(what: &Value) -> String {
    what["description"].as_str().unwrap_or_default().replace('\n', " ")
}

#[test]
fn every_key_of_the_configuration_stands_in_its_reference() {
    let schema = schema_for!(Config).to_value();
    let sections = schema["properties"].as_object().unwrap().iter();
    let made: String = sections.map(|(name, what)| section(name, what, &schema["$defs"])).collect();
    stands_in_the_reference("configuration.md", &made);
}

/// A program without sound devices has no `devices`.
#[cfg(feature = "device")]
#[test]
fn every_command_stands_in_its_reference() {
    let help = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tonearm"));
        let output = command.args(arguments).arg("--help").env("COLUMNS", "100").output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let all = help(&[]);
    let commands = all.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let made = names.map(|name| format!("\n## `tonearm {name}`\n\n```\n{}```\n", help(&[name]))).collect::<String>();
    stands_in_the_reference("commands.md", &made);
}

#[tokio::test]
async fn every_route_member_and_reason_stands_in_the_reference_of_the_api() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &[("desk", "silence:")]).await.unwrap();
    let schema = daemon.get("/openapi.json").await.unwrap();
    let text = fs::read_to_string(root().join("reference/api.md")).unwrap();
    let mut wanted = Vec::new();
    for (path, methods) in schema["paths"].as_object().unwrap() {
        wanted.extend(methods.as_object().unwrap().keys().map(|m| format!("\n| {} | `{path}` |", m.to_uppercase())));
    }
    let schemas = &schema["components"]["schemas"];
    let members = |name: &str| schemas[name]["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let names = ["recordRequest", "recording", "evidence", "gap"].iter().flat_map(|name| members(name));
    wanted.extend(names.filter(|name| name != "tone").map(|name| format!("`{name}`")));
    let reasons = schemas["evidence"]["properties"]["reason"]["enum"].as_array().unwrap();
    wanted.extend(reasons.iter().filter_map(Value::as_str).map(|name| format!("`{name}`")));
    let missing: Vec<_> = wanted.iter().filter(|what| !text.contains(*what)).collect();
    assert!(wanted.len() > 60, "{wanted:?}");
    assert!(missing.is_empty(), "{missing:?}");
}
