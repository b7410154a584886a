//! Puts the parts of a one-node cluster together and keeps them running. Decides nothing that is theirs.
//!
//! Order of start: store (which holds the data directory), certificates, API; from there on it is ready.
//! Then network, DNS and runtime, and at last node, controllers and scheduler. All parts talk to the API in
//! process, each as the user it is.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use jiff::Timestamp;
use plinth_apiserver::{
    ApiServer, ApiServerConfig, AuditLog, AuditPolicy, AuditWriter, Credentials, EncryptionKeys,
    NodeClientTls, ServiceAccountConfig, StaticTokens, UserInfo,
};
use plinth_client::{Informers, QueueMeters};
use plinth_controllers::{Context, ControllersConfig};
use plinth_kubelet::KubeletConfig;
use plinth_network::dns::DnsServer;
use plinth_network::{Network, NetworkConfig};
use plinth_runtime::{Runtime, RuntimeConfig};
use plinth_store::{Options, Store};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::Config;
use crate::kubeconfig;
use crate::pki::{Names, Pki};

/// Port of the API on its service address.
const SERVICE_PORT: u16 = 443;
const DNS_PORT: u16 = 53;

/// Runs the cluster until SIGTERM or SIGINT, or until a part of it fails. Pods keep running.
pub(crate) fn run(config: Config) -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a TLS provider was installed already"))?;
    raise_open_files()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(config))
}

/// Lets this process open as many files as the host lets it: every client and every pod takes some.
fn raise_open_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("raising the limit of open files")
}

/// Opens the store, which keeps the data directory for this process.
pub(crate) fn open_store(data_dir: &Path) -> Result<Store> {
    let directory = data_dir.join("store");
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    Ok(Store::open(&directory, &Options::default())?)
}

/// Where the runtime keeps things, for server and reset alike.
pub(crate) fn runtime_config(config: &Config) -> Result<RuntimeConfig> {
    Ok(RuntimeConfig {
        root: config.data_dir.join("runtime"),
        state: config.run_dir.clone(),
        cgroup_root: config.cgroup_root.clone(),
        shim_exe: std::env::current_exe().context("finding this program's own file")?,
    })
}

/// Where the node agent keeps pods' files, for server and reset alike.
pub(crate) fn kubelet_root(config: &Config) -> PathBuf {
    config.data_dir.join("kubelet")
}

/// What the network is to look like, for server and reset alike.
pub(crate) fn network_config(config: &Config) -> NetworkConfig {
    NetworkConfig {
        state_dir: config.data_dir.join("network"),
        bridge: "plinth0".to_owned(),
        node_cidr: config.node_cidr,
        cluster_cidr: config.cluster_cidr,
        service_cidr: config.service_cidr,
        vips: vec![config.api_service_ip(), config.cluster_dns],
    }
}

