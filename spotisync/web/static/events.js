// One event stream for all tabs: a browser opens at most six connections to a host, and each stream holds one.
// This file is a script of the pages and the shared worker that it starts there. Hidden tabs receive no events.
"use strict";

(() => {
  const MAX_STREAMS = 4; // of different addresses; more tabs poll, so that buttons always get a connection
  const RETRY_AFTER = 3000; // milliseconds
  // A tab that crashes, or is closed abruptly, says nothing: the others repeat from time to time that they are there.
  const REPEAT_AFTER = 10000;
  const LOST_AFTER = 30000;

  // Calls `deliver(kind, data)` for each event, and with the kinds `open` and `error`. Returns a function that closes it.
  function openStream(url, deliver) {
    const kind = new URL(url).pathname.split("/").pop();
    let source, timer;
    const connect = () => {
      source = new EventSource(url);
      source.addEventListener("open", () => deliver("open"));
      source.addEventListener(kind, (event) => deliver(kind, event.data));
      source.addEventListener("error", () => {
        deliver("error");
        // The browser reconnects after a lost connection, but not after a refusal.
        if (source.readyState === EventSource.CLOSED) timer = setTimeout(connect, RETRY_AFTER);
      });
    };
    connect();
    return () => {
      clearTimeout(timer);
      source.close();
    };
  }

  // ---- the shared worker ----

  const streams = new Map(); // by URL: the ports of its tabs, and the last message
  function joinStream(url, port) {
    let stream = streams.get(url);
    if (!stream) {
      if (streams.size >= MAX_STREAMS) return joinLater(url, port);
      stream = { ports: new Set(), last: null };
      streams.set(url, stream);
      stream.close = openStream(url, (kind, data) => {
        stream.last = kind === "error" ? null : { kind, data };
        for (const each of stream.ports) each.postMessage({ kind, data });
      });
    }
    stream.ports.add(port);
    if (stream.last) port.postMessage(stream.last);
    return () => {
      stream.ports.delete(port);
      if (stream.ports.size) return;
      stream.close();
      streams.delete(url);
    };
  }
  function joinLater(url, port) {
    port.postMessage({ kind: "error" });
    let leave = null;
    const timer = setTimeout(() => (leave = joinStream(url, port)), RETRY_AFTER);
    return () => {
      clearTimeout(timer);
      leave?.();
    };
  }
  // Returns a function that replaces the open stream by that of another URL, or by none.
  function makeSwitch(open) {
    let close = null;
    return (url) => {
      close?.();
      close = url && open(url);
    };
  }
  if (!self.document) {
    self.onconnect = ({ ports: [port] }) => {
      const follow = makeSwitch((url) => joinStream(url, port));
      let current = null;
      let lost;
      const set = (url) => {
        clearTimeout(lost);
        if (url) lost = setTimeout(set, LOST_AFTER, null);
        if (url !== current) follow(url);
        current = url;
      };
      port.onmessage = ({ data: url }) => set(url);
    };
    return;
  }

  // ---- the tab ----

  const script = document.currentScript.src;
  function makeFollow(deliver) {
    // Chrome for Android has no shared workers.
    if (!window.SharedWorker) return makeSwitch((url) => openStream(url, deliver));
    const { port } = new SharedWorker(script);
    port.onmessage = ({ data: { kind, data } }) => deliver(kind, data);
    let repeating;
    return (url) => {
      clearInterval(repeating);
      if (url) repeating = setInterval(() => port.postMessage(url), REPEAT_AFTER);
      port.postMessage(url);
    };
  }

  // What htmx needs of an EventSource.
  class VisibleEventSource extends EventTarget {
    #listening = new AbortController();
    #follow = makeFollow((kind, data) => this.#receive(kind, data));
    #isFollowing = false;

    constructor(url) {
      super();
      this.url = new URL(url, location.href).href;
      this.readyState = EventSource.CONNECTING;
      const update = (event) => this.#update(event?.type !== "pagehide" && !document.hidden);
      const { signal } = this.#listening;
      document.addEventListener("visibilitychange", update, { signal });
      for (const each of ["pagehide", "pageshow"]) window.addEventListener(each, update, { signal });
      update();
    }
    #update(isVisible) {
      if (isVisible === this.#isFollowing) return;
      this.#isFollowing = isVisible;
      this.#follow(isVisible ? this.url : null);
    }
    #receive(kind, data) {
      this.readyState = kind === "error" ? EventSource.CONNECTING : EventSource.OPEN;
      if (kind === "open") this.onopen?.(new Event(kind));
      else if (kind === "error") this.onerror?.(new Event(kind));
      else this.dispatchEvent(new MessageEvent(kind, { data }));
    }
    close() {
      this.readyState = EventSource.CLOSED;
      this.#listening.abort();
      this.#update(false);
    }
  }
  window.htmx.createEventSource = (url) => new VisibleEventSource(url);
})();
