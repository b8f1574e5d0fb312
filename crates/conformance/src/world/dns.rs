//! The cluster's DNS, asked for whole record sets: values are compared, not mere existence.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RecordType;

use super::World;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble};

/// DNS has no watch: the pause between two questions while a record is waited for.
const PAUSE: Duration = Duration::from_millis(100);

/// The kinds of records that cases ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// IPv4 addresses.
    A,
    /// Services: `priority weight port target`.
    Srv,
}

/// What the server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The records of the asked type, as text; names without the final dot, in lower case.
    pub records: BTreeSet<String>,
    /// Whether the name does not exist (RFC 1035 response code 3).
    pub nxdomain: bool,
}

/// One way to ask: UDP or TCP, never a fall-back from one to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// User datagrams.
    Udp,
    /// A stream.
    Tcp,
}

impl World {
    /// The zone of the cluster, such as `cluster.local`.
    pub fn zone(&self) -> &str {
        &self.testbed().cluster.zone
    }

    /// The full name of a service of the case's namespace, or of `<host>.<service>`.
    pub fn service_name(&self, service: &str) -> String {
        format!("{service}.{}.svc.{}", self.namespace(), self.zone())
    }

    /// Asks the cluster's DNS once.
    ///
    /// # Errors
    /// Inconclusive when there is no DNS, or it does not answer.
    pub async fn ask(
        &self,
        name: &str,
        record: Record,
        transport: Transport,
    ) -> CaseResult<Answer> {
        let Some(server) = self.testbed().cluster.dns else {
            return Err(Trouble::inconclusive("the testbed has no DNS server"));
        };
        let resolver = resolver(server, transport)
            .map_err(|error| Trouble::inconclusive(format!("no resolver for {server}: {error}")))?;
        let kind = match record {
            Record::A => RecordType::A,
            Record::Srv => RecordType::SRV,
        };
        // The final dot keeps the resolver from trying search domains of its own.
        match resolver.lookup(format!("{name}."), kind).await {
            Ok(lookup) => {
                let records = lookup
                    .answers()
                    .iter()
                    .filter(|answer| answer.record_type() == kind);
                let records = records
                    .map(|answer| answer.data.to_string().trim_end_matches('.').to_lowercase())
                    .collect();
                Ok(Answer {
                    records,
                    nxdomain: false,
                })
            }
            Err(error) if error.is_nx_domain() => Ok(Answer {
                records: BTreeSet::new(),
                nxdomain: true,
            }),
            Err(error) if error.is_no_records_found() => Ok(Answer::default()),
            Err(error) => Err(Trouble::inconclusive(format!(
                "the cluster's DNS at {server} did not answer for {name}: {error}"
            ))),
        }
    }

    /// Asks over UDP and TCP until both answer exactly `expected`.
    ///
    /// # Errors
    /// Failed with the last answer when limit `dns-record` passes; inconclusive when the server does
    /// not answer at its end.
    pub async fn resolves_to(
        &self,
        name: &str,
        record: Record,
        expected: &BTreeSet<String>,
    ) -> CaseResult {
        let what = format!("{record:?} of {name} is exactly {expected:?} over UDP and TCP");
        self.answers(name, record, what, |answer| answer.records == *expected)
            .await
    }

    /// Asks for SRV records over UDP and TCP until both answer exactly the pairs `port target` of
    /// `expected`, whatever their priorities and weights, which no rule fixes.
    ///
    /// # Errors
    /// As [`World::resolves_to`].
    pub async fn serves(&self, name: &str, expected: &BTreeSet<String>) -> CaseResult {
        let what = format!("SRV of {name} is exactly {expected:?} over UDP and TCP");
        self.answers(name, Record::Srv, what, |answer| {
            let pairs: BTreeSet<_> = answer
                .records
                .iter()
                .map(|record| port_and_target(record).to_owned())
                .collect();
            pairs == *expected && answer.records.len() == expected.len()
        })
        .await
    }

    /// Asks over UDP and TCP until both say that the name does not exist.
    ///
    /// # Errors
    /// As [`World::resolves_to`].
    pub async fn does_not_exist(&self, name: &str, record: Record) -> CaseResult {
        let what = format!("{record:?} of {name} is answered with NXDOMAIN over UDP and TCP");
        self.answers(name, record, what, |answer| answer.nxdomain)
            .await
    }

