//! One end of what an alert is about, by the fields of ECS.
//!
//! In: an address and a port, what is known of the address. Out: a structure that serializes under
//! the names of ECS. Unknown values are omitted, never null.

use serde::Serialize;

use crate::address::IpText;
use crate::enrich::AddressFacts;

#[derive(Serialize)]
pub(super) struct EcsEndpoint {
    /// The same as `ip`: ECS wants it in each event, and `ip` only where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ip: Option<IpText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    system: Option<AutonomousSystem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    geo: Option<Geo>,
}

#[derive(Serialize)]
struct AutonomousSystem {
    number: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<Organization>,
}

#[derive(Serialize)]
struct Organization {
    name: String,
}

#[derive(Serialize)]
struct Geo {
    country_iso_code: String,
}

impl EcsEndpoint {
    pub(super) const fn new(ip: Option<IpText>, port: Option<u16>) -> Self {
        Self {
            address: ip,
            ip,
            port,
            domain: None,
            system: None,
            geo: None,
        }
    }

    /// The same with what is known of it.
    pub(super) fn with_facts(self, facts: AddressFacts) -> Self {
        let AddressFacts {
            domain,
            domain_by: _,
            as_number,
            as_organization,
            country,
        } = facts;
        Self {
            domain,
            system: as_number.map(|number| AutonomousSystem {
                number,
                organization: as_organization.map(|name| Organization { name }),
            }),
            geo: country.map(|country_iso_code| Geo { country_iso_code }),
            ..self
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ip.is_none() && self.port.is_none()
    }
}
