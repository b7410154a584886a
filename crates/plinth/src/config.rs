//! What the user may set, where it may be set, and what holds otherwise.
//!
//! Every setting is a flag and, under the same name, a key of the YAML file given with `--config`; a flag
//! wins over the file, the file over the default.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use plinth_network::Ipv4Cidr;
use serde::Deserialize;

/// Settings as given: whatever is `None` was not.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Where everything that must last is kept: the store, images, certificates, volumes [default:
    /// /var/lib/plinth]
    #[arg(long, value_name = "DIR", env = "PLINTH_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Where sockets of running pods are kept; need not survive a reboot [default: /run/plinth]
    #[arg(long, value_name = "DIR", env = "PLINTH_RUN_DIR")]
    run_dir: Option<PathBuf>,
    /// Where containers' logs are written [default: /var/log/pods]
    #[arg(long, value_name = "DIR", help_heading = "Node")]
    log_dir: Option<PathBuf>,
    /// Where the administrator's kubeconfig is written [default: /etc/plinth/kubeconfig.yaml]
    #[arg(long, value_name = "PATH", help_heading = "API")]
    write_kubeconfig: Option<PathBuf>,
    /// Address the API listens on [default: 0.0.0.0]
    #[arg(long, value_name = "IP", help_heading = "API")]
    bind_address: Option<IpAddr>,
    /// Port the API listens on [default: 6443]
    #[arg(long, value_name = "PORT", help_heading = "API")]
    secure_port: Option<u16>,
    /// File of static tokens, lines of `token,user,uid,"group,group"` [default: none]
    #[arg(long, value_name = "PATH", help_heading = "API")]
    token_auth_file: Option<PathBuf>,
    /// Write every request down in this file, as lines of JSON [default: none]
    #[arg(long, value_name = "PATH", help_heading = "API")]
    audit_log_path: Option<PathBuf>,
    /// What of requests is written down: an audit.k8s.io/v1 Policy [default: the metadata of all]
    #[arg(long, value_name = "PATH", help_heading = "API")]
    audit_policy_file: Option<PathBuf>,
    /// Issuer of ServiceAccount tokens, and the audience of those that name none [default:
    /// https://kubernetes.default.svc]
    #[arg(long, value_name = "URL", help_heading = "API")]
    service_account_issuer: Option<String>,
    /// Run the API, controllers and scheduler only: no node, no containers [default: false]
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", help_heading = "Node")]
    no_agent: Option<bool>,
    /// Name of this node [default: the host's name]
    #[arg(long, value_name = "NAME", help_heading = "Node")]
    node_name: Option<String>,
    /// Address of this node [default: the one its default route uses]
    #[arg(long, value_name = "IP", help_heading = "Node")]
    node_ip: Option<Ipv4Addr>,
    /// Port of the node's own API [default: 10250]
    #[arg(long, value_name = "PORT", help_heading = "Node")]
    kubelet_port: Option<u16>,
    /// Cgroup below which pods run [default: /plinth]
    #[arg(long, value_name = "CGROUP", help_heading = "Node")]
    cgroup_root: Option<String>,
    /// Directory of `local-path` volumes [default: <data-dir>/storage]
    #[arg(long, value_name = "DIR", help_heading = "Node")]
    local_path: Option<PathBuf>,
    /// The host's resolver file: where names outside the cluster are asked [default: /etc/resolv.conf]
    #[arg(long, value_name = "PATH", help_heading = "Network")]
    resolv_conf: Option<PathBuf>,
    /// Range of pod addresses [default: 10.244.0.0/16]
    #[arg(long, value_name = "CIDR", help_heading = "Network")]
    cluster_cidr: Option<String>,
    /// Range of service addresses [default: 10.96.0.0/16]
    #[arg(long, value_name = "CIDR", help_heading = "Network")]
    service_cidr: Option<String>,
    /// Address of the cluster's DNS server, within the service range [default: 10.96.0.10]
    #[arg(long, value_name = "IP", help_heading = "Network")]
    cluster_dns: Option<Ipv4Addr>,
    /// Domain of the cluster's names [default: cluster.local]
    #[arg(long, value_name = "DOMAIN", help_heading = "Network")]
    cluster_domain: Option<String>,
}

