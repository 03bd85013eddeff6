//! A client that sends exactly the bytes it is told to, and reads answers without interpreting more than HTTP's framing
//! and an event stream's blank lines. Blocking: a test has as many of it as it has threads.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A read that takes longer has failed.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST` ...
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// Headers beside `host` and `content-length`.
    pub headers: Vec<(String, String)>,
    /// Body, byte for byte.
    pub body: Vec<u8>,
}

impl Request {
    /// A GET.
    pub fn get(path: &str) -> Self {
        Self { method: "GET", path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// A POST of JSON, or of what is said to be JSON.
    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { method: "POST", path: path.into(), headers: Vec::new(), body: body.into() }
            .with("content-type", "application/json")
    }

    /// A chat completions request.
    pub fn chat(body: &Value) -> Self {
        Self::post("/v1/chat/completions", body.to_string())
    }

    /// The same with one more header, which replaces an earlier one of that name.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends it on a connection of its own and reads the head of the answer.
    ///
    /// # Errors
    /// The connection fails, or what comes is not HTTP.
    pub fn open(&self, address: SocketAddr) -> io::Result<Reply> {
        let (stream, written) = self.begin(address)?;
        Reply::read(BufReader::new(stream)).map_err(|error| written.err().unwrap_or(error))
    }

    /// Sends it and reads nothing: dropping what is returned is leaving before the answer has begun.
    ///
    /// # Errors
    /// The connection fails.
    pub fn send_only(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let (stream, written) = self.begin(address)?;
        written.map(|()| stream)
    }

    /// A server may answer and close before it has read a body that it refuses: whether all was written is beside.
    fn begin(&self, address: SocketAddr) -> io::Result<(TcpStream, io::Result<()>)> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {address}\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if self.method == "POST" || !self.body.is_empty() {
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        head += "\r\n";
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        let written = (&stream).write_all(&bytes);
        Ok((stream, written))
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Errors
    /// The connection fails or ends before the answer does.
    pub fn try_send(&self, address: SocketAddr) -> io::Result<Answer> {
        let mut reply = self.open(address)?;
        let mut body = Vec::new();
        while let Some(piece) = reply.piece()? {
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status: reply.status, headers: reply.headers, body })
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Panics
    /// When that fails.
    pub fn send(&self, address: SocketAddr) -> Answer {
        self.try_send(address).unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.path))
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The events of an event stream, each with its blank line.
    pub fn events(&self) -> Vec<String> {
        self.text().split_inclusive("\n\n").map(str::to_owned).collect()
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    headers.iter().find(|(given, _)| given == name).map_or("", |(_, value)| value)
}

/// How a body is framed.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClosed,
    Over,
}

/// An answer whose head has come and whose body is read piece by piece. Dropping it closes the connection.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    stream: BufReader<TcpStream>,
    framing: Framing,
    /// Bytes of an event that is not whole yet.
    pending: String,
}

impl Reply {
    fn read(mut stream: BufReader<TcpStream>) -> io::Result<Self> {
        let first = line(&mut stream)?;
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("not an HTTP answer: {first:?}"));
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(wrong)?;
        let mut headers = Vec::new();
        loop {
            let line = line(&mut stream)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(wrong)?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let framing = match header(&headers, "content-length").parse() {
            Ok(length) => Framing::Length(length),
            Err(_) if header(&headers, "transfer-encoding") == "chunked" => Framing::Chunked,
            Err(_) => Framing::UntilClosed,
        };
        Ok(Self { status, headers, stream, framing, pending: String::new() })
    }

    /// A header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }

    /// The next bytes of the body; `None` at its clean end.
    ///
    /// # Errors
    /// The connection ends before the body does.
    pub fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let length = match self.framing {
            Framing::Over => return Ok(None),
            Framing::Length(length) => {
                self.framing = Framing::Over;
                length
            }
            Framing::Chunked => {
                let size = line(&mut self.stream)?;
                let broken =
                    |_| io::Error::new(io::ErrorKind::UnexpectedEof, format!("not a chunk: {size:?}"));
                usize::from_str_radix(&size, 16).map_err(broken)?
            }
            Framing::UntilClosed => {
                self.framing = Framing::Over;
                let mut rest = Vec::new();
                self.stream.read_to_end(&mut rest)?;
                return Ok(Some(rest));
            }
        };
        let mut piece = vec![0; length];
        self.stream.read_exact(&mut piece)?;
        if let Framing::Chunked = self.framing {
            line(&mut self.stream)?;
            if length == 0 {
                self.framing = Framing::Over;
                return Ok(None);
            }
        }
        Ok(Some(piece))
    }

    /// The next event of an event stream, with its blank line; `None` at the clean end of the body.
    ///
    /// # Errors
    /// The connection ends before the body does.
    pub fn event(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.pending.find("\n\n") {
                let rest = self.pending.split_off(end + 2);
                return Ok(Some(std::mem::replace(&mut self.pending, rest)));
            }
            match self.piece()? {
                Some(piece) => self.pending += &String::from_utf8_lossy(&piece),
                None if self.pending.is_empty() => return Ok(None),
                None => return Ok(Some(std::mem::take(&mut self.pending))),
            }
        }
    }
}

fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut bytes = Vec::new();
    stream.read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended"));
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What an event carries after `data: `, parsed; `None` for `[DONE]` and for what carries nothing.
pub fn data(event: &str) -> Option<Value> {
    let data = event.lines().find_map(|line| line.strip_prefix("data: "))?;
    serde_json::from_str(data).ok()
}
