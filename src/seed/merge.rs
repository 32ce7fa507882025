//! What cloud-init of a guest ends with: the settings of the site, the template and the user's user-data merged by cloud-init's own
//! rules, and what else is in them in the order it runs. Nothing of this is served; it is to be looked at.
//!
//! ```text
//!   site, template   the parts of one vendor-data: the later replaces, key by key     (handlers/cloud_config.py)
//!   user-data        over that: its keys stay, and mappings are joined                (helpers.py, util.mergemanydict)
//! ```

mod emit;
mod mergers;
mod running;

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::rc::Rc;

use self::mergers::Mergers;
use super::parts::{self, Part};
use super::yaml::{self, Entry, Node, Value};

/// The most values a cloud-config may stand for, with its aliases: a few lines could stand for more than there is memory.
const MOST: usize = 100_000;

/// Whose a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Site,
    Template,
    User,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Site => "the site",
            Self::Template => "the template",
            Self::User => "the user-data",
        })
    }
}

/// The documents of a VM.
#[derive(Debug, Clone, Copy)]
pub(super) struct Documents<'a> {
    /// The site's vendor-data; may be empty.
    pub(super) site: &'a [u8],
    /// What its template says.
    pub(super) template: &'a [u8],
    /// The user's user-data; may be empty.
    pub(super) user: &'a [u8],
}

/// A part and whose it is.
#[derive(Debug)]
struct Owned {
    source: Source,
    part: Part,
}

impl Owned {
    /// How it is called in comments.
    fn told(&self) -> String {
        format!("{} of {}", self.part.name, self.source)
    }
}

/// The settings that come of one document, or of all, and whose each is.
#[derive(Debug, Default)]
struct Settings {
    entries: Vec<Entry>,
    sources: Vec<(Rc<Node>, BTreeSet<Source>)>,
}

/// All of it as a cloud-config with comments.
pub(super) fn shown(vm: &str, documents: Documents<'_>) -> String {
    let user = taken_apart(&[(Source::User, documents.user)]);
    let mut vendor = taken_apart(&[
        (Source::Site, documents.site),
        (Source::Template, documents.template),
    ]);
    let mut notes = Vec::new();
    let of_user = Settings::of(&user, &mut notes);
    if let Some(excluded) = of_user.excluded() {
        vendor.retain(|owned| !excluded.contains(&owned.part.kind));
    } else {
        notes.push("the user-data switches vendor-data off (vendor_data): nothing of the site and the template counts".to_owned());
        vendor.clear();
    }
    let of_vendor = Settings::of(&vendor, &mut notes);
    let all = of_user.over(of_vendor, &mut notes);
    let mut text = format!(
        "#cloud-config\n# What cloud-init of {vm} ends with, as it merges the site, the template and the user-data itself. The settings of\n\
         # the image (/etc/cloud) come under these.\n"
    );
    for note in notes {
        // Writing to a String can not fail.
        let _infallible = writeln!(text, "# Not followed: {}", comment(&note));
    }
    for entry in &all.entries {
        let _infallible = write!(text, "\n# from {}\n{}", all.told(&entry.key), emit::entry(entry));
    }
    running::add(&mut text, &user, &vendor, &all);
    text
}

fn taken_apart(documents: &[(Source, &[u8])]) -> Vec<Owned> {
    let mut parts = Vec::new();
    let mut owned: Vec<Source> = Vec::new();
    for (source, document) in documents {
        parts::add_document(&mut parts, document);
        owned.resize(parts.len(), *source);
    }
    owned
        .into_iter()
        .zip(parts)
        .map(|(source, part)| Owned { source, part })
        .collect()
}

/// On one line.
fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

impl Settings {
    /// What the cloud-configs among the parts say together.
    fn of(parts: &[Owned], notes: &mut Vec<String>) -> Self {
        let mut settings = Self::default();
        for owned in parts {
            let merged = match &*owned.part.kind {
                parts::CLOUD_CONFIG => settings.merge_part(owned),
                other => unread(other).map_or(Ok(()), |why| Err(why.to_owned())),
            };
            if let Err(why) = merged {
                notes.push(format!("{}: {why}", owned.told()));
            }
        }
        settings
    }

    /// Merges a cloud-config into what was there; the later replaces, unless it says otherwise itself.
    fn merge_part(&mut self, owned: &Owned) -> Result<(), String> {
        let text = std::str::from_utf8(&owned.part.content).map_err(|_| "it is no UTF-8 text")?;
        let Some(read) = yaml::read(text)? else {
            return Ok(());
        };
        count(&read, &mut 0)?;
        let Value::Map(entries) = &read.value else {
            return Err("it is no mapping of keys to values, and so ignored by cloud-init".to_owned());
        };
        let mut entries = entries.clone();
        let own = Mergers::taken_from(&mut entries)?.unwrap_or_default();
        let own = own.or(Mergers::parse(&owned.part.merge_type)?);
        let mergers = if own.is_empty() {
            Mergers::parse(mergers::OF_PARTS)?
        } else {
            own
        };
        let source = BTreeSet::from([owned.source]);
        self.merge(&mergers, &entries, |_| source.clone())
    }

