// How a neuron's value is computed: sentences, and tables of the numbers.

const MOST_TERMS = 6; // channels or inputs that are told one by one before the rest is folded away
const MOST_NUMBERS = 49; // taps of a window that are printed as numbers; larger windows are images

// {summary: one sentence, elements: what to show, reads: parts of earlier maps that were used}
function tellNeuron(network, classes, mostOf, place) {
  const working = workingOf(network, place.number, place.channel, place.row, place.column);
  const field = receptiveField(network, place.number, place.channel, place.row, place.column);
  const name = placeName(network, classes, place);
  const elements = [
    make("h3", {}, `${name}: ${wordNumber(working.value)}`),
    make("p", {}, fieldSentence(network, place, field)),
  ];
  const tell = (one) => (TELLINGS[one.kind] ?? tellPointwise)(network, one, { classes, mostOf });
  elements.push(...tell(working));
  const reads = [...working.reads];
  // An activation alone says little: what it was given is worked out, too.
  if (network.nodes[place.number].formula && working.reads.length) {
    const {
      number,
      channels: [channel],
      rows: [row],
      columns: [column],
    } = working.reads[0];
    const before = workingOf(network, number, channel, row, column);
    if (["conv", "dense", "add"].includes(before.kind)) {
      elements.push(
        make("h4", {}, `How ${network.nodes[number].name} computes ${wordNumber(before.value)}`),
        ...tell(before),
      );
      reads.push(...before.reads);
    }
  }
  return {
    summary: `${name} is ${wordNumber(working.value)}. ${fieldSentence(network, place, field)}`,
    elements,
    reads,
    field,
  };
}

function placeName(network, classes, { number, channel, row, column }) {
  const node = network.nodes[number];
  if (!node.features) return `${node.name}, map ${channel + 1}, row ${row + 1}, column ${column + 1}`;
  const named = number >= network.nodes.length - 2 && node.shape[0] === classes.length;
  return `${node.name}, ${named ? `“${classes[channel]}”` : `value ${channel + 1}`}`;
}

function fieldSentence(network, { number }, { rows, columns, cut }) {
  const [, height, width] = network.nodes[0].shape;
  if (number === 0) return `One pixel of the image.`;
  if (!rows.length || !columns.length) return "It sees only padding, nothing of the image.";
  const [top, bottom, left, right] = [rows[0], rows.at(-1), columns[0], columns.at(-1)];
  const whole = rows.length === height && columns.length === width;
  const size = whole
    ? "the whole image"
    : `${bottom - top + 1} × ${right - left + 1} pixels of the image, ` +
      `${span("row", top, bottom)} and ${span("column", left, right)}`;
  const holes =
    rows.length < bottom - top + 1 || columns.length < right - left + 1 ? ", though not all between" : "";
  return `It sees ${size}${holes}${cut && !whole ? "; part of its field lies beyond the edge, where there are only zeros" : ""}.`;
}

