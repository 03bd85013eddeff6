//! What the benchmark's own programs share of HTTP: listening, and one client connection kept open.

use std::convert::Infallible;
use std::future::Future;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

/// How the end of a whole stream reads.
pub(super) const STREAM_END: &[u8] = b"data: [DONE]\n\n";

/// Serves on a free port of loopback, says which on standard output, and ends when standard input is closed.
pub(super) async fn serve<S, F, B>(service: S) -> Result<()>
where
    S: Fn(Request<Incoming>) -> F + Clone + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening on loopback")?;
    println!("ready {}", listener.local_addr()?.port());
    end_with_stdin();
    loop {
        let (stream, _) = listener.accept().await.context("accepting")?;
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        tokio::task::spawn_local(async move {
            let answer = service_fn(move |request| {
                let answer = service(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            // A client that goes away is no error here.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

/// Ends the process when whoever started it is gone.
fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

/// A port that was free a moment ago.
///
/// # Errors
/// None is.
pub(super) fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
    Ok(listener.local_addr()?.port())
}

/// One connection, one request at a time.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

impl Connection {
    /// Connects to a port of loopback.
    ///
    /// # Errors
    /// Nobody listens.
    pub(super) async fn open(port: u16) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(connection);
        Ok(Self { sender, host: HeaderValue::from_str(&address.to_string())? })
    }

    /// Sends a request and waits until the connection can take the next.
    ///
    /// # Errors
    /// The connection broke.
    async fn send(&mut self, method: Method, path: &'static str, body: Bytes) -> Result<Response<Incoming>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = hyper::Uri::from_static(path);
        request.headers_mut().insert(HOST, self.host.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    /// A chat request whose answer must be whole: 200, and a JSON object or a stream with its end.
    ///
    /// # Errors
    /// It is not.
    pub(super) async fn chat(&mut self, body: Bytes, stream: bool) -> Result<()> {
        let mut answer = self.send(Method::POST, "/v1/chat/completions", body).await?;
        let status = answer.status();
        let end = if stream { STREAM_END } else { b"}" };
        let mut tail = Bytes::new();
        while let Some(frame) = answer.frame().await {
            if let Ok(data) = frame?.into_data() {
                tail = data;
            }
        }
        if status != StatusCode::OK || !tail.ends_with(end) {
            bail!("answer {status}, ending in {:?}", String::from_utf8_lossy(&tail));
        }
        Ok(())
    }

    /// The status of a GET.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn get(&mut self, path: &'static str) -> Result<StatusCode> {
        let answer = self.send(Method::GET, path, Bytes::new()).await?;
        let status = answer.status();
        answer.into_body().collect().await?;
        Ok(status)
    }
}
