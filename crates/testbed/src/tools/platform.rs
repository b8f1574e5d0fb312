//! Operating system and processor for which binaries are published.

use std::fmt;

use super::error::ToolError;

/// A platform for which every tool is published. Linux only: Kubernetes publishes its control plane
/// for no other system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Linux on 64-bit x86.
    LinuxAmd64,
    /// Linux on 64-bit ARM.
    LinuxArm64,
}

impl Platform {
    /// The platform this program was compiled for.
    ///
    /// # Errors
    /// [`ToolError::Platform`] on any other system than Linux on amd64 or arm64.
    pub fn current() -> Result<Self, ToolError> {
        Self::of(std::env::consts::OS, std::env::consts::ARCH)
    }

    fn of(os: &str, arch: &str) -> Result<Self, ToolError> {
        match (os, arch) {
            ("linux", "x86_64") => Ok(Self::LinuxAmd64),
            ("linux", "aarch64") => Ok(Self::LinuxArm64),
            _ => Err(ToolError::Platform {
                found: format!("{os}-{arch}"),
            }),
        }
    }

    /// The operating system in Go's spelling.
    pub const fn os(self) -> &'static str {
        match self {
            Self::LinuxAmd64 | Self::LinuxArm64 => "linux",
        }
    }

    /// The processor in Go's spelling.
    pub const fn arch(self) -> &'static str {
        match self {
            Self::LinuxAmd64 => "amd64",
            Self::LinuxArm64 => "arm64",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.os(), self.arch())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_linux_on_two_processors_is_a_platform() {
        assert_eq!(
            Platform::of("linux", "aarch64").unwrap(),
            Platform::LinuxArm64
        );
        assert_eq!(
            Platform::of("linux", "x86_64").unwrap().to_string(),
            "linux-amd64"
        );
        let text = Platform::of("macos", "aarch64").unwrap_err().to_string();
        assert!(text.contains("macos-aarch64"), "{text}");
    }
}
