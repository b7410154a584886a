// The client for objects of any kind, as `kubectl apply` would use it.

import assert from "node:assert/strict";
import test from "node:test";

import { config, k8s, namespace, core, refused, until } from "./support.mjs";

const objects = k8s.KubernetesObjectApi.makeApiClient(config);

test("objects of any kind are made, read, listed, changed and deleted", async () => {
  const ns = await namespace();
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: ns },
    spec: { clusterIP: "None", ports: [{ name: "http", port: 80 }, { name: "https", port: 443 }] },
  };
  const made = await objects.create(service);
  assert.equal(made.spec.sessionAffinity, "None");
  await refused(objects.create(service), 409);

  const merged = { ...service, spec: { ports: [{ name: "tls", port: 443 }] } };
  const patched = await objects.patch(merged, undefined, undefined, undefined, undefined, k8s.PatchStrategy.StrategicMergePatch);
  assert.deepEqual(patched.spec.ports.map((port) => port.name).sort(), ["http", "tls"]);

  const read = await objects.read({ apiVersion: "v1", kind: "Service", metadata: { name: "web", namespace: ns } });
  read.metadata.labels = { replaced: "yes" };
  const replaced = await objects.replace(read);
  assert.equal(replaced.metadata.labels.replaced, "yes");
  await refused(objects.replace(read), 409);

  const listed = await objects.list("v1", "Service", ns, undefined, undefined, undefined, "metadata.name=web", "replaced=yes", 1);
  assert.deepEqual(listed.items.map((item) => item.metadata.name), ["web"]);
  await objects.delete(service);
  await refused(objects.read(service), 404);
  await core.deleteNamespace({ name: ns });
});

test("who applies keeps what they applied", async () => {
  const ns = await namespace();
  const settings = (data) => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "shared", namespace: ns }, data });
  const apply = (manager, data, force) =>
    objects.patch(settings(data), undefined, undefined, manager, force, k8s.PatchStrategy.ServerSideApply);
  await apply("ann", { color: "red", size: "1" });
  await refused(apply("bob", { color: "blue" }), 409);
  assert.deepEqual((await apply("bob", { color: "blue" }, true)).data, { color: "blue", size: "1" });
  assert.deepEqual((await apply("ann", {})).data, { color: "blue" });
  await core.deleteNamespace({ name: ns });
});

test("a custom kind is found and its objects are judged", async () => {
  const ns = await namespace();
  const group = `${ns}.example.com`;
  const definition = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `kites.${group}` },
    spec: {
      group,
      scope: "Namespaced",
      names: { plural: "kites", singular: "kite", kind: "Kite" },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: "object",
              properties: { spec: { type: "object", properties: { length: { type: "integer", minimum: 1 } } } },
            },
          },
        },
      ],
    },
  };
  await objects.create(definition);
  await until("the custom kind is established", async () => {
    const { status } = await objects.read(definition);
    return status?.conditions?.some(({ type, status }) => type === "Established" && status === "True");
  });
  const kite = (length) => ({ apiVersion: `${group}/v1`, kind: "Kite", metadata: { name: "red", namespace: ns }, spec: { length } });
  await refused(objects.create(kite(0)), 422);
  assert.equal((await objects.create(kite(5))).metadata.generation, 1);
  const patched = await objects.patch(kite(6), undefined, undefined, undefined, undefined, k8s.PatchStrategy.MergePatch);
  assert.deepEqual([patched.spec.length, patched.metadata.generation], [6, 2]);
  await objects.delete(definition);
  await core.deleteNamespace({ name: ns });
});
