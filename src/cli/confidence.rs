//! Options on what a VM is told in confidence, and on its instance-id.

use std::path::Path;

use super::failure::Failure;
use super::input;
use crate::control::{Concealed, CustomSettings};

/// What a VM is told in confidence.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options on secrets, which a VM is told in its first boot only")]
pub(super) struct Confidence {
    /// A value for the template, which has it as secrets.NAME: from a file, or - for standard input. Can be given several times
    #[arg(long, value_name = "NAME=FILE", display_order = 95)]
    secret: Vec<String>,
    /// Tell the whole user-data in the first boot only
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, display_order = 96)]
    #[arg(default_missing_value = "yes", value_parser = yes_or_no)]
    secret_user_data: Option<bool>,
    /// What becomes of the instance-id when user-data, template, accounts or keys are changed: keep it, or let it follow the
    /// content, so that cloud-init sets the VM up anew
    #[arg(long, value_name = "keep|content", display_order = 97)]
    instance_id: Option<String>,
}

impl Confidence {
    /// The names of these options, for a group of them.
    pub(super) const IDS: [&str; 3] = ["secret", "secret_user_data", "instance_id"];

    /// Puts what they say into the settings of a VM.
    pub(super) fn add_to(self, settings: &mut CustomSettings) -> Result<(), Failure> {
        settings.secrets = self
            .secret
            .iter()
            .map(|text| secret(text))
            .collect::<Result<_, _>>()?;
        settings.secret_user_data = self.secret_user_data;
        settings.instance_id = self.instance_id;
        Ok(())
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err("it is yes, or no".to_owned()),
    }
}

/// A name and the file its value is in; without a file it is taken away. A value on the command line could be seen by every
/// process of the host.
fn secret(text: &str) -> Result<(String, Option<Concealed>), Failure> {
    let Some((name, file)) = text.split_once('=') else {
        return Err(Failure::usage("--secret is a name and a file: --secret db=/root/db-password").hint(
            "a value on the command line can be seen by every process of this host; - reads it from standard input",
        ));
    };
    if file.is_empty() {
        return Ok((name.to_owned(), None));
    }
    let value = input::text(Path::new(file))?;
    // Editors end a file with a line break, which is not meant.
    let value = value.strip_suffix('\n').unwrap_or(&value);
    let value = value.strip_suffix('\r').unwrap_or(value);
    Ok((name.to_owned(), Some(Concealed::of(value.to_owned()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_a_file_and_without_one_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "hunter2 \n").unwrap();
        let (name, value) = secret(&format!("db={}", path.display())).unwrap();
        assert_eq!(
            (name.as_str(), value.unwrap().expose().as_str()),
            ("db", "hunter2 ")
        );
        assert_eq!(secret("db=").unwrap(), ("db".to_owned(), None));
        let failure = secret("hunter2").unwrap_err();
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        let missing = secret("db=/nonexistent").unwrap_err();
        assert!(missing.message.contains("/nonexistent"), "{missing:?}");
    }
}
