//! The caller of a request, among whom the server's capacity is shared.

mod audio_quota;
mod recent;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use audio_quota::{AudioQuota, AudioQuotaExceeded};
pub use recent::RecentCallers;

/// The sender of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// The holder of the key at this index among the server's keys.
    Key(usize),
    /// All clients in this network, if the server has no keys.
    Network(IpAddr),
}

impl Caller {
    /// The commands of this program, which run without a server.
    pub const LOCAL: Self = Self::Network(IpAddr::V4(Ipv4Addr::LOCALHOST));

    /// The network of an address. The holder of one IPv6 address usually has its whole /64.
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        Self::Network(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_is_mapped_to_its_network() {
        for (address, network) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            let caller = Caller::of_address(address.parse().unwrap());
            assert_eq!(caller, Caller::Network(network.parse().unwrap()));
        }
    }
}
