//! The iPXE script of a VM that boots from the network, from a template of its own.
//!
//! iPXE has no quoting: nothing a fact holds can be written so that it is text for sure. So every fact is looked at as it is
//! printed, and one that iPXE would take for more than words of a line is refused.

use std::collections::BTreeMap;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Output, State, Value};

use super::facts::Facts;
use super::render::{TemplateProblem, in_source, strict};
use super::smbios::smbios_serial;
use super::unknown;
use crate::model::image::{Boot, View};
use crate::model::{Image, ImageName, NetBoot, Network, SeedKey};

/// The name the template is kept by.
const NAME: &str = "boot.ipxe";
/// What iPXE knows a script by.
const MARK: &str = "#!ipxe\n";

/// What a VM boots from the network, as the template sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BootFacts {
    /// A kernel of ours.
    Kernel {
        /// The image it belongs to.
        image: String,
        /// Where it is.
        kernel_url: String,
        /// Where its initrd is.
        initrd_url: Option<String>,
        /// Its command line, as the image has it.
        cmdline: String,
        /// What leads cloud-init to its documents; `None` when the command line says that itself.
        seed: Option<String>,
    },
    /// Someone else's script or file.
    Chain(String),
}

impl BootFacts {
    /// The facts of what is booted; the image's name when it is not there or has no kernel beside its disk.
    pub(super) fn of(
        boot: &NetBoot,
        network: &Network,
        image: Option<&Image>,
        key: Option<&SeedKey>,
    ) -> Result<Self, ImageName> {
        let name = match boot {
            NetBoot::Url(url) => return Ok(Self::Chain(url.to_string())),
            NetBoot::Image(name) => name,
        };
        let Some(Boot::Kernel { initrd, cmdline }) = image.map(|image| &image.boot) else {
            return Err(name.clone());
        };
        let gateway = network.subnet.gateway();
        // Only who reads NoCloud is led to it: from 23.2 on the word is an order.
        let asks = image.is_some_and(|image| matches!(image.view, View::Auto | View::NoCloud));
        let names_its_own = cmdline.split_whitespace().any(|word| word.starts_with("ds="));
        Ok(Self::Kernel {
            image: name.to_string(),
            kernel_url: format!("http://{gateway}/boot/kernel"),
            initrd_url: initrd.then(|| format!("http://{gateway}/boot/initrd")),
            cmdline: cmdline.clone(),
            seed: (asks && !names_its_own).then(|| smbios_serial(network, key)),
        })
    }

    /// One of each kind, to try a template with.
    fn samples() -> [Self; 3] {
        let kernel = |initrd_url: Option<&str>, seed: Option<&str>| Self::Kernel {
            image: "debian-12".to_owned(),
            kernel_url: "http://10.77.0.1/boot/kernel".to_owned(),
            initrd_url: initrd_url.map(str::to_owned),
            cmdline: "console=ttyS0".to_owned(),
            seed: seed.map(str::to_owned),
        };
        [
            kernel(
                Some("http://10.77.0.1/boot/initrd"),
                Some("ds=nocloud-net;s=http://10.77.0.1/nocloud/"),
            ),
            kernel(None, None),
            Self::Chain("http://10.77.0.9/menu.ipxe".to_owned()),
        ]
    }
}

/// The compiled template.
#[derive(Debug)]
pub(super) struct BootTemplate {
    environment: Environment<'static>,
    /// Where it came from, for messages.
    origin: String,
}

impl BootTemplate {
    /// Compiles the template and renders it with sample facts, so that a broken one is found before a VM meets it.
    pub(super) fn compile(origin: &str, source: String) -> Result<Self, TemplateProblem> {
        let mut environment = strict(print);
        environment
            .add_template_owned(NAME, source)
            .map_err(|error| in_source(origin, &error))?;
        let template = Self {
            environment,
            origin: origin.to_owned(),
        };
        for boot in BootFacts::samples() {
            template.prove(&boot)?;
        }
        Ok(template)
    }

    fn prove(&self, boot: &BootFacts) -> Result<(), TemplateProblem> {
        let facts = Facts::sample();
        let template = self.environment.get_template(NAME);
        let template = template.map_err(|error| in_source(&self.origin, &error))?;
        unknown::refuse(&self.origin, &template, &context(&facts, boot))?;
        self.render(&facts, boot).map(drop)
    }

