"use strict";
const tip = document.getElementById("tip");

function tell(facts, x, y) {
  const list = document.createElement("dl");
  for (const [name, value] of facts) {
    const dt = list.appendChild(document.createElement("dt"));
    const dd = list.appendChild(document.createElement("dd"));
    dt.textContent = name;
    dd.textContent = value;
  }
  tip.replaceChildren(list);
  tip.hidden = false;
  place(x, y);
}

function place(x, y) {
  const gap = 14;
  const { width, height } = tip.getBoundingClientRect();
  const { clientWidth, clientHeight } = document.documentElement;
  if (clientWidth <= 640) {  // a phone: away from the finger, over the full width
    tip.style.left = "4px";
    tip.style.top = `${y > clientHeight / 2 ? 4 : clientHeight - height - 4}px`;
    return;
  }
  const beside = x + gap + width > clientWidth ? x - gap - width : x + gap;
  const below = y + gap + height > clientHeight ? y - gap - height : y + gap;
  tip.style.left = `${Math.max(4, Math.min(beside, clientWidth - width - 4))}px`;
  tip.style.top = `${Math.max(4, Math.min(below, clientHeight - height - 4))}px`;
}

function explore(figure) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const svg = figure.querySelector("svg.grid");
  const pointer = svg.querySelector(".pointer");
  const cells = new Map();
  for (const cell of svg.querySelectorAll(".cell")) {
    cells.set(`${cell.dataset.row},${cell.dataset.column}`, cell);
  }
  const keyOf = (cell) => `${cell.dataset.row},${cell.dataset.column}`;
  let entry = null;

  function enter(cell) {
    entry?.setAttribute("tabindex", "-1");
    entry = cell;
    entry.setAttribute("tabindex", "0");
  }

  function show(cell, x, y) {
    const { facts, curves } = data[keyOf(cell)];
    for (const frame of pointer.children) {
      for (const name of ["x", "y", "width", "height"]) {
        frame.setAttribute(name, cell.getAttribute(name));
      }
    }
    pointer.removeAttribute("hidden");
    for (const line of figure.querySelectorAll("[data-curve]")) {
      line.setAttribute("points", curves[line.dataset.curve]);
    }
    tell(facts, x, y);
  }

  function hide() {
    pointer.setAttribute("hidden", "");
    tip.hidden = true;
    for (const line of figure.querySelectorAll("[data-curve]")) {
      line.setAttribute("points", "");
    }
  }

  let shown = null;
  svg.addEventListener("pointermove", (event) => {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    if (cell !== shown || tip.hidden) show(cell, event.clientX, event.clientY);
    else place(event.clientX, event.clientY);
    shown = cell;
  });
  svg.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") hide();
  });
  svg.addEventListener("click", (event) => {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    enter(cell);
    show(cell, event.clientX, event.clientY);
    shown = cell;
  });
  svg.addEventListener("focusin", (event) => {
    const cell = event.target.closest(".cell");
    if (!cell || !cell.matches(":focus-visible")) return;
    enter(cell);
    const box = cell.getBoundingClientRect();
    show(cell, box.right, box.bottom);
    shown = cell;
  });
  svg.addEventListener("focusout", hide);
  svg.addEventListener("keydown", (event) => {
    const cell = event.target.closest(".cell");
    if (event.key === "Escape") hide();
    if (!cell) return;
    const [row, column] = keyOf(cell).split(",").map(Number);
    const last = Math.max(...[...cells.keys()].map((key) => Number(key.split(",")[1])));
    const goal = {
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      ArrowUp: [row + 1, column],
      ArrowDown: [row - 1, column],
      Home: [row, 0],
      End: [row, last],
    }[event.key];
    if (!goal) return;
    event.preventDefault();
    cells.get(goal.join(","))?.focus();
  });
  enter(svg.querySelector(".cell[data-best]") ?? cells.values().next().value);
}

document.querySelectorAll("figure.map").forEach(explore);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") tip.hidden = true;
});
document.addEventListener("pointerdown", (event) => {
  if (!event.target.closest("svg.grid")) tip.hidden = true;
});
