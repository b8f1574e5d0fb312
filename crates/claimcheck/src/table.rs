//! Tables of plain text: columns aligned, nothing at the end of a line.

/// Lines of aligned columns, the first row being the header.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect()
}

/// Takes a header from literals.
pub(crate) fn header<const N: usize>(names: [&str; N]) -> [String; N] {
    names.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_bare() {
        let rows = [
            header(["ID", "NAME"]),
            header(["B01", "x"]),
            header(["é", ""]),
        ];
        assert_eq!(aligned(&rows), ["ID   NAME", "B01  x", "é"]);
    }
}
