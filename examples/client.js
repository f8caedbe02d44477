// Prints the quotes of one market, across disconnects. Runs in Node 22 or newer without any package
// (Node 20: `node --experimental-websocket`), and as it is in a browser.
//
//   node examples/client.js [URL] [SYMBOL] [COUNT]

const given = globalThis.process?.argv.slice(2) ?? [];
const url = given[0] ?? "ws://127.0.0.1:8765/v1/stream";
const symbol = given[1] ?? "BTC/USDT";
let left = Number(given[2] ?? 0); // 0: never stop
let position = null; // {epoch, sequence}: never a bare number
let failures = 0;
let comeBackMs = 0;

function refused(why, socket) {
  console.error(`refused: ${JSON.stringify(why)}`);
  if (globalThis.process) process.exitCode = 1;
  socket.close(1000);
}

function take(message, socket) {
  switch (message.type) {
    case "subscribed": {
      const stream = message.data.streams[symbol];
      if (!stream) refused(message.data.errors, socket);
      else if (!stream.recovered) position = { epoch: stream.epoch, sequence: stream.sequence };
      break;
    }
    case "gap":
      console.log("gap", message.from, message.to, message.reason);
      position = message.new_epoch
        ? { epoch: message.new_epoch, sequence: 0 }
        : { epoch: message.epoch, sequence: message.to };
      break;
    case "quote":
      position = { epoch: message.epoch, sequence: message.sequence };
      console.log(message.sequence, message.data.bid, message.data.ask, message.data.last);
      if (--left === 0) socket.close(1000);
      break;
    case "server_shutdown":
      comeBackMs = message.reconnect_after_ms;
      break;
    case "error":
      refused(message, socket);
      break;
  }
}

function start() {
  const socket = new WebSocket(url);
  socket.onopen = () => {
    failures = 0;
    const resume = position ? { resume: { [symbol]: position } } : {};
    socket.send(JSON.stringify({ action: "subscribe", channel: "quotes", symbols: [symbol], throttle_ms: 250, ...resume }));
  };
  socket.onmessage = (event) => take(JSON.parse(event.data), socket);
  socket.onclose = (event) => {
    if (event.code === 1000) return;
    const waitMs = comeBackMs + Math.random() * Math.min(15000, 250 * 2 ** failures++);
    console.log(`closed with ${event.code}, trying again in ${Math.round(waitMs)} ms`);
    comeBackMs = 0;
    setTimeout(start, waitMs);
  };
}

start();
