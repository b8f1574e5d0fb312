//! The Docker network of a testbed.

use std::net::Ipv4Addr;

use camino::Utf8Path;

use crate::cluster::ClusterError;
use crate::docker::{self, DockerError};
use crate::state::mark_docker;

/// How often a network is tried when another one takes the addresses between choice and use.
const TRIES: usize = 5;
/// The last number of the gateway's address.
const GATEWAY: u8 = 1;
/// The last number of the NFS server's address: outside of the half that Docker gives out itself.
const NFS_SERVER: u8 = 250;
/// How many addresses of a network stand for its parts: a prefix of this length is used of whatever
/// Docker proposes.
const PREFIX: u8 = 24;

/// A Docker network of a testbed's own, with addresses that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerNetwork {
    /// Its name, which is also what kind calls the cluster.
    pub name: String,
    /// Its addresses: `172.18.0.0/24`.
    pub subnet: String,
    /// This machine's address on it.
    pub gateway: Ipv4Addr,
    /// The address that is kept for the NFS server: Docker gives it to nobody by itself.
    pub nfs_server: Ipv4Addr,
}

impl DockerNetwork {
    /// Makes the network of the testbed `name` in `directory`, which exists, after leaving a note
    /// there that containers must be looked for when the testbed is removed.
    ///
    /// # Errors
    /// Docker cannot be run or has no addresses left.
    pub async fn create(name: &str, directory: &Utf8Path) -> Result<Self, ClusterError> {
        mark_docker(directory)?;
        let network = docker::resource_name(name, directory);
        let mtu = default_mtu().await?;
        let mut tries = 1;
        loop {
            let subnet = free_subnet(&network, directory).await?;
            let addresses = Addresses::within(subnet);
            let created = create(&network, directory, mtu.as_deref(), addresses).await;
            match created {
                Ok(()) => {
                    return Ok(Self {
                        name: network,
                        subnet: addresses.subnet(),
                        gateway: addresses.host(GATEWAY),
                        nfs_server: addresses.host(NFS_SERVER),
                    });
                }
                // Another network was made in the moment between the two calls.
                Err(error) if tries < TRIES && is_overlap(&error) => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The first 256 addresses of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Addresses {
    first: Ipv4Addr,
}

impl Addresses {
    /// The first [`PREFIX`] of a network that begins at `first`.
    fn within(first: Ipv4Addr) -> Self {
        let [a, b, c, _] = first.octets();
        Self {
            first: Ipv4Addr::new(a, b, c, 0),
        }
    }

    fn subnet(self) -> String {
        format!("{}/{PREFIX}", self.first)
    }

    /// The half from which Docker gives addresses by itself.
    fn given_out(self) -> String {
        format!("{}/{}", self.first, PREFIX + 1)
    }

    fn host(self, number: u8) -> Ipv4Addr {
        let [a, b, c, _] = self.first.octets();
        Ipv4Addr::new(a, b, c, number)
    }
}

/// The first address of a network that Docker would choose now. Docker tells by making one; an
/// address can only be asked for on a network whose addresses were given explicitly, so that one
/// goes again.
async fn free_subnet(network: &str, directory: &Utf8Path) -> Result<Ipv4Addr, DockerError> {
    docker::make(&["network", "create"], &[network], directory).await?;
    let format = "{{range .IPAM.Config}}{{.Subnet}} {{end}}";
    let inspect = ["network", "inspect", "--format", format, network];
    let answer = docker::run(&inspect).await?;
    docker::run(&["network", "rm", network]).await?;
    first_address(&answer).ok_or_else(|| DockerError::Answer {
        call: inspect.join(" "),
        answer,
    })
}

/// The first address of the first IPv4 network in a list such as `172.18.0.0/16 fd00::/64`.
fn first_address(subnets: &str) -> Option<Ipv4Addr> {
    subnets
        .split_whitespace()
        .filter_map(|subnet| subnet.split_once('/'))
        .filter(|(_, prefix)| prefix.parse().is_ok_and(|prefix: u8| prefix <= PREFIX))
        .find_map(|(address, _)| address.parse().ok())
}

/// The largest packet of Docker's own network, where it was set: a network inside of a tunnel loses
/// packets of the usual size.
async fn default_mtu() -> Result<Option<String>, DockerError> {
    let format = r#"{{index .Options "com.docker.network.driver.mtu"}}"#;
    match docker::run(&["network", "inspect", "--format", format, "bridge"]).await {
        Ok(mtu) => Ok(mtu.parse().is_ok_and(|mtu: u32| mtu > 0).then_some(mtu)),
        // The default network can be switched off.
        Err(error) if error.is_missing_object() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn create(
    network: &str,
    directory: &Utf8Path,
    mtu: Option<&str>,
    addresses: Addresses,
) -> Result<(), DockerError> {
    let (subnet, given_out) = (addresses.subnet(), addresses.given_out());
    let gateway = addresses.host(GATEWAY).to_string();
    let mtu = mtu.map(|mtu| format!("com.docker.network.driver.mtu={mtu}"));
    let mut args = vec!["--driver", "bridge", "--subnet", &subnet];
    args.extend(["--ip-range", &given_out, "--gateway", &gateway]);
    if let Some(mtu) = &mtu {
        args.extend(["--opt", mtu]);
    }
    args.push(network);
    docker::make(&["network", "create"], &args, directory).await?;
    Ok(())
}

fn is_overlap(error: &DockerError) -> bool {
    matches!(error, DockerError::Failed { said, .. } if said.contains("overlap"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_256_addresses_are_used_and_one_is_kept_for_the_server() {
        let addresses = Addresses::within(first_address("172.18.0.0/16 ").unwrap());
        assert_eq!(addresses.subnet(), "172.18.0.0/24");
        assert_eq!(addresses.given_out(), "172.18.0.0/25");
        assert_eq!(addresses.host(NFS_SERVER), Ipv4Addr::new(172, 18, 0, 250));
    }

    #[test]
    fn a_network_of_version_6_or_too_small_is_passed_over() {
        assert_eq!(first_address("fd00::/64 10.0.0.0/28 "), None);
        assert_eq!(
            first_address("fd00::/64 192.168.16.0/20 "),
            Some(Ipv4Addr::new(192, 168, 16, 0))
        );
        assert_eq!(first_address(""), None);
    }
}