    /// Asks `server` from inside a pod, by its image's `nslookup` over UDP, until the addresses of
    /// `name` are exactly `expected`.
    ///
    /// # Errors
    /// Failed with the last answer when limit `dns-record` passes; inconclusive when the pod cannot
    /// ask.
    pub async fn resolves_inside(
        &self,
        pod: &str,
        server: &str,
        name: &str,
        expected: &BTreeSet<String>,
    ) -> CaseResult {
        let limit = self.limit(Limit::DnsRecord);
        let deadline = tokio::time::Instant::now() + limit;
        let mut ticks = tokio::time::interval(PAUSE);
        loop {
            ticks.tick().await;
            let script = format!("nslookup -type=a {name} {server}");
            let output = self.output_in(pod, &script).await?;
            let found = looked_up(&output.stdout);
            if output.code == 0 && found == *expected {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                let expected = format!(
                    "pod {pod} gets exactly {expected:?} for {name} of {server} within {} s \
                     (limit {})",
                    limit.as_secs(),
                    Limit::DnsRecord.name()
                );
                let failure = Trouble::failed(expected, format!("it gets {found:?}"));
                return Err(failure.with_evidence(format!("{}{}", output.stdout, output.stderr)));
            }
        }
    }

    async fn answers(
        &self,
        name: &str,
        record: Record,
        what: String,
        right: impl Fn(&Answer) -> bool,
    ) -> CaseResult {
        let limit = self.limit(Limit::DnsRecord);
        let started = tokio::time::Instant::now();
        let mut ticks = tokio::time::interval(PAUSE);
        loop {
            ticks.tick().await;
            let udp = self.ask(name, record, Transport::Udp).await;
            let tcp = self.ask(name, record, Transport::Tcp).await;
            let late = started.elapsed() > limit;
            let (udp, tcp) = match (udp, tcp) {
                (Ok(udp), Ok(tcp)) => (udp, tcp),
                // A lost datagram or a busy server: asked again, as long as there is time.
                (Err(trouble), _) | (_, Err(trouble)) if late => return Err(trouble),
                _ => continue,
            };
            if right(&udp) && right(&tcp) {
                self.sample("dns-record", started.elapsed());
                return Ok(());
            }
            if late {
                let expected = format!(
                    "{what} within {} s (limit {})",
                    limit.as_secs(),
                    Limit::DnsRecord.name()
                );
                return Err(Trouble::failed(
                    expected,
                    format!("UDP {udp:?}, TCP {tcp:?}"),
                ));
            }
        }
    }
}

/// The addresses in what busybox's `nslookup` writes: lines `Address: 10.0.0.1` or
/// `Address 1: 10.0.0.1 name` below the first `Name:`; what stands above is the server's own.
fn looked_up(text: &str) -> BTreeSet<String> {
    text.lines()
        .skip_while(|line| !line.starts_with("Name:"))
        .filter(|line| line.starts_with("Address"))
        .filter_map(|line| line.split_once(':')?.1.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// `port target` of a service record's text.
fn port_and_target(record: &str) -> &str {
    record.splitn(3, ' ').nth(2).unwrap_or_default()
}

fn resolver(
    server: SocketAddr,
    transport: Transport,
) -> Result<TokioResolver, hickory_resolver::net::NetError> {
    let mut connection = match transport {
        Transport::Udp => ConnectionConfig::udp(),
        Transport::Tcp => ConnectionConfig::tcp(),
    };
    connection.port = server.port();
    let config = ResolverConfig::from_name_servers(vec![NameServerConfig::new(
        server.ip(),
        true,
        vec![connection],
    )]);
    let mut options = ResolverOpts::default();
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = Duration::from_secs(2);
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_an_answer_are_told_from_the_servers_own() {
        let text = "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\n\
                    Name:\tweb-0.svc\nAddress: 10.244.1.5\nName:\tweb-0.svc\nAddress: 10.244.2.6\n";
        let both = ["10.244.1.5", "10.244.2.6"].map(str::to_owned);
        assert_eq!(looked_up(text), BTreeSet::from(both));
        let short = "Server:    10.96.0.10\nAddress 1: 10.96.0.10\n\n\
                     Name:      web-0.svc\nAddress 1: 10.244.1.5 web-0.svc\n";
        assert_eq!(looked_up(short), BTreeSet::from(["10.244.1.5".to_owned()]));
        let none = "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\n** server can't find x\n";
        assert!(looked_up(none).is_empty());
    }

    #[test]
    fn a_service_record_is_told_by_port_and_target() {
        assert_eq!(
            port_and_target("0 50 80 web-0.svc.cluster.local"),
            "80 web-0.svc.cluster.local"
        );
        assert_eq!(port_and_target("0 50"), "");
    }
}