    /// Merges entries into these; `source` tells whose each is.
    fn merge(
        &mut self,
        mergers: &Mergers,
        entries: &[Entry],
        source: impl Fn(&Node) -> BTreeSet<Source>,
    ) -> Result<(), String> {
        let node = |entries: &[Entry]| Node::of(Value::Map(entries.to_vec()));
        let merged = mergers.merge(&node(&self.entries), &node(entries))?;
        let Value::Map(merged) = &merged.value else {
            return Ok(());
        };
        let find = |list: &[Entry], key: &Node| {
            let found = list.iter().find(|known| known.key.is_key(key));
            found.map(|known| Rc::clone(&known.value))
        };
        for Entry { key, value, .. } in merged {
            let (old, new) = (find(&self.entries, key), find(entries, key));
            if old.as_ref() == Some(value) {
                continue;
            }
            let mut sources = source(key);
            if new.as_ref() != Some(value) {
                sources.extend(self.sources_of(key));
            }
            self.sources.retain(|(known, _)| !known.is_key(key));
            self.sources.push((Rc::clone(key), sources));
        }
        self.entries.clone_from(merged);
        Ok(())
    }

    fn sources_of(&self, key: &Node) -> BTreeSet<Source> {
        let known = self.sources.iter().find(|(known, _)| known.is_key(key));
        known.map(|(_, sources)| sources.clone()).unwrap_or_default()
    }

    /// Whose the value of a key is.
    fn told(&self, key: &Node) -> String {
        let sources: Vec<_> = self.sources_of(key).iter().map(Source::to_string).collect();
        sources.join(" and ")
    }

    /// The types of parts that the user wants ignored in vendor-data; `None` where all of it is to be (`stages.py`).
    fn excluded(&self) -> Option<Vec<String>> {
        let Some(wanted) = yaml::find(&self.entries, "vendor_data") else {
            return Some(Vec::new());
        };
        let Value::Map(_) = wanted.value else { return None };
        let is_on = wanted.get("enabled").is_none_or(|enabled| match &enabled.value {
            Value::Scalar(scalar) => ["1", "true", "yes", "on"].contains(&&*scalar.text.to_lowercase()),
            Value::List(_) | Value::Map(_) | Value::Unknown(_) => false,
        });
        let kinds = match wanted.get("disabled_handlers").map(|kinds| &kinds.value) {
            Some(Value::List(kinds)) => {
                let kinds = kinds.iter().filter_map(|kind| kind.text());
                kinds.map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        is_on.then_some(kinds)
    }

    /// These settings, and under them those.
    fn over(mut self, other: Self, notes: &mut Vec<String>) -> Self {
        let mut all = Self::default();
        for mut settings in [std::mem::take(&mut self), other] {
            let merged = Mergers::taken_from(&mut settings.entries)
                .map(|own| own.filter(|own| !own.is_empty()))
                .and_then(|own| own.map_or_else(|| Mergers::parse(mergers::OF_DOCUMENTS), Ok))
                .and_then(|mergers| all.merge(&mergers, &settings.entries, |key| settings.sources_of(key)));
            if let Err(why) = merged {
                notes.push(why);
            }
        }
        all
    }
}

/// Counts the values that one stands for, and finds what can not be followed among them.
fn count(node: &Node, values: &mut usize) -> Result<(), String> {
    *values += 1;
    if *values > MOST {
        return Err("it stands for more values than are followed".to_owned());
    }
    match &node.value {
        Value::Scalar(_) => Ok(()),
        Value::List(items) => items.iter().try_for_each(|item| count(item, values)),
        Value::Map(entries) => entries.iter().try_for_each(|entry| {
            count(&entry.key, values)?;
            count(&entry.value, values)
        }),
        Value::Unknown(why) => Err(why.clone()),
    }
}

/// Why what is in a part is not looked at, where it may hold settings.
fn unread(kind: &str) -> Option<&'static str> {
    match kind {
        parts::COMPRESSED => Some("it is compressed"),
        parts::INCLUDE | parts::INCLUDE_ONCE => Some("the guest fetches what it names"),
        parts::JSON_PATCH => Some("it patches the settings that were there before it"),
        parts::JINJA => Some("the guest fills it in (jinja)"),
        parts::PART_HANDLER => Some("it handles parts of a kind of its own"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
