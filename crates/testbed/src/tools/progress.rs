//! What happens while tools are fetched, for whoever shows it.

use std::time::Duration;

use super::set::Origin;

/// What is being done for a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Another run works on the same tool; this one waits for it.
    Waiting,
    /// The official download.
    Download,
    /// Taking the binary out of the downloaded archive.
    Unpack,
    /// A build from the Go module.
    Build,
}

impl Stage {
    /// The stage as a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Download => "download",
            Self::Unpack => "unpack",
            Self::Build => "build",
        }
    }
}

/// One thing that happened to a tool, or to a Go command that is built like one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolEvent {
    /// A stage began; the detail is an address or a package.
    Started {
        /// The stage.
        stage: Stage,
        /// What it works on.
        detail: String,
    },
    /// So much of a download has arrived.
    Bytes {
        /// Bytes so far.
        done: u64,
        /// Bytes in all, when the server says so.
        total: Option<u64>,
    },
    /// A stage is still at work. Comes at least every five seconds in stages without bytes.
    StillAt {
        /// The stage.
        stage: Stage,
        /// Since it began.
        elapsed: Duration,
        /// The last line it said, if any.
        line: Option<String>,
    },
    /// Something to know that does not end the search, for instance a source that gave nothing.
    Warning(String),
    /// The tool is there.
    Finished {
        /// Where it came from.
        origin: Origin,
        /// Since work on it began.
        elapsed: Duration,
    },
}

/// Receives events. Called from several tasks at once; must not block.
pub trait Progress: Send + Sync {
    /// Something happened to the tool or command with the file name `name`.
    fn on(&self, name: &str, event: ToolEvent);
}

impl<F: Fn(&str, ToolEvent) + Send + Sync> Progress for F {
    fn on(&self, name: &str, event: ToolEvent) {
        self(name, event);
    }
}

/// Tells what matters in lines, to a callback that takes one line at a time: beginnings, warnings,
/// signs of life, ends. The bytes of downloads are left out.
#[derive(Clone, Copy)]
pub struct Lines<'a>(pub &'a (dyn Fn(&str) + Send + Sync));

impl Progress for Lines<'_> {
    fn on(&self, name: &str, event: ToolEvent) {
        let text = match event {
            ToolEvent::Started { stage, detail } => format!("{} {detail}", stage.name()),
            ToolEvent::StillAt { stage, elapsed, .. } => {
                format!("still at {} after {} s", stage.name(), elapsed.as_secs())
            }
            ToolEvent::Warning(text) => text,
            ToolEvent::Finished { origin, elapsed } => {
                format!(
                    "there by {} after {:.1} s",
                    origin.name(),
                    elapsed.as_secs_f64()
                )
            }
            ToolEvent::Bytes { .. } => return,
        };
        (self.0)(&format!("{name}: {text}"));
    }
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn on(&self, _name: &str, _event: ToolEvent) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn lines_tell_what_matters_and_no_bytes() {
        let told = Mutex::new(Vec::new());
        let tell = |line: &str| told.lock().unwrap().push(line.to_owned());
        let lines = Lines(&tell);
        let stage = Stage::Build;
        let detail = "example.org/cmd/x".to_owned();
        lines.on("x", ToolEvent::Started { stage, detail });
        let total = None;
        lines.on("x", ToolEvent::Bytes { done: 7, total });
        let elapsed = Duration::from_millis(3_140);
        lines.on(
            "x",
            ToolEvent::StillAt {
                stage,
                elapsed,
                line: None,
            },
        );
        let origin = Origin::Build;
        lines.on("x", ToolEvent::Finished { origin, elapsed });
        assert_eq!(
            *told.lock().unwrap(),
            [
                "x: build example.org/cmd/x",
                "x: still at build after 3 s",
                "x: there by build after 3.1 s"
            ]
        );
    }
}