async fn serve(config: Config) -> Result<()> {
    let shutdown = CancellationToken::new();
    let mut parts = JoinSet::new();
    let listener = listen((config.bind_address, config.secure_port).into()).await?;
    let store = open_store(&config.data_dir)?;
    let pki = Pki::open(
        &config.data_dir.join("pki"),
        &names(&config),
        Timestamp::now(),
    )?;
    let (audit, audit_writer) = audit(&config).await?.unzip();
    let api = ApiServer::new(ApiServerConfig {
        store: store.clone(),
        service_cidr: config.service_cidr.to_string(),
        advertise: (IpAddr::V4(config.node_ip), config.secure_port),
        node_client: NodeClientTls {
            config: pki.node_client_tls()?,
        },
        credentials: credentials(&config, &pki)?,
        audit,
        encryption: EncryptionKeys::parse(&pki.encryption_keys)
            .context("reading pki/encryption.key")?,
    })
    .await?;
    let tls = pki.api_tls()?;
    serve_api(&mut parts, &api, listener, tls.clone(), &shutdown);
    let url = format!("https://127.0.0.1:{}", config.secure_port);
    kubeconfig::write(&config.write_kubeconfig, &url, &pki)?;
    println!("export KUBECONFIG={}", config.write_kubeconfig.display());
    info!(%url, "the API is ready");

    let client = |user: &str| kube::Client::new(api.service(UserInfo::internal(user)), "default");
    let manager = Informers::new(client("system:kube-controller-manager"));
    let node_informers = Informers::new(client(&format!("system:node:{}", config.node_name)));
    if config.agent {
        let network = Network::start(network_config(&config))
            .await
            .context("starting the network")?;
        let service = (config.api_service_ip(), SERVICE_PORT).into();
        serve_api(&mut parts, &api, listen(service).await?, tls, &shutdown);
        let upstreams = resolvers(&config)?;
        let dns = [SocketAddr::from((config.cluster_dns, DNS_PORT))];
        let dns =
            DnsServer::start(&dns, &config.cluster_domain, upstreams, shutdown.clone()).await?;
        let runtime = Runtime::open(runtime_config(&config)?)
            .await
            .context("opening the container runtime")?;
        let kubelet = KubeletConfig {
            client: node_informers.client().clone(),
            informers: node_informers.clone(),
            runtime,
            network,
            dns,
            node_name: config.node_name.clone(),
            node_ip: config.node_ip.into(),
            root: kubelet_root(&config),
            log_root: config.log_dir.clone(),
            cluster_dns: config.cluster_dns.into(),
            cluster_domain: config.cluster_domain.clone(),
            resolv_conf: config.resolv_conf.clone(),
            tls: pki.node_tls()?,
            node_api: (config.bind_address, config.kubelet_port).into(),
            shutdown: shutdown.clone(),
        };
        parts.spawn(async move { plinth_kubelet::run(kubelet).await.context("the node agent") });
    }
    let queues = QueueMeters::new();
    let measured = queues.clone();
    api.also_measure(move || measured.page());
    let controllers = Context {
        queues,
        informers: manager.clone(),
        config: ControllersConfig {
            // Volumes on this host are of use to pods on this host alone.
            local_path_base: config.agent.then(|| config.local_path.clone()),
            node_name: config.node_name.clone(),
            cluster_ca_pem: pki.ca.clone(),
            authority: Some(pki.signing_authority()?),
        },
        shutdown: shutdown.clone(),
    };
    parts.spawn(async move {
        plinth_controllers::run(controllers).await;
        Ok(())
    });
    let scheduler = plinth_scheduler::run(
        manager.clone(),
        client("system:kube-scheduler"),
        shutdown.clone(),
    );
    parts.spawn(async move {
        scheduler.await;
        Ok(())
    });
    let outcome = until_told_or_failed(&mut parts).await;
    shutdown.cancel();
    while let Some(part) = parts.join_next().await {
        part??;
    }
    manager.shutdown().await;
    node_informers.shutdown().await;
    if let Some(writer) = audit_writer {
        writer.close().await;
    }
    store.close().await;
    info!("stopped; pods keep running");
    outcome
}

/// Where requests are written down, if they are to be.
async fn audit(config: &Config) -> Result<Option<(AuditLog, AuditWriter)>> {
    let Some(path) = &config.audit_log_path else {
        return Ok(None);
    };
    let policy = match &config.audit_policy_file {
        None => AuditPolicy::metadata(),
        Some(file) => fs::read_to_string(file)
            .context("reading it")
            .and_then(|text| Ok(AuditPolicy::parse(&text)?))
            .with_context(|| format!("--audit-policy-file {}", file.display()))?,
    };
    let opened = AuditLog::open(path, policy)
        .await
        .with_context(|| format!("--audit-log-path {}", path.display()))?;
    Ok(Some(opened))
}

/// How callers prove who they are.
fn credentials(config: &Config, pki: &Pki) -> Result<Credentials> {
    let tokens = match &config.token_auth_file {
        None => StaticTokens::default(),
        Some(path) => fs::read_to_string(path)
            .context("reading it")
            .and_then(|text| Ok(StaticTokens::parse(&text)?))
            .with_context(|| format!("--token-auth-file {}", path.display()))?,
    };
    Ok(Credentials {
        certificates: pki.client_certificates()?,
        accounts: ServiceAccountConfig {
            key: pki.account_key()?,
            issuer: config.service_account_issuer.clone(),
        },
        tokens,
    })
}

/// Waits for a signal, or for the first part that ends before it was told to.
async fn until_told_or_failed(parts: &mut JoinSet<Result<()>>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        Some(part) = parts.join_next() => match part {
            Ok(Ok(())) => Err(anyhow!("a part of the server ended by itself")),
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(anyhow!(panic)),
        },
    }
}

fn serve_api(
    parts: &mut JoinSet<Result<()>>,
    api: &ApiServer,
    listener: TcpListener,
    tls: std::sync::Arc<rustls::ServerConfig>,
    shutdown: &CancellationToken,
) {
    let (api, shutdown) = (api.clone(), shutdown.clone());
    parts.spawn(async move {
        api.serve(listener, tls, shutdown).await;
        Ok(())
    });
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address} for the API"))
}

fn names(config: &Config) -> Names {
    Names {
        node_name: config.node_name.clone(),
        addresses: vec![
            Ipv4Addr::LOCALHOST.into(),
            config.api_service_ip().into(),
            config.node_ip.into(),
        ],
        cluster_domain: config.cluster_domain.clone(),
    }
}

/// The host's resolvers, without ourselves.
fn resolvers(config: &Config) -> Result<Vec<IpAddr>> {
    let path = &config.resolv_conf;
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let servers = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"));
    Ok(servers
        .filter_map(|server| server.trim().parse().ok())
        .filter(|server| *server != config.cluster_dns)
        .collect())
}
