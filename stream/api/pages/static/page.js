// The only script of the page: the live feed. Text from the stream is only ever set as text, never as HTML.
"use strict";
(() => {
  const MOST = 100; // rows
  const table = document.getElementById("live");
  if (!table) return;
  const body = table.tBodies[0];
  const status = document.getElementById("live-status");
  const empty = document.getElementById("live-empty");
  const pause = document.getElementById("live-pause");
  const form = document.getElementById("live-form");
  const input = document.getElementById("live-customer");
  let source = null, seen = 0, waiting = [], drawing = false;

  const say = text => { if (status.textContent !== text) status.textContent = text; };
  const link = (path, name, value) => {
    const made = document.createElement("a");
    made.href = path + "?" + name + "=" + encodeURIComponent(value);
    made.textContent = value;
    return made;
  };
  const cell = (label, ...parts) => {
    const made = document.createElement("td");
    made.dataset.label = label;
    made.append(...parts);
    return made;
  };
  const row = one => {
    const made = document.createElement("tr");
    made.className = "new-row";
    const due = one.next_purchase && one.next_purchase.median ? "about " + one.next_purchase.median : "no date";
    const items = document.createElement("span");
    one.items.slice(0, 5).forEach((item, index) => {
      if (index) items.append(", ");
      items.append(link("/items", "code", item.stock_code), " " + (100 * item.probability).toFixed(1) + "%");
    });
    if (one.items.length > 5) items.append(" and " + (one.items.length - 5) + " more");
    made.append(
      cell("Customer", link("/customers", "id", one.customer_id)),
      cell("Made", one.generated_at.slice(0, 19).replace("T", " ")),
      cell("Next purchase", due),
      cell("Items", items),
    );
    return made;
  };
  const draw = () => { // at most once a frame, however fast events come
    drawing = false;
    for (const one of waiting.slice(-MOST)) body.prepend(row(one));
    waiting = [];
    while (body.rows.length > MOST) body.deleteRow(-1);
    empty.hidden = body.rows.length > 0;
  };
  const follow = () => {
    if (source) source.close();
    const customer = input.value.trim();
    source = new EventSource(table.dataset.stream + (customer ? "?customer=" + encodeURIComponent(customer) : ""));
    source.onopen = () => say(customer ? "Following customer " + customer + "." : "Following all customers.");
    source.onerror = () => say(source.readyState === EventSource.CLOSED
      ? "The stream ended: there is no Kafka, the topic does not exist yet, or the session is over. Load the page again."
      : "The connection is lost; trying again …");
    source.addEventListener("recommendation", event => {
      try {
        waiting.push(JSON.parse(event.data));
      } catch {
        return say("An event of the stream is no JSON and is left out.");
      }
      seen += 1;
      if (!drawing) { drawing = true; requestAnimationFrame(draw); }
    });
  };
  form.addEventListener("submit", event => {
    event.preventDefault();
    body.replaceChildren();
    empty.hidden = false;
    pause.setAttribute("aria-pressed", "false");
    pause.textContent = "Pause";
    follow();
  });
  pause.addEventListener("click", () => {
    const paused = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Continue" : "Pause";
    if (paused) { source.close(); say("Paused."); } else { body.replaceChildren(); follow(); }
  });
  input.value = new URLSearchParams(location.search).get("customer") || "";
  follow();
})();
