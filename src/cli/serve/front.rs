//! Answers requests with the routes of the day: what a reload replaces.

use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use axum::Router;
use axum::http::Request;
use tower::Service;

/// Routes that can be replaced while requests are answered; each is answered by those that were there when it came.
#[derive(Clone)]
pub struct Front(Arc<RwLock<Router>>);

impl Front {
    /// Begins with these.
    pub fn new(router: Router) -> Front {
        Front(Arc::new(RwLock::new(router)))
    }

    /// Goes on with these.
    pub fn replace(&self, router: Router) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = router;
    }
}

impl<B> Service<Request<B>> for Front
where
    Router: Service<Request<B>>,
{
    type Response = <Router as Service<Request<B>>>::Response;
    type Error = <Router as Service<Request<B>>>::Error;
    type Future = <Router as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // A router always is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut router = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        router.call(request)
    }
}
