(() => {
  "use strict";
  const ROW = 84, SPARE = 4, LIST = 200, PRINTED = 100;
  const carried = document.getElementById("tables");
  const tables = carried ? JSON.parse(carried.textContent) : [];

  // Every text goes into the page by textContent, in an element that isolates its direction.
  const make = (tag, options = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(options)) {
      if (name === "text") node.textContent = value;
      else if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };
  const isolated = (text, options = {}) => make("bdi", { ...options, text });
  const drawn = (tag, options) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(options)) node.setAttribute(name, value);
    return node;
  };
  const number = (value) => value === null || value === undefined ? "–" : String(Number(Number(value).toPrecision(4)));
  const signed = (value) => value === null || Number.isNaN(value) ? "–" : (value > 0 ? "+" : "") + number(value);
  const counted = (value) => value.toLocaleString("en");
  // Between two steps of work the browser has its turn: no task of ours takes long.
  const turn = () => new Promise((go) => setTimeout(go, 0));

  const bytes = (text) => Uint8Array.fromBase64 ? Uint8Array.fromBase64(text)
    : Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const unpacked = async (text) => {
    const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    const whole = await new Response(stream).text();
    await turn();
    return JSON.parse(whole);
  };

  class Rows {
    constructor(table) {
      this.table = table;
      this.rows = [];
      this.places = new Map();
      this.slices = new Map();
      this.kinds = new Map();
    }

    async load() {
      for (const packed of this.table.blocks) {
        const block = await unpacked(packed);
        await turn();
        block.id.forEach((id, place) => this.add(block, id, place));
        await turn();
      }
    }

    add(block, id, place) {
      const said = (index) => block.strings[index];
      const value = (score) => Array.isArray(score) ? said(score[0]) : score;
      const row = {
        id,
        text: block.texts[3 * place],
        answers: [block.texts[3 * place + 1], block.texts[3 * place + 2]],
        failures: block.failures[place] ? block.failures[place].map(said) : ["", ""],
        attributes: block.attributes[place].map(said),
        parts: said(block.parts[place]),
        critical: Boolean(block.critical[place]),
        clusters: block.clusters[place],
        scores: block.scores.map((arms) => arms.map((arm) => value(arm[place]))),
      };
      row.sought = [id, row.text, ...row.answers, ...row.failures, ...row.attributes, row.parts,
        ...row.scores.flat().filter((score) => typeof score === "string")].join("\n").toLowerCase();
      for (const each of row.attributes) this.slices.set(each, (this.slices.get(each) || 0) + 1);
      if (row.parts) this.kinds.set(row.parts, (this.kinds.get(row.parts) || 0) + 1);
      this.places.set(id, this.rows.length);
      this.rows.push(row);
    }

    // The candidate's change in a metric, larger is better; NaN where either arm has no score.
    change(row, metric) {
      const [name, sign] = this.table.metrics[metric] || [];
      const scores = row.scores[this.table.columns.indexOf(name)] || [];
      return typeof scores[0] === "number" && typeof scores[1] === "number" ? sign * (scores[1] - scores[0]) : NaN;
    }

    async whole(id) {
      const place = this.table.whole.indexOf(id);
      if (place < 0) return null;
      const block = await unpacked(this.table.details[Math.floor(place / this.table.perBlock)]);
      return block[place % this.table.perBlock];
    }
  }

  const SHOW = {
    "all pairs": () => true,
    "regressions": (row, change) => change < 0,
    "improvements": (row, change) => change > 0,
    "losses on a critical gate": (row) => row.critical,
    "failures": (row) => Boolean(row.failures[0] || row.failures[1]),
    "unscored": (row, change) => Number.isNaN(change),
    "same": (row, change) => change === 0,
  };
  const SORT = {
    "worst first": (a, b) => a - b,
    "best first": (a, b) => b - a,
    "largest change first": (a, b) => Math.abs(b) - Math.abs(a),
    "as listed": null,
  };

  class Viewer {
    constructor(home, table, number) {
      this.home = home;
      this.rows = new Rows(table);
      this.table = table;
      this.number = number;
      this.sequence = [];
      this.at = 0;
    }

    async start() {
      await this.rows.load();
      this.controls();
      this.grid();
      this.home.querySelector(".plain").remove();
      this.home.append(this.bar, this.count, this.frame, this.detail);
      await turn();
      this.filter();
      const wanted = asked();
      if (wanted && this.mine(wanted)) await this.open(wanted.get("q"));
    }

    mine(wanted) {
      const named = wanted.get("candidate");
      return (named === null || named === this.table.candidate) && this.rows.places.has(wanted.get("q"));
    }

    controls() {
      const choice = (label, options) => {
        const select = make("select", { "aria-label": label, on: { change: () => this.filter() } });
        for (const [value, text] of options) select.append(make("option", { value, text }));
        return select;
      };
      const named = (names) => names.map((name) => [name, name]);
      const often = (map) => [...map].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, LIST)
        .map(([name, n]) => [name, name + " (" + counted(n) + ")"]);
      this.search = make("input", { type: "search", placeholder: "Search texts, ids, reasons, failures",
        "aria-label": "Search the queries of " + this.table.candidate, on: { input: () => this.soon() } });
      this.show = choice("Show", named(Object.keys(SHOW)));
      this.metric = choice("Metric", this.table.metrics.map(([name], place) => [place, name]));
      this.order = choice("Order", named(Object.keys(SORT)));
      this.slice = choice("Slice", [["", "every slice"], ...often(this.rows.slices)]);
      this.kind = choice("First difference", [["", "any first difference"], ...often(this.rows.kinds)]);
      this.cluster = choice("Where it loses or wins", [["", "wherever it loses or wins"],
        ...this.table.clusters.map((text, place) => [place, text])]);
      this.cluster.hidden = !this.table.clusters.length;
      const save = (text, act) => make("button", { type: "button", text, on: { click: act } });
      this.bar = make("div", { class: "controls" }, this.search, this.show, this.metric, this.order, this.slice,
        this.kind, this.cluster, save("Save as JSON", () => this.save("json")), save("Save as CSV", () => this.save("csv")));
      this.count = make("p", { class: "small soft", role: "status" });
      this.detail = make("article", { class: "detail card", tabindex: "-1", hidden: true });
      this.detail.addEventListener("keydown", (event) => { if (event.key === "Escape") this.close(); });
    }

    grid() {
      const heads = ["Query and answers", ...this.table.metrics.slice(0, 4).map(([name]) => name)];
      this.head = make("thead", {}, make("tr", { "aria-rowindex": "1" },
        ...heads.map((text, place) => make("th", { scope: "col", class: place ? "num" : null, text }))));
      this.body = make("tbody", { on: { click: (event) => this.clicked(event) } });
      this.before = make("tr", { class: "space", "aria-hidden": "true" }, make("td"));
      this.after = make("tr", { class: "space", "aria-hidden": "true" }, make("td"));
      this.grown = make("table", { class: "rows", role: "grid", "aria-label": "queries" }, this.head, this.body);
      this.frame = make("div", { class: "frame", tabindex: "0", role: "region",
        "aria-label": "Queries of " + this.table.candidate + ": arrows move, Enter opens",
        on: { scroll: () => this.draw(), keydown: (event) => this.key(event) } }, this.grown);
    }

    soon() {
      clearTimeout(this.timer);
      this.count.setAttribute("aria-busy", "true");
      this.timer = setTimeout(() => this.filter(), 120);
    }

    filter() {
      const words = this.search.value.trim().toLowerCase(), metric = Number(this.metric.value || 0);
      const keep = SHOW[this.show.value], order = SORT[this.order.value], found = [];
      for (let place = 0; place < this.rows.rows.length; place += 1) {
        const row = this.rows.rows[place], change = this.rows.change(row, metric);
        if (!keep(row, change) || (words && !row.sought.includes(words))) continue;
        if (this.slice.value && !row.attributes.includes(this.slice.value)) continue;
        if (this.kind.value && row.parts !== this.kind.value) continue;
        if (this.cluster.value && !row.clusters.includes(Number(this.cluster.value))) continue;
        found.push([place, Number.isNaN(change) ? null : change]);
      }
      if (order) found.sort((a, b) => a[1] === null ? (b[1] === null ? a[0] - b[0] : 1) : b[1] === null ? -1
        : order(a[1], b[1]) || a[0] - b[0]);
      this.sequence = found.map(([place]) => place);
      this.at = 0;
      this.frame.scrollTop = 0;
      this.say();
      this.draw();
    }

    say() {
      const { shown, pairs, critical } = this.table;
      const all = shown < pairs ? "shown " + counted(shown) + " of " + counted(pairs) + " pairs" +
        (critical ? " (of " + counted(critical) + " losses on a critical gate as many as have room, the rest a sample by hash)"
          : " (a sample by hash)") : "all " + counted(pairs) + " pairs are in this report";
      this.count.textContent = counted(this.sequence.length) + " match; " + all + ".";
      this.count.setAttribute("aria-busy", "false");
    }

    draw() {
      const tall = this.frame.clientHeight || 600;
      const first = Math.max(0, Math.floor(this.frame.scrollTop / ROW) - SPARE);
      const last = Math.min(this.sequence.length, first + Math.ceil(tall / ROW) + 2 * SPARE);
      this.before.firstChild.style.height = first * ROW + "px";
      this.after.firstChild.style.height = (this.sequence.length - last) * ROW + "px";
      this.grown.setAttribute("aria-rowcount", this.sequence.length + 1);
      const lines = [];
      for (let place = first; place < last; place += 1) lines.push(this.line(place));
      this.body.replaceChildren(this.before, ...lines, this.after);
    }

    line(place) {
      const row = this.rows.rows[this.sequence[place]];
      const failed = row.failures.map((text, arm) => text && isolated((arm ? "candidate: " : "incumbent: ") + text, { class: "tag strong" }));
      const text = make("td", {}, make("div", { class: "line" },
        row.critical ? make("span", { class: "tag strong", text: "critical" }) : null, ...failed.filter(Boolean),
        isolated(row.text, { class: "asked" })),
      ...row.answers.map((answer, arm) => make("div", { class: "line soft" },
        make("span", { class: "whose", text: arm ? "candidate " : "incumbent " }), isolated(answer))));
      const cells = this.table.metrics.slice(0, 4).map((_, metric) => this.cell(row, metric));
      return make("tr", { "aria-rowindex": place + 2, "data-at": place, class: place === this.at ? "at" : null,
        "aria-selected": place === this.at ? "true" : "false" }, text, ...cells);
    }

    // Paper does not scroll: the first rows as they are filtered and sorted, in place of the frame that shows a few.
    print() {
      if (!this.grown) return;
      const lines = this.sequence.slice(0, PRINTED).map((_, place) => this.line(place));
      const said = lines.length < this.sequence.length ? "The first " + lines.length + " of " + counted(this.sequence.length) + " that match" : "All that match";
      this.paper = make("table", { class: "rows printed" }, make("caption", { text: said }), this.head.cloneNode(true), make("tbody", {}, ...lines));
      this.frame.after(this.paper);
    }

    cell(row, metric) {
      const [name, sign] = this.table.metrics[metric], change = this.rows.change(row, metric);
      const [was, is] = row.scores[this.table.columns.indexOf(name)] || [null, null];
      const kind = change < 0 ? "worse" : change > 0 ? "better" : "soft";
      const said = (value) => typeof value === "string" ? "unscored" : number(value);
      return make("td", { class: "num" }, make("div", { text: was === null && is === null ? "–" : said(was) + " → " + said(is) }),
        make("div", { class: "small " + kind, text: Number.isNaN(change) ? "" : signed(sign * change) + (change < 0 ? " worse" : change > 0 ? " better" : "") }));
    }

    clicked(event) {
      const line = event.target.closest("tr[data-at]");
      if (!line) return;
      this.at = Number(line.dataset.at);
      this.draw();
      this.open(this.rows.rows[this.sequence[this.at]].id);
    }

    key(event) {
      const page = Math.max(1, Math.floor(this.frame.clientHeight / ROW) - 1), last = this.sequence.length - 1;
      const to = { ArrowDown: this.at + 1, ArrowUp: this.at - 1, PageDown: this.at + page, PageUp: this.at - page,
        Home: 0, End: last }[event.key];
      if (event.key === "Enter" && last >= 0) this.open(this.rows.rows[this.sequence[this.at]].id);
      else if (to === undefined) return;
      else {
        this.at = Math.min(last, Math.max(0, to));
        const top = this.at * ROW, room = this.frame.clientHeight - this.head.offsetHeight - ROW;
        if (top < this.frame.scrollTop) this.frame.scrollTop = top;
        else if (top > this.frame.scrollTop + room) this.frame.scrollTop = top - room;
        this.draw();
      }
      event.preventDefault();
    }

    async open(id) {
      const row = this.rows.rows[this.rows.places.get(id)], whole = await this.rows.whole(id);
      const link = "#q=" + encodeURIComponent(id) + (tables.length > 1 ? "&candidate=" + encodeURIComponent(this.table.candidate) : "");
      history.replaceState(null, "", link);
      const bar = make("p", { class: "small" }, make("a", { href: link, text: "Link to this query" }), " ",
        make("button", { type: "button", text: "Close", on: { click: () => this.close() } }));
      this.detail.replaceChildren(bar, ...(whole ? inFull(whole) : inShort(row, this.table)));
      this.detail.hidden = false;
      this.detail.setAttribute("aria-label", "Query " + id);
      this.detail.focus();
      this.detail.scrollIntoView({ block: "start" });
    }

    close() {
      this.detail.hidden = true;
      this.detail.replaceChildren();
      history.replaceState(null, "", location.pathname + location.search);
      this.frame.focus();
    }

    async save(kind) {
      const rows = this.sequence.map((place) => this.rows.rows[place]), parts = [];
      for (let first = 0; first < rows.length; first += 500) {
        parts.push(rows.slice(first, first + 500).map((row) => kind === "csv" ? this.csv(row) : JSON.stringify(this.plain(row)))
          .join(kind === "csv" ? "\r\n" : ",\n"));
        await turn();
      }
      const head = ["id", "query", "incumbent answer", "candidate answer", "incumbent failure", "candidate failure",
        "attributes", "first difference", "critical loss",
        ...this.table.columns.flatMap((name) => ["incumbent " + name, "candidate " + name])].map(cell).join(",");
      const text = kind === "csv" ? [head, ...parts].join("\r\n") + "\r\n"
        : '{"schema":"shadoweval.queries/1","candidate":' + JSON.stringify(this.table.candidate) + ',"pairs":' + this.table.pairs +
          ',"queries":[\n' + parts.join(",\n") + "\n]}\n";
      const address = URL.createObjectURL(new Blob([text], { type: kind === "csv" ? "text/csv" : "application/json" }));
      const name = "queries-" + this.table.candidate.replace(/[^\w.-]+/g, "-") + "." + kind;
      make("a", { href: address, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60000);
    }

    plain(row) {
      const scores = this.table.columns.map((name, place) => [name, row.scores[place].map((score) =>
        typeof score === "string" ? { unscored: score } : score)]);
      return { id: row.id, query: row.text, answers: row.answers, failures: row.failures, attributes: row.attributes,
        first_difference: row.parts, critical_loss: row.critical, scores: Object.fromEntries(scores) };
    }

    csv(row) {
      return [row.id, row.text, ...row.answers, ...row.failures, row.attributes.join("; "), row.parts,
        row.critical ? "yes" : "", ...row.scores.flat()].map(cell).join(",");
    }
  }

  // A text that a spreadsheet would take for a formula is shown as a text. Numbers stay numbers.
  const cell = (value) => {
    if (typeof value === "number") return String(value);
    const text = value === null || value === undefined ? "" : String(value);
    return '"' + (/^[=+\-@\t\r]/.test(text) ? "'" + text : text).replaceAll('"', '""') + '"';
  };

  const NUMBERS = new Set(["Incumbent", "Candidate", "Incumbent's rank", "Candidate's rank"]);
  const grid = (heads, rows) => make("div", { class: "scroll" }, make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col", text, class: NUMBERS.has(text) ? "num" : null })))),
    make("tbody", {}, ...rows)));
  const said = ([value, why]) => make("td", { class: "num" }, value === null ? "unscored " : number(value),
    why ? isolated(why, { class: "small soft" }) : null);
  const facts = (row) => make("p", { class: "small soft" }, isolated(row.id),
    ...row.attributes.map((each) => isolated(" · " + (Array.isArray(each) ? each.join(": ") : each))));

  const inShort = (row, table) => [
    make("h3", {}, isolated(row.text)), facts(row),
    make("div", { class: "pair" }, ...row.answers.map((answer, arm) => make("section", {},
      make("h3", { text: arm ? "Candidate" : "Incumbent" }),
      row.failures[arm] ? make("p", { class: "worse" }, isolated(row.failures[arm])) : null,
      make("div", { class: "answer" }, isolated(answer))))),
    row.parts ? make("p", { class: "small" }, "First difference: ", isolated(row.parts)) : null,
    grid(["Score", "Incumbent", "Candidate"], table.columns.map((name, place) => make("tr", {}, make("td", { text: name }),
      ...row.scores[place].map((score) => said(typeof score === "string" ? [null, score] : [score, ""]))))),
    make("p", { class: "small soft" }, "Beginnings only; all of it: ", make("code", { text: "shadoweval explain MODULE:EXPERIMENT --query " + row.id })),
  ].filter(Boolean);

  const bars = (arm) => {
    const whole = Math.max(arm.seconds, ...arm.steps.map((step) => step[2] + step[3])) || 1;
    return arm.steps.map(([kind, name, started, seconds]) => {
      const picture = drawn("svg", { class: "bar", role: "img", "aria-label": kind + " from " + number(started) + " s, for " + number(seconds) + " s" });
      picture.append(drawn("rect", { class: kind, height: 6, x: Math.min(99.5, 100 * started / whole) + "%",
        width: Math.max(0.5, 100 * seconds / whole) + "%" }));
      return make("div", { class: "step" }, make("span", { class: "small" }, isolated(name), " " + number(seconds) + " s"), picture);
    });
  };
  const oneArm = (query, place) => {
    const arm = query.arms[place], mine = place ? "came" : "gone";
    const pieces = query.answer.filter(([kind]) => kind === "same" || kind === mine)
      .map(([kind, text]) => kind === "same" ? text : make("span", { class: kind, text }));
    return make("section", {}, make("h3", {}, (place ? "Candidate " : "Incumbent "),
      make("span", { class: "small soft", text: number(arm.seconds) + " s" })),
    arm.failure ? make("p", { class: "worse" }, isolated(arm.failure)) : null,
    pieces.length ? make("div", { class: "answer" }, make("bdi", {}, ...pieces)) : null, ...bars(arm));
  };
  const oneCall = (pair, place) => {
    const call = pair.calls[place];
    if (!call) return make("td", { class: "soft", text: "–" });
    const changes = place ? pair.changes.map(([name, was, is]) => make("div", { class: "small" }, "argument ",
      isolated(name), ": ", isolated(was, { class: "gone" }), " ", isolated(is, { class: "came" }))) : [];
    return make("td", {}, make("code", {}, isolated(call.call)), " ",
      make("span", { class: call.effect === "read" ? "tag" : "tag strong", text: call.effect + ", " + call.answered }),
      make("div", { class: "small soft" }, isolated(call.result)), ...changes);
  };
  const oneHit = (hit) => make("tr", {}, ...hit.ranks.map((rank) => make("td", { class: "num", text: rank || "–" })),
    make("td", {}, make("code", {}, isolated(hit.id)), " ", make("span", { class: "small soft", text: hit.move }),
      hit.grade ? make("span", { class: "tag better", text: "relevant (" + hit.grade + ")" }) : null,
      hit.text ? make("div", { class: "small soft" }, isolated(hit.text)) : null));

  const inFull = (query) => [
    make("h3", {}, query.why ? make("span", { class: "tag", text: query.why }) : null, " ", isolated(query.text)), facts(query),
    query.trace ? make("p", { class: "small" }, "Trace of the served call: ", make("code", {}, isolated(query.trace))) : null,
    ...query.course.map((line) => make("p", { class: "small" }, isolated(line))),
    query.reference ? make("p", { class: "small" }, make("b", { text: "Reference: " }), isolated(query.reference)) : null,
    make("div", { class: "pair" }, oneArm(query, 0), oneArm(query, 1)),
    query.hits.length ? grid(["Incumbent's rank", "Candidate's rank", "Document"], query.hits.map(oneHit)) : null,
    query.calls.length ? grid(["Incumbent's call", "Candidate's call"],
      query.calls.map((pair) => make("tr", {}, oneCall(pair, 0), oneCall(pair, 1)))) : null,
    ...query.writes.map(([whose, text]) => make("p", { class: "small" }, "Write, " + whose + ": ", make("code", {}, isolated(text)))),
    grid(["Score", "Incumbent", "Candidate"], query.scores.map(([name, was, is]) => make("tr", {}, make("td", { text: name }), said(was), said(is)))),
  ].filter(Boolean);

  const asked = () => location.hash.startsWith("#q=") ? new URLSearchParams(location.hash.slice(1)) : null;
  const viewers = [];
  const begin = async () => {
    for (const home of document.querySelectorAll("[data-queries]")) {
      const table = tables[Number(home.dataset.queries)];
      if (!table || !("DecompressionStream" in window)) continue;
      const viewer = new Viewer(home, table, viewers.length + 1);
      viewers.push(viewer);
      await viewer.start();
    }
    document.documentElement.dataset.ready = "yes";
  };
  addEventListener("beforeprint", () => { for (const viewer of viewers) viewer.print(); });
  addEventListener("afterprint", () => { for (const viewer of viewers) viewer.paper?.remove(); });
  addEventListener("hashchange", () => {
    const wanted = asked();
    const viewer = wanted && viewers.find((each) => each.mine(wanted));
    if (viewer) viewer.open(wanted.get("q"));
  });
  const opened = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (opened && opened.tagName === "DETAILS") opened.open = true;
  begin();
})();
