// Starts a full sync and waits for its summary: node sync.js alice nightly-2026-11-23
//
// celery-node 0.5.9 sends keyword arguments, to one queue per client, and polls the result backend twice a second. It
// can't set a link or a chain, does not support a unix socket with a database number, and reports no error when the
// broker is away: set your own deadline. With an idempotency key it is safe to send again.
const { createClient } = require("celery-node");

const broker = process.env.BROKER_URL; // redis://:password@127.0.0.1:6379/0
const backend = process.env.RESULT_BACKEND || broker;
const [account, key] = process.argv.slice(2);

async function main() {
  const client = createClient(broker, backend, "spotisync.sync");
  const sync = client.createTask("spotisync.full_sync").applyAsync([], { account, idempotency_key: key ?? null });
  try {
    console.log(JSON.stringify(await sync.get(Number(process.env.TIMEOUT_MS || 3600000))));
  } catch (error) {
    // FAILURE or TIMEOUT; exc_message has the text of a failure.
    console.error(`${error.message}: ${[].concat(error.exc_message ?? "not finished yet").join(" ")}`);
    process.exitCode = 1;
  } finally {
    await client.disconnect();
  }
}

main();
