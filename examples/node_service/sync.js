// Starts a full sync and waits for its summary: node sync.js alice nightly-2026-11-23
//
// celery-node 0.5.9 sends keyword arguments, to one queue a client, and asks the result backend twice a second. It can't
// set a link or a chain, speaks no unix socket with a database number, and says nothing when the broker is away: start
// with a deadline of your own. A key makes it safe to start again.
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
    // FAILURE or TIMEOUT; of a failure the words are in exc_message.
    console.error(`${error.message}: ${[].concat(error.exc_message ?? "it is not over yet").join(" ")}`);
    process.exitCode = 1;
  } finally {
    await client.disconnect();
  }
}

main();
