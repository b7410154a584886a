//! The variables that tell a container of the services around it (N-43). Pure.

use k8s_openapi::api::core::v1::Service;

/// The variables of one service; none for a headless one.
pub(crate) fn service_variables(service: &Service) -> Vec<(String, String)> {
    let Some(spec) = &service.spec else {
        return Vec::new();
    };
    let Some(ip) = spec
        .cluster_ip
        .as_deref()
        .filter(|ip| !ip.is_empty() && *ip != "None")
    else {
        return Vec::new();
    };
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first() else {
        return Vec::new();
    };
    let upper = |text: &str| text.to_uppercase().replace('-', "_");
    let name = upper(service.metadata.name.as_deref().unwrap_or_default());
    let mut variables = vec![
        (format!("{name}_SERVICE_HOST"), ip.to_owned()),
        (format!("{name}_SERVICE_PORT"), first.port.to_string()),
    ];
    for port in ports {
        if let Some(port_name) = port.name.as_deref().filter(|n| !n.is_empty()) {
            variables.push((
                format!("{name}_SERVICE_PORT_{}", upper(port_name)),
                port.port.to_string(),
            ));
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let lower = protocol.to_lowercase();
        let number = port.port;
        let prefix = format!("{name}_PORT_{number}_{}", protocol.to_uppercase());
        let url = format!("{lower}://{ip}:{number}");
        if index == 0 {
            variables.push((format!("{name}_PORT"), url.clone()));
        }
        variables.push((prefix.clone(), url));
        variables.push((format!("{prefix}_PROTO"), lower));
        variables.push((format!("{prefix}_PORT"), number.to_string()));
        variables.push((format!("{prefix}_ADDR"), ip.to_owned()));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n43_a_service_with_an_address_gives_its_variables_and_a_headless_one_none() {
        let service = |ip: &str| -> Service {
            serde_json::from_value(serde_json::json!({"metadata": {"name": "my-db"},
                "spec": {"clusterIP": ip, "ports": [{"name": "sql-1", "port": 5432, "protocol": "TCP"}]}}))
            .expect("service")
        };
        assert!(service_variables(&service("None")).is_empty());
        let got: Vec<String> = service_variables(&service("10.96.3.4"))
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        assert_eq!(
            got,
            [
                "MY_DB_SERVICE_HOST=10.96.3.4",
                "MY_DB_SERVICE_PORT=5432",
                "MY_DB_SERVICE_PORT_SQL_1=5432",
                "MY_DB_PORT=tcp://10.96.3.4:5432",
                "MY_DB_PORT_5432_TCP=tcp://10.96.3.4:5432",
                "MY_DB_PORT_5432_TCP_PROTO=tcp",
                "MY_DB_PORT_5432_TCP_PORT=5432",
                "MY_DB_PORT_5432_TCP_ADDR=10.96.3.4",
            ]
        );
    }
}
