//! Aligned columns. Numbers to the right, everything else to the left, the last column cut to the terminal.

use super::ink::{bold, cut, flat, width};

/// Between two columns.
const GAP: usize = 2;
/// The last column keeps at least this many columns, however narrow the terminal is.
const LAST_MIN: usize = 16;

/// Rows under a head.
#[derive(Debug)]
pub(super) struct Table {
    head: Vec<(&'static str, bool)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Columns by their heads; a head that begins with `>` is of a column of numbers.
    pub(super) fn new(head: &[&'static str]) -> Self {
        let head = head.iter().map(|h| h.strip_prefix('>').map_or((*h, false), |rest| (rest, true))).collect();
        Self { head, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.head.len());
        self.rows.push(cells.iter().map(|c| flat(c)).collect());
    }

    /// With a line end after each row.
    pub(super) fn render(&self, columns: Option<usize>) -> String {
        let widest = |index: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(index)).map(|cell| width(cell)).max().unwrap_or(0);
            cells.max(self.head[index].0.len())
        };
        let widths: Vec<usize> = (0..self.head.len()).map(widest).collect();
        let before: usize = widths.iter().take(widths.len().saturating_sub(1)).map(|w| w + GAP).sum();
        let last_max = columns.map(|c| c.saturating_sub(before).max(LAST_MIN));
        let mut out = String::new();
        let head: Vec<String> = self.head.iter().map(|(name, _)| bold(name)).collect();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            for (index, cell) in row.iter().enumerate() {
                let is_last = index + 1 == row.len();
                let cell = match last_max.filter(|_| is_last) {
                    Some(most) => cut(cell, most),
                    None => cell.clone(),
                };
                let pad = " ".repeat(widths[index].saturating_sub(width(&cell)));
                match (self.head[index].1, is_last) {
                    (true, _) => line.push_str(&(pad + &cell)),
                    (false, true) => line.push_str(&cell),
                    (false, false) => line.push_str(&(cell + &pad)),
                }
                if !is_last {
                    line.push_str(&" ".repeat(GAP));
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::ink::finish;
    use super::*;

    #[test]
    fn columns_line_up_and_the_last_one_is_cut_to_the_terminal() {
        let mut table = Table::new(&["NAME", ">SIZE", "WHAT"]);
        table.row(vec!["a".into(), "1".into(), "short".into()]);
        table.row(vec!["longer".into(), "1000".into(), "a text that is longer\nthan the terminal is wide".into()]);
        insta::assert_snapshot!(finish(&table.render(Some(36)), false), @r"
        NAME    SIZE  WHAT
        a          1  short
        longer  1000  a text that is longer…
        ");
    }
}
