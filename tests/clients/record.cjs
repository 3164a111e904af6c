// Microsoft's JavaScript library against a daemon: record, poll, download; what is refused. `BASE TOKEN` on the command line.
const assert = require("node:assert");
const { Client, GraphError, HTTPMessageHandler, RetryHandler } = require("@microsoft/microsoft-graph-client");

const [base, token] = process.argv.slice(2);

// In place of the library's own, which keeps tokens from hosts that are not Microsoft's.
class Bearer {
  async execute(context) {
    context.options.headers = { ...context.options.headers, Authorization: `Bearer ${this.token}` };
    return this.next.execute(context);
  }
  setNext(next) {
    this.next = next;
  }
}

function client(token) {
  const first = Object.assign(new Bearer(), { token });
  const retry = new RetryHandler();
  first.setNext(retry);
  retry.setNext(new HTTPMessageHandler());
  return Client.initWithMiddleware({ baseUrl: `${base}/`, defaultVersion: "beta", middleware: first });
}

async function ended(graph, operation) {
  for (let tries = 0; tries < 200; tries++) {
    const now = await graph.api(`/app/calls/mic/operations/${operation.id}`).get();
    if (now.status === "completed" || now.status === "failed") return now;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("it did not end within 10 s");
}

async function refused(request, status, code) {
  const error = await request.then(() => null, (error) => error);
  assert(error instanceof GraphError, `${error}`);
  assert.deepStrictEqual([error.statusCode, error.code], [status, code]);
  assert.match(error.requestId, /^[0-9a-f-]{36}$/);
}

async function main() {
  const graph = client(token);
  const body = { stopTones: ["#"], playBeep: false, clientContext: "javascript" };
  for (const [path, version] of [["/app/calls/mic/record", "beta"], ["/communications/calls/mic/recordResponse", "v1.0"]]) {
    const operation = await ended(graph, await graph.api(path).version(version).post(body));
    assert.strictEqual(operation["@odata.type"], "#microsoft.graph.recordOperation");
    assert.strictEqual(operation.status, "completed");
    assert.strictEqual(operation.completionReason, "stopToneDetected");
    assert.strictEqual(operation.clientContext, "javascript");
    const headers = { Authorization: `Bearer ${operation.recordingAccessToken}` };
    const audio = await (await fetch(operation.recordingLocation, { headers })).arrayBuffer();
    assert.strictEqual(audio.byteLength, operation.recording.bytes);
  }
  const list = await graph.api("/app/calls/mic/operations").top(1).get();
  assert.strictEqual(list.value.length, 1);
  assert.strictEqual((await graph.api(list["@odata.nextLink"].slice(base.length)).get()).value.length, 1);
  await refused(graph.api("/app/calls/mic/record").post({ maxSilenceTimeoutInSeconds: 0 }), 400, "invalidRequest");
  await refused(graph.api("/app/calls/nobody").get(), 404, "itemNotFound");
  await refused(client("wrong").api("/app/calls").get(), 401, "unauthenticated");
  const call = await graph.api("/app/calls").post({ "@odata.type": "#microsoft.graph.call", subject: "javascript" });
  assert.strictEqual(call.state, "established");
  await graph.api(`/app/calls/${call.id}`).delete();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
