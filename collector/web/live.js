"use strict";
// What a script adds to the pages, which are whole without it: they renew themselves, a chart tells the numbers under the
// pointer, and dragging over one shows that range.
{
  const main = document.getElementById("main");
  const tools = document.getElementById("tools");
  const every = Number(main.dataset.refreshS) * 1000;
  const FOCUSABLE = "a[href], button, input, select, summary, [tabindex]";
  let paused = false;
  let pointing = false;

  // -- renewing: parts marked data-live are replaced by what the server says now; folds stay open, the focus stays.

  const place = (root) => {
    const focused = document.activeElement;
    if (!focused || !root.contains(focused)) return () => {};
    const href = focused.getAttribute("href");
    const index = [...root.querySelectorAll(FOCUSABLE)].indexOf(focused);
    return () => {
      const now = [...root.querySelectorAll(FOCUSABLE)];
      const same = now.find((each) => href && each.getAttribute("href") === href);
      (same || now[index])?.focus({ preventScroll: true });
    };
  };

  const renew = (fresh) => {
    for (const part of main.querySelectorAll("[data-live]")) {
      if (part.parentElement.closest("[data-live]")) continue;
      const now = fresh.getElementById(part.id);
      if (!now) return location.reload();
      const open = [...part.querySelectorAll("details[open]")].map((each) => each.id);
      const scrolled = [...part.querySelectorAll(".scroll")].map((each) => each.scrollTop);
      const refocus = place(part);
      part.replaceChildren(...now.childNodes);
      for (const id of open) part.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
      part.querySelectorAll(".scroll").forEach((each, index) => { each.scrollTop = scrolled[index] || 0; });
      refocus();
    }
  };

  const say = (text) => {
    tools.lastChild.textContent = text;
  };

  const look = async () => {
    const busy = paused || pointing || document.hidden || String(getSelection()) !== "";
    if (!busy) {
      try {
        const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(30000) });
        if (answer.redirected || answer.status === 401 || answer.status === 403) return location.reload();
        const text = await answer.text();
        if (answer.ok) {
          renew(new DOMParser().parseFromString(text, "text/html"));
          say("");
        } else {
          say(answer.status === 503 ? "The database is away" : `The collector answered ${answer.status}`);
        }
      } catch {
        say("The collector does not answer");
      }
    }
    setTimeout(look, every);
  };

  if (every) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Pause";
    button.addEventListener("click", () => {
      paused = !paused;
      button.textContent = paused ? "Go on" : "Pause";
    });
    const trouble = document.createElement("span");
    trouble.setAttribute("role", "alert");
    tools.append(button, trouble);
    setTimeout(look, every);
  }

  // -- the numbers under the pointer: a bin's title is shown at once, beside the pointer.

  const told = document.createElement("div");
  told.className = "told";
  told.hidden = true;
  document.body.append(told);

  const text = (hit) => {
    const title = hit.querySelector("title");
    if (title) {
      hit.dataset.told = title.textContent;
      title.remove(); // else the browser would show it, too
    }
    return hit.dataset.told;
  };

  main.addEventListener("pointermove", (event) => {
    const hit = event.target.closest(".hit, .band");
    told.hidden = !hit;
    if (!hit) return;
    told.textContent = text(hit);
    const right = event.clientX + told.offsetWidth + 24 > innerWidth;
    told.style.left = `${Math.max(8, event.pageX + (right ? -told.offsetWidth - 14 : 14))}px`;
    told.style.top = `${event.pageY + 14}px`;
  });
  main.addEventListener("pointerleave", () => { told.hidden = true; });

  // -- dragging over a chart: its range becomes the page's.

  const BRUSH_MIN = 8; // pixels; less is a click

  main.addEventListener("pointerdown", (down) => {
    const plot = down.target.closest(".plot[data-since]");
    if (!plot || down.button !== 0 || down.pointerType === "touch" || !main.dataset.zoom) return;
    down.preventDefault();
    const box = plot.getBoundingClientRect();
    const from = down.clientX - box.left;
    const brush = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    brush.setAttribute("class", "brush");
    brush.setAttribute("height", "100%");
    plot.append(brush);
    let to = from;
    pointing = true;
    const move = (event) => {
      to = Math.min(box.width, Math.max(0, event.clientX - box.left));
      brush.setAttribute("x", Math.min(from, to));
      brush.setAttribute("width", Math.abs(to - from));
    };
    const end = () => {
      pointing = false;
      brush.remove();
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", up);
      removeEventListener("keydown", cancel);
    };
    const up = () => {
      end();
      if (Math.abs(to - from) < BRUSH_MIN) return;
      const [since, until] = [Number(plot.dataset.since), Number(plot.dataset.until)];
      const unit = Number(main.dataset.zoom) * 1000;
      const at = (x) => since + (x / box.width) * (until - since);
      const first = Math.floor(at(Math.min(from, to)) / unit) * unit;
      const last = Math.max(first + unit, Math.ceil(at(Math.max(from, to)) / unit) * unit);
      const url = new URL(location.href);
      url.searchParams.delete("hours");
      url.searchParams.set("from", new Date(first).toISOString().replace(".000Z", "Z"));
      url.searchParams.set("to", new Date(last).toISOString().replace(".000Z", "Z"));
      location.assign(url);
    };
    const cancel = (event) => { if (event.key === "Escape") end(); };
    addEventListener("pointermove", move);
    addEventListener("pointerup", up);
    addEventListener("keydown", cancel);
  });
}
