//! The least a hyper gateway can do on one thread: both bodies go through as they come, nothing is read.

use anyhow::Result;
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::wire;

type Answer = Response<Either<Incoming, Full<Bytes>>>;

fn bad(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Either::Right(Full::new(text.into())));
    *answer.status_mut() = status;
    answer
}

async fn forward(
    client: Client<HttpConnector, Incoming>,
    upstream: u16,
    request: Request<Incoming>,
) -> Answer {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let address =
        Uri::builder().scheme("http").authority(format!("127.0.0.1:{upstream}")).path_and_query(path).build();
    head.uri = match address {
        Ok(address) => address,
        Err(error) => return bad(StatusCode::BAD_REQUEST, error.to_string()),
    };
    head.headers.remove(HOST);
    match client.request(Request::from_parts(head, body)).await {
        Ok(answer) => answer.map(Either::Left),
        Err(error) => bad(StatusCode::BAD_GATEWAY, error.to_string()),
    }
}

/// Serves.
///
/// # Errors
/// It cannot listen.
pub(super) async fn run(upstream: u16) -> Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    wire::serve(move |request| forward(client.clone(), upstream, request)).await
}
