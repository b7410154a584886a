// Into pods: programs run inside, programs attached to, logs, forwarded ports, files copied.

import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";

import { Kept, config, core, k8s, namespace, until } from "./support.mjs";

let ns;

before(async () => {
  ns = await namespace();
  const script = `
    mkdir -p /tmp/www && echo served > /tmp/www/page
    httpd -p 8080 -h /tmp/www
    echo begun
    while read line; do echo heard $line; done`;
  const container = { name: "main", image: "plinth-node", imagePullPolicy: "Never", stdin: true, command: ["sh", "-c", script] };
  const body = { metadata: { name: "target" }, spec: { terminationGracePeriodSeconds: 1, containers: [container] } };
  await core.createNamespacedPod({ namespace: ns, body });
  await until("the pod has begun", async () => {
    const pod = await core.readNamespacedPod({ name: "target", namespace: ns });
    if (pod.status.phase !== "Running") return false;
    return (await core.readNamespacedPodLog({ name: "target", namespace: ns })).includes("begun");
  });
});

after(() => core.deleteNamespace({ name: ns }));

/** Runs a program inside and waits for its end. */
async function run(command, { input = null, tty = false } = {}) {
  const [out, err] = [new Kept(), new Kept()];
  const status = await new Promise((resolve, reject) => {
    new k8s.Exec(config).exec(ns, "target", "main", command, out, tty ? null : err, input, tty, resolve).catch(reject);
  });
  return { status, out, err };
}

test("a program says what it says and ends with its code", async () => {
  const { status, out, err } = await run(["sh", "-c", "echo out; echo err >&2; exit 3"]);
  await until("both outputs are there", () => out.text && err.text);
  assert.deepEqual([out.text, err.text], ["out\n", "err\n"]);
  assert.equal(status.status, "Failure");
  assert.equal(status.details.causes.find(({ reason }) => reason === "ExitCode").message, "3");
});

test("a program reads what is sent to it, to its end", async () => {
  const { status, out } = await run(["sh", "-c", "read line; echo got $line"], { input: Readable.from(["ten\n"]) });
  assert.equal(status.status, "Success");
  await until("the output is there", () => out.text);
  assert.equal(out.text, "got ten\n");
});

test("a terminal is one", async () => {
  const { out } = await run(["tty"], { tty: true });
  await until("the output is there", () => out.text);
  assert.match(out.text, /^\/dev\/pts\//);
});

test("what a pod says is followed while it speaks", async () => {
  const heard = new Kept();
  const following = await new k8s.Log(config).log(ns, "target", "main", heard, { follow: true });
  const said = new Kept();
  const socket = await new k8s.Attach(config).attach(ns, "target", "main", said, null, Readable.from(["ten\n"]), false);
  await until("the pod has answered", () => said.text.includes("heard ten"));
  await until("the log has it", () => heard.text.includes("heard ten"));
  assert.equal(heard.text, "begun\nheard ten\n");
  following.abort();
  socket.close();
});

test("a port is forwarded", async () => {
  const forward = new k8s.PortForward(config);
  const local = createServer((socket) => forward.portForward(ns, "target", [8080], socket, null, socket));
  await new Promise((resolve) => local.listen(0, "127.0.0.1", resolve));
  const answer = new Kept();
  const socket = connect(local.address().port, "127.0.0.1");
  socket.pipe(answer);
  socket.write("GET /page HTTP/1.0\r\n\r\n");
  await until("the page is there", () => answer.text.includes("served"));
  assert.match(answer.text, /^HTTP\/1\.[01] 200 OK/);
  socket.destroy();
  local.close();
});