    /// The script.
    pub(super) fn render(&self, facts: &Facts, boot: &BootFacts) -> Result<String, TemplateProblem> {
        let script = self
            .environment
            .get_template(NAME)
            .and_then(|template| template.render(context(facts, boot)))
            .map_err(|error| in_source(&self.origin, &error))?;
        if script.starts_with(MARK) {
            Ok(script)
        } else {
            Err(TemplateProblem::Script {
                file: self.origin.clone(),
            })
        }
    }
}

/// The facts under the names the template uses.
fn context(facts: &Facts, boot: &BootFacts) -> Value {
    let text = |text: &str| Value::from(text);
    let none = || Value::from(());
    let (chain, image, kernel, initrd, cmdline, seed) = match boot {
        BootFacts::Chain(url) => (text(url), none(), none(), none(), none(), none()),
        BootFacts::Kernel {
            image,
            kernel_url,
            initrd_url,
            cmdline,
            seed,
        } => (
            none(),
            text(image),
            text(kernel_url),
            Value::from(initrd_url.as_deref()),
            text(cmdline),
            Value::from(seed.as_deref()),
        ),
    };
    let named = [
        ("hostname", text(&facts.hostname)),
        ("fqdn", text(&facts.fqdn)),
        ("domain", text(&facts.domain)),
        ("network", text(&facts.network)),
        ("address", text(&facts.address)),
        ("prefix", Value::from(facts.prefix)),
        ("gateway", text(&facts.gateway)),
        ("mac", text(&facts.mac)),
        ("instance_id", text(&facts.instance_id)),
        ("chain_url", chain),
        ("image", image),
        ("kernel_url", kernel),
        ("initrd_url", initrd),
        ("cmdline", cmdline),
        ("seed", seed),
    ];
    Value::from(BTreeMap::from(named))
}

/// How `{{ value }}` is printed: as it is, when iPXE takes it for plain words.
fn print(out: &mut Output<'_>, _state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let refused = |why: String| Err(Error::new(ErrorKind::InvalidOperation, why));
    let text = match value.kind() {
        ValueKind::String => value.as_str().unwrap_or_default().to_owned(),
        ValueKind::Number => value.to_string(),
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        other => return refused(format!("a {other} can not be printed in an iPXE script")),
    };
    match special(&text) {
        None => out.write_str(&text).map_err(Error::from),
        Some(what) => refused(format!(
            "`{}` has {what}, which iPXE would act on instead of passing it on",
            text.escape_debug()
        )),
    }
}