/// Settings with nothing left open, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) run_dir: PathBuf,
    pub(crate) log_dir: PathBuf,
    pub(crate) write_kubeconfig: PathBuf,
    pub(crate) bind_address: IpAddr,
    pub(crate) secure_port: u16,
    pub(crate) token_auth_file: Option<PathBuf>,
    pub(crate) audit_log_path: Option<PathBuf>,
    pub(crate) audit_policy_file: Option<PathBuf>,
    pub(crate) service_account_issuer: String,
    pub(crate) agent: bool,
    pub(crate) node_name: String,
    pub(crate) node_ip: Ipv4Addr,
    pub(crate) kubelet_port: u16,
    pub(crate) cgroup_root: String,
    pub(crate) local_path: PathBuf,
    pub(crate) resolv_conf: PathBuf,
    pub(crate) cluster_cidr: Ipv4Cidr,
    /// This node's share of `cluster_cidr`.
    pub(crate) node_cidr: Ipv4Cidr,
    pub(crate) service_cidr: Ipv4Cidr,
    pub(crate) cluster_dns: Ipv4Addr,
    pub(crate) cluster_domain: String,
}

impl Config {
    /// The service address of the API: the first of the range.
    pub(crate) fn api_service_ip(&self) -> Ipv4Addr {
        // A range of at least 16 addresses has a second one.
        self.service_cidr
            .nth(1)
            .unwrap_or(self.service_cidr.network())
    }
}

impl Settings {
    /// Reads the file at `path`, if one was given, and lets the flags win over it.
    pub(crate) fn with_file(self, path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(self) };
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let file: Self =
            serde_saphyr::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        Ok(self.or(file))
    }

    fn or(self, other: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(other.data_dir),
            run_dir: self.run_dir.or(other.run_dir),
            log_dir: self.log_dir.or(other.log_dir),
            write_kubeconfig: self.write_kubeconfig.or(other.write_kubeconfig),
            bind_address: self.bind_address.or(other.bind_address),
            secure_port: self.secure_port.or(other.secure_port),
            token_auth_file: self.token_auth_file.or(other.token_auth_file),
            audit_log_path: self.audit_log_path.or(other.audit_log_path),
            audit_policy_file: self.audit_policy_file.or(other.audit_policy_file),
            service_account_issuer: self.service_account_issuer.or(other.service_account_issuer),
            no_agent: self.no_agent.or(other.no_agent),
            node_name: self.node_name.or(other.node_name),
            node_ip: self.node_ip.or(other.node_ip),
            kubelet_port: self.kubelet_port.or(other.kubelet_port),
            cgroup_root: self.cgroup_root.or(other.cgroup_root),
            local_path: self.local_path.or(other.local_path),
            resolv_conf: self.resolv_conf.or(other.resolv_conf),
            cluster_cidr: self.cluster_cidr.or(other.cluster_cidr),
            service_cidr: self.service_cidr.or(other.service_cidr),
            cluster_dns: self.cluster_dns.or(other.cluster_dns),
            cluster_domain: self.cluster_domain.or(other.cluster_domain),
        }
    }

    /// Fills in the defaults and checks that the settings fit together.
    pub(crate) fn resolve(self) -> Result<Config> {
        let data_dir = self.data_dir.unwrap_or_else(|| "/var/lib/plinth".into());
        let cidr = |name: &str, given: Option<String>, default: &str| -> Result<Ipv4Cidr> {
            given
                .as_deref()
                .unwrap_or(default)
                .parse()
                .with_context(|| format!("--{name}"))
        };
        let cluster_cidr = cidr("cluster-cidr", self.cluster_cidr, "10.244.0.0/16")?;
        let service_cidr = cidr("service-cidr", self.service_cidr, "10.96.0.0/16")?;
        if cluster_cidr.overlaps(service_cidr) {
            bail!(
                "--cluster-cidr {cluster_cidr} and --service-cidr {service_cidr} overlap: keep them apart"
            );
        }
        if cluster_cidr.size() < 4 || service_cidr.size() < 16 {
            bail!(
                "--cluster-cidr needs at least 4 addresses (/30) and --service-cidr at least 16 (/28)"
            );
        }
        let dns_default = service_cidr
            .nth(10)
            .context("--service-cidr is too small")?;
        let cluster_dns = self.cluster_dns.unwrap_or(dns_default);
        if !service_cidr.contains(cluster_dns) || service_cidr.nth(1) == Some(cluster_dns) {
            bail!(
                "--cluster-dns {cluster_dns} must be in the service range {service_cidr}, and not its first address"
            );
        }
        let node_cidr = cluster_cidr.first_subnet(24);
        let gateway = node_cidr.nth(1).context("--cluster-cidr is too small")?;
        let node_name = match self.node_name {
            Some(name) => name,
            None => host_name()?,
        };
        if node_name.is_empty()
            || !node_name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c))
        {
            bail!(
                "node name {node_name:?} must consist of lower case letters, digits, '-' and '.': set --node-name"
            );
        }
        Ok(Config {
            run_dir: self.run_dir.unwrap_or_else(|| "/run/plinth".into()),
            log_dir: self.log_dir.unwrap_or_else(|| "/var/log/pods".into()),
            write_kubeconfig: self
                .write_kubeconfig
                .unwrap_or_else(|| "/etc/plinth/kubeconfig.yaml".into()),
            bind_address: self.bind_address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
            secure_port: self.secure_port.unwrap_or(6443),
            token_auth_file: self.token_auth_file,
            audit_log_path: self.audit_log_path,
            audit_policy_file: self.audit_policy_file,
            service_account_issuer: self
                .service_account_issuer
                .unwrap_or_else(|| "https://kubernetes.default.svc".to_owned()),
            agent: !self.no_agent.unwrap_or(false),
            node_name,
            node_ip: self
                .node_ip
                .or_else(default_route_address)
                .unwrap_or(gateway),
            kubelet_port: self.kubelet_port.unwrap_or(10250),
            cgroup_root: self.cgroup_root.unwrap_or_else(|| "/plinth".to_owned()),
            local_path: self.local_path.unwrap_or_else(|| data_dir.join("storage")),
            resolv_conf: self
                .resolv_conf
                .unwrap_or_else(|| "/etc/resolv.conf".into()),
            cluster_cidr,
            node_cidr,
            service_cidr,
            cluster_dns,
            cluster_domain: self
                .cluster_domain
                .unwrap_or_else(|| "cluster.local".to_owned()),
            data_dir,
        })
    }
}

