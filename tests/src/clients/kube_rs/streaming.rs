//! Into a pod over WebSocket: programs run inside, attaching, logs, forwarded ports.

use anyhow::{Context, Result, ensure};
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, DeleteParams, LogParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::{in_time, until};

const POD: &str = "kube-rs";
const SCRIPT: &str = "mkdir -p /tmp/www; echo served > /tmp/www/page; httpd -p 8080 -h /tmp/www; echo begun; \
                      while read line; do echo heard $line; done";

pub(super) async fn into_a_pod(client: &Client) -> Result<()> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = serde_json::from_value(json!({
        "metadata": {"name": POD},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{
            "name": "main", "image": "plinth-node", "imagePullPolicy": "Never", "stdin": true,
            "command": ["sh", "-c", SCRIPT],
        }]},
    }))?;
    pods.create(&PostParams::default(), &pod).await?;
    let running = await_condition(pods.clone(), POD, conditions::is_pod_running());
    in_time("the pod runs", Box::pin(running)).await??;
    until("the pod has begun", async || {
        let log = pods.logs(POD, &LogParams::default()).await?;
        Ok(log.contains("begun").then_some(()))
    })
    .await?;
    in_time("a program inside", Box::pin(run_inside(&pods))).await??;
    in_time("attaching", Box::pin(attach(&pods))).await??;
    in_time("a forwarded port", Box::pin(forward(&pods))).await??;
    pods.delete(POD, &DeleteParams::default()).await?;
    Ok(())
}

async fn text(stream: Option<impl AsyncRead + Unpin>) -> Result<String> {
    let mut text = String::new();
    let mut stream = stream.context("no such stream")?;
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

async fn run_inside(pods: &Api<Pod>) -> Result<()> {
    let params = AttachParams::default().stdin(true);
    let script = "read line; echo got $line; echo bad >&2; exit 7";
    let mut program = pods.exec(POD, ["sh", "-c", script], &params).await?;
    let ended = program.take_status().context("no status")?;
    let mut stdin = program.stdin().context("no standard input")?;
    stdin.write_all(b"ten\n").await?;
    let (out, err) = (program.stdout(), program.stderr());
    let (out, err) = tokio::try_join!(text(out), text(err))?;
    ensure!((out.as_str(), err.as_str()) == ("got ten\n", "bad\n"));
    let status = ended.await.context("no word at the end")?;
    let causes = status
        .details
        .unwrap_or_default()
        .causes
        .unwrap_or_default();
    ensure!(
        causes
            .iter()
            .any(|cause| cause.reason.as_deref() == Some("ExitCode")
                && cause.message.as_deref() == Some("7")),
        "the end was {causes:?}"
    );
    // Standard input that ends is an end that the program sees.
    let mut program = pods.exec(POD, ["wc", "-c"], &params).await?;
    let mut stdin = program.stdin().context("no standard input")?;
    stdin.write_all(&vec![b'x'; 1_000_000]).await?;
    stdin.shutdown().await?;
    ensure!(text(program.stdout()).await?.trim() == "1000000");
    program.join().await?;
    Ok(())
}

async fn attach(pods: &Api<Pod>) -> Result<()> {
    let follow = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let mut log = pods.log_stream(POD, &follow).await?.lines();
    let params = AttachParams::default().stdin(true).stderr(false);
    let mut attached = pods.attach(POD, &params).await?;
    let mut stdin = attached.stdin().context("no standard input")?;
    stdin.write_all(b"ten\n").await?;
    let mut answer = [0; 10];
    let mut stdout = attached.stdout().context("no standard output")?;
    stdout.read_exact(&mut answer).await?;
    ensure!(&answer == b"heard ten\n");
    ensure!(log.try_next().await?.as_deref() == Some("begun"));
    ensure!(log.try_next().await?.as_deref() == Some("heard ten"));
    attached.abort();
    Ok(())
}

async fn forward(pods: &Api<Pod>) -> Result<()> {
    let mut forwarded = pods.portforward(POD, &[8080, 9]).await?;
    let refused = forwarded.take_error(9).context("no error channel")?;
    let refused = refused.await.context("no error")?;
    ensure!(refused.contains("connection refused"), "{refused}");
    let mut stream = forwarded.take_stream(8080).context("no data channel")?;
    stream.write_all(b"GET /page HTTP/1.0\r\n\r\n").await?;
    let page = text(Some(stream)).await?;
    ensure!(page.ends_with("served\n"), "{page}");
    Ok(())
}
