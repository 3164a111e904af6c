//! Connections: how many there may be, and how long one may stand still.
//!
//! Belongs here: what is decided before TLS and HTTP. Does not: how long a request's head may take (`cli::serve`, hyper).

use std::future::{Ready, ready};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// So many connections at once: half of the files that a process may usually open, the rest is for recordings.
const MOST: usize = 512;
/// Who takes nothing of what is sent for so long only holds a connection.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets connections in.
#[derive(Clone)]
pub struct Guard {
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Default for Guard {
    fn default() -> Guard {
        Guard { places: Arc::new(Semaphore::new(MOST)), patience: PATIENCE }
    }
}

impl<S> Accept<TcpStream, S> for Guard {
    type Stream = Guarded<TcpStream>;
    type Service = S;
    type Future = Ready<io::Result<(Guarded<TcpStream>, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let place = self.places.clone().try_acquire_owned().map_err(io::Error::other);
        // Or a stream's audio would wait 40 ms for the client's acknowledgement of its header.
        let ready_stream = place.and_then(|place| stream.set_nodelay(true).map(|()| place));
        ready(ready_stream.map(|place| (Guarded::new(stream, self.patience, Some(place)), service)))
    }
}

/// A connection that has a place, and ends when it stands still.
pub struct Guarded<I> {
    stream: I,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl<I: AsyncWrite + Unpin> Guarded<I> {
    fn new(stream: I, patience: Duration, place: Option<OwnedSemaphorePermit>) -> Guarded<I> {
        Guarded { stream, patience, stalled: None, _place: place }
    }

    fn write(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut I>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = write(Pin::new(&mut self.stream), context);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Guarded<I> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guarded<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(context, |stream, context| stream.poll_write_vectored(context, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_left_and_one_that_takes_its_time_is_not() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut guarded = Guarded::new(near, Duration::from_secs(60), None);
        let reading = tokio::spawn(async move {
            for _ in 0..3 {
                sleep(Duration::from_secs(50)).await;
                far.read_exact(&mut [0; 16]).await.unwrap();
            }
            far
        });
        guarded.write_all(&[0; 64]).await.unwrap();
        let _far = reading.await.unwrap();
        let error = guarded.write_all(&[0; 16]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
