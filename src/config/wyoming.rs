//! The `[wyoming]` settings: the port of Home Assistant's protocol.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The Wyoming protocol of Home Assistant. It has neither authentication nor
/// encryption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wyoming {
    /// The address to listen on.
    ///
    /// Default `127.0.0.1`; environment `WYOMING__HOST`. Choose the address
    /// by which Home Assistant reaches this machine.
    pub host: String,

    /// The TCP port to listen on.
    ///
    /// Default 0 (off), 0 to 65,535; environment `WYOMING__PORT`. Home
    /// Assistant suggests 10300.
    pub port: u16,

    /// Whether other machines may use the port without a key, although the
    /// server has keys.
    ///
    /// Default false: the server does not start if it has keys and
    /// `wyoming.host` is not a loopback address; environment
    /// `WYOMING__ALLOW_UNAUTHENTICATED`. Set it if only trusted machines reach
    /// the port.
    pub allow_unauthenticated: bool,
}

impl Default for Wyoming {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 0,
            allow_unauthenticated: false,
        }
    }
}

impl Wyoming {
    /// Whether the port would let other machines in without a key, although the server has keys.
    #[must_use]
    pub fn bypasses_keys(&self, has_key: bool) -> bool {
        let is_loopback = match self.host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => self.host == "localhost",
        };
        self.port != 0 && has_key && !is_loopback && !self.allow_unauthenticated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_address_goes_together_with_keys() {
        for (host, expected) in [
            ("127.0.0.1", false),
            ("::1", false),
            ("localhost", false),
            ("0.0.0.0", true),
            ("192.168.1.2", true),
            ("::", true),
            ("box", true),
        ] {
            let wyoming = Wyoming {
                host: host.to_owned(),
                port: 10_300,
                allow_unauthenticated: false,
            };
            assert_eq!(wyoming.bypasses_keys(true), expected, "{host}");
            assert!(!wyoming.bypasses_keys(false), "{host}");
            let allowed = Wyoming {
                allow_unauthenticated: true,
                ..wyoming.clone()
            };
            assert!(!allowed.bypasses_keys(true), "{host}");
            assert!(
                !Wyoming { port: 0, ..wyoming }.bypasses_keys(true),
                "{host}"
            );
        }
    }
}
