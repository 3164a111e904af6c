//! Where prompts come from: files in one folder, and hosts that configuration allows.
//!
//! Belongs here: turning a URI into a clip, and keeping clips for those who name them. Does not: playing (`playback`),
//! when that is (`play`).

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url};
use rustix::fs::OFlags;
use tokio::task::spawn_blocking;

use super::client;
use super::hosts::{Hosts, may_be_at};
use super::notify::words_of;
use super::operation::Prompt;
use crate::playback::Clip;

/// A prompt has at most so many bytes, and all that are kept together.
const MOST_BYTES: usize = 64 << 20;
/// A download is over within so long.
const WITHIN: Duration = Duration::from_secs(30);

/// What was wrong with a prompt, in Graph's kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptError {
    /// There is something, but nothing that can be played.
    File(String),
    /// It could not be fetched.
    Download(String),
}

/// Fetches prompts.
pub struct Prompts {
    directory: Option<PathBuf>,
    hosts: Hosts,
    kept: Mutex<VecDeque<Kept>>,
}

/// A clip that was fetched under a name; the latest used is the first.
struct Kept {
    app: String,
    resource_id: String,
    uri: String,
    clip: Clip,
}

impl Prompts {
    /// Prompts from files below `directory` and from these hosts.
    pub fn new(directory: Option<PathBuf>, hosts: Hosts) -> Prompts {
        Prompts { directory, hosts, kept: Mutex::default() }
    }

    /// Why this can never be a prompt, if so.
    pub fn check(&self, uri: &str) -> Result<(), String> {
        match is_file(uri) {
            true => self.path_of(uri).map(drop),
            false => self.hosts.check_prompt(uri).map(drop),
        }
    }

    /// Fetches a prompt of an application.
    pub async fn fetch(&self, app: &str, prompt: &Prompt) -> Result<Clip, PromptError> {
        let uri = &prompt.uri;
        if is_file(uri) {
            let bad = |why: String| PromptError::File(format!("{uri}: {why}"));
            let (directory, path) = self.path_of(uri).map_err(bad)?;
            let clip = spawn_blocking(move || Clip::new(read(&directory, &path)?)).await;
            return clip.unwrap_or_else(|_| Err("reading it was given up".to_owned())).map_err(bad);
        }
        if let Some(clip) = self.kept(app, prompt) {
            return Ok(clip);
        }
        let url = self.hosts.check_prompt(uri).map_err(|why| PromptError::Download(format!("{uri}: {why}")))?;
        let wav = download(url).await.map_err(|why| PromptError::Download(format!("{uri}: {why}")))?;
        let clip = Clip::new(wav.into()).map_err(|why| PromptError::File(format!("{uri}: {why}")))?;
        self.keep(app, prompt, &clip);
        Ok(clip)
    }

    fn kept(&self, app: &str, prompt: &Prompt) -> Option<Clip> {
        let resource_id = prompt.resource_id.as_ref()?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Another URI under the same name is another prompt.
        let same = |one: &Kept| one.app == app && one.resource_id == *resource_id && one.uri == prompt.uri;
        let index = kept.iter().position(same)?;
        let one = kept.remove(index)?;
        let clip = one.clip.clone();
        kept.push_front(one);
        Some(clip)
    }

    fn keep(&self, app: &str, prompt: &Prompt, clip: &Clip) {
        let Some(resource_id) = prompt.resource_id.clone() else { return };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| one.app != app || one.resource_id != resource_id);
        kept.push_front(Kept { app: app.to_owned(), resource_id, uri: prompt.uri.clone(), clip: clip.clone() });
        let mut bytes = 0;
        kept.retain(|one| {
            bytes += one.clip.bytes();
            bytes <= MOST_BYTES
        });
    }

    /// The folder, and the file that a `file:` URI names: `file:name.wav` in the folder, or an absolute one.
    fn path_of(&self, uri: &str) -> Result<(PathBuf, PathBuf), String> {
        let directory = self.directory.clone().ok_or("no file is a prompt without [prompts] directory")?;
        let rest = &uri["file:".len()..];
        let relative = !rest.starts_with('/');
        // As a URL's path it cannot climb above its root.
        let url = Url::parse(&if relative { format!("file:///{rest}") } else { uri.to_owned() });
        let path = url.ok().and_then(|url| url.to_file_path().ok()).ok_or("it names no file")?;
        match relative {
            true => Ok((directory.clone(), directory.join(path.strip_prefix("/").unwrap_or(&path)))),
            false => Ok((directory, path)),
        }
    }
}

fn is_file(uri: &str) -> bool {
    uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:"))
}

