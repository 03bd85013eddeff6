//! Every case of `testdata/openai_chat`: a provider's answer or stream as it came, and what is read from it.
//!
//! A case holds `response.json` or `stream.sse`, and `expected.json` with what the reader must find. Streams are fed whole
//! and one byte at a time.

use std::path::{Path, PathBuf};

use router_core::chat::Shown;
use serde_json::{Value, json};

use super::super::response::read_whole;
use super::super::stream::{PassReader, Step, truncated};
use super::*;
use crate::sse::Splitter;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/openai_chat")
}

/// What reading a stream that passes through gives: the fault or the result, and the bytes forwarded.
fn pass(stream: &[u8], chunk: usize) -> Value {
    let (mut reader, mut shown, mut splitter) =
        (PassReader::new(1), Shown::default(), Splitter::new(1 << 20));
    let mut forwarded = Vec::new();
    let mut read = |event: &crate::sse::Event, reader: &mut PassReader| {
        let step = reader.event(event, &mut shown)?;
        if matches!(step, Step::Forward(..)) {
            forwarded.extend_from_slice(event.raw());
        }
        Ok::<bool, crate::dialect::ReplyFault>(step == Step::Done)
    };
    let mut fault = None;
    'stream: for part in stream.chunks(chunk) {
        splitter.push(Bytes::copy_from_slice(part));
        while let Some(event) = splitter.next_event().unwrap() {
            match read(&event, &mut reader) {
                Ok(false) => {}
                Ok(true) => break 'stream,
                Err(error) => {
                    fault = Some(error);
                    break 'stream;
                }
            }
        }
    }
    let fault = fault.or_else(|| (!reader.is_whole()).then(truncated));
    json!({
        "fault": fault.map(|fault| fault.kind.name()),
        "text": shown.text(),
        "tool": shown.tool,
        "reasoning": shown.reasoning,
        "finish": reader.finish,
        "usage": reader.usage,
        "forwarded_bytes": forwarded.len(),
        "end": String::from_utf8_lossy(&reader.end(true, Some("0.5".parse().unwrap()))),
    })
}

fn whole(body: &[u8]) -> Value {
    match read_whole(body) {
        Err(fault) => json!({ "fault": fault.kind.name() }),
        Ok(whole) => json!({
            "fault": null, "visible": whole.visible, "finish": whole.finish, "usage": whole.usage,
            "service_tier": whole.service_tier,
        }),
    }
}

/// Members of `expected` that `seen` has otherwise; members not expected are not compared, classes of usage neither.
fn differs(expected: &Value, seen: &Value) -> Vec<String> {
    let Value::Object(members) = expected else { return vec!["not an object".to_owned()] };
    let mut found = Vec::new();
    for (name, value) in members {
        match (value, &seen[name]) {
            (Value::Object(_), seen @ Value::Object(_)) => found.extend(differs(value, seen)),
            (value, seen) if value != seen => found.push(format!("{name}: {seen}, not {value}")),
            _ => {}
        }
    }
    found
}

#[test]
fn every_case() {
    let mut cases = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let expected: Value =
            serde_json::from_slice(&std::fs::read(path.join("expected.json")).unwrap()).unwrap();
        if let Ok(stream) = std::fs::read(path.join("stream.sse")) {
            for chunk in [stream.len(), 1] {
                let seen = pass(&stream, chunk);
                assert_eq!(
                    differs(&expected, &seen),
                    Vec::<String>::new(),
                    "{} by {chunk}: {seen:#}",
                    path.display()
                );
            }
        }
        if let Ok(body) = std::fs::read(path.join("response.json")) {
            let seen = whole(&body);
            assert_eq!(differs(&expected, &seen), Vec::<String>::new(), "{}: {seen:#}", path.display());
        }
        cases += 1;
    }
    assert!(cases >= 20, "{cases} cases in {}", folder().display());
}
