//! Source: Kubernetes end-to-end tests, DNS ("partial qualified names"); Kubernetes documentation,
//! "DNS for Services and Pods" (the search domains of a pod).

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, interval};

use super::stub::{Configuration, answer, octal, question};
use super::{addresses, only, running_set};
use crate::case::Case;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble, ensure};
use crate::world::World;
use crate::world::dns::{Record, Transport};
use crate::world::pods::Shell;

/// In a pod, short names of its namespace's services and pods MUST resolve by the search path, over
/// UDP and TCP.
pub(crate) const CASE: Case = Case::new("X11", |world| Box::pin(run(world)));

/// DNS has no watch: the pause between two questions while a record is waited for.
const PAUSE: Duration = Duration::from_millis(200);
/// A port that no pod of the suite listens on: it is the name that counts.
const PORT: u16 = 9;
/// Datagrams that the pod has sent so far, over IPv4 and IPv6.
const SENT: &str = "cat /proc/net/snmp /proc/net/snmp6 2>/dev/null | \
    awk '/^Udp: [0-9]/ {sum += $5} /^Udp6OutDatagrams/ {sum += $2} END {print sum + 0}'";

async fn run(world: &World) -> CaseResult {
    let set = running_set(world, "web", 2).await?;
    let all = addresses(world, &set, 2).await?;
    let service = set.service.as_str();
    let namespace = world.namespace();
    let every: BTreeSet<String> = all.iter().cloned().collect();
    world
        .resolves_to(&world.service_name(service), Record::A, &every)
        .await?;
    let pod = world.shell("asker").create().await?;
    pod.ready().await?;
    let configuration = Configuration::read(&pod.run("cat /etc/resolv.conf").await?);
    let asker = Asker {
        world,
        pod,
        configuration,
    };

    let pod_of_set = format!("{}.{service}", set.pod(1));
    let names = [
        (service.to_owned(), &every),
        (format!("{service}.{namespace}"), &every),
        (format!("{service}.{namespace}.svc"), &every),
        (pod_of_set.clone(), &only(&all[1])),
        (format!("{pod_of_set}.{namespace}"), &only(&all[1])),
    ];
    let before = asker.sent().await?;
    for (name, due) in &names {
        asker.resolves(name, Transport::Udp, due).await?;
    }
    let by_udp = asker.sent().await?;
    ensure(by_udp > before, "the pod's resolver asked over UDP", || {
        format!("the pod sent {before} datagrams before and {by_udp} afterwards")
    })?;
    for (name, due) in &names {
        asker.resolves(name, Transport::Tcp, due).await?;
    }

    // What is not there is not found either: neither way gives an address to any name.
    let absent = "no-such-service";
    for transport in [Transport::Udp, Transport::Tcp] {
        let found = asker.look_up(absent, transport).await?;
        ensure(
            found.is_empty(),
            format!("{absent} has no address over {transport:?}"),
            || format!("it has {found:?}"),
        )?;
    }
    Ok(())
}

/// A pod that asks.
struct Asker<'w> {
    world: &'w World,
    pod: Shell<'w>,
    configuration: Configuration,
}

