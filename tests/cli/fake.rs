//! A daemon that answers by script, and a way to run `seedbed` against it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use seedbed::control::serve::{Handle, ProgressSink, bind, serve};
use seedbed::control::{Answer, HardwareInfo, ImageInfo, LifeInfo, Refusal, Request, VmInfo};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

type Script = dyn Fn(&Request, &ProgressSink) -> Result<Answer, Refusal> + Send + Sync;

struct Scripted {
    script: Box<Script>,
    seen: Arc<Mutex<Vec<Request>>>,
}

#[async_trait]
impl Handle for Scripted {
    async fn handle(&self, request: Request, progress: ProgressSink) -> Result<Answer, Refusal> {
        self.seen.lock().unwrap().push(request.clone());
        // A script may block; what it said before must still reach the client.
        tokio::task::block_in_place(|| (self.script)(&request, &progress))
    }
}

/// A daemon in this process, with a directory of its own.
pub(crate) struct Fake {
    directory: TempDir,
    seen: Arc<Mutex<Vec<Request>>>,
    stop: CancellationToken,
    // Last, so that the server ends after it was told to.
    _runtime: Runtime,
}

impl Fake {
    pub(crate) fn new(
        script: impl Fn(&Request, &ProgressSink) -> Result<Answer, Refusal> + Send + Sync + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let handler = Scripted {
            script: Box::new(script),
            seen: Arc::clone(&seen),
        };
        let stop = CancellationToken::new();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(async { bind(&socket_in(directory.path())).unwrap() });
        drop(runtime.spawn(serve(listener, Arc::new(handler), stop.clone())));
        Self {
            directory,
            seen,
            stop,
            _runtime: runtime,
        }
    }

    /// A daemon that knows these VMs, and says that everything works.
    pub(crate) fn with_vms(vms: Vec<VmInfo>) -> Self {
        Self::new(move |request, _| match request {
            Request::Import { rows, .. } => Ok(Answer::Done(format!("registered {} VMs", rows.len()))),
            _ => Ok(Answer::Vms(vms.clone())),
        })
    }

    pub(crate) fn refusing(refusal: Refusal) -> Self {
        Self::new(move |_, _| Err(refusal.clone()))
    }

    /// Runs `seedbed` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        Run::of(self.command(args))
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        seedbed(self.directory.path(), args)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        socket_in(self.directory.path())
    }

    /// All requests that came.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request that came.
    pub(crate) fn request(&self) -> Request {
        let seen = self.seen.lock().unwrap();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen[0].clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn socket_in(directory: &Path) -> PathBuf {
    directory.join("run/seedbed.sock")
}

/// `seedbed`, knowing nothing but a home and a socket in `directory`.
pub(crate) fn seedbed(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedbed"));
    command
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", directory)
        .env("COLUMNS", "100")
        .env("SEEDBED_SOCKET", socket_in(directory))
        .env("SEEDBED_CONFIG", directory.join("config.yaml"))
        .stdin(Stdio::null());
    command
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Run {
    pub(crate) fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        Self {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap_or(-1),
        }
    }

    /// The answer of a command that must have worked.
    #[track_caller]
    pub(crate) fn answer(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout
    }
}

/// A VM that is through its first boot.
pub(crate) fn vm(name: &str, last_octet: u8) -> VmInfo {
    VmInfo {
        name: name.to_owned(),
        fqdn: format!("{name}.lab"),
        state: "running".to_owned(),
        step: Some("ready".to_owned()),
        failure: None,
        ip: Ipv4Addr::new(10, 77, 0, last_octet),
        mac: format!("52:54:00:00:00:{last_octet:02x}"),
        network: "lab".to_owned(),
        uuid: "7d3f6f4e-0000-8000-8000-000000000001".to_owned(),
        tap: format!("sb-{name}"),
        image: Some("debian-12".to_owned()),
        cpus: Some(2),
        memory: Some(1 << 30),
        disk: Some(10 << 30),
        swap: Some(512 << 20),
        default_user: Some("debian".to_owned()),
        keys: vec!["ssh-ed25519 AAAA ops@lab".to_owned()],
        owner: None,
        ring: Vec::new(),
        users: Vec::new(),
        aliases: Vec::new(),
        netboot: None,
        dhcp: Vec::new(),
        template: "default".to_owned(),
        view: "auto: whatever its agent finds over HTTP (its image names no other view)".to_owned(),
        seed_url: "http://10.77.0.1/nocloud/".to_owned(),
        secrets: None,
        instance_id_policy: "keep".to_owned(),
        cloud_init: None,
        cloud_init_failures: Vec::new(),
        impersonations: 0,
        effects: Vec::new(),
        created: "2026-01-02T03:04:05Z".to_owned(),
        age_seconds: 7_300,
        pid: Some(4_711),
        accel: Some("tcg".to_owned()),
        host_keys: vec!["ssh-ed25519 AAAAhost".to_owned()],
        serial: Some(PathBuf::from("/run/seedbed/vms/web1/serial")),
        console_log: Some(PathBuf::from("/var/lib/seedbed/vms/web1/console.log")),
        known_hosts: PathBuf::from("/var/lib/seedbed/known_hosts"),
        life: LifeInfo::default(),
        hardware: HardwareInfo {
            machine_type: Some("pc-q35-7.2".to_owned()),
            cpu_model: Some("host".to_owned()),
            extra_disks: Vec::new(),
            needs_restart: Vec::new(),
        },
        nics: Vec::new(),
    }
}

pub(crate) fn image(name: &str) -> ImageInfo {
    ImageInfo {
        name: name.to_owned(),
        generation: 1,
        current: true,
        origin: "the file debian.qcow2".to_owned(),
        format: "qcow2".to_owned(),
        sha256: "ab".repeat(32),
        virtual_size: 10 << 30,
        file_size: 1_500_000_000,
        boot: "disk".to_owned(),
        default_user: "debian".to_owned(),
        view: "auto".to_owned(),
        cloud_init: None,
        used_by: vec!["web1".to_owned(), "web2".to_owned()],
        kept_for: Vec::new(),
        created: "2026-01-02T03:04:05Z".to_owned(),
        age_seconds: 90,
    }
}
