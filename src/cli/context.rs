//! What a verb works with: the daemon behind its socket, asked one request at a time.

use std::path::PathBuf;

use tokio::runtime::{Builder, Runtime};

use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::client::Client;
use crate::control::{Answer, ImageInfo, NetworkInfo, ProgressLine, Request, VmInfo};

/// The way to the daemon.
#[derive(Debug)]
pub(super) struct Context {
    socket: PathBuf,
    runtime: Runtime,
}

impl Context {
    /// The way to the daemon behind `socket`; nothing is connected yet.
    pub(super) fn new(socket: PathBuf) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::io("can not start the event loop", &error))?;
        Ok(Self { socket, runtime })
    }

    /// Runs what has to wait for several things at once.
    pub(super) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Asks for something that is done at once.
    pub(super) fn ask(&self, request: &Request) -> Result<Answer, Failure> {
        self.call(request, |_| ())
    }

    /// Asks for something that takes a while, and shows how far it is with each of `subjects`.
    pub(super) fn watch(
        &self,
        request: &Request,
        subjects: &[String],
        terminal: &mut Terminal,
    ) -> Result<Answer, Failure> {
        let mut progress = terminal.progress(subjects);
        let answer = self.call(request, |line| progress.line(&line));
        progress.end();
        answer
    }

    fn call(&self, request: &Request, on_progress: impl FnMut(ProgressLine)) -> Result<Answer, Failure> {
        let answer = self.runtime.block_on(async {
            let mut client = Client::connect(&self.socket).await?;
            client.call(request, on_progress).await
        })?;
        Ok(answer)
    }

    /// Asks for VMs.
    pub(super) fn vms(&self, request: &Request) -> Result<Vec<VmInfo>, Failure> {
        vms(self.ask(request)?)
    }

    /// Asks for VMs, showing how far it is with each of `names`.
    pub(super) fn watch_vms(
        &self,
        request: &Request,
        names: &[String],
        terminal: &mut Terminal,
    ) -> Result<Vec<VmInfo>, Failure> {
        vms(self.watch(request, &expanded(names), terminal)?)
    }

    /// The one VM of that name.
    pub(super) fn vm(&self, name: &str) -> Result<VmInfo, Failure> {
        let names = vec![name.to_owned()];
        let found = self.vms(&Request::List { names })?;
        let count = found.len();
        match <[VmInfo; 1]>::try_from(found) {
            Ok([vm]) => Ok(vm),
            Err(_) => Err(Failure::refused(format!(
                "`{name}` stands for {count} VMs, not for one"
            ))),
        }
    }

    /// Asks for images.
    pub(super) fn images(
        &self,
        request: &Request,
        terminal: &mut Terminal,
    ) -> Result<Vec<ImageInfo>, Failure> {
        match self.watch(request, &[], terminal)? {
            Answer::Images(images) => Ok(images),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks for a text.
    pub(super) fn text(&self, request: &Request) -> Result<String, Failure> {
        match self.ask(request)? {
            Answer::Text(text) => Ok(text),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks for bytes.
    pub(super) fn bytes(&self, request: &Request) -> Result<Vec<u8>, Failure> {
        match self.ask(request)? {
            Answer::Bytes(bytes) => Ok(bytes),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks for networks.
    pub(super) fn networks(&self, names: Vec<String>) -> Result<Vec<NetworkInfo>, Failure> {
        match self.ask(&Request::Networks { names })? {
            Answer::Networks(networks) => Ok(networks),
            other => Err(unexpected(&other)),
        }
    }

    /// Has something done that is told in one sentence.
    pub(super) fn done(
        &self,
        request: &Request,
        names: &[String],
        terminal: &mut Terminal,
    ) -> Result<(), Failure> {
        match self.watch(request, &expanded(names), terminal)? {
            Answer::Done(sentence) => terminal.answer(&sentence),
            other => Err(unexpected(&other)),
        }
    }
}

fn vms(answer: Answer) -> Result<Vec<VmInfo>, Failure> {
    match answer {
        Answer::Vms(vms) => Ok(vms),
        other => Err(unexpected(&other)),
    }
}

/// An answer of another kind than the request's.
pub(super) fn unexpected(answer: &Answer) -> Failure {
    Failure::internal(format!(
        "the daemon answered something else than was asked: {answer:?}"
    ))
    .hint("the seedbed command and the daemon are of different versions? Restart the daemon")
}

/// The names that patterns stand for, to show them; what is no pattern is left to the daemon to refuse.
fn expanded(patterns: &[String]) -> Vec<String> {
    let names = crate::model::range::expand_all(patterns).unwrap_or_default();
    names.iter().map(ToString::to_string).collect()
}
