//! `seedbed launch`: names, keys and user-data on their way to the daemon.

use std::path::PathBuf;

use seedbed::control::{
    AddVms, CustomSettings, LaunchVms, NewHardware, NicSettings, PolicySettings, Request, WrittenNic,
};

use crate::fake::{Fake, Run, vm};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5dRL9gZ4JbhkmEkqlOV7J0Gf5KqRN4mGF1rWk2M0zQ ops@lab";
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5dRL9gZ4JbhkmEkqlOV7J0Gf5KqRN4mGF1rWk2M0zR own@lab";

fn fake() -> Fake {
    Fake::with_vms(vec![vm("web1", 11)])
}

fn launched(fake: &Fake) -> LaunchVms {
    let mut requests = fake.requests();
    // A user-data is checked for the release of cloud-init that the image has.
    requests.retain(|request| !matches!(request, Request::Image(_)));
    match requests.as_slice() {
        [Request::Launch(launch)] => launch.clone(),
        others => panic!("{others:?}"),
    }
}

/// Gives the user a key of their own.
fn own_key(fake: &Fake) -> PathBuf {
    let directory = fake.directory().join(".ssh");
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("id_ed25519.pub");
    std::fs::write(&path, format!("{OTHER}\n")).unwrap();
    path
}

#[test]
fn all_that_is_asked_for_reaches_the_daemon() {
    let fake = fake();
    let user_data = fake.directory().join("user.yaml");
    std::fs::write(&user_data, "#cloud-config\n{}\n").unwrap();
    let user_data = user_data.display().to_string();
    let run = fake.run(&[
        "launch",
        "web[1-2]",
        "-n",
        "db1",
        "-i",
        "debian-12",
        "-c",
        "2",
        "-m",
        "1G",
        "-d",
        "10G",
        "--swap",
        "512M",
        "--key",
        KEY,
        "--user-data",
        &user_data,
        "--template",
        "course",
        "--network",
        "lab",
        "--wait=90",
    ]);
    assert_eq!(run.answer(), "web1 is ready at 10.77.0.11\n");
    assert_eq!(
        launched(&fake),
        LaunchVms {
            register: AddVms {
                new_identity: false,
                names: vec!["web[1-2]".to_owned(), "db1".to_owned()],
                ip: None,
                mac: None,
                keys: vec![KEY.to_owned()],
                user_data: Some(b"#cloud-config\n{}\n".to_vec()),
                force: false,
                template: Some("course".to_owned()),
                network: Some("lab".to_owned()),
                custom: CustomSettings::default(),
                nics: NicSettings::default(),
            },
            image: "debian-12".to_owned(),
            cpus: Some(2),
            memory: Some("1G".to_owned()),
            disk: Some("10G".to_owned()),
            swap: Some("512M".to_owned()),
            wait_seconds: Some(90),
            hardware: NewHardware::default(),
            policy: PolicySettings::default(),
        }
    );
}

#[test]
fn further_nics_are_asked_for_by_network() {
    let fake = fake();
    fake.run(&[
        "launch",
        "web1",
        "-i",
        "debian-12",
        "--key",
        KEY,
        "--nic",
        "back",
        "--nic",
        "network=store,ip=10.79.0.5,mac=52:54:00:00:00:07",
    ])
    .answer();
    let nic = |network: &str, ip: Option<&str>, mac: Option<&str>| WrittenNic {
        network: network.to_owned(),
        ip: ip.map(str::to_owned),
        mac: mac.map(str::to_owned),
    };
    assert_eq!(
        launched(&fake).register.nics.put,
        [
            nic("back", None, None),
            nic("store", Some("10.79.0.5"), Some("52:54:00:00:00:07"))
        ]
    );
    let run = fake.run(&["launch", "web1", "-i", "debian-12", "--nic", "ip=10.79.0.5"]);
    assert!(
        run.code == 2 && run.stderr.contains("it names no network"),
        "{run:?}"
    );
}

#[test]
fn nics_are_added_and_taken_away_by_network() {
    let fake = fake();
    fake.run(&["set", "web1", "--nic", "back", "--remove-nic", "store"])
        .answer();
    let Request::Set(set) = fake.request() else {
        panic!("{:?}", fake.requests())
    };
    assert_eq!(
        (set.nics.put[0].network.as_str(), set.nics.removed),
        ("back", vec!["store".to_owned()])
    );
    let both = fake.run(&["set", "web1", "--nic", "back", "--remove-nic", "back"]);
    assert!(
        both.code == 2 && both.stderr.contains("both name network back"),
        "{both:?}"
    );
}

#[test]
fn waiting_without_a_span_is_ten_minutes_and_does_not_eat_the_name() {
    let fake = fake();
    fake.run(&["launch", "-i", "debian-12", "--key", KEY, "--wait", "web1"])
        .answer();
    let launch = launched(&fake);
    assert_eq!(
        (launch.wait_seconds, launch.register.names),
        (Some(600), vec!["web1".to_owned()])
    );
}

#[test]
fn without_a_key_the_users_own_is_taken_and_named() {
    let fake = fake();
    let path = own_key(&fake);
    let run = fake.run(&["launch", "web1", "-i", "debian-12"]);
    assert_eq!(run.stderr, format!("using the SSH key {}\n", path.display()));
    run.answer();
    assert_eq!(launched(&fake).register.keys, [OTHER]);
}

#[test]
fn a_given_key_replaces_the_users_own() {
    let fake = fake();
    own_key(&fake);
    assert_eq!(
        fake.run(&["launch", "web1", "-i", "debian-12", "--key", KEY])
            .stderr,
        ""
    );
    assert_eq!(launched(&fake).register.keys, [KEY]);
}

#[test]
fn without_any_key_nothing_is_launched() {
    let fake = fake();
    let run = fake.run(&["launch", "web1", "-i", "debian-12"]);
    assert_eq!(run.code, 1);
    let ssh = fake.directory().join(".ssh");
    assert_eq!(
        run.stderr,
        format!(
            "error: no --key given, and {} holds no public key\n\
             hint: give --key FILE, or make one first: ssh-keygen -t ed25519\n",
            ssh.display()
        )
    );
}

#[test]
fn behind_sudo_the_key_is_that_of_the_user_and_not_roots() {
    if !rustix::process::geteuid().is_root() {
        // Only root can be behind sudo.
        return;
    }
    let fake = fake();
    own_key(&fake);
    // A passwd database of our own: the real one is not ours to change.
    let home = fake.directory().join("ann");
    std::fs::create_dir_all(home.join(".ssh")).unwrap();
    std::fs::write(home.join(".ssh/id_rsa.pub"), format!("{KEY}\n")).unwrap();
    let bin = fake.directory().join("bin");
    crate::login::script(
        &bin,
        "getent",
        &format!("echo \"$3:x:1000:1000::{}:/bin/sh\"", home.display()),
    );
    let mut command = fake.command(&["launch", "web1", "-i", "debian-12"]);
    command
        .env("SUDO_USER", "ann")
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    Run::of(command).answer();
    assert_eq!(launched(&fake).register.keys, [KEY]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let fake = fake();
    let run = fake.run(&[
        "launch",
        "web1",
        "-i",
        "x",
        "--key",
        KEY,
        "--user-data",
        "/nowhere/user.yaml",
    ]);
    assert_eq!(run.code, 3, "{run:#?}");
    assert!(run.stderr.contains("can not read /nowhere/user.yaml"), "{run:#?}");
}
