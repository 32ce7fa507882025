//! Accounts: those of the plan are there, with their groups, passwords, keys and rights. Accounts that were there already keep
//! their numbers, homes and files.

use super::CustomizeError;
use super::draft::{Draft, Owner, READABLE};
use super::plan::{Account, Plan};
use super::system::Family;

mod defaults;
mod home;
mod keys;
mod sudo;
mod table;

use defaults::Defaults;
use table::Table;

const PASSWD: &str = "/etc/passwd";
const SHADOW: &str = "/etc/shadow";
const GROUP: &str = "/etc/group";
const GSHADOW: &str = "/etc/gshadow";
/// The ranges of ids that an account may use in containers of its own, and how many one is given (subuid(5)).
const SUBORDINATE: [&str; 2] = ["/etc/subuid", "/etc/subgid"];
const SUBORDINATE_FIRST: u64 = 100_000;
const SUBORDINATE_COUNT: u64 = 65_536;

/// A password that no input has, and that sshd does not take for a lock (as it does `!` where it runs without PAM).
const NO_PASSWORD: &str = "*";
/// The account that needs no leave.
const ROOT_NAME: &str = "root";

/// The four tables of accounts, as they are to be.
struct Tables {
    passwd: Table,
    shadow: Option<Table>,
    group: Table,
    gshadow: Option<Table>,
}

/// An account that is there, as passwd(5) has it.
struct Entry {
    owner: Owner,
    home: String,
    is_new: bool,
}

pub(super) fn write(draft: &mut Draft<'_>, plan: &Plan, family: Family) -> Result<(), CustomizeError> {
    let defaults = Defaults::of(draft)?;
    let mut tables = Tables::read(draft)?;
    let mut sudoers = Vec::new();
    for account in &plan.accounts {
        let entry = tables.entry(account, &defaults)?;
        tables.settle(account, family);
        tables.join(account, &defaults)?;
        if entry.is_new {
            subordinate(draft, &account.name)?;
        }
        home::make(draft, &entry, &defaults)?;
        keys::write(draft, &entry, &account.keys)?;
        // The image's own account may where it was made here, as that of a cloud image may.
        let is_made_here = || Ok::<_, CustomizeError>(entry.is_new || sudo::has(draft, &account.name)?);
        if account.sudo.map_or_else(is_made_here, Ok)? && account.name != ROOT_NAME {
            sudoers.push(account.name.as_str());
        }
    }
    tables.write(draft)?;
    sudo::write(draft, &sudoers)?;
    Ok(())
}

