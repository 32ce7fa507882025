//! A CSV roster: `name,mac,ip`, one VM a line.

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{Entry, Problem, Read, Roster};

const COLUMNS: [&str; 3] = ["name", "mac", "ip"];

/// Reads a roster. Blank lines and lines that start with `#` are skipped.
///
/// A line is a record: no field may hold a line end, so that an open quote spoils its own line and not the rest.
pub(in crate::cli) fn parse(text: &str) -> Result<Read, Vec<Problem>> {
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
                Some(columns) => take(&mut roster, number, &record, columns),
                None => match header(&record) {
                    Some(Ok(named)) => columns = Some(named),
                    Some(Err(what)) => return Err(vec![Problem { line: number, what }]),
                    None => take(&mut roster, number, &record, columns.insert(vec![0, 1, 2])),
                },
            },
        }
    }
    roster.done()
}

fn take(roster: &mut Roster, line: u64, record: &StringRecord, columns: &[usize]) {
    if record.len() > columns.len() {
        let (count, most) = (record.len(), columns.len());
        let what = format!("{count} fields where at most {most} are expected (name,mac,ip)");
        return roster.problem(line, what);
    }
    let field = |column: usize| {
        let index = columns.iter().position(|other| *other == column)?;
        record.get(index).filter(|field| !field.is_empty())
    };
    roster.add(&Entry {
        line,
        names: vec![field(0).unwrap_or_default().to_owned()],
        mac: field(1),
        ip: field(2),
    });
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::net::Ipv4Addr;

    use super::*;
    use crate::control::ImportRow;

    fn rows(text: &str) -> Vec<ImportRow> {
        parse(text).unwrap().rows
    }

    fn problems(text: &str) -> Vec<String> {
        parse(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_roster_is_read_with_and_without_a_header() {
        let plain = rows("web1,52-54-00-AA-BB-01,10.0.0.1\n\n# a comment\nweb2,,10.0.0.2\nweb3\n");
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
        let headed = rows("\u{feff}IP, Name\r\n10.0.0.1, web1\r\n,\"web2\"\r\n");
        assert_eq!(
            headed,
            [row(2, "web1", None, Some("10.0.0.1")), row(3, "web2", None, None)]
        );
        assert_eq!(rows("name,mac,ip\n"), []);
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
        assert_eq!(rows(&lines.join("\n")).len(), 50_000);
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
