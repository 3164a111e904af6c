//! What lies on the disk: the folder of recordings, tokens, keys, certificates.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::super::runtime;
use super::super::serve::{application, data_path, tls};
use super::Finding;
use crate::config::Config;
use crate::store::free_bytes;

const FOLDER: &str = "folder of data";

/// The folder that recordings go to: whether it can be written and synced, and how much fits there.
pub fn folder(config: &Config, is_in_use: bool) -> Vec<Finding> {
    let wanted = match data_path(config) {
        Ok(wanted) => wanted,
        Err(why) => return vec![Finding::to_do(FOLDER, why, "set [storage] directory, e.g. to \"/var/lib/tonearm\"")],
    };
    // It is made at the first start, with all that leads to it.
    let there = wanted.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/")).to_owned();
    let name = match there == wanted {
        true => wanted.display().to_string(),
        false => format!("{}, which will be made in {}", wanted.display(), there.display()),
    };
    let mut findings = vec![match probe(&there) {
        Ok(()) => Finding::well(FOLDER, format!("{name}: written and synced")),
        Err(error) => Finding::to_do(FOLDER, format!("{name}: {error}"), after(&error, &wanted)),
    }];
    findings.push(space(config, &there));
    if is_in_use {
        findings[0].found += "; a daemon uses it";
    }
    findings
}

/// Writes what goes away again, as recordings are written: to a file, synced, renamed.
fn probe(folder: &Path) -> io::Result<()> {
    let [from, to] = ["part", "wav"].map(|end| folder.join(format!(".tonearm-check-{}.{end}", Uuid::new_v4())));
    let written = write(&from, &to, folder);
    // One of the two is there at the most.
    let _ = fs::remove_file(&from);
    let _ = fs::remove_file(&to);
    written
}

fn write(from: &Path, to: &Path, folder: &Path) -> io::Result<()> {
    let mut file = File::create_new(from)?;
    file.write_all(&[0; 4_096])?;
    file.sync_all()?;
    fs::rename(from, to)?;
    crate::store::sync_folder(folder)
}

fn after(error: &io::Error, folder: &Path) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            let folder = folder.display();
            format!(
                "`sudo install -d -o $USER -m 700 {folder}`, or look as the daemon's user; under systemd StateDirectory= makes it"
            )
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("make room: `df -h {}`, `tonearm prune --dry-run`", folder.display())
        }
        ErrorKind::ReadOnlyFilesystem => {
            format!("`findmnt -T {}` says what is mounted there; mount it writable", folder.display())
        }
        ErrorKind::NotADirectory => "set [storage] directory to a folder".to_owned(),
        _ => format!("look at the disk: `findmnt -T {}`, `dmesg | tail`", folder.display()),
    }
}

/// A daemon's line takes this much at the most that is usual: 48 kHz, one channel, 16 bits.
const BYTES_AN_HOUR: u64 = 48_000 * 2 * 3_600;

fn space(config: &Config, folder: &Path) -> Finding {
    let what = "free space";
    let reserve = config.storage.reserve_bytes;
    match free_bytes(folder) {
        Ok(free) if free > reserve => {
            let hours = (free - reserve) / BYTES_AN_HOUR;
            Finding::well(what, format!("{}, for {hours} h of one channel at 48 kHz", size(free)))
        }
        Ok(free) => Finding::to_do(
            what,
            format!("{}, and below [storage] reserve_bytes of {} nothing is recorded", size(free), size(reserve)),
            format!("`tonearm prune --dry-run` lists what retention would remove; `df -h {}`", folder.display()),
        ),
        Err(error) => Finding::to_do(what, error.to_string(), format!("`df -h {}`", folder.display())),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        1_000_000_000.. => format!("{:.1} GB", bytes as f64 / 1e9),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// Who may ask.
pub fn tokens(config: &Config) -> Finding {
    let what = "tokens";
    if config.applications.is_empty() {
        let Ok(folder) = data_path(config) else {
            return Finding::to_do(what, "there is no folder for one", "set [storage] directory");
        };
        let file = folder.join("token.sha256");
        return match file.exists() {
            true => Finding::well(
                what,
                format!("one, shown at the first start; for another delete {} and start again", file.display()),
            ),
            false => Finding::well(what, "none yet: the first start makes one and shows it, once"),
        };
    }
    let wrong = config.applications.iter().find_map(|one| Some((one, application(one).err()?)));
    if let Some((one, why)) = wrong {
        let next = "mend the file, or who may read it; a token: `openssl rand -hex 24`, its digest: `printf %s TOKEN | sha256sum`";
        return Finding::to_do(what, format!("application {}: {why}", one.id), next);
    }
    let names: Vec<&str> = config.applications.iter().map(|one| one.id.as_str()).collect();
    Finding::well(what, format!("of {}", names.join(", ")))
}

/// What nobody else may read, and the certificate.
pub fn secrets(config: &Config) -> Vec<Finding> {
    let of_applications =
        config.applications.iter().flat_map(|one| [&one.token_file, &one.callback_token_file, &one.signing_key_file]);
    let files: Vec<&PathBuf> = of_applications.chain([&config.server.tls_key]).flatten().collect();
    let is_open = |path: &&&PathBuf| fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o007 != 0);
    let mut findings = Vec::new();
    if let Some(path) = files.iter().find(is_open) {
        let found = format!("everybody may read {}", path.display());
        findings.push(Finding::to_do("secrets", found, format!("`sudo chmod o= {}`", path.display())));
    } else if !files.is_empty() {
        findings.push(Finding::well("secrets", format!("{} files, kept from others", files.len())));
    }
    findings.extend(tls::files(&config.server).map(|files| certificate(&files)));
    if let Some(folder) = &config.prompts.directory {
        findings.push(match fs::read_dir(folder) {
            Ok(_) => Finding::well("prompts", folder.display().to_string()),
            Err(error) => Finding::to_do(
                "prompts",
                format!("{}: {error}", folder.display()),
                format!("`sudo install -d -m 755 {}`", folder.display()),
            ),
        });
    }
    findings
}

fn certificate(files: &(PathBuf, PathBuf)) -> Finding {
    let what = "certificate";
    match runtime().and_then(|runtime| runtime.block_on(tls::read(files))) {
        Ok(_) => Finding::well(what, files.0.display().to_string()),
        Err(why) => {
            let next =
                "both are PEM: `openssl x509 -noout -text -in CERT`; the daemon's user has to be able to read them";
            Finding::to_do(what, why, next)
        }
    }
}
