/* Browsers refuse workers to pages opened from a folder (file:), and the search runs in one. There a hidden frame
   takes the worker's place; pages that are served keep the browser's own. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.onmessage = null;
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      this.inside = this.frame.contentWindow;
      this.inside.postMessage = (data) => this.#answer(data);
      this.inside.importScripts = (...all) => all.reduce((before, one) => before.then(() => this.#load(one)), Promise.resolve());
      this.ready = this.#load(address);
    }
    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data })));
    }
    terminate() {
      this.frame.remove();
    }
    #answer(data) {
      const event = new MessageEvent("message", { data });
      this.dispatchEvent(event);
      if (this.onmessage) this.onmessage(event);
    }
    #load(address) {
      return new Promise((done, failed) => {
        const script = this.inside.document.createElement("script");
        Object.assign(script, { src: new URL(address, location.href).href, onload: done, onerror: failed });
        this.inside.document.body.append(script);
      });
    }
  };
}