/// What in a text is more than words of a line to iPXE: it replaces `${...}` first, cuts the line at its spaces, and then
/// looks for words that end a command (<https://ipxe.org/scripting>).
fn special(text: &str) -> Option<&'static str> {
    if text.chars().any(char::is_control) {
        return Some("a control character");
    }
    // A `$` at the end could meet a `{` of what comes next.
    if text.contains("${") || text.ends_with('$') {
        return Some("a `${`");
    }
    for word in text.split_whitespace() {
        if word.starts_with('#') {
            return Some("a word that starts with `#`");
        }
        if word.bytes().all(|byte| b"|&;".contains(&byte)) {
            return Some("a word that ends a command (`||`, `&&` or `;`)");
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BUILT_IN: &str = include_str!("../../seed-templates/boot.ipxe");

    fn rendered(boot: &BootFacts) -> Result<String, String> {
        let template = BootTemplate::compile("built-in boot.ipxe", BUILT_IN.to_owned()).unwrap();
        template
            .render(&Facts::sample(), boot)
            .map_err(|error| error.to_string())
    }

    fn kernel(cmdline: &str) -> BootFacts {
        let [
            BootFacts::Kernel {
                image,
                kernel_url,
                initrd_url,
                seed,
                ..
            },
            ..,
        ] = BootFacts::samples()
        else {
            unreachable!("the first sample is a kernel")
        };
        BootFacts::Kernel {
            image,
            kernel_url,
            initrd_url,
            cmdline: cmdline.to_owned(),
            seed,
        }
    }

    #[test]
    fn the_built_in_script_loads_kernel_and_initrd_and_falls_through_to_a_message() {
        insta::assert_snapshot!(rendered(&kernel("console=ttyS0 quiet")).unwrap(), @r"
        #!ipxe
        # UEFI hands an initrd over by its name on the command line; BIOS has no use for the word.
        kernel http://10.77.0.1/boot/kernel initrd=initrd console=ttyS0 quiet ds=nocloud-net;s=http://10.77.0.1/nocloud/ || goto failed
        initrd http://10.77.0.1/boot/initrd || goto failed
        boot || goto failed

        :failed
        echo
        echo Seedbed: the network boot of sample failed; the line above says why.
        echo The host's view of it: seedbed wait sample
        echo The next boot device is tried in ten seconds.
        sleep 10
        exit 1
        ");
    }

    #[test]
    fn a_url_is_chained_to() {
        let script = rendered(&BootFacts::Chain("http://10.77.0.9/menu.ipxe".to_owned())).unwrap();
        assert!(script.starts_with("#!ipxe\nchain --replace http://10.77.0.9/menu.ipxe || goto failed\n"));
        assert!(
            !script.contains("\nkernel ") && !script.contains("\nboot "),
            "{script}"
        );
    }

    #[test]
    fn a_command_line_that_ipxe_would_act_on_is_refused_with_its_reason() {
        for (cmdline, says) in [
            ("quiet || shell", "`||`"),
            ("quiet ;", "`;`"),
            ("a && reboot", "`&&`"),
            ("console=${net0/mac}", "`${`"),
            ("x$", "`${`"),
            ("quiet # no more", "`#`"),
            ("quiet\nshell", "control character"),
            ("quiet\rshell", "control character"),
        ] {
            let error = rendered(&kernel(cmdline)).unwrap_err();
            assert!(
                error.contains(says) && error.contains("boot.ipxe"),
                "{cmdline:?}: {error}"
            );
        }
        rendered(&kernel("a=1;2 b=c||d e#f $x root=UUID=0")).unwrap();
    }

    #[test]
    fn an_image_that_names_its_own_datasource_gets_no_other() {
        let network = crate::model::examples::network("lab", "10.77.0.1/24");
        let mut image = crate::model::examples::image();
        let boot: NetBoot = "debian-12".parse().unwrap();
        assert!(
            BootFacts::of(&boot, &network, Some(&image), None).is_err()
                && BootFacts::of(&boot, &network, None, None).is_err()
        );
        for (cmdline, seeded) in [("quiet ds=none", false), ("quiet", true), ("lands=1", true)] {
            image.boot = Boot::Kernel {
                initrd: false,
                cmdline: cmdline.to_owned(),
            };
            let facts = BootFacts::of(&boot, &network, Some(&image), None);
            let Ok(BootFacts::Kernel {
                seed,
                initrd_url: None,
                ..
            }) = facts
            else {
                panic!("{facts:?}")
            };
            assert_eq!(seed.is_some(), seeded, "{cmdline}");
        }
    }

    #[test]
    fn a_broken_template_is_refused_with_file_line_and_reason() {
        for (source, says) in [
            ("#!ipxe\necho {{ hostnam }}\n", ":2: "),
            ("#!ipxe\n{% if seed %}\n", ":2: "),
            ("#!ipxe\necho {{ hostname | safe }}\n", "unknown filter"),
            ("echo {{ hostname }}\n", "#!ipxe"),
        ] {
            let error = BootTemplate::compile("site/boot.ipxe", source.to_owned())
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("site/boot.ipxe") && error.contains(says),
                "{source:?}: {error}"
            );
        }
    }

    proptest! {
        /// Read back as iPXE reads it (src/core/exec.c): lines, then words.
        #[test]
        fn no_command_line_adds_a_command(cmdline in r"[ -~\n\t]{0,40}|(quiet|\|\||&&|;|#x|\$\{a\}| |\n){0,8}") {
            let plain = rendered(&kernel("")).unwrap();
            if let Ok(script) = rendered(&kernel(&cmdline)) {
                prop_assert_eq!(script.lines().count(), plain.lines().count());
                prop_assert!(!script.contains(concat!("$", "{")), "{}", script);
                let line = script.lines().find(|line| line.starts_with("kernel ")).unwrap();
                let ends = line.split_whitespace().filter(|word| ["||", "&&", ";"].contains(word) || word.starts_with('#'));
                prop_assert_eq!(ends.count(), 1);
            }
        }
    }
}
