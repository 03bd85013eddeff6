//! The HTTP transport against a server on loopback that speaks bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Answers every request with these bytes; counts connections.
async fn serve(answer: &'static str) -> (Uri, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(answer_all(socket, answer));
        }
    });
    (address.parse().unwrap(), connections)
}

async fn answer_all(mut socket: TcpStream, answer: &'static str) {
    let once = answer.contains("Connection: close");
    while request(&mut socket).await && socket.write_all(answer.as_bytes()).await.is_ok() && !once {}
}

/// Reads one request; every one of these tests ends with a lone "}".
async fn request(socket: &mut TcpStream) -> bool {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    while !read.ends_with(b"}") {
        match socket.read(&mut buffer).await {
            Ok(length @ 1..) => read.extend_from_slice(&buffer[..length]),
            _ => return false,
        }
    }
    true
}

fn post(url: Uri) -> Outbound {
    let body = [Bytes::from_static(b"{\"a\":"), Bytes::from_static(b"1}")].into_iter().collect();
    Outbound { url, headers: hyper::HeaderMap::new(), body, connect: Duration::from_secs(5) }
}

async fn read(mut inbound: Inbound) -> Result<Vec<u8>, TransportError> {
    let mut all = Vec::new();
    while let Some(chunk) = inbound.body.next().await {
        all.extend_from_slice(&chunk?);
    }
    Ok(all)
}

#[tokio::test]
async fn a_connection_is_used_again_once_its_answer_is_read() {
    let (url, connections) = serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let transport = HttpTransport::new().unwrap();
    for _ in 0..5 {
        let inbound = transport.send(post(url.clone())).await.unwrap();
        assert_eq!(inbound.status, 200);
        assert_eq!(read(inbound).await.unwrap(), b"ok");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn redirects_are_answers() {
    let (url, _) =
        serve("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(HttpTransport::new().unwrap().send(post(url)).await.unwrap().status, 302);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_truncated() {
    let (url, _) = serve("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nok").await;
    let inbound = HttpTransport::new().unwrap().send(post(url)).await.unwrap();
    assert_eq!(read(inbound).await.unwrap_err().kind, FailureKind::Truncated);
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let error = HttpTransport::new().unwrap().send(post(url)).await.err().unwrap();
    assert_eq!(error.kind, FailureKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_a_timeout() {
    // The listener accepts in the kernel and never answers the TLS greeting.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Uri = format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let outbound = Outbound { connect: Duration::from_millis(1), ..post(url) };
    let error = HttpTransport::new().unwrap().send(outbound).await.err().unwrap();
    assert_eq!(error.kind, FailureKind::Timeout, "{error}");
    drop(listener);
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_unavailable() {
    let (url, _) = serve("SSH-2.0-OpenSSH\r\n\r\n").await;
    let error = HttpTransport::new().unwrap().send(post(url)).await.err().unwrap();
    assert_eq!(error.kind, FailureKind::Unavailable, "{error}");
}