/// Reads a file that really lies below the folder.
fn read(directory: &Path, path: &Path) -> Result<Arc<[u8]>, String> {
    let words = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("it cannot be read: {error}"),
    };
    let directory = fs::canonicalize(directory).map_err(words)?;
    let path = fs::canonicalize(path).map_err(words)?;
    if !path.starts_with(&directory) {
        // Not where it is: that is nobody's business.
        return Err("it does not lie in [prompts] directory".to_owned());
    }
    // What was a file a moment ago may be a link or a pipe now.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(&path).map_err(words)?;
    if !file.metadata().map_err(words)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(words)?;
    if bytes.len() > MOST_BYTES { Err(too_large()) } else { Ok(bytes.into()) }
}

fn too_large() -> String {
    format!("it has more than {} MiB", MOST_BYTES >> 20)
}

async fn download(url: Url) -> Result<Vec<u8>, String> {
    let mut answer = client().get(url).send().await.map_err(|error| words_of(&error))?;
    if !answer.status().is_success() {
        return Err(format!("the host answered {}", answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| words_of(&error))? {
        if bytes.len() + piece.len() > MOST_BYTES {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Resolves a name to the addresses that it may have; those, and no others, are dialled.
struct Pinned;

impl Resolve for Pinned {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str();
            let found = tokio::net::lookup_host((host, 0)).await?;
            let allowed: Vec<_> = found.filter(|address| may_be_at(host, address.ip())).collect();
            match allowed.is_empty() {
                true => Err(format!("{host} leads to no address that a prompt may come from").into()),
                false => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// Apart from the one for notifications: that one follows names to where they lead.
fn client() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| client::client(|options| options.timeout(WITHIN).dns_resolver(Arc::new(Pinned))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(directory: &Path) -> Prompts {
        Prompts::new(Some(directory.to_owned()), Hosts::default())
    }

    fn wav() -> Vec<u8> {
        let mut file = io::Cursor::new(Vec::new());
        let (sample_format, bits_per_sample) = (hound::SampleFormat::Int, 16);
        let spec = hound::WavSpec { channels: 1, sample_rate: 8_000, bits_per_sample, sample_format };
        let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
        (0..800).for_each(|_| writer.write_sample(1_000_i16).unwrap());
        writer.finalize().unwrap();
        file.into_inner()
    }

    async fn fetch(prompts: &Prompts, uri: &str) -> Result<Clip, PromptError> {
        prompts.fetch("bot", &Prompt { uri: uri.to_owned(), resource_id: None, plays: 1 }).await
    }

    #[tokio::test]
    async fn files_are_read_from_below_the_folder_and_from_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("prompts");
        fs::create_dir_all(inside.join("de")).unwrap();
        for file in [inside.join("a b.wav"), inside.join("de/hallo.wav"), folder.path().join("secret.wav")] {
            fs::write(file, wav()).unwrap();
        }
        std::os::unix::fs::symlink(folder.path().join("secret.wav"), inside.join("out.wav")).unwrap();
        std::os::unix::fs::symlink(folder.path(), inside.join("up")).unwrap();
        std::os::unix::fs::symlink(inside.join("a b.wav"), inside.join("in.wav")).unwrap();
        let prompts = prompts(&inside);
        let absolute = format!("file://{}/de/hallo.wav", inside.display());
        for uri in ["file:a%20b.wav", "FILE:de/hallo.wav", "file:in.wav", "file:../prompts/../a%20b.wav", &absolute] {
            assert_eq!(fetch(&prompts, uri).await.unwrap().lasts(), Duration::from_millis(100), "{uri}");
        }
        let secret = format!("file://{}/secret.wav", folder.path().display());
        for uri in ["file:out.wav", "file:up/secret.wav", &secret, "file:/etc/passwd", "file://host/x.wav", "file:de"] {
            let refused = fetch(&prompts, uri).await;
            assert!(matches!(refused, Err(PromptError::File(_))), "{uri}: {refused:?}");
        }
        let Err(PromptError::File(why)) = fetch(&prompts, "file:none.wav").await else { panic!("there is one") };
        assert_eq!(why, "file:none.wav: there is no such file");
    }

    #[tokio::test]
    async fn a_pipe_in_the_folder_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe.wav")).status();
        if made.is_ok_and(|status| status.success()) {
            let refused = fetch(&prompts(folder.path()), "file:pipe.wav").await;
            assert_eq!(refused.unwrap_err(), PromptError::File("file:pipe.wav: it is no file".to_owned()));
        }
    }

    #[test]
    fn what_can_never_be_a_prompt_is_known_at_once() {
        let none = Prompts::new(None, Hosts::default());
        assert!(none.check("file:a.wav").unwrap_err().contains("[prompts] directory"));
        for uri in ["https://cdn.example/a.wav", "http://127.0.0.1/a.wav", "data:audio/wav;base64,AA", "a.wav", ""] {
            assert!(none.check(uri).is_err(), "{uri}");
        }
    }
}
