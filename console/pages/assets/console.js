// What the pages do beyond links and forms: hold the polling still, say when it stopped, draw the chart, move by keys. Without this
// script, and without htmx, every page still reads.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);

  // Polling: not while nobody looks, not while it is held; when it fails the last numbers stay and say how old they are.
  const hold = byId("hold"), stale = byId("stale");
  let held = false, last = new Date();
  const clock = (t) => t.toLocaleTimeString([], {hour: "2-digit", minute: "2-digit", second: "2-digit"});
  if (hold) {
    hold.hidden = false;
    hold.addEventListener("click", () => {
      held = !held;
      hold.setAttribute("aria-pressed", String(held));
      stale.textContent = held ? "held at " + clock(last) : "";
    });
  }
  document.addEventListener("htmx:before:request", (e) => {
    if (held || document.hidden) e.preventDefault();
  });
  const failed = () => { if (stale) stale.textContent = "live updates stopped at " + clock(last) + ", showing the last numbers"; };
  document.addEventListener("htmx:error", failed);
  // What is no piece of this page is not put into it: an error, or, when the session has ended, the page where one signs in.
  document.addEventListener("htmx:before:response", (e) => {
    const answer = e.detail.ctx.response.raw;
    if (answer.redirected) {
      e.preventDefault();
      location.reload();
    } else if (!answer.ok) {
      e.preventDefault();
      failed();
    }
  });
  document.addEventListener("htmx:after:request", () => {
    last = new Date();
    if (!held && stale) stale.textContent = "";
  });
  document.addEventListener("htmx:after:swap", draw);

  // The chart draws what the polled part carries.
  let chart, shown;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  function draw() {
    const box = byId("chart"), from = byId("series");
    if (!box || !from || typeof uPlot === "undefined") return;
    const text = from.getAttribute("data-series");
    if (chart && text === shown) return;
    shown = text;
    const s = JSON.parse(text), data = [s.time, s.ended, s.dead];
    if (!chart && s.time.length < 2) { // one look is no rate, and two are no line
      if (!box.firstChild) box.append(Object.assign(document.createElement("p"), {textContent: "The line begins in a few seconds."}));
      return;
    }
    if (chart) return chart.setData(data);
    box.replaceChildren();
    const axis = {stroke: colour("--quiet"), grid: {stroke: colour("--line"), width: 1}, ticks: {show: false}, font: "12px " + colour("--sans")};
    chart = new uPlot({
      width: box.clientWidth, height: 170, cursor: {drag: {x: false, y: false}}, padding: [8, 8, 0, 0],
      scales: {x: {time: true}, y: {range: (u, low, high) => [0, Math.max(1, high * 1.15)]}},
      axes: [axis, Object.assign({size: 56}, axis)],
      series: [
        {label: "time"},
        {label: "ended", stroke: colour("--up"), width: 2, fill: colour("--accent-ground"), points: {show: false}},
        {label: "dead", stroke: colour("--down"), width: 2, points: {show: false}},
      ],
    }, data, box);
  }
  const again = () => {
    if (!chart) return;
    chart.destroy();
    chart = undefined;
    shown = undefined;
    draw();
  };
  let resizing;
  window.addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(again, 150); });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  draw();

  // Keys: / to the search, j and k from row to row.
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, textarea, select")) return;
    if (e.key === "/") {
      e.preventDefault();
      const box = document.querySelector("[data-slash]");
      if (box) { box.focus(); box.select(); } else { location.href = "/customers"; }
    }
    if (e.key === "j" || e.key === "k") {
      const rows = [...document.querySelectorAll("[data-row] a")];
      const at = rows.indexOf(document.activeElement) + (e.key === "j" ? 1 : -1);
      if (rows[at]) rows[at].focus();
      else if (e.key === "j" && rows.length && at < 1) rows[0].focus();
    }
  });
  const box = document.querySelector("[data-slash]");
  if (box && !box.value) box.focus({preventScroll: true});
})();
