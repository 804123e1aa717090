//! What a scenario tells: a table of what happened and was measured, and whether all of it is right.

use std::fmt;

/// Rows and failures of one scenario.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<(String, String)>,
    failures: Vec<String>,
}

impl Report {
    /// A row of the table.
    pub(crate) fn tell(&mut self, what: impl Into<String>, value: impl fmt::Display) {
        self.rows.push((what.into(), value.to_string()));
    }

    /// A row, and a failure unless `holds`.
    pub(crate) fn expect(&mut self, holds: bool, what: &str, value: impl fmt::Display) {
        if !holds {
            self.failures.push(format!("{what}: {value}"));
        }
        self.tell(what, value);
    }

    /// A failure without a row.
    pub(crate) fn fail(&mut self, why: impl Into<String>) {
        self.failures.push(why.into());
    }

    /// Whether nothing failed.
    pub(crate) fn is_passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// Takes over the rows and failures of `other`, each named after `part`.
    pub(crate) fn absorb(&mut self, part: &str, other: Self) {
        self.rows.extend(other.rows.into_iter().map(|(what, value)| {
            let what = format!("{part}: {what}");
            (what, value)
        }));
        self.failures.extend(other.failures.into_iter().map(|why| format!("{part}: {why}")));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0);
        for (what, value) in &self.rows {
            writeln!(f, "  {what:width$}  {value}")?;
        }
        for why in &self.failures {
            writeln!(f, "  failed: {why}")?;
        }
        Ok(())
    }
}

/// A table with a heading and aligned columns.
#[derive(Debug)]
pub(crate) struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self { lines: vec![heading.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    pub(crate) fn line(&mut self, cells: Vec<String>) {
        self.lines.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column_count = self.lines.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..column_count).map(width).collect();
        for line in &self.lines {
            let cells: Vec<String> =
                line.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
            writeln!(f, "{}", cells.join("  "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_that_does_not_hold_fails_the_report() {
        let mut report = Report::default();
        report.expect(true, "lost", 0);
        assert!(report.is_passed());
        report.expect(false, "doubled", 2);
        assert!(!report.is_passed());
        assert_eq!(report.to_string(), "  lost     0\n  doubled  2\n  failed: doubled: 2\n");
        let mut whole = Report::default();
        whole.absorb("first", report);
        assert!(!whole.is_passed());
        assert!(whole.to_string().contains("first: doubled  2"), "{whole}");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["clients", "puts/s"]);
        table.line(vec!["1".into(), "12345678".into()]);
        assert_eq!(table.to_string(), "clients    puts/s\n      1  12345678\n");
    }
}