const TELLINGS = {
  input(network, { raw, value, channel }) {
    const { scale, offset } = network.preprocessing;
    return [
      formula(
        `${wordNumber(raw)} × ${wordNumber(scale[channel], 4)} ${plus(offset[channel], 4)} = ${wordNumber(value)}`,
      ),
    ];
  },

  conv(network, working, { mostOf }) {
    const {
      number,
      terms,
      window,
      bias,
      value,
      reads: [{ number: source }],
    } = working;
    const node = network.nodes[number],
      before = network.nodes[source];
    const padding = terms[0].taps.filter((tap) => !tap.inside).length;
    const most = Math.max(...terms.flatMap((term) => term.taps.map((tap) => Math.abs(tap.weight)))) || 1;
    const rows = ordered(terms, (term) => term.sum).map((term) =>
      make(
        "div",
        { class: "live-term" },
        make("span", { class: "live-from" }, `map ${term.channel + 1}`),
        numberGrid(
          term.taps.map((tap) => ({ ...tap, shown: tap.x })),
          window,
          mostOf(source),
          `map ${term.channel + 1} of ${before.name}`,
        ),
        make("span", {}, "×"),
        numberGrid(
          term.taps.map((tap) => ({ inside: true, shown: tap.weight })),
          window,
          most,
          `kernel for map ${term.channel + 1}`,
        ),
        make("b", {}, `= ${wordNumber(term.sum)}`),
      ),
    );
    return [
      make(
        "p",
        {},
        `The sum of each value of ${before.name} in the window times the kernel’s weight` +
          (padding
            ? `; ${padding} of the window’s ${terms[0].taps.length} positions lie in the padding and are 0`
            : "") +
          ":",
      ),
      ...folded(rows, "maps"),
      sumFormula(
        terms.map((term) => term.sum),
        bias,
        value,
      ),
      ...tellCut(network, node, number, value),
    ];
  },

  dense(network, working) {
    const { number, terms, bias, value } = working;
    const node = network.nodes[number],
      source = node.inputs[0],
      before = network.nodes[network.shown(source)];
    const where = (i) => {
      if (before.features) return `value ${i + 1}`;
      const { channel, row, column } = unflatten(before.shape, i);
      return `map ${channel + 1}, row ${row + 1}, column ${column + 1}`;
    };
    const most = Math.max(...terms.map((term) => Math.abs(term.product))) || 1;
    const sorted = [...terms].sort((a, b) => Math.abs(b.product) - Math.abs(a.product)),
      top = sorted.slice(0, 2 * MOST_TERMS);
    const table = make(
      "table",
      { class: "live-contributions" },
      make(
        "caption",
        {},
        `The ${top.length === terms.length ? "" : "largest of the "}${counted(terms.length, "product")} of ${before.name}`,
      ),
      make(
        "thead",
        {},
        make("tr", {}, ...["from", "value", "weight", "product"].map((text) => make("th", { scope: "col" }, text))),
      ),
      make(
        "tbody",
        {},
        ...top.map((term) => {
          const cells = [where(term.channel), ...[term.x, term.weight, term.product].map((x) => wordNumber(x))].map(
            (text) => make("td", {}, text),
          );
          paintCell(cells[3], term.product / most);
          return make("tr", {}, ...cells);
        }),
      ),
    );
    const parts = [...top.map((term) => term.product)];
    const rest = sum(sorted.slice(top.length).map((term) => term.product));
    const others = terms.length - top.length;
    return [
      table,
      others ? make("p", {}, `The other ${counted(others, "product")} add up to ${wordNumber(rest)}.`) : null,
      sumFormula([sum(parts), ...(others ? [rest] : [])], bias, value),
      ...tellCut(network, node, number, value),
    ].filter(Boolean);
  },

  max(network, working, { mostOf }) {
    const {
      taps,
      window,
      count,
      argmax,
      value,
      reads: [{ number: source }],
      channel,
    } = working;
    const grid = numberGrid(
      taps.map((tap) => ({ ...tap, shown: tap.x, won: tap === argmax })),
      window,
      mostOf(source),
      `map ${channel + 1} of ${network.nodes[source].name}`,
    );
    return [
      make(
        "p",
        {},
        `The largest of ${counted(count, "value")} of ${network.nodes[source].name}` +
          `${count < taps.length ? " (padding is never the maximum)" : ""}:`,
      ),
      grid,
      make(
        "p",
        {},
        argmax
          ? `The maximum is ${wordNumber(value)}, in row ${argmax.row + 1}, column ${argmax.column + 1}.`
          : "Only padding is here.",
      ),
    ];
  },

  average(network, working, { mostOf }) {
    const {
      taps,
      window,
      count,
      total,
      value,
      reads: [{ number: source }],
      channel,
    } = working;
    return [
      make("p", {}, `The mean of ${counted(count, "value")} of ${network.nodes[source].name}:`),
      numberGrid(
        taps.map((tap) => ({ ...tap, shown: tap.x })),
        window,
        mostOf(source),
        `map ${channel + 1}`,
      ),
      formula(`${wordNumber(total)} / ${count} = ${wordNumber(value)}`),
    ];
  },

  global: (network, { total, count, value, channel }) => [
    make("p", {}, `The mean of all ${counted(count, "value")} of map ${channel + 1}:`),
    formula(`${wordNumber(total)} / ${count} = ${wordNumber(value)}`),
  ],

  softmax: (network, { x, largest, total, value }) => [
    make(
      "p",
      {},
      `exp(x − largest), divided by the sum of them all. Here x = ${wordNumber(x)}, the largest is ${wordNumber(largest)}:`,
    ),
    formula(`exp(${wordNumber(x - largest)}) / ${wordNumber(total)} = ${wordNumber(value)}`),
  ],

  layernorm: (network, { x, mean, variance, epsilon, count, value }) => [
    make(
      "p",
      {},
      `Less the mean of the ${counted(count, "value")} here, ${wordNumber(mean)}, divided by the root of their variance:`,
    ),
    formula(`(${wordNumber(x)} − ${wordNumber(mean)}) / √(${wordNumber(variance)} + ${wordNumber(epsilon)}) = ${wordNumber(value)}`),
  ],

  lrn: (network, { x, total, share, beta, k, count, value }) => [
    make("p", {}, `Divided by a power of what ${counted(count, "map")} hold here, whose squares make ${wordNumber(total)}:`),
    formula(`${wordNumber(x)} / (${wordNumber(k)} + ${wordNumber(share)} × ${wordNumber(total)})^${wordNumber(beta)} = ${wordNumber(value)}`),
  ],

  add: (network, { parts, value }) => [
    make("p", {}, `The sum of the branches: ${parts.map((part) => network.nodes[part.number].name).join(" plus ")}.`),
    formula(`${parts.map((part, n) => (n ? plus(part.x) : wordNumber(part.x))).join(" ")} = ${wordNumber(value)}`),
  ],

  multiply: (network, { parts: [one, factor], value, channel }) => [
    make(
      "p",
      {},
      `${network.nodes[one.number].name} times the factor of channel ${channel + 1} in ${network.nodes[factor.number].name}:`,
    ),
    formula(`${wordNumber(one.x)} × ${wordNumber(factor.x)} = ${wordNumber(value)}`),
  ],

  join: (network, { from }) => {
    const { name, features } = network.nodes[from.number];
    return [make("p", {}, `Copied from ${name}${features ? "" : `, map ${from.channel + 1}`}.`)];
  },
};

