//! The console: the page at `/`, for people, and its files, which are part of the binary.
//!
//! Belongs here: the table of the files. Does not: anything that they ask for. They need no token; what they show does.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::error::Refusal;
use crate::error::Error;
use crate::store::hex;

/// Everything comes from here and scripts are files. Recordings are played from what was fetched with a token: `blob:`.
const POLICY: &str = "default-src 'self'; media-src 'self' blob:; object-src 'none'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// A file by its name.
struct File {
    name: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($name:literal),*) => { [$(File { name: $name, text: include_str!(concat!("../../console/", $name)) }),*] };
}

const FILES: &[File] = &files![
    "index.html",
    "icon.svg",
    "style.css",
    "main.js",
    "daemon.js",
    "page.js",
    "words.js",
    "lines.js",
    "form.js",
    "operations.js",
    "details.js",
    "outline.js",
    "notifications.js"
];

/// GET of the page.
pub async fn page(headers: HeaderMap) -> Result<Response, Refusal> {
    file("index.html", &headers)
}

/// GET of one of its files.
pub async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    file(&name, &headers)
}

fn file(name: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
    let File { text, .. } = FILES.iter().find(|file| file.name == name).ok_or_else(Error::not_found)?;
    let tag = format!("\"{}\"", hex(&Sha256::digest(text)[..8]));
    let kind = match name.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        Some((_, "css")) => "text/css; charset=utf-8",
        _ => "text/javascript; charset=utf-8",
    };
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let status = if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let told = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    Ok((status, told, [(header::ETAG, tag)], if known { "" } else { *text }).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_is_small_and_names_nothing_elsewhere() {
        let bytes: usize = FILES.iter().map(|file| file.text.len()).sum();
        assert!(bytes <= 150_000, "{bytes} bytes");
        for File { name, text } in FILES {
            for found in ["http://", "https://"] {
                // Of a page's own address and of SVG's name only.
                let foreign = text.split(found).skip(1).find(|rest| !rest.starts_with("www.w3.org/2000/svg"));
                assert!(foreign.is_none(), "{name}: {found}{}", foreign.unwrap_or("").lines().next().unwrap_or(""));
            }
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style="] {
                assert!(!text.contains(word), "{name}: {word}");
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/console")).unwrap();
        let mut names: Vec<_> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let mut served: Vec<_> = FILES.iter().map(|file| file.name.to_owned()).collect();
        names.sort();
        served.sort();
        assert_eq!(names, served);
    }
}
