//! A roster: `name,mac,ip`, one VM a line. Pure: text in, rows or all its problems out.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;

use csv::{ReaderBuilder, StringRecord, Trim};

use crate::control::ImportRow;
use crate::model::{VmName, mac};

/// What is wrong with one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    line: u64,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

const COLUMNS: [&str; 3] = ["name", "mac", "ip"];

/// Reads a roster. Blank lines and lines that start with `#` are skipped.
///
/// A line is a record: no field may hold a line end, so that an open quote spoils its own line and not the rest.
pub(super) fn parse(text: &str) -> Result<Vec<ImportRow>, Vec<Problem>> {
    let mut roster = Roster::default();
    // Spreadsheets put a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut columns: Option<Vec<usize>> = None;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        match fields(line) {
            Err(what) => roster.problem(number, what),
            Ok(record) => match &columns {
                Some(columns) => roster.take(number, &record, columns),
                None => match header(&record) {
                    Some(Ok(named)) => columns = Some(named),
                    Some(Err(what)) => return Err(vec![Problem { line: number, what }]),
                    None => roster.take(number, &record, columns.insert(vec![0, 1, 2])),
                },
            },
        }
    }
    if roster.problems.is_empty() {
        Ok(roster.rows)
    } else {
        Err(roster.problems)
    }
}

fn fields(line: &str) -> Result<StringRecord, String> {
    // Making a reader takes longer than reading a line; most lines do not need one.
    if !line.contains('"') {
        return Ok(line.split(',').map(str::trim).collect());
    }
    let mut record = StringRecord::new();
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .buffer_capacity(256)
        .from_reader(line.as_bytes());
    match reader.read_record(&mut record) {
        Ok(_) => Ok(record),
        Err(error) => Err(error.to_string()),
    }
}

/// Which column is which, when the first line says so: for each field, its index in [`COLUMNS`].
fn header(record: &StringRecord) -> Option<Result<Vec<usize>, String>> {
    let is_header = record.iter().any(|field| field.eq_ignore_ascii_case("name"));
    is_header.then(|| {
        let mut columns = Vec::new();
        for field in record {
            let known = COLUMNS
                .iter()
                .position(|column| field.eq_ignore_ascii_case(column));
            match known {
                Some(column) if columns.contains(&column) => {
                    return Err(format!("column `{field}` is there twice"));
                }
                Some(column) => columns.push(column),
                None => {
                    let field = field.escape_debug();
                    return Err(format!(
                        "column `{field}` is not known; there are name, mac and ip"
                    ));
                }
            }
        }
        Ok(columns)
    })
}

/// The rows so far, and where each value was seen first.
#[derive(Debug, Default)]
struct Roster {
    rows: Vec<ImportRow>,
    problems: Vec<Problem>,
    seen: HashMap<String, u64>,
}

impl Roster {
    fn problem(&mut self, line: u64, what: String) {
        self.problems.push(Problem { line, what });
    }

    fn take(&mut self, line: u64, record: &StringRecord, columns: &[usize]) {
        if record.len() > columns.len() {
            let (count, most) = (record.len(), columns.len());
            self.problem(
                line,
                format!("{count} fields where at most {most} are expected (name,mac,ip)"),
            );
            return;
        }
        let field = |column: usize| {
            let index = columns.iter().position(|other| *other == column)?;
            record.get(index).filter(|field| !field.is_empty())
        };
        let name = self.checked(line, field(0).unwrap_or_default(), |text| {
            text.parse::<VmName>().map(|name| name.to_string())
        });
        let mac = field(1).map(|text| self.checked(line, text, |text| mac::parse(text).map(mac::text)));
        let ip = field(2).map(|text| {
            self.checked(line, text, |text| {
                text.parse::<Ipv4Addr>()
                    .map(|ip| ip.to_string())
                    .map_err(|_| format!("`{}` is not an IPv4 address", text.escape_debug()))
            })
        });
        // What is wrong was noted; such a row is never sent.
        if let (Some(name), None | Some(Some(_)), None | Some(Some(_))) = (name, &mac, &ip) {
            self.rows.push(ImportRow {
                line,
                name,
                mac: mac.flatten(),
                ip: ip.flatten(),
                aliases: Vec::new(),
            });
        }
    }

