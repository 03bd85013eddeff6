//! Events of streams, cut anywhere.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1 << 20;

/// Name and data.
type Read = (Option<String>, Vec<u8>);

/// Name and data of every event with data, and all raw bytes in order, for a stream cut at the given places.
fn read(stream: &[u8], cuts: &[usize]) -> (Vec<Read>, Vec<u8>) {
    let mut splitter = Splitter::new(LIMIT);
    let (mut events, mut raw) = (Vec::new(), Vec::new());
    let mut take = |event: Event| {
        raw.extend_from_slice(event.raw());
        if let Some(data) = event.data() {
            events.push((event.name().map(str::to_owned), data.to_vec()));
        }
    };
    let mut from = 0;
    for &to in cuts.iter().chain([&stream.len()]) {
        splitter.push(Bytes::copy_from_slice(&stream[from..to]));
        while let Some(event) = splitter.next_event().unwrap() {
            take(event);
        }
        from = to;
    }
    if let Some(event) = splitter.finish() {
        take(event);
    }
    (events, raw)
}

fn check(stream: &str, expected: &[(&str, &str)]) {
    let every_byte: Vec<usize> = (1..stream.len()).collect();
    for cuts in [&[][..], &every_byte] {
        let (events, _) = read(stream.as_bytes(), cuts);
        let seen: Vec<(String, String)> =
            events.into_iter().map(|(n, d)| (n.unwrap_or_default(), String::from_utf8(d).unwrap())).collect();
        let wanted: Vec<(String, String)> =
            expected.iter().map(|(n, d)| ((*n).to_owned(), (*d).to_owned())).collect();
        assert_eq!(seen, wanted, "{stream:?} in {} cuts", cuts.len());
    }
}

#[test]
fn events_by_the_standard() {
    check("data: a\n\ndata: b\n\n", &[("", "a"), ("", "b")]);
    check("data: a\r\n\r\ndata: b\r\n\r\n", &[("", "a"), ("", "b")]);
    check("data: a\r\rdata: b\r\r", &[("", "a"), ("", "b")]);
    check("data: a\r\r\ndata: b\n\r\n", &[("", "a"), ("", "b")]);
    check("\u{feff}data: a\n\n", &[("", "a")]);
    check(": ping\n\ndata: a\n\n:\n\n", &[("", "a")]);
    check("event: delta\ndata: a\nid: 7\nretry: 10\n\n", &[("delta", "a")]);
    check("data: a\ndata:b\ndata\ndata: \n\n", &[("", "a\nb\n\n")]);
    check("data:  two spaces\n\n", &[("", " two spaces")]);
    check("data: line\u{2028}separator\u{85}\n\n", &[("", "line\u{2028}separator\u{85}")]);
    check("\n\n\n\ndata: a\n\n\n\n\ndata: b\n\n", &[("", "a"), ("", "b")]);
    check("dataset: no\ndata-x: no\n\ndata: a\n\n", &[("", "a")]);
    check("data: a\n\ndata: unfinished", &[("", "a"), ("", "unfinished")]);
    check("data: a\n\n: unfinished comment", &[("", "a")]);
    check("", &[]);
}

#[test]
fn an_event_inside_one_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\n");
    let mut splitter = Splitter::new(LIMIT);
    splitter.push(chunk.clone());
    let second = (splitter.next_event().unwrap(), splitter.next_event().unwrap()).1.unwrap();
    assert_eq!(second.raw().as_ptr(), chunk[9..].as_ptr());
    assert_eq!(second.data_range(), Some(6..7));
}

#[test]
fn an_endless_event_is_refused() {
    let mut splitter = Splitter::new(10);
    splitter.push(Bytes::from_static(b"data: 12"));
    assert!(splitter.next_event().unwrap().is_none());
    splitter.push(Bytes::from_static(b"345"));
    assert_eq!(splitter.next_event().unwrap_err(), EventTooLong { max_bytes: 10 });
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_events(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "data: x", "data:", "event: e", ": c", "\n", "\r", "\r\n", "\n\n", "\r\n\r\n", "\u{2028}", "é", "data",
        ]), 0..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream = pieces.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let (whole, _) = read(stream.as_bytes(), &[]);
        let (cut, raw) = read(stream.as_bytes(), &cuts);
        prop_assert_eq!(whole, cut);
        let as_they_came = stream.as_bytes().starts_with(&raw);
        let completed = ["\n", "\n\n"].iter().any(|end| [stream.as_bytes(), end.as_bytes()].concat() == raw);
        prop_assert!(as_they_came || (completed && raw.ends_with(b"\n")), "bytes are forwarded as they came");
    }
}
