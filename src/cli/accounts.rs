//! Options on who may enter a VM: its owner, and accounts beside the image's own.

use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::{input, password};
use crate::control::{CustomSettings, WrittenUser};

/// Who may enter a VM, beside its keys.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Access options")]
pub(super) struct Accounts {
    /// Whose VM it is: all keys of that owner in the key ring may log in
    #[arg(long, value_name = "OWNER", display_order = 90)]
    pub(super) owner: Option<String>,
    /// Account beside the image's own: ann,sudo,groups=docker:adm,shell=/bin/zsh; can be given several times
    #[arg(long, value_name = "NAME[,...]", display_order = 91)]
    user: Vec<String>,
    /// Accounts from a YAML file, with the words of cloud-init: name, sudo, groups, shell, a hashed password, keys
    #[arg(long, value_name = "FILE", display_order = 92)]
    users: Option<PathBuf>,
    /// Ask for a password of the only account, and keep its hash
    #[arg(long, display_order = 93)]
    password_prompt: bool,
}

impl Accounts {
    /// The names of these options, for a group of them.
    pub(super) const IDS: [&str; 3] = ["owner", "user", "users"];

    /// Puts what they say into the settings of a VM.
    pub(super) fn add_to(self, settings: &mut CustomSettings) -> Result<(), Failure> {
        settings.owner = self.owner;
        let given = !self.user.is_empty() || self.users.is_some();
        let written = self.user.iter().filter(|text| !text.is_empty());
        let mut users = written.map(|text| user(text)).collect::<Result<Vec<_>, _>>()?;
        if let Some(path) = &self.users {
            users.extend(of_file(path)?);
        }
        if self.password_prompt {
            match users.as_mut_slice() {
                [only] => only.hashed_passwd = Some(password::ask(&only.name)?),
                _ => {
                    return Err(Failure::usage(format!(
                        "--password-prompt is for one account, and {} were given",
                        users.len()
                    ))
                    .hint("name it: --user ann,sudo --password-prompt"));
                }
            }
        }
        settings.users = given.then_some(users);
        Ok(())
    }
}

/// An account in one word: its name, and what it has.
fn user(text: &str) -> Result<WrittenUser, Failure> {
    let mut words = text.split(',');
    let mut user = WrittenUser {
        name: words.next().unwrap_or_default().to_owned(),
        sudo: false,
        groups: Vec::new(),
        shell: None,
        hashed_passwd: None,
        ssh_authorized_keys: Vec::new(),
    };
    for word in words {
        match word.split_once('=') {
            None if word == "sudo" => user.sudo = true,
            Some(("groups", groups)) => user.groups.extend(groups.split(':').map(str::to_owned)),
            Some(("shell", shell)) => user.shell = Some(shell.to_owned()),
            // It is not quoted: it may be a password.
            Some(("password" | "passwd" | "hashed_passwd", _)) => {
                return Err(Failure::usage(
                    "a password on the command line can be seen by every process of this host",
                )
                .hint("use --password-prompt, or write its hash into a file for --users"));
            }
            _ => {
                return Err(Failure::usage(format!(
                    "--user {}: `{}` is not known",
                    user.name.escape_debug(),
                    word.escape_debug()
                ))
                .hint("what there is: ann,sudo,groups=docker:adm,shell=/bin/zsh"));
            }
        }
    }
    Ok(user)
}

/// The accounts of a file: a list, or a mapping with `users`, as cloud-config has it.
fn of_file(path: &Path) -> Result<Vec<WrittenUser>, Failure> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Users {
        users: Vec<WrittenUser>,
    }
    let text = input::text(path)?;
    let listed = text
        .lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .is_some_and(|line| line.starts_with(['-', '[']));
    let read = if listed {
        serde_yaml::from_str(&text)
    } else {
        serde_yaml::from_str::<Users>(&text).map(|file| file.users)
    };
    read.map_err(|error| {
        let place = error.location().map_or_else(String::new, |place| {
            format!(", line {}, column {}", place.line(), place.column())
        });
        // What stands there is not repeated: it may be a password.
        Failure::refused(format!(
            "{}{place}: that is no list of accounts",
            path.display()
        ))
        .hint("each has a name and, where needed, sudo (true), groups, shell, hashed_passwd, ssh_authorized_keys")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_a_name_and_what_it_has() {
        let ann = user("ann,sudo,groups=docker:adm,shell=/bin/zsh").unwrap();
        assert_eq!(
            (ann.name.as_str(), ann.sudo, ann.groups, ann.shell.as_deref()),
            (
                "ann",
                true,
                vec!["docker".to_owned(), "adm".to_owned()],
                Some("/bin/zsh")
            )
        );
    }

    #[test]
    fn a_password_on_the_command_line_is_refused_and_not_repeated() {
        let failure = user("ann,password=hunter2").unwrap_err();
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    }

    #[test]
    fn a_file_is_a_list_or_has_one_and_what_is_wrong_is_placed_but_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.yaml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            of_file(&path)
        };
        let list =
            "# ours\n- name: ann\n  sudo: true\n  groups: [docker]\n  hashed_passwd: $6$x\n- name: ben\n";
        let users = read(list).unwrap();
        assert_eq!(users.len(), 2);
        assert_eq!(
            users[0].hashed_passwd.as_ref().map(|hash| hash.expose().as_str()),
            Some("$6$x")
        );
        let indented = list.replace('\n', "\n  ");
        assert_eq!(read(&format!("users:\n  {indented}")).unwrap(), users);
        let failure = read("- name: ann\n  plain_text_passwd: hunter2\n").unwrap_err();
        assert!(failure.message.contains("users.yaml, line"), "{failure:?}");
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    }
}