    /// The value as it is meant, unless it is wrong or was seen before; that is noted.
    fn checked<E: fmt::Display>(
        &mut self,
        line: u64,
        text: &str,
        meant: impl FnOnce(&str) -> Result<String, E>,
    ) -> Option<String> {
        match meant(text) {
            Err(error) => {
                self.problem(line, error.to_string());
                None
            }
            Ok(value) => {
                if let Some(first) = self.seen.get(&value) {
                    self.problem(line, format!("{value} is already on line {first}"));
                    return None;
                }
                self.seen.insert(value.clone(), line);
                Some(value)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_roster_is_read_with_and_without_a_header() {
        let plain = parse("web1,52-54-00-AA-BB-01,10.0.0.1\n\n# a comment\nweb2,,10.0.0.2\nweb3\n").unwrap();
        let row = |line, name: &str, mac: Option<&str>, ip: Option<&str>| ImportRow {
            line,
            name: name.to_owned(),
            mac: mac.map(str::to_owned),
            ip: ip.map(str::to_owned),
            aliases: Vec::new(),
        };
        assert_eq!(
            plain,
            [
                row(1, "web1", Some("52:54:00:aa:bb:01"), Some("10.0.0.1")),
                row(4, "web2", None, Some("10.0.0.2")),
                row(5, "web3", None, None),
            ]
        );
        let headed = parse("\u{feff}IP, Name\r\n10.0.0.1, web1\r\n,\"web2\"\r\n").unwrap();
        assert_eq!(
            headed,
            [row(2, "web1", None, Some("10.0.0.1")), row(3, "web2", None, None)]
        );
        assert_eq!(parse("name,mac,ip\n"), Ok(Vec::new()));
    }

    #[test]
    fn every_problem_is_told_with_its_line() {
        let told = problems(
            "name,mac,ip\nweb1,nonsense,10.0.0.999\nWeb_2\nweb3,,10.0.0.3,more\nweb4,,10.0.0.4\nweb4,,10.0.0.4\n,,10.0.0.5\n",
        );
        let lines: Vec<_> = told.iter().map(|text| text.split(':').next().unwrap()).collect();
        assert_eq!(
            lines,
            [
                "line 2", "line 2", "line 3", "line 4", "line 6", "line 6", "line 7"
            ],
            "{told:#?}"
        );
        assert_eq!(told[4], "line 6: web4 is already on line 5");
        assert_eq!(told[5], "line 6: 10.0.0.4 is already on line 5");
        assert_eq!(
            problems("name,owner\n"),
            ["line 1: column `owner` is not known; there are name, mac and ip"]
        );
        assert_eq!(problems("name,name\n"), ["line 1: column `name` is there twice"]);
    }

    #[test]
    fn an_open_quote_spoils_only_its_own_line() {
        let told = problems("\"web1,,10.0.0.1\nweb2,,10.0.0.2\nweb3,,10.0.0.2\n");
        assert_eq!(told.len(), 2, "{told:#?}");
        assert!(told[0].starts_with("line 1:"), "{told:#?}");
        assert!(told[1].starts_with("line 3:"), "{told:#?}");
    }

    #[test]
    fn fifty_thousand_lines_are_read() {
        let lines: Vec<_> = (0..50_000_u32)
            .map(|i| format!("vm{i}x,,{}", Ipv4Addr::from(0x0a00_0000 + i)))
            .collect();
        assert_eq!(parse(&lines.join("\n")).unwrap().len(), 50_000);
    }

    proptest! {
        #[test]
        fn any_text_is_rows_or_problems(text in "(?s)[\\PC\n\r,\"]{0,200}") {
            if let Err(problems) = parse(&text) {
                prop_assert!(!problems.is_empty());
            }
        }
    }
}
