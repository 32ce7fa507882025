//! `image add` of what a real server serves over https, into the store of a real daemon; killed at every stage.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::lab::{Lab, Run, Running, eventually};
use crate::root;

/// nginx on the lab's loopback, https at 8443 and http at 8080, whose certificate is signed by nobody but itself.
struct Server {
    lab: Lab,
    _nginx: Running,
}

impl Server {
    fn new() -> Self {
        let lab = Lab::new();
        let folder = lab.path("web");
        fs::create_dir_all(folder.join("pub")).unwrap();
        let shown = folder.display().to_string();
        Run::of(
            Command::new("openssl")
                .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
                .args([
                    "-subj",
                    "/CN=localhost",
                    "-addext",
                    "subjectAltName=IP:127.0.0.1",
                    "-addext",
                    "basicConstraints=critical,CA:FALSE",
                    "-keyout",
                    &format!("{shown}/key"),
                    "-out",
                    &format!("{shown}/certificate"),
                ]),
        )
        .ok();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("  {kind}_temp_path {shown}/{kind};\n"))
            .concat();
        let config = format!(
            "daemon off;\nmaster_process off;\nuser root;\npid {shown}/pid;\nerror_log /dev/null crit;\n\
             events {{}}\nhttp {{\n  access_log {shown}/asked;\n{temporary}\
             \x20 server {{\n    listen 127.0.0.1:8080;\n    listen 127.0.0.1:8443 ssl;\n\
             \x20   ssl_certificate {shown}/certificate;\n    ssl_certificate_key {shown}/key;\n    root {shown};\n\
             \x20   location /slow/ {{ alias {shown}/pub/; limit_rate 4m; }}\n\
             \x20   location /down/ {{ return 302 http://127.0.0.1:8080/pub$uri; }}\n  }}\n}}\n"
        );
        fs::write(folder.join("config"), config).unwrap();
        // Where AppArmor guards the installed program, that would not read our files.
        let program = folder.join("nginx");
        fs::copy("/usr/sbin/nginx", &program).unwrap();
        let program = program.display().to_string();
        let config = format!("{shown}/config");
        let nginx =
            Running::start(&mut lab.inside(&[&program, "-p", &shown, "-e", "/dev/null", "-c", &config]));
        let up = eventually(Duration::from_secs(60), || {
            Run::of(&mut lab.inside(&[
                "curl",
                "-sk",
                "-o",
                "/dev/null",
                "https://127.0.0.1:8443/certificate",
            ]))
            .code
                == 0
        });
        assert!(up, "nginx did not start");
        Self { lab, _nginx: nginx }
    }

    /// Publishes a disk of so many MiB that do not compress, packed with xz; the disk's and the packed file's SHA-256.
    fn publish(&self, mebibytes: u64) -> (String, String) {
        let (raw, disk) = (self.lab.path("raw"), self.lab.path("web/pub/disk.qcow2"));
        let mut noise = fs::File::open("/dev/urandom").unwrap();
        let mut file = fs::File::create(&raw).unwrap();
        std::io::copy(&mut std::io::Read::take(&mut noise, mebibytes << 20), &mut file).unwrap();
        Run::of(
            Command::new("qemu-img")
                .args(["convert", "-f", "raw", "-O", "qcow2"])
                .arg(&raw)
                .arg(&disk),
        )
        .ok();
        let sum = sha256(&fs::read(&disk).unwrap());
        Run::of(Command::new("xz").arg("-0").arg(&disk)).ok();
        let packed = sha256(&fs::read(self.lab.path("web/pub/disk.qcow2.xz")).unwrap());
        fs::write(
            self.lab.path("web/pub/SHA256SUMS"),
            format!("{packed} *disk.qcow2.xz\n"),
        )
        .unwrap();
        (sum, packed)
    }

    /// `image add NAME`, by a client that trusts the server.
    fn add(&self, name: &str, url: &str, options: &[&str]) -> Command {
        let mut command = self.lab.command(&["image", "add", name, url, "--cache"]);
        command
            .arg(self.lab.path("cache"))
            .args(options)
            .env("SSL_CERT_FILE", self.lab.path("web/certificate"));
        for proxy in [
            "http_proxy",
            "https_proxy",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
        ] {
            command.env_remove(proxy);
        }
        command
    }

    fn images(&self) -> serde_json::Value {
        serde_json::from_str(&self.lab.seedbed(&["image", "list", "--format", "json"]).ok()).unwrap()
    }

    /// The files in the cache, whatever directory they are in.
    fn cached(&self) -> Vec<String> {
        let downloads = self.lab.listing("cache/downloads");
        let files = downloads
            .iter()
            .flat_map(|folder| self.lab.listing(&format!("cache/downloads/{folder}")));
        files.collect()
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

const LIST: &str = "https://127.0.0.1:8443/pub/SHA256SUMS";

#[test]
fn an_image_comes_by_https_with_its_list_of_checksums() {
    if !root() {
        return;
    }
    let server = Server::new();
    let (sum, packed) = server.publish(4);
    let url = "https://127.0.0.1:8443/pub/disk.qcow2.xz";
    Run::of(&mut server.add("one", url, &["--checksum-file", LIST])).ok();
    let images = server.images();
    assert_eq!(images[0]["sha256"], sum.as_str());
    assert_eq!(images[0]["origin"], url);
    assert_eq!(server.cached(), ["disk.qcow2.xz"]);

    // A list that nobody changed on the way is enough, also where the file itself comes by http.
    let redirected = "https://127.0.0.1:8443/down/disk.qcow2.xz";
    let refused = Run::of(&mut server.add("two", redirected, &[]));
    refused.refused(1, &["a redirect from https to http"]);
    let open = Run::of(&mut server.add("two", "http://127.0.0.1:8080/pub/disk.qcow2.xz", &[]));
    open.refused(1, &["anyone on the way could change disk.qcow2.xz"]);
    Run::of(&mut server.add(
        "two",
        "http://127.0.0.1:8080/pub/disk.qcow2.xz",
        &["--sha256", &packed],
    ))
    .ok();
    assert_eq!(server.images()[1]["sha256"], sum.as_str());
}

#[test]
fn a_server_that_nobody_vouches_for_is_told_at_once_and_a_hostile_disk_comes_no_further() {
    if !root() {
        return;
    }
    let server = Server::new();
    server.publish(1);
    let url = "https://127.0.0.1:8443/pub/disk.qcow2.xz";
    let mut stranger = server.add("one", url, &[]);
    stranger.env_remove("SSL_CERT_FILE");
    let run = Run::of(&mut stranger);
    assert!(!run.stderr.contains("asking again"), "{run}");
    run.refused(
        1,
        &[
            "can not download https://127.0.0.1:8443/pub/disk.qcow2.xz",
            "certificate",
            "SSL_CERT_FILE",
        ],
    );

    let hostile = server.lab.path("web/pub/hostile.qcow2");
    let hostile = hostile.to_str().unwrap();
    Run::of(
        Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b"])
            .args(["/etc/shadow", hostile, "1M"]),
    )
    .ok();
    Run::of(Command::new("gzip").arg(hostile)).ok();
    let url = "https://127.0.0.1:8443/pub/hostile.qcow2.gz";
    Run::of(&mut server.add("one", url, &[])).refused(1, &["backing file"]);
    assert_eq!(server.images(), serde_json::json!([]));
    assert_eq!(server.lab.listing("state/images"), [""; 0]);
    assert_eq!(server.cached(), ["hostile.qcow2.gz"]);
}

#[test]
fn a_client_killed_at_any_stage_leaves_a_whole_image_or_none() {
    if !root() {
        return;
    }
    let server = Server::new();
    let (sum, _) = server.publish(24);
    let url = "https://127.0.0.1:8443/slow/disk.qcow2.xz";
    let list = ["--checksum-file", LIST];
    for stage in [
        "downloading, 30 %",
        "downloading, 100 %",
        "checking, ",
        "unpacking, ",
        "importing, ",
    ] {
        let mut killed = server
            .add("one", url, &list)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(killed.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        assert!(
            said.any(|line| line.starts_with(&format!("one: {stage}"))),
            "{stage}"
        );
        killed.kill().unwrap();
        killed.wait().unwrap();
        // The daemon may be at work on it: then it goes on, or takes back what it began.
        let settled = eventually(Duration::from_secs(60), || {
            let files = server.lab.listing("state/images");
            let there = server.images().as_array().unwrap().len();
            (files.as_slice(), there) == (&[] as &[String], 0) || (files == ["one@1"] && there == 1)
        });
        assert!(
            settled,
            "{stage}: {:?}, {}",
            server.lab.listing("state/images"),
            server.images()
        );
        if server.images()[0]["sha256"] == sum.as_str() {
            server.lab.seedbed(&["image", "delete", "one"]).ok();
        }
    }
    let run = Run::of(&mut server.add("one", url, &list));
    assert!(run.stderr.contains("using the download of before"), "{run}");
    run.ok();
    assert_eq!(server.images()[0]["sha256"], sum.as_str());
    assert_eq!(server.cached(), ["disk.qcow2.xz"]);
    // One that was killed half-way was gone on with.
    let asked = fs::read_to_string(server.lab.path("web/asked")).unwrap();
    let partial = asked
        .lines()
        .filter(|line| line.contains("/slow/") && line.contains(" 206 "));
    assert!(partial.count() >= 1, "{asked}");
}
