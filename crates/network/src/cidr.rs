//! IPv4 ranges in CIDR notation. Pure values: no addresses are handed out here.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 range, e.g. `10.244.0.0/16`. Host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ipv4Cidr {
    network: u32,
    prefix: u8,
}

/// Why a text is not an IPv4 range.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CidrError {
    /// Not `a.b.c.d/n`.
    #[error("{0:?} is not an IPv4 range: write it as a.b.c.d/n")]
    Malformed(String),
    /// The prefix is longer than 32 bits.
    #[error("{0:?}: an IPv4 prefix has at most 32 bits")]
    PrefixTooLong(String),
    /// Bits right of the prefix are set.
    #[error("{given:?} has bits set to the right of its prefix: {network} was probably meant")]
    HostBits {
        /// The text as given.
        given: String,
        /// The range with the bits cleared.
        network: Ipv4Cidr,
    },
}

impl Ipv4Cidr {
    /// The range of `prefix` bits that contains `address`.
    ///
    /// `prefix` values above 32 count as 32.
    pub fn containing(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self {
            network: u32::from(address) & mask(prefix),
            prefix,
        }
    }

    /// The first address, which names the range.
    pub fn network(self) -> Ipv4Addr {
        Ipv4Addr::from(self.network)
    }

    /// Number of leading bits that all addresses share.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The `n`-th address, counted from the network address; `None` past the end.
    pub fn nth(self, n: u32) -> Option<Ipv4Addr> {
        (u64::from(n) < self.size()).then(|| Ipv4Addr::from(self.network + n))
    }

    /// How many addresses the range holds.
    pub fn size(self) -> u64 {
        1 << (32 - u32::from(self.prefix))
    }

    /// Whether `address` lies in the range.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == self.network
    }

    /// Whether the two ranges share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.network()) || other.contains(self.network())
    }

    /// The first sub-range of `prefix` bits: the share of the first node.
    /// A prefix shorter than the range's own gives the range itself.
    #[must_use]
    pub fn first_subnet(self, prefix: u8) -> Self {
        Self {
            network: self.network,
            prefix: prefix.clamp(self.prefix, 32),
        }
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Ipv4Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.prefix)
    }
}

impl FromStr for Ipv4Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let malformed = || CidrError::Malformed(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(malformed)?;
        let address: Ipv4Addr = address.parse().map_err(|_| malformed())?;
        let prefix: u8 = prefix.parse().map_err(|_| malformed())?;
        if prefix > 32 {
            return Err(CidrError::PrefixTooLong(text.to_owned()));
        }
        let network = Self::containing(address, prefix);
        if network.network() != address {
            return Err(CidrError::HostBits {
                given: text.to_owned(),
                network,
            });
        }
        Ok(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_reads_back_as_it_was_written() {
        for text in ["10.244.0.0/16", "10.96.0.0/12", "0.0.0.0/0", "192.0.2.7/32"] {
            assert_eq!(text.parse::<Ipv4Cidr>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_wrong_range_says_what_is_wrong() {
        assert!(matches!(
            "10.0.0.0".parse::<Ipv4Cidr>(),
            Err(CidrError::Malformed(_))
        ));
        assert!(matches!(
            "10.0.0.0/33".parse::<Ipv4Cidr>(),
            Err(CidrError::PrefixTooLong(_))
        ));
        let error = "10.244.3.1/16".parse::<Ipv4Cidr>().expect_err("host bits");
        assert!(error.to_string().contains("10.244.0.0/16"), "{error}");
    }

    #[test]
    fn addresses_are_counted_within_the_range_only() {
        let range: Ipv4Cidr = "10.96.0.0/30".parse().expect("range");
        assert_eq!(range.nth(3), Some(Ipv4Addr::new(10, 96, 0, 3)));
        assert_eq!(range.nth(4), None);
        assert!(range.contains(Ipv4Addr::new(10, 96, 0, 2)));
        assert!(!range.contains(Ipv4Addr::new(10, 96, 0, 4)));
    }
}
