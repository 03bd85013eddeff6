//! The loop of one request: feeds failover events, performs its actions, and leaves by one exit.

mod admit;
mod answer;
mod attempt;
mod books;
mod head;
mod input;
mod metered;
mod money;
pub(crate) mod probe;
mod race;
mod rescue;
mod run;
mod spent;
mod wait;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use hyper::Response;
use tokio::sync::oneshot;

pub(crate) use input::{decision_input, scanned_attributes};

use crate::engine::Engine;
use crate::error::ApiError;
use crate::ingress::Asked;
use crate::stream::Body;
use crate::worker::Worker;

/// The way back to the connection: an answer's head with its body, or an error.
pub(crate) type Reply = oneshot::Sender<Result<Response<Body>, ApiError>>;

/// Serves one request and settles it, whatever happens: the books outlive a panic of the rest.
pub(crate) async fn run(worker: Arc<Worker>, engine: Arc<Engine>, mut asked: Asked, reply: Reply) {
    worker.shared.in_flight.fetch_add(1, Ordering::Relaxed);
    let mut books = books::Books::begin(&worker, &engine, &asked);
    let mut answer = answer::Answer::new(reply, worker.shared.abort.clone());
    let serving = run::Run::new(&worker, &engine, &asked, &mut books, &mut answer).serve();
    let panicked = AssertUnwindSafe(serving).catch_unwind().await.is_err();
    if panicked || books.abandon() {
        tracing::error!(
            request = %asked.arrival.id, panicked, "a defect: this request did not end by itself; it is settled and ended"
        );
        books.abandon();
        answer
            .fail(&asked, ApiError::new("internal_error", "the router failed; this request was settled"))
            .await;
    }
    asked.place.used(books.tokens());
    worker.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
}
