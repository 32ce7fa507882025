//! Tests of `command.rs`.

use super::*;
use crate::machine::examples;
use crate::model::vm::Custom;
use crate::model::{Bytes, Hardware, Hosting, Workshop};

fn settings<'a>(places: &'a Places, smbios_serial: &'a str) -> Settings<'a> {
    Settings {
        qemu: Path::new("/usr/bin/qemu-system-x86_64"),
        accel: Accel::Tcg,
        places,
        smbios_serial,
        smbios_product: "OpenStack Nova",
        seed: None,
        more_networks: &[],
    }
}

/// The command line as people read it: one option a line.
fn lines(image: &Image, mtu: Option<u16>, settings: &Settings<'_>) -> Result<String, CommandError> {
    let (vm, machine) = examples::vm();
    let args = argv(&vm, &machine, image, &examples::network(mtu), settings)?;
    let text = args.iter().fold(String::new(), |text, arg| {
        let gap = if arg.starts_with('-') { "\n" } else { " " };
        text + gap + arg
    });
    Ok(text.trim_start().to_owned())
}

/// The arguments of a VM that is a workshop, or is none.
pub(in crate::machine) fn of(workshop: Option<Workshop>) -> Vec<String> {
    let (vm, machine) = examples::vm();
    let machine = Machine {
        workshop: workshop.map(Box::new),
        ..machine
    };
    let vm = Vm {
        hosting: Hosting::from(machine.clone()),
        ..vm
    };
    let places = Places::new("/var/lib/seedbed", "/run/seedbed");
    let image = examples::image(DiskFormat::Qcow2, Boot::Disk);
    argv(
        &vm,
        &machine,
        &image,
        &examples::network(None),
        &settings(&places, ""),
    )
    .unwrap()
}

/// What follows an option, each time that it is there.
pub(in crate::machine) fn pairs<'a>(args: &'a [String], option: &str) -> impl Iterator<Item = &'a str> {
    let named = args.windows(2).filter(move |pair| pair[0] == option);
    named.map(|pair| pair[1].as_str())
}

