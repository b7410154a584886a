// Informers and watches.

import assert from "node:assert/strict";
import test from "node:test";

import { config, core, k8s, namespace, until } from "./support.mjs";

test("an informer holds what there is and tells what happens", async () => {
  const ns = await namespace();
  const make = (name, data) => core.createNamespacedConfigMap({ namespace: ns, body: { metadata: { name, labels: { of: "informer" } }, data } });
  await make("early", { a: "1" });
  const list = () => core.listNamespacedConfigMap({ namespace: ns, labelSelector: "of=informer" });
  const informer = k8s.makeInformer(config, `/api/v1/namespaces/${ns}/configmaps`, list, "of=informer");
  const told = [];
  for (const verb of ["add", "update", "delete"]) {
    informer.on(verb, (object) => told.push(`${verb} ${object.metadata.name}`));
  }
  informer.on("error", (error) => told.push(`error ${error}`));
  await informer.start();
  assert.deepEqual(informer.list(ns).map((object) => object.metadata.name), ["early"]);

  await make("late", {});
  const patch = { name: "early", namespace: ns, body: { data: { a: "2" } } };
  await core.patchNamespacedConfigMap(patch, k8s.setHeaderOptions("Content-Type", k8s.PatchStrategy.MergePatch));
  await core.deleteNamespacedConfigMap({ name: "late", namespace: ns });
  await until("the informer knows all of it", () => told.includes("delete late"));
  assert.deepEqual(told, ["add early", "add late", "update early", "delete late"]);
  assert.deepEqual(informer.get("early", ns).data, { a: "2" });
  await informer.stop();
  await core.deleteNamespace({ name: ns });
});

test("a watch goes on where it was, and marks how far it has come", async () => {
  const ns = await namespace();
  const start = (await core.listNamespacedSecret({ namespace: ns })).metadata.resourceVersion;
  const make = (name, labels) => core.createNamespacedSecret({ namespace: ns, body: { metadata: { name, labels } } });
  await make("one", { of: "watch" });
  await make("two", { of: "watch" });
  const other = await make("other", {});
  const events = [];
  const ended = new Promise((resolve, reject) => {
    new k8s.Watch(config)
      .watch(
        `/api/v1/namespaces/${ns}/secrets`,
        { labelSelector: "of=watch", resourceVersion: start, allowWatchBookmarks: true, timeoutSeconds: 4 },
        (type, object) => events.push([type, object.metadata.name, object.metadata.resourceVersion]),
        (error) => (error && error.message !== "Premature close" ? reject(error) : resolve()),
      )
      .catch(reject);
  });
  await ended;
  assert.deepEqual(events.slice(0, 2).map(([type, name]) => [type, name]), [["ADDED", "one"], ["ADDED", "two"]]);
  assert.equal(events[2]?.[0], "BOOKMARK");
  // It has come past what it was not to tell of.
  assert.ok(BigInt(events[2][2]) >= BigInt(other.metadata.resourceVersion));
  await core.deleteNamespace({ name: ns });
});
