// What every file of tests here needs: the client as scripts/setup.sh put it, a namespace, and patience.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Writable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";

const installed = "../../../target/tools/javascript/node_modules/@kubernetes/client-node/dist/index.js";
export const k8s = await import(new URL(installed, import.meta.url));

export const config = new k8s.KubeConfig();
config.loadFromDefault();
export const core = config.makeApiClient(k8s.CoreV1Api);

/** Makes a namespace that nobody else uses. */
export async function namespace() {
  const name = `javascript-${randomBytes(4).toString("hex")}`;
  await core.createNamespace({ body: { metadata: { name } } });
  return name;
}

/** Asks `wanted` until it answers something true, and returns that. */
export async function until(what, wanted) {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await pause(20)) {
    const answer = await wanted();
    if (answer) return answer;
  }
  assert.fail(`${what}: not within a minute`);
}

/** A stream that keeps what is written to it, in `text`. */
export class Kept extends Writable {
  text = "";
  _write(piece, _encoding, done) {
    this.text += piece;
    done();
  }
}

/** A code that an answer refused with. */
export async function refused(answer, code) {
  await assert.rejects(answer, (error) => {
    assert.equal(error.code, code, String(error));
    return true;
  });
}
