//! The first minute: the binary alone in an empty directory, and the files that are shipped.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use router_tests::client::Request;
use router_tests::eventually;
use router_tests::ledger;
use router_tests::python;
use router_tests::server::{self, Process, run};
use serde_json::{Value, json};

/// Where the defaults listen.
const DATA: &str = "127.0.0.1:4000";

#[test]
fn without_any_file_or_key_it_serves_simulated_answers_and_says_so() {
    // These ports are the promise under test; another program on this machine may hold them for a while.
    eventually("port 4000 is free", || TcpStream::connect(DATA).is_err().then_some(()));
    let directory = server::directory();
    let mut command = Command::new(server::binary());
    command.current_dir(directory.path()).env_clear();
    let process = Process::start(command);
    assert_eq!(
        (process.data().to_string(), process.admin().to_string()),
        (DATA.into(), "127.0.0.1:4001".into())
    );
    let log = process.log();
    for words in ["defaults inside the binary", "SIMULATED", "providers.openai"] {
        assert!(log.contains(words), "{words:?} is not said:\n{log}");
    }
    assert_eq!(Request::get("/readyz").send(process.data()).status, 200);
    let models = Request::get("/v1/models").send(process.data()).json();
    let ids: Vec<_> =
        models["data"].as_array().into_iter().flatten().filter_map(|m| m["id"].as_str()).collect();
    assert!(ids.contains(&"auto") && ids.contains(&"auto-best"), "{ids:?}");
    let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "What is the capital of France?" }] });
    let answer = Request::chat(&body).send(process.data());
    assert_eq!((answer.status, answer.header("x-router-simulated")), (200, "true"), "{}", answer.text());
    assert!(answer.json()["choices"][0]["message"]["content"].as_str().is_some_and(|text| !text.is_empty()));
    let cases =
        json!([["stream", "anything", { "model": "auto", "stream": true, "messages": body["messages"] }]]);
    let said = python::run("errors.py", &[&format!("http://{}/v1", process.data()), &cases.to_string()]);
    assert_eq!(said[0]["class"], Value::Null, "{said:?}");
    process.stop();
    let rows = ledger::read(&directory.path().join("router.db"));
    assert_eq!(rows.requests.len(), 2, "the ledger lies in the working directory");
}

#[test]
fn the_shipped_configurations_pass_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let examples = std::fs::read_dir(folder.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let shipped: Vec<_> = std::iter::once(folder.join("router.yaml")).chain(examples).collect();
    assert!(shipped.len() >= 2);
    for path in shipped {
        let output = run(&["check", "--config", &path.display().to_string()], &folder);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // An example may ask for a variable of its own; what it asks for must then be all that is wrong with it.
        let asks = !output.status.success() && said.lines().all(|line| line.contains("environment variable"));
        assert!(
            output.status.success() || (asks && path.parent().is_some_and(|p| p.ends_with("examples"))),
            "{}: {said}",
            path.display()
        );
    }
}

#[test]
fn strict_refuses_to_start_without_real_providers() {
    let directory = server::directory();
    let output = run(&["serve", "--strict"], directory.path());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.lines().last().is_some_and(|line| line.contains("--strict")), "{said}");
}
