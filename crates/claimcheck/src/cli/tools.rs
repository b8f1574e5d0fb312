//! `claimcheck tools`: which binaries of clusters are there, and getting the rest.

mod progress;
mod purpose;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use anyhow::{Context as _, bail};
use camino::Utf8PathBuf;
use clap::Args;
use indicatif::DecimalBytes;
use testbed::tools::{Tool, ToolError, ToolOptions, ToolState, ToolStatus, Tools};

pub use progress::ToolProgress;
use purpose::Purpose;

/// Where tools may come from; for every command that needs them.
#[derive(Debug, Clone, Default, Args)]
pub struct ToolSources {
    /// Use this binary for a tool; may be given several times. Comes before the environment
    /// variable `CLAIMCHECK_TOOL_<NAME>`.
    #[arg(long = "tool", value_name = "NAME=PATH", value_parser = pair)]
    pub tools: Vec<(Tool, Utf8PathBuf)>,
    /// Try no official downloads.
    #[arg(long)]
    pub no_download: bool,
    /// Try no builds with Go.
    #[arg(long)]
    pub no_build: bool,
}

impl ToolSources {
    /// The options of the environment, changed by these flags.
    ///
    /// # Errors
    /// Those of [`ToolOptions::from_env`].
    pub fn options(self) -> Result<ToolOptions, ToolError> {
        let Self {
            tools,
            no_download,
            no_build,
        } = self;
        let mut options = ToolOptions::from_env()?;
        options.paths.extend(tools);
        options.download = !no_download;
        options.build = !no_build;
        Ok(options)
    }
}

/// Reads `NAME=PATH`.
fn pair(text: &str) -> Result<(Tool, Utf8PathBuf), String> {
    let (name, path) = text
        .split_once('=')
        .ok_or_else(|| "expected NAME=PATH, for instance etcd=/usr/bin/etcd".to_owned())?;
    let tool = name
        .parse::<Tool>()
        .map_err(|unknown| unknown.to_string())?;
    if path.is_empty() {
        return Err(format!("the path of `{tool}` is empty"));
    }
    Ok((tool, path.into()))
}

/// List the binaries of clusters, or get those that are missing.
#[derive(Debug, Clone, Default, Args)]
pub struct ToolsArgs {
    #[command(flatten)]
    sources: ToolSources,
    /// Get what is missing: official downloads first, builds with Go second. Without `--for`, what
    /// a `local` cluster needs.
    #[arg(long)]
    fetch: bool,
    /// Only these: `local`, `kind`, `node-image` (a node image that is built here), `packaging`
    /// (charts and overlays), or names of tools; several are separated by commas.
    #[arg(
        long = "for",
        value_name = "WHAT",
        value_delimiter = ',',
        value_parser = purpose::parse
    )]
    purposes: Vec<Purpose>,
    /// Compute the sha256 of each cached binary and compare it with its record.
    #[arg(long)]
    verify: bool,
    /// Write the list as JSON.
    #[arg(long)]
    json: bool,
}

/// Fetches if asked to, then writes the list to `out`. Progress goes to standard error.
///
/// Cancel safe: the caller drops it on a signal. Dropping the resolution is what stops Go, which
/// has a process group of its own and does not hear the terminal's interrupt.
///
/// # Errors
/// When a tool cannot be had, when a cached one is not as its record says, and when `out` cannot
/// be written.
pub async fn run(args: ToolsArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let ToolsArgs {
        sources,
        fetch,
        purposes,
        verify,
        json,
    } = args;
    let mut options = sources.options()?;
    if fetch {
        options.wanted = match purposes.as_slice() {
            [] => Purpose::Local.tools(),
            chosen => purpose::tools(chosen),
        };
        let progress = ToolProgress::stderr();
        Tools::resolve(&options, &progress).await?;
    }
    options.wanted = match purposes.as_slice() {
        [] => Tool::ALL.to_vec(),
        chosen => purpose::tools(chosen),
    };
    // Hashing half a gigabyte must not hold up the runtime.
    let list = tokio::task::spawn_blocking(move || Tools::list(&options, verify))
        .await
        .context("failed to list the tools")??;
    if json {
        serde_json::to_writer_pretty(&mut *out, &list)?;
        writeln!(out)?;
    } else {
        out.write_all(table(&list).as_bytes())?;
    }
    let damaged: Vec<_> = list
        .iter()
        .filter_map(|line| match &line.status {
            ToolState::Damaged { problem } => Some(format!("{}: {problem}", line.tool)),
            ToolState::Present(_) | ToolState::Missing => None,
        })
        .collect();
    if !damaged.is_empty() {
        bail!(
            "cached tools are damaged: {}; remove their directories and run `claimcheck tools --fetch \
             --for NAME`",
            damaged.join("; ")
        );
    }
    Ok(())
}

