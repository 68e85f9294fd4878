//! Rows of text under each other, for terminals.

/// Rows of cells, the first cell of each to the left and the others to the right.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    rows: Vec<Vec<String>>,
}

impl Columns {
    /// With the first row.
    pub(crate) fn with_head(head: &[&str]) -> Columns {
        let head = head.iter().map(|cell| (*cell).to_owned()).collect();
        Columns { rows: vec![head] }
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// All rows, a line each, as wide as their widest cells need.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        self.rows.iter().map(|row| line(row, &widths)).collect()
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        if at == 0 {
            line += &format!("{cell:<width$}");
        } else {
            line += &format!("  {cell:>width$}");
        }
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::Columns;

    #[test]
    fn cells_stand_under_each_other() {
        let mut columns = Columns::with_head(&["", "p50", "p99"]);
        columns.add(vec!["latency".into(), "59.1 us".into(), "1.25 ms".into()]);
        columns.add(vec!["é".into(), "1 ns".into()]);
        let expected = "             p50      p99\n\
                        latency  59.1 us  1.25 ms\n\
                        é           1 ns\n";
        assert_eq!(columns.text(), expected);
        assert_eq!(Columns::default().text(), "");
    }
}
