//! Aligned columns.

/// Lines of aligned columns, two blanks apart, without blanks at their ends.
pub(super) fn columns<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let width = |at: usize| {
        rows.iter()
            .map(|row| row[at].chars().count())
            .chain([head[at].chars().count()])
            .max()
            .unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    let mut line = |cells: [&str; N]| {
        let cells: Vec<String> = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    };
    line(head);
    for row in rows {
        line(std::array::from_fn(|at| row[at].as_str()));
    }
    text
}

/// `1 volume`, `2 volumes`.
pub(super) fn count(number: usize, one: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {one}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            ["a".to_owned(), "bbb".to_owned()],
            ["ccc".to_owned(), String::new()],
        ];
        assert_eq!(columns(["X", "Y"], &rows), "X    Y\na    bbb\nccc\n");
    }

    #[test]
    fn one_has_no_plural() {
        assert_eq!(
            (count(1, "volume"), count(0, "volume")),
            ("1 volume".to_owned(), "0 volumes".to_owned())
        );
    }
}
