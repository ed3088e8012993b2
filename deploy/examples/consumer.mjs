// Print the decisions of edge-daemon, one line each: seq route sku confidence. Needs only the package zeromq.
//
// `seq` numbers every message of one start (`epoch`) of one device, whatever its topic. So this subscribes to every
// topic: a jump in `seq` is that many messages lost on the way, and nothing else.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Subscriber } from "zeromq";

const { values } = parseArgs({
  options: {
    endpoint: { type: "string", default: "tcp://127.0.0.1:5556" }, // publish.decisions of edge-daemon
    own: { type: "string" }, // our NAME.secret, of edge-keys; where the daemon has keys
    peer: { type: "string" }, // the NAME.pub of the daemon; with --own
    count: { type: "string", default: "Infinity" }, // end after this many decisions
  },
});
const socket = new Subscriber();
socket.subscribe();
if ((values.own === undefined) !== (values.peer === undefined)) {
  console.error("--own and --peer belong together");
  process.exit(2);
}
const keyIn = (file, half) => {
  const found = readFileSync(file, "ascii").match(new RegExp(`^\\s+${half}-key\\s*=\\s*"(.{40})"`, "m"));
  if (found === null) throw new Error(`no ${half} key in ${file}`);
  return found[1];
};
try {
  if (values.own !== undefined) {
    socket.curvePublicKey = keyIn(values.own, "public");
    socket.curveSecretKey = keyIn(values.own, "secret");
    socket.curveServerKey = keyIn(values.peer, "public");
  }
} catch (error) {
  console.error(`--own ${values.own} --peer ${values.peer}: ${error.message}; expected NAME.secret and NAME.pub`);
  process.exit(2);
}
try {
  socket.connect(values.endpoint); // need not be there yet: ZeroMQ goes on trying
} catch (error) {
  console.error(`--endpoint ${values.endpoint}: ${error.message}; expected tcp://HOST:PORT or ipc://PATH`);
  process.exit(2);
}
const expected = new Map(); // the next seq of each start
let decisions = 0;
let missed = 0;

for await (const [, payload] of socket) {
  if (payload[0] !== 0x7b) {
    console.error("the payload is not JSON; set publish.format of edge-daemon to json");
    process.exit(1);
  }
  const message = JSON.parse(payload.toString());
  const start = JSON.stringify([message.device_id, message.epoch]);
  const gap = message.seq - (expected.get(start) ?? message.seq);
  expected.set(start, message.seq + 1);
  if (gap > 0) {
    missed += gap;
    console.error(`${gap} missed before ${message.seq}`);
  }
  if (message.type === "decision") {
    decisions += 1;
    const confidence = Math.floor(message.confidence * 1000 + 0.5) / 1000;
    console.log(`${message.seq} ${message.route} ${message.sku ?? "-"} ${confidence.toFixed(3)}`);
  }
  if (decisions >= Number(values.count)) break;
}
socket.close();
console.error(`${decisions} decisions, ${missed} messages missed`);
