//! Requests about base images, and how an image is shown.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What may be asked of base images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum ImageRequest {
    /// Adds a base image, or its next generation; answered by [`super::Answer::Images`].
    Add(AddImage),
    /// Makes the next generation of an image out of a VM's disk; answered by [`super::Answer::Images`].
    Commit(CommitVm),
    /// Writes into the disks of stopped VMs without an agent what they are to be; answered by [`super::Answer::Text`].
    Customize {
        /// Which VMs: names and ranges.
        names: Vec<String>,
        /// Whether it is only told what would be written.
        dry_run: bool,
    },
    /// Starts an installer in a VM whose disk becomes an image when it powers off; answered by [`super::Answer::Vms`].
    Install(InstallImage),
    /// Starts a clone whose disk becomes the next generation of its image when it powers off; answered by
    /// [`super::Answer::Vms`].
    Edit(EditImage),
    /// Waits until such a VM has ended, and tells what became of it; answered by [`super::Answer::Images`].
    Await {
        /// Its name.
        vm: String,
    },
    /// Shows all generations of images, of all when `names` is empty; answered by [`super::Answer::Images`].
    List {
        /// Which, as `NAME` or `NAME@NUMBER`.
        names: Vec<String>,
    },
    /// Makes a generation the one that new clones are made of; answered by [`super::Answer::Done`].
    Promote {
        /// Which, as `NAME@NUMBER`.
        image: String,
    },
    /// Deletes generations that are neither current nor needed by a VM; answered by [`super::Answer::Images`] with those.
    Collect {
        /// Of which images; of all when empty.
        names: Vec<String>,
        /// How many of those of each image, the newest ones, are kept all the same.
        keep: usize,
        /// Whether they are only shown.
        dry_run: bool,
    },
    /// Says what in images would hurt their clones; answered by [`super::Answer::Lints`].
    Lint {
        /// Which, as `NAME` for the current generation or `NAME@NUMBER`.
        names: Vec<String>,
    },
    /// Makes the next generation of an image without what would hurt its clones; answered by [`super::Answer::Lints`].
    Seal {
        /// Which, as `NAME` for the current generation or `NAME@NUMBER`.
        image: String,
        /// Whether new clones are still made of the generation they are made of now.
        #[serde(default)]
        no_promote: bool,
    },
    /// Deletes an image, or one of its generations, that no VM is a clone of; answered by [`super::Answer::Done`].
    Delete {
        /// Which, as `NAME` for all generations or `NAME@NUMBER`.
        name: String,
    },
}

/// A base image to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddImage {
    /// Its name.
    pub name: String,
    /// The disk file, absolute; copied into the store.
    pub file: PathBuf,
    /// Where it comes from, in a few words.
    pub origin: String,
    /// `qcow2` or `raw`; never guessed.
    pub format: String,
    /// A kernel for direct boot, absolute.
    pub kernel: Option<PathBuf>,
    /// An initrd for direct boot, absolute.
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    pub cmdline: Option<String>,
    /// The account that gets the keys.
    pub default_user: String,
    /// How its VMs learn who they are; whatever cloud-init finds by itself when not given.
    #[serde(default)]
    pub view: Option<String>,
    /// The release of its cloud-init, such as `22.4`, where it is known.
    #[serde(default)]
    pub cloud_init: Option<String>,
    /// Whether it becomes the next generation of an image that is there.
    #[serde(default)]
    pub next: bool,
    /// Whether that is not what new clones are made of.
    #[serde(default)]
    pub no_promote: bool,
}

/// A VM whose disk becomes a generation of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitVm {
    /// Which VM; it has to be stopped.
    pub vm: String,
    /// The image's name; a new one begins with this generation.
    pub image: String,
    /// Whether new clones are still made of the generation they are made of now.
    #[serde(default)]
    pub no_promote: bool,
    /// Whether the disk stays as the VM left it, with all that makes it this VM.
    #[serde(default)]
    pub no_seal: bool,
}

