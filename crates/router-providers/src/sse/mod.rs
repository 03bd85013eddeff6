//! Server-sent events, read incrementally: chunks of bytes in, whole events out, an event inside one chunk uncopied.
//!
//! The format is the WHATWG one: lines end with LF, CR or CRLF, an empty line ends an event, a byte order mark may open
//! the stream, lines that begin with a colon are comments. Only those bytes separate: U+2028 inside a line is text.
//! What an event means is a dialect's business.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

/// An event, or a stream's unfinished one, grew beyond the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {max_bytes} bytes")]
pub struct EventTooLong {
    /// The limit.
    pub max_bytes: usize,
}

/// Cuts a stream of bytes into events, wherever the chunks are cut.
#[derive(Debug)]
pub struct Splitter {
    /// Bytes of an event whose end has not come, from earlier chunks.
    held: BytesMut,
    /// What is left of the last chunk.
    chunk: Bytes,
    max_bytes: usize,
    lines: Lines,
    first: bool,
}

/// Where the line scanner stands between two chunks.
#[derive(Clone, Copy, Debug, Default)]
struct Lines {
    /// The line has bytes already.
    begun: bool,
    /// The last byte was a CR that ended a line: an LF right after it belongs to it.
    after_cr: bool,
}

impl Lines {
    /// The length of `bytes` up to and with the empty line that ends an event.
    fn end_of_event(&mut self, bytes: &[u8]) -> Option<usize> {
        let next = bytes.first()?;
        let mut at = usize::from(std::mem::take(&mut self.after_cr) && *next == b'\n');
        while let Some(length) = memchr::memchr2(b'\n', b'\r', bytes.get(at..)?) {
            let blank = length == 0 && !self.begun;
            let end = at + length;
            at = end + 1;
            if bytes.get(end) == Some(&b'\r') {
                match bytes.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            self.begun = false;
            if blank {
                return Some(at);
            }
        }
        self.begun |= at < bytes.len();
        None
    }
}

impl Splitter {
    /// A splitter that refuses events longer than `max_bytes`.
    pub fn new(max_bytes: usize) -> Self {
        Self { held: BytesMut::new(), chunk: Bytes::new(), max_bytes, lines: Lines::default(), first: true }
    }

    /// Takes the next chunk. All events of the one before must have been taken with [`Splitter::next_event`].
    pub fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "events are taken before the next chunk is pushed");
        self.chunk = chunk;
    }

    /// The next whole event; `None` until more bytes come.
    ///
    /// # Errors
    /// The event in progress is longer than the limit; the stream is unusable from here.
    pub fn next_event(&mut self) -> Result<Option<Event>, EventTooLong> {
        let end = self.lines.end_of_event(&self.chunk);
        let length = self.held.len() + end.unwrap_or(self.chunk.len());
        if length > self.max_bytes {
            return Err(EventTooLong { max_bytes: self.max_bytes });
        }
        let Some(end) = end else {
            self.held.extend_from_slice(&self.chunk);
            self.chunk.clear();
            return Ok(None);
        };
        let part = self.chunk.split_to(end);
        let raw = if self.held.is_empty() {
            part
        } else {
            self.held.extend_from_slice(&part);
            self.held.split().freeze()
        };
        Ok(Some(self.event(raw)))
    }

    /// The bytes have ended: what is left without the empty line that should have ended it, if it is an event.
    ///
    /// The standard discards it; providers that forget the last empty line exist, so it is handed over, with that line:
    /// something may follow it on its way to a client.
    pub fn finish(&mut self) -> Option<Event> {
        let mut rest = self.held.split();
        if !rest.is_empty() {
            let missing: &[u8] = if rest.ends_with(b"\n") { b"\n" } else { b"\n\n" };
            rest.extend_from_slice(missing);
        }
        let rest = rest.freeze();
        (!rest.is_empty()).then(|| self.event(rest)).filter(|event| event.data().is_some())
    }

    fn event(&mut self, mut raw: Bytes) -> Event {
        if std::mem::take(&mut self.first) && raw.starts_with(b"\xef\xbb\xbf") {
            raw.advance(3);
        }
        Event::new(raw)
    }
}

/// The data of an event.
#[derive(Clone, Debug)]
enum Data {
    /// No data line: a comment, a keep-alive, an empty line.
    None,
    /// One line: a range of the event's bytes.
    Line(Range<usize>),
    /// Several, joined with LF.
    Joined(Vec<u8>),
}

/// One whole event.
#[derive(Clone, Debug)]
pub struct Event {
    raw: Bytes,
    name: Option<Range<usize>>,
    data: Data,
}

impl Event {
    /// Reads one event from its bytes.
    pub fn new(raw: Bytes) -> Self {
        let (mut name, mut data) = (None, Data::None);
        let mut at = 0;
        while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
            let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let line = rest.get(..length).unwrap_or_default();
            if let Some(value) = field(line, b"data") {
                data.add(&raw, at + value..at + length);
            } else if let Some(value) = field(line, b"event") {
                name = Some(at + value..at + length);
            }
            at += length + 1;
        }
        Self { raw, name, data }
    }

    /// The bytes as they came, with the empty line.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The event's bytes, given away.
    pub fn into_raw(self) -> Bytes {
        self.raw
    }

    /// The value of its last `event` line.
    pub fn name(&self) -> Option<&str> {
        let bytes = self.raw.get(self.name.clone()?)?;
        std::str::from_utf8(bytes).ok().filter(|name| !name.is_empty())
    }

    /// Its data, lines joined with LF; `None` when it has no data line (a comment or keep-alive).
    pub fn data(&self) -> Option<&[u8]> {
        match &self.data {
            Data::None => None,
            Data::Line(range) => self.raw.get(range.clone()),
            Data::Joined(bytes) => Some(bytes),
        }
    }

    /// Where the data stand in [`Event::raw`], when they are one line: what splices a value into an event needs.
    pub fn data_range(&self) -> Option<Range<usize>> {
        match &self.data {
            Data::Line(range) => Some(range.clone()),
            Data::None | Data::Joined(_) => None,
        }
    }
}

impl Data {
    fn add(&mut self, raw: &[u8], line: Range<usize>) {
        let of = |range: &Range<usize>| raw.get(range.clone()).unwrap_or_default().to_vec();
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::Line(line),
            Self::Line(first) => Self::Joined([of(&first), of(&line)].join(&b'\n')),
            Self::Joined(mut bytes) => {
                bytes.push(b'\n');
                bytes.extend_from_slice(raw.get(line).unwrap_or_default());
                Self::Joined(bytes)
            }
        };
    }
}

/// Where the value of a field begins in its line, if the line is that field.
fn field(line: &[u8], name: &[u8]) -> Option<usize> {
    let rest = line.strip_prefix(name)?;
    match rest {
        [] => Some(name.len()),
        [b':', b' ', ..] => Some(name.len() + 2),
        [b':', ..] => Some(name.len() + 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
