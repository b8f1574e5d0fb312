//! What a resolver in a pod does, in parts that can be tried: its configuration (resolv.conf(5)), the
//! names it tries for a short one, and a question over TCP (RFC 1035, section 4.2.2).

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};

/// The configuration of a resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Configuration {
    /// Name servers, the first one first.
    pub(super) servers: Vec<IpAddr>,
    /// Domains that are appended to short names.
    pub(super) search: Vec<String>,
    /// A name with so many dots is tried as it is first.
    pub(super) dots: usize,
}

impl Configuration {
    /// Reads a `resolv.conf`. As there, the last `search` line counts.
    pub(super) fn read(text: &str) -> Self {
        let mut read = Self {
            servers: Vec::new(),
            search: Vec::new(),
            dots: 1,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    read.servers
                        .extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()));
                }
                Some("search") => read.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    let mut dots =
                        words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    read.dots = dots.next_back().unwrap_or(read.dots);
                }
                _ => {}
            }
        }
        read
    }

    /// The full names that are tried for `name`, in this order.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        let searched = self.search.iter().map(|domain| format!("{name}.{domain}"));
        if name.matches('.').count() >= self.dots {
            [name.to_owned()].into_iter().chain(searched).collect()
        } else {
            searched.chain([name.to_owned()]).collect()
        }
    }
}

/// A question for the addresses of a full name, as it goes over TCP: its length, and the message.
pub(super) fn question(name: &str, id: u16) -> Result<Vec<u8>, String> {
    let name = Name::from_ascii(format!("{}.", name.trim_end_matches('.')));
    let name = name.map_err(|error| error.to_string())?;
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, RecordType::A));
    let bytes = message.to_vec().map_err(|error| error.to_string())?;
    let length = u16::try_from(bytes.len()).map_err(|error| error.to_string())?;
    Ok([&length.to_be_bytes(), bytes.as_slice()].concat())
}

/// The addresses in an answer that came over TCP, written in hexadecimal; `None` when the name does
/// not exist.
pub(super) fn answer(hexadecimal: &str, id: u16) -> Result<Option<BTreeSet<String>>, String> {
    let bytes = bytes_of(hexadecimal).ok_or_else(|| format!("{hexadecimal:?} is no answer"))?;
    let Some((length, message)) = bytes.split_first_chunk::<2>() else {
        return Err("the server closed the connection without an answer".to_owned());
    };
    let length = usize::from(u16::from_be_bytes(*length));
    let message = message
        .get(..length)
        .ok_or_else(|| format!("the answer ends after {} of {length} bytes", message.len()))?;
    let message = Message::from_vec(message).map_err(|error| error.to_string())?;
    let header = &message.metadata;
    if header.id != id || header.message_type != MessageType::Response {
        return Err("it is not the answer to the question".to_owned());
    }
    match header.response_code {
        ResponseCode::NoError => {
            let addresses = message
                .answers
                .iter()
                .filter(|record| record.record_type() == RecordType::A)
                .map(|record| record.data.to_string());
            Ok(Some(addresses.collect()))
        }
        ResponseCode::NXDomain => Ok(None),
        code => Err(format!("the server answered {code}")),
    }
}

/// Bytes as printf(1) takes them: three octal digits each.
pub(super) fn octal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "\\{byte:03o}");
        text
    })
}

fn bytes_of(hexadecimal: &str) -> Option<Vec<u8>> {
    let digits = hexadecimal.trim().as_bytes();
    let pairs = digits.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|_| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "search ns.svc.cluster.local svc.cluster.local cluster.local\n\
                       nameserver 10.96.0.10\noptions ndots:5\n";

    #[test]
    fn a_pods_configuration_is_read() {
        let read = Configuration::read(POD);
        assert_eq!(read.servers, ["10.96.0.10".parse::<IpAddr>().unwrap()]);
        assert_eq!((read.search.len(), read.dots), (3, 5));
        let bare = Configuration::read("# nothing\nnameserver fd00::a\n");
        assert_eq!(
            (bare.servers.len(), bare.search.len(), bare.dots),
            (1, 0, 1)
        );
    }

    #[test]
    fn short_names_are_tried_in_each_domain_and_long_ones_as_they_are_first() {
        let read = Configuration::read(POD);
        let tried = read.candidates("web.ns");
        assert_eq!(tried[1], "web.ns.svc.cluster.local");
        assert_eq!(tried.last().unwrap(), "web.ns");
        assert_eq!(read.candidates("a.b.c.d.e.f")[0], "a.b.c.d.e.f");
    }

    #[test]
    fn a_question_is_prefixed_by_its_length() {
        let bytes = question("web.ns.svc.cluster.local", 7).unwrap();
        assert_eq!(
            usize::from(bytes[0]) * 256 + usize::from(bytes[1]),
            bytes.len() - 2
        );
        assert_eq!(octal(&bytes[..4]), "\\000\\052\\000\\007");
    }

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        // What CoreDNS 1.15 answered for a name with two addresses.
        let text = "0086000185000001000200000000077765622d737663026e730373766307636c75737465\
                    72056c6f63616c0000010001077765622d737663026e730373766307636c757374657205\
                    6c6f63616c00000100010000000000047f000007077765622d737663026e730373766307\
                    636c7573746572056c6f63616c00000100010000000000047f000008";
        let found = answer(text, 1).unwrap().unwrap();
        assert_eq!(found, ["127.0.0.7", "127.0.0.8"].map(str::to_owned).into());
        assert!(answer(text, 2).is_err());
        assert!(answer(&text[..40], 1).is_err());
        assert!(answer("", 1).is_err());
        let unknown = "000c000785030000000000000000";
        assert_eq!(answer(unknown, 7), Ok(None));
        let broken = "000c000785020000000000000000";
        assert!(answer(broken, 7).is_err());
    }
}