/// A system to install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallImage {
    /// The name of the image that it becomes.
    pub image: String,
    /// What it is installed from.
    pub media: InstallMedia,
    /// Whether the installer is told what it would ask.
    #[serde(default)]
    pub unattended: bool,
    /// Where an unattended installer gets its packages; as its template says when not given.
    #[serde(default)]
    pub mirror: Option<String>,
    /// The account that gets the keys in clones; that of the distribution when not given.
    #[serde(default)]
    pub default_user: Option<String>,
    /// The size of the VM.
    #[serde(flatten)]
    pub size: WorkshopSize,
    /// Size of the disk, such as `8G`.
    #[serde(default)]
    pub disk: Option<String>,
}

/// What a system is installed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstallMedia {
    /// An ISO image, absolute.
    Iso(PathBuf),
    /// Debian's installer for a boot from the network.
    Debian {
        /// Its kernel, absolute.
        kernel: PathBuf,
        /// Its initrd, absolute.
        initrd: PathBuf,
    },
}

/// An image to change by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditImage {
    /// Which: its current generation is changed.
    pub image: String,
    /// SSH public keys that may log in meanwhile, one line each.
    pub keys: Vec<String>,
    /// Names of keys in the key ring that may too.
    #[serde(default)]
    pub ring: Vec<String>,
    /// The size of the VM.
    #[serde(flatten)]
    pub size: WorkshopSize,
}

/// The size and place of a VM whose disk becomes an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkshopSize {
    /// Virtual CPUs; the daemon's default when not given.
    #[serde(default)]
    pub cpus: Option<u16>,
    /// Memory, such as `2G`.
    #[serde(default)]
    pub memory: Option<String>,
    /// The network; the only one when not given.
    #[serde(default)]
    pub network: Option<String>,
}

/// A generation of an image as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// The image's name.
    pub name: String,
    /// The number of the generation, from 1.
    pub generation: u32,
    /// Whether new clones are made of it.
    pub current: bool,
    /// Where it came from, in a few words.
    pub origin: String,
    /// `qcow2` or `raw`.
    pub format: String,
    /// SHA-256 of its disk file.
    pub sha256: String,
    /// The size a guest sees, in bytes.
    pub virtual_size: u64,
    /// The file's size, in bytes.
    pub file_size: u64,
    /// `disk` or `kernel`.
    pub boot: String,
    /// The release of its cloud-init, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_init: Option<String>,
    /// The account that gets the keys.
    pub default_user: String,
    /// How its VMs learn who they are: `auto`, `nocloud`, `openstack`, `ec2`, `cidata`, `ignition`, `credentials` or `none`.
    pub view: String,
    /// The VMs that are clones of it.
    pub used_by: Vec<String>,
    /// Deleted VMs that can be undone, and then are clones of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_for: Vec<String>,
    /// When it was added, RFC 3339.
    pub created: String,
    /// How long ago that was, in seconds.
    pub age_seconds: u64,
}

impl ImageInfo {
    /// How commands name this generation: `debian-12@3`.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.generation)
    }
}

/// What was found in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LintInfo {
    /// Which: `debian-12@3`.
    pub image: String,
    /// The generation that was made of it by sealing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
    /// Its distribution, as it calls itself.
    pub distribution: Option<String>,
    /// The version of its cloud-init.
    pub cloud_init: Option<String>,
    /// The version of its systemd.
    pub systemd: Option<String>,
    /// What configures its network.
    pub network: Vec<String>,
    /// Its boot loader.
    pub boot_loader: Option<String>,
    /// The views that it can be given, the best one first.
    pub views: Vec<String>,
    /// What would hurt a clone.
    pub findings: Vec<FindingInfo>,
}

/// Something in an image that would hurt a clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingInfo {
    /// Its name, for programs: `machine-id`.
    pub rule: String,
    /// What it is.
    pub what: String,
    /// Where.
    pub paths: Vec<String>,
    /// Why it hurts a clone.
    pub why: String,
    /// What sealing does, or what the user does where it does nothing.
    pub seal: String,
    /// Whether sealing does away with it.
    pub sealed: bool,
}
