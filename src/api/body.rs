//! Bodies that come piece by piece, from a task of their own.
//!
//! Belongs here: handing pieces to hyper, and ending with the reader. Does not: what the pieces are.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;

/// So many pieces wait for a slow reader; the rest waits on the disk.
const WAITING: usize = 4;

/// The stream cannot be finished: the connection is to be aborted.
#[derive(Debug)]
pub struct Aborted(pub String);

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Aborted {}

struct Pieces(mpsc::Receiver<Result<Bytes, Aborted>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// Who reads a body.
pub struct Reader(mpsc::Sender<Result<Bytes, Aborted>>);

impl Reader {
    /// Hands over the next piece, or why there is none; `false` if that was the end or the reader has left.
    pub async fn give(&self, piece: Result<Bytes, Aborted>) -> bool {
        let failed = piece.is_err();
        self.0.send(piece).await.is_ok() && !failed
    }

    /// It has left.
    pub async fn left(&self) {
        self.0.closed().await;
    }
}

/// A body and its reader.
pub fn pieces() -> (Reader, Body) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Reader(sender), Body::new(Pieces(receiver)))
}