#[test]
fn the_command_line_of_a_vm_that_boots_from_its_disk() {
    let places = Places::new("/var/lib/seedbed", "/run/seedbed");
    let settings = settings(&places, "ds=nocloud-net;s=http://10.77.0.1/web1/");
    let image = examples::image(DiskFormat::Qcow2, Boot::Disk);
    insta::assert_snapshot!(lines(&image, None, &settings).unwrap(), @r#"
    /usr/bin/qemu-system-x86_64
    -name guest=web1
    -uuid 7573fe52-e13e-82a6-a9ae-40fb6a351c25
    -no-user-config
    -nodefaults
    -display none
    -machine q35,sata=off,smbus=off,vmport=off
    -accel tcg,thread=multi
    -cpu max,la57=off
    -smp cpus=2,sockets=1,cores=2,threads=1
    -m size=512M
    -rtc base=utc
    -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
    -smbios type=1,serial=ds=nocloud-net;s=http://10.77.0.1/web1/,product=OpenStack Nova
    -device vmgenid,guid=7573fe52-e13e-82a6-a9ae-40fb6a351c25
    -blockdev {"backing":{"backing":null,"driver":"qcow2","file":{"driver":"file","filename":"/var/lib/seedbed/images/debian-12@1/disk","read-only":true},"node-name":"base","read-only":true},"discard":"unmap","driver":"qcow2","file":{"discard":"unmap","driver":"file","filename":"/var/lib/seedbed/vms/web1/disk.qcow2"},"node-name":"root"}
    -device virtio-blk-pci,drive=root,serial=root,bootindex=1,bus=pcie.0,addr=0x3
    -blockdev {"discard":"unmap","driver":"raw","file":{"discard":"unmap","driver":"file","filename":"/var/lib/seedbed/vms/web1/swap.raw"},"node-name":"swap"}
    -device virtio-blk-pci,drive=swap,serial=swap,bus=pcie.0,addr=0x4
    -netdev tap,id=net0,fd=3
    -device virtio-net-pci,netdev=net0,mac=52:54:ce:9b:49:d4,romfile=,bus=pcie.0,addr=0x2
    -object rng-builtin,id=rng0
    -device virtio-rng-pci,rng=rng0,bus=pcie.0,addr=0x5
    -chardev socket,id=qmp,path=/run/seedbed/vms/web1/qmp,server=on,wait=off
    -mon chardev=qmp,mode=control
    -chardev socket,id=serial0,fd=5,server=on,wait=on
    -serial chardev:serial0
    -chardev socket,id=events,path=/run/seedbed/vms/web1/events,server=on,wait=off
    -mon chardev=events,mode=control
    -boot strict=on
    "#);
}

#[test]
fn a_kernel_beside_a_raw_disk_is_loaded_by_qemu_and_the_mtu_is_the_networks() {
    let places = Places::new("/var/lib/seedbed", "/run/seedbed");
    let cmdline = "root=/dev/vda1 console=ttyS0,115200".to_owned();
    let image = examples::image(
        DiskFormat::Raw,
        Boot::Kernel {
            initrd: true,
            cmdline,
        },
    );
    let kvm = Settings {
        accel: Accel::Kvm,
        ..settings(&places, "x")
    };
    let text = lines(&image, Some(1400), &kvm).unwrap();
    for part in [
        "\n-accel kvm\n-cpu host\n",
        r#""backing":{"driver":"raw","file":{"driver":"file","filename":"/var/lib/seedbed/images/debian-12@1/disk","read-only":true},"node-name":"base","read-only":true}"#,
        "\n-kernel /var/lib/seedbed/images/debian-12@1/kernel\n-initrd /var/lib/seedbed/images/debian-12@1/initrd\n",
        "\n-append root=/dev/vda1 console=ttyS0,115200",
        ",host_mtu=1400,",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("strict=on"));
}

#[test]
fn a_vm_that_boots_from_the_network_tries_that_first_and_its_disk_next() {
    let places = Places::new("/s", "/r");
    let (mut vm, machine) = examples::vm();
    let custom = Custom {
        boot: Some("tiny".parse().unwrap()),
        ..Custom::default()
    };
    vm.custom = custom.boxed();
    let kernel = Boot::Kernel {
        initrd: true,
        cmdline: String::new(),
    };
    for boot in [Boot::Disk, kernel] {
        let image = examples::image(DiskFormat::Raw, boot);
        let args = argv(
            &vm,
            &machine,
            &image,
            &examples::network(None),
            &settings(&places, "x"),
        );
        let text = args.unwrap().join(" ");
        assert!(
            text.contains(",mac=52:54:ce:9b:49:d4,bootindex=0,")
                && text.contains("drive=root,serial=root,bootindex=1,")
        );
        assert!(
            !text.contains("romfile=") && !text.contains("-kernel") && text.ends_with("-boot strict=on"),
            "{text}"
        );
    }
}

#[test]
fn what_was_pinned_is_what_qemu_is_told_by_whatever_it_is_run() {
    let places = Places::new("/s", "/r");
    let (vm, mut machine) = examples::vm();
    let image = examples::image(DiskFormat::Raw, Boot::Disk);
    let mut hardware = Hardware {
        machine_type: Some("pc-q35-7.2".parse().unwrap()),
        ..Hardware::default()
    };
    for (accel, model, cpu) in [
        (Accel::Kvm, None, "host"),
        (Accel::Tcg, None, "max,la57=off"),
        (Accel::Kvm, Some("EPYC-v4"), "EPYC-v4,enforce"),
    ] {
        hardware.cpu_model = model.map(|model| model.parse().unwrap());
        machine.hardware = Some(Box::new(hardware.clone()));
        let settings = Settings {
            accel,
            ..settings(&places, "")
        };
        let args = argv(&vm, &machine, &image, &examples::network(None), &settings).unwrap();
        assert!(pairs(&args, "-machine").eq(["pc-q35-7.2,sata=off,smbus=off,vmport=off"]));
        assert!(pairs(&args, "-cpu").eq([cpu]));
    }
}

#[test]
fn l10_extra_disks_stand_in_their_slots_under_any_path() {
    let places = Places::new("/a,,b=c %s \"q\" -e\u{e9}", "/r");
    let (vm, mut machine) = examples::vm();
    let disk = |name: &str, slot| ExtraDisk {
        name: name.parse().unwrap(),
        size: Bytes::gib(1),
        slot,
    };
    machine.hardware = Some(Box::new(Hardware {
        machine_type: Some("pc-q35-7.2".parse().unwrap()),
        disks: vec![disk("data", 9), disk("logs", 8)],
        ..Hardware::default()
    }));
    let image = examples::image(DiskFormat::Raw, Boot::Disk);
    let args = argv(
        &vm,
        &machine,
        &image,
        &examples::network(None),
        &settings(&places, ""),
    )
    .unwrap();
    let of_disks = args
        .iter()
        .filter(|arg| arg.contains("disk-data") || arg.contains("balloon"));
    let text = of_disks.fold(String::new(), |text, arg| text + arg + "\n");
    insta::assert_snapshot!(text, @r#"
    {"backing":null,"discard":"unmap","driver":"qcow2","file":{"discard":"unmap","driver":"file","filename":"/a,,b=c %s \"q\" -eé/vms/web1/disk-data.qcow2"},"node-name":"disk-data"}
    virtio-blk-pci,drive=disk-data,serial=data,bus=pcie.0,addr=0x9
    virtio-balloon-pci,id=balloon0,free-page-reporting=on,bus=pcie.0,addr=0x7
    "#);
    let slots = |args: &[String]| {
        let slots =
            pairs(args, "-device").filter_map(|device| device.split("addr=").nth(1)?.split(',').next());
        let mut slots: Vec<_> = slots.map(str::to_owned).collect();
        slots.sort();
        slots
    };
    let ports = ["0x18", "0x19", "0x1a", "0x1b", "0x1c", "0x1d", "0x1e"];
    let devices = ["0x2", "0x3", "0x4", "0x5", "0x7", "0x8", "0x9"];
    assert_eq!(slots(&args), [ports, devices].concat());
}

#[test]
fn a_vm_with_uefi_has_two_flash_chips_of_which_one_is_its_own() {
    let places = Places::new("/s,t", "/r");
    let (vm, mut machine) = examples::vm();
    machine.hardware = Some(Box::new(Hardware {
        uefi: Some(Uefi {
            code: "/usr/share/OVMF/OVMF_CODE_4M.fd".into(),
            template: "/usr/share/OVMF/OVMF_VARS_4M.fd".into(),
        }),
        ..Hardware::default()
    }));
    let image = examples::image(DiskFormat::Raw, Boot::Disk);
    let args = argv(
        &vm,
        &machine,
        &image,
        &examples::network(None),
        &settings(&places, ""),
    )
    .unwrap();
    assert!(
        pairs(&args, "-machine")
            .eq(["q35,sata=off,smbus=off,vmport=off,pflash0=uefi-code,pflash1=uefi-vars"])
    );
    let flash = pairs(&args, "-blockdev").filter(|node| node.contains("uefi"));
    let text = flash.fold(String::new(), |text, node| text + node + "\n");
    insta::assert_snapshot!(text, @r#"
    {"driver":"raw","file":{"driver":"file","filename":"/usr/share/OVMF/OVMF_CODE_4M.fd","read-only":true},"node-name":"uefi-code","read-only":true}
    {"driver":"raw","file":{"discard":"unmap","driver":"file","filename":"/s,t/vms/web1/uefi-vars.fd"},"node-name":"uefi-vars"}
    "#);
}

#[test]
fn a_vm_without_swap_has_no_swap_disk() {
    let places = Places::new("/s", "/r");
    let (vm, mut machine) = examples::vm();
    machine.swap = Bytes(0);
    let image = examples::image(DiskFormat::Raw, Boot::Disk);
    let args = argv(
        &vm,
        &machine,
        &image,
        &examples::network(None),
        &settings(&places, "x"),
    )
    .unwrap();
    assert!(!args.iter().any(|arg| arg.contains("swap")), "{args:?}");
}

#[test]
fn a_vm_that_is_told_about_itself_by_a_device_needs_no_serial_number() {
    let places = Places::new("/s", "/r");
    let device = SeedDevice::Disk(Vec::new());
    let settings = Settings {
        seed: Some(&device),
        smbios_product: "",
        ..settings(&places, "")
    };
    let text = lines(&examples::image(DiskFormat::Raw, Boot::Disk), None, &settings).unwrap();
    assert!(
        text.contains("drive=cidata") && !text.contains("-smbios"),
        "{text}"
    );
    let slots: Vec<_> = text
        .lines()
        .filter_map(|line| line.split("virtio-blk-pci,drive=").nth(1))
        .collect();
    assert_eq!(
        slots,
        [
            "root,serial=root,bootindex=1,bus=pcie.0,addr=0x3",
            "swap,serial=swap,bus=pcie.0,addr=0x4",
            "cidata,serial=cidata,bus=pcie.0,addr=0x6"
        ]
    );
}

#[test]
fn commas_and_quotes_in_paths_stay_what_they_are() {
    let places = Places::new("/a,\"b", "/r,\"n");
    let image = examples::image(DiskFormat::Raw, Boot::Disk);
    let text = lines(&image, None, &settings(&places, "a,b")).unwrap();
    for part in [
        r#""filename":"/a,\"b/vms/web1/disk.qcow2""#,
        r#"path=/r,,"n/vms/web1/qmp,server"#,
        "serial=a,,b",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn the_argument_a_process_is_recognised_by_leads_back_to_its_socket() {
    let places = Places::new("/s", "/r,n");
    let (vm, machine) = examples::vm();
    let image = examples::image(DiskFormat::Raw, Boot::Disk);
    let args = argv(
        &vm,
        &machine,
        &image,
        &examples::network(None),
        &settings(&places, "x"),
    )
    .unwrap();
    let paths: Vec<_> = args.iter().filter_map(|arg| qmp_path(arg)).collect();
    assert_eq!(paths, ["/r,n/vms/web1/qmp"]);
    assert_eq!(accel(args.iter().map(String::as_str)), Some(Accel::Tcg));
}

#[test]
fn what_qemu_can_not_be_told_is_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let image = examples::image(DiskFormat::Raw, Boot::Disk);
    let good = Places::new("/s", "/r");
    let refused = |places: &Places, serial: &str| lines(&image, None, &settings(places, serial)).unwrap_err();
    assert!(matches!(refused(&good, "a\0b"), CommandError::Text { .. }));
    assert!(matches!(refused(&good, "a\nb"), CommandError::Text { .. }));
    let bytes = Places::new(std::ffi::OsStr::from_bytes(b"/s\xff"), "/r");
    assert!(matches!(refused(&bytes, "x"), CommandError::Text { .. }));
    let long = Places::new("/s", format!("/{}", "r".repeat(100)));
    assert!(matches!(refused(&long, "x"), CommandError::SocketPath(_)));
    // Here only the sockets of its console are too long.
    let longer = Places::new("/s", format!("/{}", "r".repeat(87)));
    let CommandError::SocketPath(path) = refused(&longer, "x") else {
        panic!("it is told of no path")
    };
    assert!(path.contains("/consoles/web1/"), "{path}");
}

/// The NICs of a VM's command line.
fn nics(vm: &Vm, more: &[Arc<Network>]) -> Vec<String> {
    let machine = vm.machine().unwrap();
    let places = Places::new("/var/lib/seedbed", "/run/seedbed");
    let settings = Settings {
        more_networks: more,
        ..settings(&places, "")
    };
    let image = examples::image(DiskFormat::Qcow2, Boot::Disk);
    let args = argv(vm, machine, &image, &examples::network(None), &settings).unwrap();
    let devices = pairs(&args, "-device").filter(|device| device.starts_with("virtio-net"));
    pairs(&args, "-netdev")
        .chain(devices)
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_nic_has_its_tap_and_its_slot_and_one_that_is_added_moves_none() {
    let (one, _) = examples::vm();
    let back = Network {
        name: "back".parse().unwrap(),
        ..examples::network(Some(9000))
    };
    let two = crate::model::examples::with_nic(one.clone(), "back", "10.78.0.5");
    let (before, after) = (nics(&one, &[]), nics(&two, &[Arc::new(back)]));
    let mac = crate::model::mac::text(two.more_nics()[0].mac);
    assert_eq!(before, [&*after[0], &*after[2]]);
    assert_eq!(after[1], "tap,id=net24,fd=16");
    assert_eq!(
        after[3],
        format!("virtio-net-pci,netdev=net24,mac={mac},host_mtu=9000,romfile=,bus=pcie.0,addr=0x18")
    );
}

#[test]
fn a_vm_with_a_pinned_board_has_a_port_for_each_further_nic_it_can_get() {
    let (vm, machine) = examples::vm();
    let hardware = Hardware {
        machine_type: Some("pc-q35-7.2".parse().unwrap()),
        ..Hardware::default()
    };
    let machine = Machine {
        hardware: Some(Box::new(hardware)),
        ..machine
    };
    let one = Vm {
        hosting: Hosting::from(machine.clone()),
        ..vm
    };
    let two = crate::model::examples::with_nic(one.clone(), "back", "10.78.0.5");
    let places = Places::new("/var/lib/seedbed", "/run/seedbed");
    let of = |vm: &Vm, more: &[Arc<Network>]| {
        let settings = Settings {
            more_networks: more,
            ..settings(&places, "")
        };
        let image = examples::image(DiskFormat::Qcow2, Boot::Disk);
        let args = argv(vm, &machine, &image, &examples::network(None), &settings).unwrap();
        let is_of_nics = |device: &&str| device.starts_with("virtio-net") || device.starts_with("pcie-root");
        let devices = pairs(&args, "-device").filter(is_of_nics);
        let all: Vec<_> = pairs(&args, "-netdev").chain(devices).collect();
        all.join("\n")
    };
    insta::assert_snapshot!(of(&two, &[Arc::new(examples::network(None))]), @r"
    tap,id=net0,fd=3
    tap,id=net24,fd=16
    virtio-net-pci,netdev=net0,mac=52:54:ce:9b:49:d4,romfile=,bus=pcie.0,addr=0x2
    pcie-root-port,id=port24,bus=pcie.0,addr=0x18,chassis=24,slot=24,io-reserve=0
    pcie-root-port,id=port25,bus=pcie.0,addr=0x19,chassis=25,slot=25,io-reserve=0
    pcie-root-port,id=port26,bus=pcie.0,addr=0x1a,chassis=26,slot=26,io-reserve=0
    pcie-root-port,id=port27,bus=pcie.0,addr=0x1b,chassis=27,slot=27,io-reserve=0
    pcie-root-port,id=port28,bus=pcie.0,addr=0x1c,chassis=28,slot=28,io-reserve=0
    pcie-root-port,id=port29,bus=pcie.0,addr=0x1d,chassis=29,slot=29,io-reserve=0
    pcie-root-port,id=port30,bus=pcie.0,addr=0x1e,chassis=30,slot=30,io-reserve=0
    virtio-net-pci,id=nic24,netdev=net24,mac=52:54:41:c7:28:61,romfile=,bus=port24,addr=0x0
    ");
    let ports = of(&one, &[]);
    assert_eq!(ports.matches("pcie-root-port").count(), 7, "{ports}");
}
