//! `/etc/resolv.conf` (N-40). Pure.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use crate::spec;

/// The cluster's resolver and the host's own file.
#[derive(Clone, Debug)]
pub(crate) struct ClusterDns {
    pub(crate) server: IpAddr,
    /// E.g. `cluster.local`.
    pub(crate) domain: String,
    /// The text of the host's `/etc/resolv.conf`.
    pub(crate) host_file: String,
}

/// The text of the file, and what had to be left out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolver {
    pub(crate) text: String,
    /// For the Warning event `DNSConfigForming`.
    pub(crate) omitted: Option<String>,
}

const MOST_SERVERS: usize = 3;
const MOST_SEARCHES: usize = 32;
const LONGEST_SEARCH: usize = 2048;

#[derive(Default)]
struct Lines {
    servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<(String, Option<String>)>,
}

/// The resolver file of a pod.
pub(crate) fn resolver(pod: &Pod, dns: &ClusterDns) -> Resolver {
    let spec = spec::spec_of(pod);
    let mut lines = match spec.dns_policy.as_deref() {
        Some("None") => Lines::default(),
        Some("Default") => Lines::parse(&dns.host_file),
        Some("ClusterFirstWithHostNet") => Lines::cluster(pod, dns),
        _ if spec::is_host_network(&spec) => Lines::parse(&dns.host_file),
        _ => Lines::cluster(pod, dns),
    };
    lines.add_config(&spec);
    lines.finish()
}

impl Lines {
    fn cluster(pod: &Pod, dns: &ClusterDns) -> Self {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let domain = &dns.domain;
        let own = [
            format!("{namespace}.svc.{domain}"),
            format!("svc.{domain}"),
            domain.clone(),
        ];
        Self {
            servers: vec![dns.server.to_string()],
            searches: own
                .into_iter()
                .chain(Self::parse(&dns.host_file).searches)
                .collect(),
            options: vec![("ndots".to_owned(), Some("5".to_owned()))],
        }
    }

    fn parse(text: &str) -> Self {
        let mut lines = Self::default();
        for line in text.lines() {
            let mut words = line
                .split(['#', ';'])
                .next()
                .unwrap_or_default()
                .split_whitespace();
            match words.next() {
                Some("nameserver") => lines.servers.extend(words.next().map(str::to_owned)),
                // The last search line counts; `.` is the root and searches nothing.
                Some("search") => {
                    lines.searches = words.filter(|w| *w != ".").map(str::to_owned).collect();
                }
                Some("options") => {
                    for word in words {
                        match word.split_once(':') {
                            Some((name, value)) => lines.set_option(name, Some(value)),
                            None => lines.set_option(word, None),
                        }
                    }
                }
                _ => {}
            }
        }
        lines
    }

    fn set_option(&mut self, name: &str, value: Option<&str>) {
        let value = value.filter(|v| !v.is_empty()).map(str::to_owned);
        match self.options.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => self.options.push((name.to_owned(), value)),
        }
    }

    fn add_config(&mut self, spec: &PodSpec) {
        let Some(config) = &spec.dns_config else {
            return;
        };
        self.servers
            .extend(config.nameservers.iter().flatten().cloned());
        self.searches
            .extend(config.searches.iter().flatten().cloned());
        for option in config.options.iter().flatten() {
            self.set_option(
                option.name.as_deref().unwrap_or_default(),
                option.value.as_deref(),
            );
        }
    }

    fn finish(mut self) -> Resolver {
        dedup(&mut self.servers);
        dedup(&mut self.searches);
        let (servers, searches) = (self.servers.len(), self.searches.len());
        self.servers.truncate(MOST_SERVERS);
        self.searches.truncate(MOST_SEARCHES);
        while self.searches.join(" ").len() > LONGEST_SEARCH {
            self.searches.pop();
        }
        let omitted = if servers > self.servers.len() {
            let kept = self.servers.join(" ");
            Some(format!(
                "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {kept}"
            ))
        } else if searches > self.searches.len() {
            let kept = self.searches.join(" ");
            Some(format!(
                "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {kept}"
            ))
        } else {
            None
        };
        let mut lines: Vec<String> = self
            .servers
            .iter()
            .map(|s| format!("nameserver {s}\n"))
            .collect();
        if !self.searches.is_empty() {
            lines.push(format!("search {}\n", self.searches.join(" ")));
        }
        if !self.options.is_empty() {
            let options = self.options.iter().map(|(name, value)| match value {
                Some(value) => format!("{name}:{value}"),
                None => name.clone(),
            });
            lines.push(format!(
                "options {}\n",
                options.collect::<Vec<_>>().join(" ")
            ));
        }
        Resolver {
            text: lines.concat(),
            omitted,
        }
    }
}

fn dedup(words: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    words.retain(|word| seen.insert(word.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn file(spec: Value) -> Resolver {
        let mut spec = spec;
        spec["containers"] = json!([]);
        let pod: Pod = serde_json::from_value(
            json!({"metadata": {"name": "p", "namespace": "default"}, "spec": spec}),
        )
        .expect("pod");
        let dns = ClusterDns {
            server: "10.96.0.10".parse().expect("address"),
            domain: "cluster.local".into(),
            host_file: "# host\nnameserver 192.0.2.53\nsearch corp.example svc.cluster.local\noptions ndots:1 rotate\n".into(),
        };
        resolver(&pod, &dns)
    }

    const CLUSTER: &str = "nameserver 10.96.0.10\n\
        search default.svc.cluster.local svc.cluster.local cluster.local corp.example\noptions ndots:5\n";
    const HOST: &str =
        "nameserver 192.0.2.53\nsearch corp.example svc.cluster.local\noptions ndots:1 rotate\n";

    #[test]
    fn n40_each_policy() {
        assert_eq!(file(json!({})).text, CLUSTER);
        assert_eq!(file(json!({"dnsPolicy": "ClusterFirst"})).text, CLUSTER);
        assert_eq!(
            file(json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true})).text,
            HOST
        );
        assert_eq!(
            file(json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true})).text,
            CLUSTER
        );
        assert_eq!(file(json!({"dnsPolicy": "Default"})).text, HOST);
    }

    #[test]
    fn n40_dns_config_is_appended_and_its_options_override() {
        let config = json!({"nameservers": ["192.0.2.1"], "searches": ["x.example"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]});
        assert_eq!(
            file(json!({"dnsPolicy": "None", "dnsConfig": config})).text,
            "nameserver 192.0.2.1\nsearch x.example\noptions ndots:2 edns0\n"
        );
        let both = file(json!({"dnsConfig": config})).text;
        assert!(
            both.contains("nameserver 10.96.0.10\nnameserver 192.0.2.1\n")
                && both.contains("options ndots:2 edns0\n")
        );
    }

    #[test]
    fn n40_what_exceeds_the_limits_is_left_out_and_said() {
        let many: Vec<String> = (0..40).map(|i| format!("d{i}.example")).collect();
        let file = file(
            json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"], "searches": many}}),
        );
        assert_eq!(
            file.text.lines().nth(1).map(|l| l.split(' ').count() - 1),
            Some(32)
        );
        assert!(
            file.omitted
                .is_some_and(|o| o.starts_with("Search Line limits were exceeded"))
        );
    }
}