fn host_name() -> Result<String> {
    let name = nix::unistd::gethostname().context("asking for the host's name")?;
    Ok(name.to_string_lossy().to_lowercase())
}

/// The address this host would send from towards the outside. Connecting a UDP socket only looks up the
/// route: nothing is sent.
fn default_route_address() -> Option<Ipv4Addr> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) if !address.is_unspecified() && !address.is_loopback() => Some(address),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let directory = tempfile::tempdir().expect("tempdir");
        let path = directory.path().join("config.yaml");
        fs::write(&path, "cluster-domain: home.arpa\nsecure-port: 7443\n").expect("write");
        let flags = Settings {
            secure_port: Some(8443),
            node_name: Some("n".to_owned()),
            ..Settings::default()
        };
        let config = flags
            .with_file(Some(&path))
            .expect("file")
            .resolve()
            .expect("resolve");
        assert_eq!(config.cluster_domain, "home.arpa");
        assert_eq!(config.secure_port, 8443);
        assert_eq!(config.cluster_dns, Ipv4Addr::new(10, 96, 0, 10));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_name() {
        let directory = tempfile::tempdir().expect("tempdir");
        let path = directory.path().join("config.yaml");
        fs::write(&path, "cluster-domian: home.arpa\n").expect("write");
        let error = Settings::default()
            .with_file(Some(&path))
            .expect_err("typo");
        assert!(format!("{error:#}").contains("cluster-domian"), "{error:#}");
    }

    #[test]
    fn ranges_that_overlap_are_refused() {
        let settings = Settings {
            service_cidr: Some("10.244.8.0/24".to_owned()),
            ..Settings::default()
        };
        assert!(
            settings
                .resolve()
                .expect_err("overlap")
                .to_string()
                .contains("overlap")
        );
    }
}
