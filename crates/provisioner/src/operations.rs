//! Settings of the operation itself: the HTTP port, the form of the log, the two timers. Each flag
//! has a variable; none of them changes what happens to a claim.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::config::{ConfigError, parse_duration};

/// The port nothing else was said about.
const USUAL_PORT: u16 = 8080;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Where health and metrics are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpAddress {
    /// Nobody said: every address, port 8080. Where that port is taken the provisioner works
    /// without, as manifests from before this port existed may leave it no other choice.
    #[default]
    Usual,
    /// This one, or the process ends.
    At(HttpBind),
    /// Nowhere.
    Off,
}

/// An address to listen at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpBind {
    /// `None`: every address of both families.
    pub ip: Option<IpAddr>,
    /// 0: any free one; the log says which.
    pub port: u16,
}

impl fmt::Display for HttpBind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Some(ip) => SocketAddr::new(ip, self.port).fmt(formatter),
            None => write!(formatter, ":{}", self.port),
        }
    }
}

impl HttpBind {
    /// The addresses to try in turn: both families at once, and IPv4 where there is no IPv6.
    pub fn candidates(self) -> Vec<SocketAddr> {
        let of = |ip: IpAddr| SocketAddr::new(ip, self.port);
        match self.ip {
            Some(ip) => vec![of(ip)],
            None => vec![
                of(Ipv6Addr::UNSPECIFIED.into()),
                of(Ipv4Addr::UNSPECIFIED.into()),
            ],
        }
    }
}

impl HttpAddress {
    const SETTING: &'static str = "--http-address (CLAIMCHECK_HTTP_ADDRESS)";

    /// Reads `off`, `:PORT` or `ADDRESS:PORT`; empty is the usual one.
    ///
    /// # Errors
    /// [`ConfigError`] for anything else: names are not resolved.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        if text.is_empty() {
            return Ok(Self::Usual);
        }
        if text == "off" {
            return Ok(Self::Off);
        }
        let bind = match text.strip_prefix(':') {
            Some(port) => port.parse().ok().map(|port| HttpBind { ip: None, port }),
            None => text.parse().ok().map(|address: SocketAddr| HttpBind {
                ip: Some(address.ip()),
                port: address.port(),
            }),
        };
        bind.map(Self::At).ok_or_else(|| {
            ConfigError::invalid(
                Self::SETTING,
                text,
                "`off`, a port such as :8080, or an address with a port such as 127.0.0.1:8080 or [::1]:8080",
            )
        })
    }

    /// Where to listen, if anywhere.
    pub const fn bind(self) -> Option<HttpBind> {
        match self {
            Self::Usual => Some(HttpBind {
                ip: None,
                port: USUAL_PORT,
            }),
            Self::At(bind) => Some(bind),
            Self::Off => None,
        }
    }
}

/// Settings of the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operations {
    /// The HTTP port.
    pub http: HttpAddress,
    /// How often the records and the trash are gone through; `None`: only at the start.
    pub sweep: Option<Duration>,
    /// How often the export's identity is confirmed and its room read.
    pub export_check: Duration,
}

impl Default for Operations {
    fn default() -> Self {
        Self {
            http: HttpAddress::Usual,
            sweep: Some(Duration::from_mins(10)),
            export_check: Duration::from_secs(15),
        }
    }
}

/// The flags, part of what `run` takes.
#[derive(Clone, Debug, Args)]
pub struct OperationsArgs {
    /// Where /healthz, /readyz and /metrics are served: an address with a port, `:PORT` for every
    /// address, or `off`; without it :8080, if that port is free
    #[arg(long, env = "CLAIMCHECK_HTTP_ADDRESS", value_name = "ADDRESS")]
    http_address: Option<String>,
    /// How log lines look
    #[arg(long, env = "CLAIMCHECK_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Time between two sweeps of the records and the trash; 0 means only at the start [default:
    /// 10m]
    #[arg(long, env = "CLAIMCHECK_SWEEP_INTERVAL", value_name = "DURATION")]
    sweep_interval: Option<String>,
    /// Time between two checks that the export is there and is the one the volumes lie on
    /// [default: 15s]
    #[arg(
        long,
        env = "CLAIMCHECK_EXPORT_CHECK_INTERVAL",
        value_name = "DURATION"
    )]
    export_check_interval: Option<String>,
}

