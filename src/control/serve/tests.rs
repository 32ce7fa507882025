//! Tests of `serve.rs`.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;
use crate::control::client::{CallError, Client};
use crate::control::{AddVms, LaunchVms, NewHardware, PolicySettings, Rung, WaitFor};

/// Does what the name of the image or VM says.
#[derive(Default)]
struct Scripted {
    entered: Notify,
    go_on: Notify,
    finished: Notify,
    waiting_ended: Arc<Notify>,
}

struct Ended(Arc<Notify>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[async_trait]
impl Handle for Scripted {
    async fn handle(&self, request: Request, progress: ProgressSink) -> Result<Answer, Refusal> {
        match request {
            Request::Launch(_) => {
                self.entered.notify_one();
                self.go_on.notified().await;
                self.finished.notify_one();
                Ok(Answer::Done("launched".to_owned()))
            }
            Request::Wait(_) => {
                let _ended = Ended(Arc::clone(&self.waiting_ended));
                self.entered.notify_one();
                std::future::pending().await
            }
            Request::Hosts => panic!("a bug"),
            Request::List { names } => {
                for name in &names {
                    progress.line(name, "dhcp");
                }
                Err(Refusal::not_found("no VM").hint("look at the list"))
            }
            _ => Ok(Answer::Hello {
                version: "1".to_owned(),
                pid: 7,
            }),
        }
    }
}

struct Running {
    _directory: TempDir,
    path: PathBuf,
    handler: Arc<Scripted>,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
}

fn running() -> Running {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/seedbed.sock");
    let handler = Arc::new(Scripted::default());
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(bind(&path).unwrap(), Arc::clone(&handler), stop.clone()));
    Running {
        _directory: directory,
        path,
        handler,
        stop,
        server,
    }
}

fn launch() -> Request {
    Request::Launch(LaunchVms {
        register: AddVms {
            names: vec!["web1".to_owned()],
            ..AddVms::default()
        },
        image: "debian".to_owned(),
        cpus: None,
        memory: None,
        disk: None,
        swap: None,
        wait_seconds: None,
        hardware: NewHardware::default(),
        policy: PolicySettings::default(),
    })
}

fn wait() -> Request {
    Request::Wait(WaitFor {
        names: vec!["web1".to_owned()],
        rung: Rung::Ready,
        timeout_seconds: 600,
    })
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what)
        .await
        .expect("it took too long")
}

#[tokio::test]
async fn progress_comes_first_and_the_refusal_keeps_its_fault_and_hint() {
    let running = running();
    let mut client = Client::connect(&running.path).await.unwrap();
    let mut seen = Vec::new();
    let request = Request::List {
        names: vec!["web1".to_owned(), "web2".to_owned()],
    };
    let error = client
        .call(&request, |line| seen.push(line.subject))
        .await
        .unwrap_err();
    assert_eq!(seen, ["web1", "web2"]);
    match error {
        CallError::Refused(refusal) => {
            assert_eq!(refusal, Refusal::not_found("no VM").hint("look at the list"));
        }
        other => panic!("{other:?}"),
    }
    // The same connection takes another request.
    assert!(matches!(
        client.call(&Request::Hello, drop).await,
        Ok(Answer::Hello { pid: 7, .. })
    ));
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_stop_the_work() {
    let running = running();
    let path = running.path.clone();
    let client =
        tokio::spawn(async move { Client::connect(&path).await.unwrap().call(&launch(), drop).await });
    within(running.handler.entered.notified()).await;
    client.abort();
    within(client).await.unwrap_err();
    running.handler.go_on.notify_one();
    within(running.handler.finished.notified()).await;
}

#[tokio::test]
async fn waiting_ends_with_its_client() {
    let running = running();
    let path = running.path.clone();
    let client = tokio::spawn(async move { Client::connect(&path).await.unwrap().call(&wait(), drop).await });
    within(running.handler.entered.notified()).await;
    client.abort();
    within(client).await.unwrap_err();
    within(running.handler.waiting_ended.notified()).await;
}

#[tokio::test]
async fn a_daemon_that_stops_tells_those_who_wait() {
    let running = running();
    let path = running.path.clone();
    let client = tokio::spawn(async move { Client::connect(&path).await.unwrap().call(&wait(), drop).await });
    within(running.handler.entered.notified()).await;
    running.stop.cancel();
    let answer = within(client).await.unwrap();
    assert!(
        matches!(&answer, Err(CallError::Refused(refusal)) if refusal.fault == Fault::Host),
        "{answer:?}"
    );
    within(running.server).await.unwrap();
}

#[tokio::test]
async fn a_bug_in_one_request_is_told_and_leaves_the_server_alive() {
    let running = running();
    let mut client = Client::connect(&running.path).await.unwrap();
    match within(client.call(&Request::Hosts, drop)).await {
        Err(CallError::Refused(refusal)) => assert_eq!(refusal.fault, Fault::Internal),
        other => panic!("{other:?}"),
    }
    client.call(&Request::Hello, drop).await.unwrap();
}
