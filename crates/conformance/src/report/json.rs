//! `report.json`: the report as it is.

use super::Report;

/// The report as indented JSON, with a final newline.
///
/// # Errors
/// Never for a report that was made by a run; the type says so because serialization can fail.
pub fn render(report: &Report) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}