// The layer's own formula, with the numbers in it.
function tellPointwise(network, { number, x, value, numbers: own }) {
  const { formula: text = "{x}", below } = network.nodes[number];
  const numbers = { x, "-x": -x, y: value, ...own };
  return [
    formula(text.replace(/\{([^}]+)\}/g, (_, name) => wordNumber(numbers[name]))),
    below === 0 && make("p", {}, x > 0 ? "It is positive and passes." : "It is not positive, so the output is 0."),
  ].filter(Boolean);
}

const formula = (text) => make("p", { class: "live-formula" }, text);
const plus = (x, figures = 3) => `${x < 0 ? "−" : "+"} ${wordNumber(Math.abs(x), figures)}`;

// Few terms in their order, many by their size.
const ordered = (terms, sizeOf) =>
  terms.length <= MOST_TERMS ? terms : [...terms].sort((a, b) => Math.abs(sizeOf(b)) - Math.abs(sizeOf(a)));

function folded(rows, what) {
  if (rows.length <= MOST_TERMS) return rows;
  const rest = rows.slice(MOST_TERMS);
  return [
    make("p", { class: "live-note" }, `The ${MOST_TERMS} of ${rows.length} ${what} with the largest contributions:`),
    ...rows.slice(0, MOST_TERMS),
    make("details", {}, make("summary", {}, `and the other ${rest.length} ${what}`), ...rest),
  ];
}

// "0.2 − 0.1 + bias 0.3 = 0.4", and a word of warning if the map says something else.
function sumFormula(parts, bias, value) {
  const few = parts.length <= 4 ? parts : [sum(parts)];
  const text = few.map((x, n) => (n ? plus(x) : wordNumber(x))).join(" ");
  const total = sum(parts) + (bias ?? 0);
  const agrees = Math.abs(total - value) <= 1e-4 * Math.max(1, ...parts.map(Math.abs));
  const line = formula(
    `${text}${bias === null ? "" : ` + bias ${bias < 0 ? `(${wordNumber(bias)})` : wordNumber(bias)}`} = ${wordNumber(total)}`,
  );
  line.append(
    make(
      "span",
      { class: agrees ? "live-good" : "live-bad" },
      agrees ? " ✓ as in the map" : ` ✗ the map says ${wordNumber(value)}`,
    ),
  );
  return line;
}

// What becomes of the value in a ReLU right behind.
function tellCut(network, node, number, value) {
  return network.nodes
    .filter((other) => other.kind === "relu" && other.inputs[0] === number)
    .map((relu) => make("p", {}, value > 0 ? `${relu.name} passes it on.` : `${relu.name} sets it to 0.`));
}

// As many decimals as tell the largest number of a table by two figures, at least one.
const aligned = (x, most) =>
  x.toFixed(Math.min(4, Math.max(1, 1 - Math.floor(Math.log10(most))))).replace("-", "−");

// A window of numbers as a table, each cell coloured by its value; a large one as an image.
function numberGrid(cells, [rows, columns], most, label) {
  if (cells.length > MOST_NUMBERS) return imageGrid(cells, [rows, columns], most, label);
  return make(
    "table",
    { class: "live-numbers", "aria-label": label },
    make(
      "tbody",
      {},
      ...range(rows).map((r) =>
        make(
          "tr",
          {},
          ...range(columns).map((c) => {
            const { shown, inside, won } = cells[r * columns + c];
            const cell = make(
              "td",
              {
                class: [inside ? null : "live-padding", won ? "live-won" : null].filter(Boolean).join(" ") || null,
                title: inside ? null : "padding",
              },
              inside ? aligned(shown, most) : "0",
            );
            if (inside) paintCell(cell, shown / most);
            return cell;
          }),
        ),
      ),
    ),
  );
}

function imageGrid(cells, [rows, columns], most, label) {
  const canvas = make("canvas", {
    width: columns,
    height: rows,
    role: "img",
    "aria-label": label,
    class: "live-numbers",
  });
  paintValues(
    canvas,
    cells.map((cell) => cell.shown),
    most,
  );
  [canvas.style.width, canvas.style.height] = [`${8 * columns}px`, `${8 * rows}px`];
  return canvas;
}

function paintCell(cell, share) {
  const colour = rgbOf(share);
  [cell.style.background, cell.style.color] = [css(colour), inkOn(colour)];
}
