"use strict";
(() => {
  const box = document.getElementById("cases");
  if (!box) return;
  const data = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("filters"), more = document.getElementById("more");
  const field = Object.fromEntries(["search", "outcome", "target", "judge"].map((id) => [id, document.getElementById(id)]));
  const STEP = 20;
  const WORDS = {won: "▲ won", lost: "▼ lost", tie: "= tie", unchanged: "○ unchanged", unjudged: "? unjudged"};
  let found = [], shown = 0, timer = 0;

  // Text only ever becomes a text node: nothing that a person or a model wrote is read as HTML.
  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const options = (select, pairs) => pairs.forEach(([value, text]) => {
    const option = make("option", "", text);
    option.value = value;
    select.append(option);
  });
  const verdictsOf = (row) => field.judge.value === "" ? row.verdicts : row.verdicts.filter((v) => v.judge === +field.judge.value);
  const outcomeOf = (row) => {
    const verdicts = verdictsOf(row), scores = verdicts.map((v) => v.score).filter((s) => s !== undefined && s !== null);
    if (verdicts.length && verdicts.every((v) => v.same) || row.sides[1].changed === false) return "unchanged";
    if (!scores.length) return "unjudged";
    const sum = scores.reduce((a, b) => a + b, 0);
    return sum > 0 ? "won" : sum < 0 ? "lost" : "tie";
  };
  const split = (row) => new Set(verdictsOf(row).map((v) => v.score).filter((s) => s !== null)).size > 1;
  const prompt = (row) => (data.prompts[row.id] || {}).text;
  const hay = (row) => row.hay ??= [row.id, prompt(row), ...row.sides.flatMap((s) => [s.text, s.answer])].join("\n").toLowerCase();

  const textBox = (side, label, text, none) => {
    side.append(make("div", "label", label));
    const body = make("div", text ? "text" : "text none", text || none);
    body.dir = "auto";
    side.append(body);
    if (!text || (text.length < 600 && text.split("\n").length < 11)) return;
    const toggle = make("button", "", "Show all");
    toggle.type = "button";
    toggle.setAttribute("aria-expanded", "false");
    toggle.addEventListener("click", () => {
      const closed = body.classList.toggle("closed");
      toggle.textContent = closed ? "Show all" : "Show less";
      toggle.setAttribute("aria-expanded", String(!closed));
    });
    body.classList.add("closed");
    side.append(toggle);
  };

  const sideOf = (row, place, verdicts) => {
    const side = row.sides[place], name = ["raw", "rewritten"][place], other = ["rewritten", "raw"][place];
    const total = verdicts.reduce((sum, v) => sum + v.verdicts, 0);
    const won = verdicts.reduce((sum, v) => sum + v[name], 0), lost = verdicts.reduce((sum, v) => sum + v[other], 0);
    const element = make("div", "side" + (won > lost ? " better" : won < lost ? " worse" : ""));
    const head = make("h4", "", name);
    head.append(make("span", "", total ? `won ${won} of ${total} (${Math.round(100 * won / total)}%)` : "no verdicts"));
    const bar = make("div", "bar"), fill = make("i");
    fill.style.width = `${total ? 100 * won / total : 0}%`;
    bar.append(fill);
    element.append(head, bar);
    if (data.texts) {
      const kept = place && side.changed === false;
      textBox(element, kept ? `prompt, left as it was${side.reason ? ` (${side.reason})` : ""}` : "prompt",
        place ? side.text : side.text ?? prompt(row), "not kept");
      const notes = [side.words === undefined ? "" : `${side.words} words`, side.cut ? "cut at the cap" : ""];
      textBox(element, ["answer", ...notes.filter(Boolean)].join(", "), side.answer,
        side.problem ? `no answer: ${side.problem}` : side.answer === "" ? "empty answer" : "no answer kept");
    } else {
      const notes = [side.words === undefined ? "" : `${side.words} words`, side.cut ? "cut at the cap" : "",
        side.asked ? `prompt ${side.asked}` : "", side.answered ? `answer ${side.answered}` : ""];
      element.append(make("div", "label", notes.filter(Boolean).join(", ")));
    }
    return element;
  };

  const caseOf = (row) => {
    const verdicts = verdictsOf(row), outcome = outcomeOf(row);
    const element = make("article", `case card ${outcome}`), head = make("header");
    head.append(make("span", "badge", WORDS[outcome]), make("code", "", row.id), make("span", "", data.targets[row.target]));
    const source = (data.prompts[row.id] || {}).source;
    if (source) head.append(make("span", "", source));
    const sides = make("div", "sides");
    sides.append(sideOf(row, 0, verdicts), sideOf(row, 1, verdicts));
    const list = make("ul", "verdicts");
    for (const v of verdicts) {
      const word = v.same ? "same answer" : v.score === null ? "no verdict" : v.score > 0 ? "rewritten is better" : v.score < 0 ? "raw is better" : "tie";
      const notes = [v.flipped ? "flipped with the order" : "", v.empty ? "an answer is empty" : "", v.problem || ""].filter(Boolean).join("; ");
      list.append(make("li", "", `${data.judges[v.judge]}: ${word}${notes ? ` (${notes})` : ""}`));
    }
    element.append(head, sides, list);
    return element;
  };

  const extend = () => {
    const part = document.createDocumentFragment();
    for (const row of found.slice(shown, shown + STEP)) part.append(caseOf(row));
    box.append(part);
    shown = Math.min(found.length, shown + STEP);
    more.hidden = shown >= found.length;
    document.getElementById("count").textContent = found.length
      ? `${shown.toLocaleString("en")} of ${found.length.toLocaleString("en")} shown` : "Nothing matches; clear a filter.";
  };
  const update = () => {
    const text = field.search.value.trim().toLowerCase(), outcome = field.outcome.value, target = field.target.value;
    found = data.cases.filter((row) => (target === "" || row.target === +target) && verdictsOf(row).length
      && (outcome === "" || (outcome === "split" ? split(row) : outcomeOf(row) === outcome)) && (!text || hay(row).includes(text)));
    shown = 0;
    box.replaceChildren();
    extend();
  };

  options(field.outcome, [["", "all"], ...Object.entries(WORDS), ["split", "judges disagree"]]);
  options(field.target, [["", "all"], ...data.targets.map((name, place) => [place, name])]);
  options(field.judge, [["", "all"], ...data.judges.map((name, place) => [place, name])]);
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  field.search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(update, 150); });
  for (const name of ["outcome", "target", "judge"]) field[name].addEventListener("change", update);
  more.addEventListener("click", extend);
  update();
})();
