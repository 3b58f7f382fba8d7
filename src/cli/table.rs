//! Aligned columns of text.

use std::fmt;

/// Where the text of a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A column: columns next to each other that share a group stand closer, under its name.
pub(crate) struct Column {
    pub(crate) group: &'static str,
    pub(crate) title: &'static str,
    pub(crate) align: Align,
}

/// A table with a cell per column in every row.
pub(crate) struct Table<const N: usize> {
    pub(crate) columns: [Column; N],
    pub(crate) rows: Vec<[String; N]>,
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        if self.columns.iter().any(|column| !column.group.is_empty()) {
            writeln!(f, "{}", self.groups(&widths).trim_end())?;
        }
        let titles = self.columns.each_ref().map(|column| column.title.to_owned());
        for row in std::iter::once(&titles).chain(&self.rows) {
            let cells = (0..N).map(|i| self.gap(i).to_owned() + &self.cell(i, &row[i], widths[i]));
            writeln!(f, "{}", cells.collect::<String>().trim_end())?;
        }
        Ok(())
    }
}

impl<const N: usize> Table<N> {
    fn widths(&self) -> [usize; N] {
        let mut widths = self.columns.each_ref().map(|column| column.title.chars().count());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        widths
    }

    fn gap(&self, i: usize) -> &'static str {
        let joined = |i: usize| {
            let (group, before) = (self.columns[i].group, self.columns[i - 1].group);
            !group.is_empty() && group == before
        };
        match i {
            0 => "",
            i if joined(i) => " ",
            _ => "  ",
        }
    }

    fn cell(&self, i: usize, text: &str, width: usize) -> String {
        match self.columns[i].align {
            Align::Left => format!("{text:<width$}"),
            Align::Right => format!("{text:>width$}"),
        }
    }

    /// The line of group names, each from where its first column begins.
    fn groups(&self, widths: &[usize; N]) -> String {
        let mut line = String::new();
        let (mut at, mut before) = (0, "");
        for (i, column) in self.columns.iter().enumerate() {
            at += self.gap(i).len();
            if column.group != before {
                line += &" ".repeat(at - line.chars().count().min(at));
                line += column.group;
            }
            (at, before) = (at + widths[i], column.group);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_groups_stand_above_them() {
        let column = |group, title, align| Column { group, title, align };
        let table = Table {
            columns: [
                column("", "op", Align::Left),
                column("loops", "k", Align::Right),
                column("loops", "row", Align::Right),
                column("", "µs", Align::Right),
            ],
            rows: vec![
                ["ffn_up".to_owned(), "8".to_owned(), "16".to_owned(), "1208".to_owned()],
                ["qk".to_owned(), "80".to_owned(), "4".to_owned(), "×".to_owned()],
            ],
        };
        let expected = [
            "        loops",
            "op       k row    µs",
            "ffn_up   8  16  1208",
            "qk      80   4     ×",
            "",
        ];
        assert_eq!(table.to_string(), expected.join("\n"));
    }
}