impl OperationsArgs {
    /// How log lines look.
    pub const fn log_format(&self) -> LogFormat {
        self.log_format
    }

    /// Checks the flags.
    ///
    /// # Errors
    /// [`ConfigError`] for the first that is wrong.
    pub fn settings(&self) -> Result<Operations, ConfigError> {
        let usual = Operations::default();
        let sweep = interval(
            "--sweep-interval (CLAIMCHECK_SWEEP_INTERVAL)",
            self.sweep_interval.as_deref(),
            "0, or a duration of at least 1s such as 10m",
            true,
        )?;
        let export_check = interval(
            "--export-check-interval (CLAIMCHECK_EXPORT_CHECK_INTERVAL)",
            self.export_check_interval.as_deref(),
            "a duration of at least 1s such as 15s",
            false,
        )?;
        Ok(Operations {
            http: HttpAddress::parse(self.http_address.as_deref().unwrap_or_default())?,
            sweep: match sweep {
                None => usual.sweep,
                Some(interval) => (!interval.is_zero()).then_some(interval),
            },
            export_check: export_check.unwrap_or(usual.export_check),
        })
    }
}

/// A duration of a second or more, or 0 where that has a meaning; `None` when it is not given.
fn interval(
    setting: &'static str,
    text: Option<&str>,
    allowed: &'static str,
    zero: bool,
) -> Result<Option<Duration>, ConfigError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    parse_duration(text)
        .filter(|interval| *interval >= Duration::from_secs(1) || (zero && interval.is_zero()))
        .map(Some)
        .ok_or_else(|| ConfigError::invalid(setting, text, allowed))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rstest::rstest;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: OperationsArgs,
    }

    fn settings(arguments: &[&str]) -> Result<Operations, ConfigError> {
        let arguments = std::iter::once(&"program").chain(arguments);
        Command::parse_from(arguments).arguments.settings()
    }

    #[rstest]
    #[case("", HttpAddress::Usual)]
    #[case("off", HttpAddress::Off)]
    #[case(":9090", HttpAddress::At(HttpBind { ip: None, port: 9090 }))]
    #[case("127.0.0.1:0", HttpAddress::At(HttpBind { ip: Some(Ipv4Addr::LOCALHOST.into()), port: 0 }))]
    #[case("[::1]:8081", HttpAddress::At(HttpBind { ip: Some(Ipv6Addr::LOCALHOST.into()), port: 8081 }))]
    fn an_address_is_a_port_an_address_with_one_or_off(
        #[case] text: &str,
        #[case] address: HttpAddress,
    ) {
        assert_eq!(HttpAddress::parse(text), Ok(address));
    }

    #[rstest]
    #[case("8080")]
    #[case("localhost:8080")]
    #[case("127.0.0.1")]
    #[case(":99999")]
    #[case("none")]
    fn anything_else_is_refused_with_what_is_allowed(#[case] text: &str) {
        let error = HttpAddress::parse(text).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
        assert!(error.contains("`off`, a port such as :8080"), "{error}");
    }

    #[test]
    fn every_address_means_both_families() {
        let bind = HttpAddress::Usual.bind().unwrap();
        let candidates: Vec<String> = bind.candidates().iter().map(ToString::to_string).collect();
        assert_eq!(candidates, ["[::]:8080", "0.0.0.0:8080"]);
        assert_eq!(HttpAddress::Off.bind(), None);
    }

    #[test]
    fn intervals_have_a_floor_and_the_sweep_can_be_off() {
        assert_eq!(settings(&[]).unwrap(), Operations::default());
        let off = settings(&["--sweep-interval", "0"]).unwrap();
        assert_eq!(off.sweep, None);
        let slow = settings(&["--sweep-interval", "1h", "--export-check-interval", "1m"]).unwrap();
        assert_eq!(slow.sweep, Some(Duration::from_hours(1)));
        assert_eq!(slow.export_check, Duration::from_mins(1));
        for wrong in ["500ms", "soon"] {
            assert!(settings(&["--sweep-interval", wrong]).is_err());
        }
        let error = settings(&["--export-check-interval", "0"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "take \"0\" for --export-check-interval (CLAIMCHECK_EXPORT_CHECK_INTERVAL): a duration of at least 1s such as 15s"
        );
    }
}
