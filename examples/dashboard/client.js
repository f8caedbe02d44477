// A client of the dashboard dialect (docs/protocol.md, section 13). index.html beside it shows what it is told; in Node
// 22 or newer (Node 20: `node --experimental-websocket`) it prints it:
//
//   node examples/dashboard/client.js [URL] [SYMBOL,SYMBOL,..] [COUNT]

const URL_OF_DEMO = "ws://127.0.0.1:8765/ws?client_id=example";
const NOT_AGAIN = new Set([1000, 1003, 1008, 4403]); // what another try would not change
const RETRY_MS_MAX = 15000;

class DashboardClient {
  // `on`: a function by type of message, as {price_update: (message) => ..}, and `state`, told "connecting", "open",
  // "waiting" or "closed". `symbols`: whose prices to be told; without, those that the gateway is configured to tell.
  constructor(url, on, { symbols = null, token = null, pingMs = 30000, retryMs = 250 } = {}) {
    Object.assign(this, { url, on, symbols, token, pingMs, retryMs });
    this.failures = 0;
    this.waitMs = 0; // what the gateway has asked for
    this.isWanted = false;
  }

  start() {
    this.isWanted = true;
    this.connect();
  }

  stop() {
    this.isWanted = false;
    clearTimeout(this.retry);
    this.tell("closed");
    this.socket.close(1000);
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  connect() {
    this.tell("connecting");
    this.socket = new WebSocket(this.url);
    this.socket.onopen = () => this.opened();
    this.socket.onmessage = (event) => this.take(JSON.parse(event.data));
    this.socket.onclose = (event) => this.closed(event.code);
  }

  opened() {
    this.tell("open");
    if (this.token) this.send({ type: "auth", token: this.token });
    if (this.symbols) {
      // The first subscribe ends everything else that a new client is told, so the rest is named too.
      this.send({ type: "subscribe", channel: "price_updates", symbols: this.symbols });
      for (const channel of ["signals", "trades", "portfolio"]) this.send({ type: "subscribe", channel });
    }
    this.isHeard = true;
    this.pings = setInterval(() => this.ping(), this.pingMs);
  }

  ping() {
    if (!this.isHeard) {
      this.socket.close(4000, "no pong"); // the way there is gone, and nobody has said so
      this.closed(4000);
      return;
    }
    this.isHeard = false;
    this.send({ type: "ping" });
  }

  take(data) {
    this.isHeard = true;
    this.failures = 0;
    switch (data.type) {
      case "price_update":
      case "signal":
      case "trade_executed":
      case "portfolio_update":
      case "error":
      case "pong":
        this.on[data.type]?.(data);
        break;
      case "server_shutdown":
        this.waitMs = data.reconnect_after_ms;
        break;
      case "reauthenticate":
        if (this.token) this.send({ type: "auth", token: this.token });
        break;
    }
  }

  closed(code) {
    clearInterval(this.pings);
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    if (!this.isWanted) return;
    if (NOT_AGAIN.has(code)) {
      this.isWanted = false;
      this.tell("closed", code);
      return;
    }
    const waitMs = this.waitMs + Math.random() * Math.min(RETRY_MS_MAX, this.retryMs * 2 ** this.failures++);
    this.waitMs = 0;
    this.tell("waiting", code);
    this.retry = setTimeout(() => this.connect(), waitMs);
  }

  tell(state, code) {
    this.on.state?.(state, code);
  }
}

if (typeof module !== "undefined") {
  module.exports = { DashboardClient };
  if (require.main === module) {
    const [url = URL_OF_DEMO, symbols, count = "0"] = process.argv.slice(2);
    let left = Number(count); // 0: never stop
    const print = (message) => {
      console.log(JSON.stringify(message));
      if (--left === 0) client.stop();
    };
    const on = { price_update: print, signal: print, trade_executed: print, portfolio_update: print };
    on.error = (message) => console.error(message.error);
    on.state = (state, code) => {
      if (code) console.error(`closed with ${code}, ${state}`);
    };
    const client = new DashboardClient(url, on, { symbols: symbols ? symbols.split(",") : null });
    client.start();
  }
}
