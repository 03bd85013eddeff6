//! HTTP by hand on a socket: requests read as they come, answers written as bytes, for what no HTTP library lets a server do.

use std::time::Duration;

use hyper::http::request::Parts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One step of an answer.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// These bytes.
    Send(Vec<u8>),
    /// Nothing, so long.
    Wait(Duration),
    /// Nothing, until the other side leaves.
    Hold,
    /// A space now and then, until the other side leaves.
    Drip(Duration),
    /// So many chunks of a mebibyte of nonsense.
    Flood(usize),
    /// The same without the framing of chunks.
    FloodBare(usize),
    /// The connection ends.
    Close,
    /// The connection is reset.
    Reset,
}

impl Step {
    /// One chunk of a chunked body.
    pub(super) fn chunk(text: &str) -> Self {
        Self::Send(chunk(text.as_bytes()))
    }
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    framed
}

/// How a body is framed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
}

/// The head of an answer.
pub(super) fn head(status: u16, content_type: &str, more: &str, framing: Framing) -> Vec<u8> {
    let framing = match framing {
        Framing::Length(length) => format!("content-length: {length}"),
        Framing::Chunked => "transfer-encoding: chunked".into(),
    };
    format!("HTTP/1.1 {status} Scripted\r\ncontent-type: {content_type}\r\n{more}{framing}\r\n\r\n")
        .into_bytes()
}

/// What the first bytes of a connection are.
pub(super) enum Received {
    /// A request, whole.
    Request(Box<Parts>, Vec<u8>),
    /// A TLS greeting.
    Tls,
    /// Nothing more.
    Closed,
}

/// First byte of a TLS record that belongs to a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 22;
/// A fatal alert, `handshake_failure` (RFC 8446, section 6).
pub(super) const TLS_ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

/// Reads the next request of a connection.
pub(super) async fn receive(socket: &mut TcpStream) -> Received {
    let mut bytes = Vec::new();
    let head_end = loop {
        if bytes.first() == Some(&TLS_HANDSHAKE) {
            return Received::Tls;
        }
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if !matches!(socket.read_buf(&mut bytes).await, Ok(1..)) {
            return Received::Closed;
        }
    };
    let Some((parts, chunked, length)) = parse(&bytes[..head_end]) else { return Received::Closed };
    let whole = |bytes: &[u8]| {
        if chunked { bytes.ends_with(b"0\r\n\r\n") } else { bytes.len() >= head_end + length }
    };
    while !whole(&bytes) {
        if !matches!(socket.read_buf(&mut bytes).await, Ok(1..)) {
            return Received::Closed;
        }
    }
    let body = bytes.split_off(head_end);
    Received::Request(Box::new(parts), if chunked { unchunked(&body) } else { body })
}

fn parse(head: &[u8]) -> Option<(Parts, bool, usize)> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let mut request = hyper::Request::builder().method(first.next()?).uri(first.next()?);
    let (mut chunked, mut length) = (false, 0);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        chunked |= name.eq_ignore_ascii_case("transfer-encoding") && value == "chunked";
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok()?;
        }
        request = request.header(name, value);
    }
    Some((request.body(()).ok()?.into_parts().0, chunked, length))
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(at) = body.windows(2).position(|two| two == b"\r\n") {
        let size =
            std::str::from_utf8(&body[..at]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let Some(size) = size.filter(|size| *size > 0 && at + 4 + size <= body.len()) else { break };
        whole.extend_from_slice(&body[at + 2..at + 2 + size]);
        body = &body[at + 4 + size..];
    }
    whole
}

/// Performs the steps; whether the connection can be used again, or how the other side left.
pub(super) async fn perform(socket: &mut TcpStream, steps: Vec<Step>) -> Performed {
    for step in steps {
        let done = match step {
            Step::Send(bytes) => socket.write_all(&bytes).await,
            Step::Wait(span) => tokio::select! {
                () = tokio::time::sleep(span) => Ok(()),
                () = left(socket) => return Performed::Left,
            },
            Step::Hold => {
                left(socket).await;
                return Performed::Left;
            }
            Step::Drip(every) => return drip(socket, every).await,
            Step::Flood(mebibytes) => flood(socket, &chunk(&vec![b'x'; 1 << 20]), mebibytes).await,
            Step::FloodBare(mebibytes) => flood(socket, &vec![b'x'; 1 << 20], mebibytes).await,
            Step::Close => return Performed::Closed,
            Step::Reset => {
                let _ = socket.set_zero_linger();
                return Performed::Closed;
            }
        };
        if done.is_err() {
            return Performed::Left;
        }
    }
    Performed::Whole
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Performed {
    /// All was said.
    Whole,
    /// We end the connection.
    Closed,
    /// The other side did.
    Left,
}

async fn flood(socket: &mut TcpStream, bytes: &[u8], times: usize) -> std::io::Result<()> {
    for _ in 0..times {
        socket.write_all(bytes).await?;
    }
    Ok(())
}

async fn drip(socket: &mut TcpStream, every: Duration) -> Performed {
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = left(socket) => return Performed::Left,
        }
        if socket.write_all(b"1\r\n \r\n").await.is_err() {
            return Performed::Left;
        }
    }
}

/// Resolves when the other side has closed the connection.
async fn left(socket: &TcpStream) {
    let mut byte = [0; 1];
    loop {
        match socket.peek(&mut byte).await {
            Ok(0) | Err(_) => return,
            // A next request on a connection whose answer is not whole: nothing to be done with it.
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
