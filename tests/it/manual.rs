//! Manual pages and completions: made of the commands' definitions, so that none is left out.

use std::fs;
use std::process::Command;

fn tonearm(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tonearm")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every command that `tonearm --help` names.
fn commands() -> Vec<String> {
    let help = tonearm(&["--help"]);
    let rows = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<String> = rows.filter_map(|row| row.split_whitespace().next()).map(str::to_owned).collect();
    assert!(names.len() > 9, "{help}");
    names.into_iter().filter(|name| name != "help").collect()
}

#[test]
fn every_command_has_a_manual_page_with_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    tonearm(&["man", pages.to_str().unwrap()]);
    let page = |name: &str| fs::read_to_string(pages.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let all = page("tonearm.1");
    for command in commands() {
        assert!(all.contains(&command.replace('-', "\\-")), "tonearm.1 does not name {command}");
        let text = page(&format!("tonearm-{command}.1"));
        for heading in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS"] {
            assert!(text.contains(heading), "tonearm-{command}.1 has no {heading}");
        }
    }
    assert!(page("tonearm-record.1").contains("stop\\-tone"));
}

#[test]
fn bash_completes_commands_and_options() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("completion");
    fs::write(&script, tonearm(&["completions", "bash"])).unwrap();
    let completed = |words: &[&str]| {
        let last = words.len() - 1;
        let text = format!(
            "source {0} && complete -p tonearm >&2 && COMP_WORDS=({1}) COMP_CWORD={last} && _tonearm tonearm '{2}' '{3}'; echo \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.join(" "),
            words[last],
            words[last - 1],
        );
        let output = Command::new("bash").args(["--norc", "-c", &text]).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains("-F _tonearm tonearm") && errors.lines().count() == 1, "{errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    let found = completed(&["tonearm", "re"]);
    assert_eq!(found.split_whitespace().collect::<Vec<_>>(), ["record", "replay", "repair"]);
    assert!(completed(&["tonearm", "record", "--sto"]).contains("--stop-tone"));
    let all = completed(&["tonearm", "''"]);
    for command in commands() {
        assert!(all.split_whitespace().any(|name| name == command), "{command}: {all}");
    }
}

/// Runs a shell that need not be there.
fn shell(shell: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(shell).args(arguments).output() {
        Ok(output) => {
            assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: {shell} is not installed; `make test` installs it");
            None
        }
        Err(error) => panic!("{shell}: {error}"),
    }
}

#[test]
fn fish_completes_commands_and_options() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("tonearm.fish");
    fs::write(&script, tonearm(&["completions", "fish"])).unwrap();
    let completed = |line: &str| {
        shell("fish", &["--no-config", "-c", &format!("source {}; complete -C '{line}'", script.display())])
    };
    let names = |found: String| -> Vec<String> {
        found.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    };
    let Some(found) = completed("tonearm re") else { return };
    assert_eq!(names(found), ["record", "repair", "replay"]);
    assert!(names(completed("tonearm record --sto").unwrap()).contains(&"--stop-tone".to_owned()));
    let all = names(completed("tonearm ").unwrap());
    for command in commands() {
        assert!(all.contains(&command), "{command}: {all:?}");
    }
}

/// zsh completes only for who types: in a terminal of its own, which ends when the list has come.
#[test]
fn zsh_completes_commands() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("_tonearm"), tonearm(&["completions", "zsh"])).unwrap();
    let script = format!(
        "zmodload zsh/zpty
         zpty one 'zsh -f -i'
         zpty -w one 'PS1=; fpath=({0} $fpath); autoload -U compinit; compinit -u -d {0}/dump; LISTMAX=0; echo re\\ady'
         zpty -r one seen '*ready*'
         zpty -w -n one $'tonearm re\t\t'
         zpty -r one seen '*replay  -- *'
         print -r -- $seen",
        folder.path().display()
    );
    let Some(found) = shell("zsh", &["-f", "-c", &script]) else { return };
    for command in ["record", "repair", "replay"] {
        assert!(found.contains(&format!("{command}  -- ")), "{command}: {found}");
    }
}
