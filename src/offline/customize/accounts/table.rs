//! A table of accounts: a line for each, of fields between colons, the name in the first (passwd(5), shadow(5), group(5)).
//! Lines that are none stay as they are. Pure.

use std::collections::BTreeSet;

/// The lines of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    lines: Vec<String>,
}

impl Table {
    /// The table of this text.
    pub(super) fn of(text: &str) -> Self {
        Self {
            lines: text.lines().map(str::to_owned).collect(),
        }
    }

    /// Its text.
    pub(super) fn text(&self) -> String {
        self.lines
            .iter()
            .fold(String::new(), |text, line| text + line + "\n")
    }

    /// Whether it has an entry of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.line(name).is_some()
    }

    /// A field of the entry of that name, counted from zero.
    pub(super) fn field(&self, name: &str, index: usize) -> Option<&str> {
        self.line(name)?.split(':').nth(index)
    }

    /// A number of the entry of that name.
    pub(super) fn number(&self, name: &str, index: usize) -> Option<u32> {
        self.field(name, index)?.parse().ok()
    }

    /// A number of all entries.
    pub(super) fn numbers(&self, index: usize) -> BTreeSet<u32> {
        let fields = self.lines.iter().filter_map(|line| line.split(':').nth(index));
        fields.filter_map(|field| field.parse().ok()).collect()
    }

    /// Sets a field of the entry of that name.
    pub(super) fn set(&mut self, name: &str, index: usize, value: &str) {
        let own = self.lines.iter_mut().find(|line| is_of(line, name));
        if let Some(line) = own {
            let mut fields: Vec<_> = line.split(':').collect();
            if let Some(field) = fields.get_mut(index) {
                *field = value;
                *line = fields.join(":");
            }
        }
    }

    /// Adds an entry, in front of those that refer to other tables (`+`, nsswitch.conf(5)): what is behind those does not count.
    pub(super) fn add(&mut self, line: String) {
        let end = self.lines.iter().position(|line| line.starts_with('+'));
        self.lines.insert(end.unwrap_or(self.lines.len()), line);
    }

    /// Adds a member to the list in the last field of a group's entry.
    pub(super) fn add_member(&mut self, group: &str, member: &str) {
        let Some(index) = self.line(group).map(|line| line.split(':').count() - 1) else {
            return;
        };
        let list = self.field(group, index).unwrap_or_default();
        if list.split(',').any(|name| name.trim() == member) {
            return;
        }
        let longer = if list.is_empty() {
            member.to_owned()
        } else {
            format!("{list},{member}")
        };
        self.set(group, index, &longer);
    }

    fn line(&self, name: &str) -> Option<&String> {
        self.lines.iter().find(|line| is_of(line, name))
    }
}

fn is_of(line: &str, name: &str) -> bool {
    line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "root:x:0:\nadm:x:4:syslog\nsudo:x:27:\n# a comment\n+:::\n";

    #[test]
    fn entries_are_found_changed_and_added_and_nothing_else_is_touched() {
        let mut table = Table::of(GROUP);
        assert_eq!(table.text(), GROUP);
        assert_eq!((table.number("adm", 2), table.number("ad", 2)), (Some(4), None));
        assert!(table.has("sudo") && !table.has("sud") && table.has("+"));
        table.add("ann:x:1000:".to_owned());
        table.set("ann", 2, "1001");
        table.set("nobody", 2, "7");
        assert_eq!(
            table.text(),
            "root:x:0:\nadm:x:4:syslog\nsudo:x:27:\n# a comment\nann:x:1001:\n+:::\n"
        );
        assert_eq!(table.numbers(2).into_iter().collect::<Vec<_>>(), [0, 4, 27, 1001]);
    }

    #[test]
    fn a_member_is_listed_once() {
        let mut table = Table::of(GROUP);
        for (group, member) in [("adm", "ann"), ("sudo", "ann"), ("adm", "ann"), ("none", "ann")] {
            table.add_member(group, member);
        }
        assert_eq!(table.field("adm", 3), Some("syslog,ann"));
        assert_eq!(table.field("sudo", 3), Some("ann"));
    }
}