impl Tables {
    fn read(draft: &Draft<'_>) -> Result<Self, CustomizeError> {
        let needed = |path: &'static str| match draft.text(path) {
            Ok(Some(text)) => Ok(Table::of(&text)),
            Ok(None) => Err(CustomizeError::NoTable(path)),
            Err(error) => Err(error.into()),
        };
        let optional = |path: &str| draft.text(path).map(|text| text.map(|text| Table::of(&text)));
        Ok(Self {
            passwd: needed(PASSWD)?,
            shadow: optional(SHADOW)?,
            group: needed(GROUP)?,
            gshadow: optional(GSHADOW)?,
        })
    }

    /// The account's entry, made where there is none.
    fn entry(&mut self, account: &Account, defaults: &Defaults) -> Result<Entry, CustomizeError> {
        let name = account.name.as_str();
        if let Some(entry) = self.existing(name)? {
            return Ok(entry);
        }
        let uid = self
            .free_id(defaults)
            .ok_or_else(|| CustomizeError::NoId(name.to_owned()))?;
        let gid = match self.group.number(name, 2) {
            Some(gid) => gid,
            None => self.make_group(name, uid),
        };
        let home = format!("{}/{name}", defaults.homes);
        let shell = account.shell.as_deref().unwrap_or(&defaults.shell);
        let password = if self.shadow.is_some() { "x" } else { NO_PASSWORD };
        self.passwd
            .add(format!("{name}:{password}:{uid}:{gid}::{home}:{shell}"));
        Ok(Entry {
            owner: Owner { uid, gid },
            home,
            is_new: true,
        })
    }

    fn existing(&self, name: &str) -> Result<Option<Entry>, CustomizeError> {
        if !self.passwd.has(name) {
            return Ok(None);
        }
        let numbers = self.passwd.number(name, 2).zip(self.passwd.number(name, 3));
        let home = self.passwd.field(name, 5).filter(|home| home.starts_with('/'));
        let ((uid, gid), home) = numbers
            .zip(home)
            .ok_or_else(|| CustomizeError::Entry(name.to_owned()))?;
        Ok(Some(Entry {
            owner: Owner { uid, gid },
            home: home.to_owned(),
            is_new: false,
        }))
    }

    /// The lowest number of the range for people that neither a user nor a group has.
    fn free_id(&self, defaults: &Defaults) -> Option<u32> {
        let (users, groups) = (self.passwd.numbers(2), self.group.numbers(2));
        defaults
            .ids
            .clone()
            .find(|id| !users.contains(id) && !groups.contains(id))
    }

    fn make_group(&mut self, name: &str, gid: u32) -> u32 {
        self.group.add(format!("{name}:x:{gid}:"));
        if let Some(gshadow) = &mut self.gshadow {
            gshadow.add(format!("{name}:!::"));
        }
        gid
    }

    /// Gives an account the password and the shell that the plan says.
    fn settle(&mut self, account: &Account, family: Family) {
        let name = account.name.as_str();
        if let Some(shell) = &account.shell {
            self.passwd.set(name, 6, shell);
        }
        let field = 1;
        let table = self.shadow.as_mut().unwrap_or(&mut self.passwd);
        if !table.has(name) {
            // Without a day of the last change a password never grows old.
            table.add(format!("{name}:{NO_PASSWORD}::0:99999:7:::"));
        }
        if let Some(password) = &account.password {
            table.set(name, field, password.expose());
        } else if family == Family::Alpine
            && !account.keys.is_empty()
            && table.field(name, field).is_some_and(is_locked)
        {
            // Its sshd runs without PAM, and lets nobody in whose account is locked.
            table.set(name, field, NO_PASSWORD);
        }
    }

    /// Puts an account into its groups, which are made where they are missing.
    fn join(&mut self, account: &Account, defaults: &Defaults) -> Result<(), CustomizeError> {
        for group in &account.groups {
            if !self.group.has(group) {
                let gid = self
                    .free_id(defaults)
                    .ok_or_else(|| CustomizeError::NoId(group.clone()))?;
                self.make_group(group, gid);
            }
            self.group.add_member(group, &account.name);
            if let Some(gshadow) = &mut self.gshadow {
                gshadow.add_member(group, &account.name);
            }
        }
        Ok(())
    }

    fn write(self, draft: &mut Draft<'_>) -> Result<(), CustomizeError> {
        let tables = [
            (PASSWD, Some(self.passwd), READABLE),
            (SHADOW, self.shadow, 0o640),
            (GROUP, Some(self.group), READABLE),
            (GSHADOW, self.gshadow, 0o640),
        ];
        for (path, table, mode) in tables {
            if let Some(table) = table {
                draft.edit(path, mode, |_| table.text())?;
            }
        }
        Ok(())
    }
}

/// Gives a new account ids of its own for containers, where the system has such tables.
fn subordinate(draft: &mut Draft<'_>, name: &str) -> Result<(), CustomizeError> {
    for path in SUBORDINATE {
        let Some(old) = draft.text(path)? else { continue };
        let end = |line: &str| {
            let mut fields = line.split(':').skip(1).map(|field| field.parse::<u64>().ok());
            fields.next()??.checked_add(fields.next()??)
        };
        let is_there = old.lines().any(|line| line.split(':').next() == Some(name));
        if !is_there {
            let first = old.lines().filter_map(end).fold(SUBORDINATE_FIRST, u64::max);
            draft.edit(path, READABLE, |old| {
                format!("{old}{name}:{first}:{SUBORDINATE_COUNT}\n")
            })?;
        }
    }
    Ok(())
}

/// Whether a field of shadow(5) is a lock and no password behind it.
fn is_locked(field: &str) -> bool {
    field.starts_with('!') && field.trim_start_matches('!').trim_start_matches('*').is_empty()
}

#[cfg(test)]
mod tests;