/// The list for people: a line for each tool, columns aligned, and what to do about missing ones.
fn table(list: &[ToolStatus]) -> String {
    let header = ["TOOL", "VERSION", "ORIGIN", "SIZE", "PATH"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(header)
        .chain(list.iter().map(|line| {
            let tool = line.tool.to_string();
            match &line.status {
                ToolState::Present(present) => [
                    tool,
                    present.version.clone().unwrap_or_else(|| "?".to_owned()),
                    present.origin.name().to_owned(),
                    DecimalBytes(present.size).to_string(),
                    present.path.to_string(),
                ],
                ToolState::Missing => [
                    tool,
                    line.wanted.to_owned(),
                    "missing".to_owned(),
                    "-".to_owned(),
                    "-".to_owned(),
                ],
                ToolState::Damaged { .. } => [
                    tool,
                    line.wanted.to_owned(),
                    "damaged".to_owned(),
                    "-".to_owned(),
                    "-".to_owned(),
                ],
            }
        }))
        .collect();
    let mut widths = BTreeMap::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let width = widths.entry(column).or_insert(0);
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<_> = row
            .iter()
            .enumerate()
            .map(|(column, cell)| format!("{cell:<width$}", width = widths[&column]))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    let missing: Vec<_> = list
        .iter()
        .filter(|line| line.status == ToolState::Missing)
        .map(|line| line.tool)
        .collect();
    if !missing.is_empty() {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "\n`claimcheck tools --fetch --for {}` gets what is missing; `run` and `up` get what \
             they need",
            purpose::covering(&missing).join(",")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use testbed::tools::{Origin, ResolvedTool};

    #[test]
    fn a_pair_names_a_tool_and_a_path() {
        assert_eq!(
            pair("etcd=/usr/bin/etcd=odd"),
            Ok((Tool::Etcd, "/usr/bin/etcd=odd".into()))
        );
        assert!(pair("etcd").unwrap_err().contains("NAME=PATH"));
        assert!(pair("etcd=").unwrap_err().contains("empty"));
        assert!(
            pair("kubctl=/x")
                .unwrap_err()
                .contains("did you mean `kubectl`?")
        );
    }

    #[test]
    fn the_table_aligns_and_says_what_to_do_about_missing_tools() {
        let list = [
            ToolStatus {
                tool: Tool::Etcd,
                wanted: "v3.6.8",
                status: ToolState::Present(ResolvedTool {
                    tool: Tool::Etcd,
                    path: "/cache/etcd".into(),
                    version: Some("v3.6.8".to_owned()),
                    origin: Origin::Build,
                    size: 26_501_282,
                    from: None,
                }),
            },
            ToolStatus {
                tool: Tool::Kubelet,
                wanted: "v1.36.3",
                status: ToolState::Missing,
            },
        ];
        assert_eq!(
            table(&list),
            "TOOL     VERSION  ORIGIN   SIZE      PATH\n\
             etcd     v3.6.8   build    26.50 MB  /cache/etcd\n\
             kubelet  v1.36.3  missing  -         -\n\
             \n\
             `claimcheck tools --fetch --for node-image` gets what is missing; `run` and `up` get \
             what they need\n"
        );
        assert!(!table(&list[..1]).contains("--fetch"));
    }
}