impl Asker<'_> {
    /// How many datagrams the pod has sent.
    async fn sent(&self) -> CaseResult<u64> {
        let text = self.pod.run(SENT).await?;
        let number = text.trim().parse();
        number.map_err(|_| Trouble::inconclusive(format!("the count of datagrams is {text:?}")))
    }

    /// Looks again until the name resolves: to all of `due` over TCP, and to one of them by the
    /// image's own resolver.
    ///
    /// # Errors
    /// Failed with what was found last when limit `dns-record` passes.
    async fn resolves(
        &self,
        name: &str,
        transport: Transport,
        due: &BTreeSet<String>,
    ) -> CaseResult {
        let limit = self.world.limit(Limit::DnsRecord);
        let deadline = Instant::now() + limit;
        let mut ticks = interval(PAUSE);
        loop {
            ticks.tick().await;
            let found = self.look_up(name, transport).await?;
            let right = match transport {
                Transport::Udp => !found.is_empty() && found.is_subset(due),
                Transport::Tcp => found == *due,
            };
            if right {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let expected = format!(
                    "{name} resolves to {due:?} over {transport:?} in pod {} within {} s (limit {})",
                    self.pod.name,
                    limit.as_secs(),
                    Limit::DnsRecord.name()
                );
                return Err(Trouble::failed(
                    expected,
                    format!("it resolves to {found:?}"),
                ));
            }
        }
    }

    async fn look_up(&self, name: &str, transport: Transport) -> CaseResult<BTreeSet<String>> {
        match transport {
            Transport::Udp => self.by_resolver(name).await,
            Transport::Tcp => self.over_tcp(name).await,
        }
    }

    /// The address that a program of the image connects to for this name: `wget` says it before it
    /// does. None when there is no such name.
    async fn by_resolver(&self, name: &str) -> CaseResult<BTreeSet<String>> {
        let script = format!("timeout 10 wget -O /dev/null 'http://{name}:{PORT}/' 2>&1");
        let output = self.pod.output(&script).await?;
        match connecting_to(&output.stdout) {
            Some(address) => Ok(BTreeSet::from([address])),
            None if output.stdout.contains("bad address") => Ok(BTreeSet::new()),
            None => Err(Trouble::inconclusive(format!(
                "wget in pod {} wrote {:?} and ended with {}",
                self.pod.name, output.stdout, output.code
            ))),
        }
    }

    /// The addresses of the first candidate for `name` in the cluster's zone that has any, asked of
    /// the name server of the pod's configuration over TCP; none when no candidate has. What is
    /// outside of the zone is not the cluster's to answer.
    async fn over_tcp(&self, name: &str) -> CaseResult<BTreeSet<String>> {
        let Some(server) = self.configuration.servers.first() else {
            return Err(Trouble::failed(
                format!("the resolver of pod {} has a name server", self.pod.name),
                "its configuration names none",
            ));
        };
        let zone = format!(".{}", self.world.zone());
        let candidates = self.configuration.candidates(name);
        let ours = candidates.iter().filter(|name| name.ends_with(&zone));
        for (candidate, id) in ours.zip(1..) {
            let bytes = question(candidate, id).map_err(Trouble::inconclusive)?;
            // The pod's side of the connection is closed after the question; the answer comes still.
            let script = format!(
                "printf '{}' | nc -w 5 {server} 53 | hexdump -v -e '1/1 \"%02x\"'",
                octal(&bytes)
            );
            let output = self.pod.output(&script).await?;
            let answered = answer(&output.stdout, id).map_err(|cause| {
                let observed = format!("{cause}; {}", output.stderr.trim());
                let expected = format!("{server} answers for {candidate} over TCP");
                Trouble::failed(expected, observed)
            })?;
            match answered {
                Some(addresses) if !addresses.is_empty() => return Ok(addresses),
                _ => {}
            }
        }
        Ok(BTreeSet::new())
    }
}

/// The address in a line `Connecting to name:9 (10.244.1.5:9)`.
fn connecting_to(text: &str) -> Option<String> {
    let line = text
        .lines()
        .find(|line| line.starts_with("Connecting to "))?;
    let (_, place) = line.split_once('(')?;
    let (address, _) = place.split_once(')')?.0.rsplit_once(':')?;
    Some(address.trim_matches(['[', ']']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_connection_is_read_without_its_port() {
        let text = "Connecting to web-svc:9 (10.244.1.5:9)\nwget: can't connect to remote host";
        assert_eq!(connecting_to(text).unwrap(), "10.244.1.5");
        let text = "Connecting to web-svc:9 ([fd00::5]:9)\n";
        assert_eq!(connecting_to(text).unwrap(), "fd00::5");
        assert_eq!(connecting_to("wget: bad address 'web-svc:9'"), None);
    }
}
