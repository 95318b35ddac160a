// The maps of every layer: a canvas with a pixel for each value, and marks laid over it.

const MOST_MAPS = 32; // shown before a button shows the rest
const MAP_SIZE = 84; // pixels of the page, at least, for the longer side of a map

// How many columns features are laid out in, as they have no rows and columns of their own.
const featureColumns = (count) => (count <= 16 ? count : Math.min(25, Math.ceil(Math.sqrt(2 * count))));

const NOTES = {
  input: "the image as it enters: raw × scale + offset",
  conv: "each map is one filter’s weighted sum of a neighbourhood, with the same weights everywhere",
  dense: "each value is a weighted sum of all values before it",
  max: "the largest value of each neighbourhood",
  average: "the mean of each neighbourhood",
  global: "the mean of each map",
  layernorm: "the values of all maps at each place, less their mean, divided by their spread",
  lrn: "each value made smaller by what the maps beside its own hold at its place",
  softmax: "turned into probabilities that add up to 1",
  add: "the sum of two branches",
  multiply: "each map of one branch times its own number of the other",
  join: "the maps of several branches, side by side",
};

// The view of one node: {element, update(), mark(...), maps}
function layerView(network, number, classes, pointing) {
  const node = network.nodes[number];
  const [channels, rows, columns] = node.shape;
  const features = node.features;
  const width = features ? featureColumns(channels) : columns,
    height = features ? Math.ceil(channels / width) : rows;
  const last = features && classes.length === channels && number >= network.nodes.length - 2;
  const names = last && channels === width ? classes : null; // they are written under the values, if these fit one row
  const zoom = features ? (names ? 44 : 22) : Math.max(1, Math.ceil(MAP_SIZE / Math.max(rows, columns)));
  const grid = make("div", { class: "live-maps", role: "group", "aria-label": `maps of ${node.name}` });
  const legend = legendView();
  const shape = features ? counted(channels, "value") : `${counted(channels, "map")} of ${rows} × ${columns}`;
  const element = make(
    "section",
    { class: "live-layer", "data-node": node.name },
    make("h3", {}, node.name, node.text === node.name ? null : make("span", { class: "live-text" }, node.text)),
    make(
      "p",
      { class: "live-note" },
      `${shape}: ${node.note ?? NOTES[node.kind] ?? ""}${node.frozen ? "; training left these weights alone" : ""}`,
    ),
    legend.element,
    grid,
  );
  const maps = [];
  const count = features ? 1 : channels;

  // From a cell of map n to the neuron, and back.
  const neuron = (n, r, c) =>
    features ? { number, channel: r * width + c, row: 0, column: 0 } : { number, channel: n, row: r, column: c };
  const cell = ({ channel, row, column }) =>
    features
      ? { map: 0, row: Math.floor(channel / width), column: channel % width }
      : { map: channel, row, column };
  const exists = (n, r, c) =>
    r >= 0 && c >= 0 && r < height && c < width && (!features || r * width + c < channels);

  const view = { number, element, maps, cell, neuron, exists, width, height };
  const addMaps = (end) => {
    for (let n = maps.length; n < end; n++) {
      maps.push(mapView(view, n, { zoom, label: mapLabel(node, n, count), names }, pointing));
      grid.append(maps[n].element);
    }
  };
  addMaps(Math.min(count, MOST_MAPS));
  if (count > MOST_MAPS) {
    const more = make(
      "button",
      {
        type: "button",
        class: "live-more",
        onclick: () => {
          addMaps(count);
          more.remove();
          view.update();
          moveFocus(maps.find(({ canvas }) => canvas.tabIndex === 0).canvas, maps[MOST_MAPS].canvas);
        },
      },
      `Show all ${count} maps`,
    );
    element.append(more);
  }

  view.update = () => {
    const values = network.values(number);
    const most = largest(values);
    const size = features ? channels : rows * columns;
    for (const map of maps) {
      const own = values.subarray(map.index * size, (map.index + 1) * size);
      map.paint(own, pointing.alone() ? largest(own) : most);
    }
    legend.update(values, most, pointing.alone());
    view.most = most;
  };
  view.mark = (kind, channel, area) => {
    const at = cell({ channel, row: area.rows[0], column: area.columns[0] });
    const [down, across] = [area.rows[1] - area.rows[0], area.columns[1] - area.columns[0]];
    maps[at.map]?.mark(kind, [at.row, at.row + down], [at.column, at.column + across]);
  };
  view.unmark = () => maps.forEach((map) => map.unmark());
  return view;
}

function mapLabel(node, n, count) {
  if (node.features) return "";
  return node.kind === "input" && count === 3 ? ["red", "green", "blue"][n] : `${n + 1}`;
}

// One map: values on a canvas, a pixel each, and boxes over it.
function mapView(layer, index, { zoom, label, names }, pointing) {
  const { width, height } = layer;
  const canvas = make("canvas", {
    width,
    height,
    role: "application",
    "aria-roledescription": "map of values",
    "aria-describedby": "live-keys",
    tabindex: index === 0 ? 0 : -1,
  });
  const frame = make("div", { class: "live-frame" }, canvas);
  [frame.style.width, frame.style.height] = [`${width * zoom}px`, `${height * zoom}px`];
  const caption = names
    ? make("figcaption", { class: "live-names" }, ...names.map((name) => make("span", { title: name }, name)))
    : label && make("figcaption", {}, label);
  const element = make("figure", { class: "live-map" }, frame, caption);
  pointing.listen(canvas, layer, index);
  const map = { element, canvas, index };
  map.paint = (values, most) => {
    paintValues(canvas, values, most);
    const [low, high] = ends(values);
    canvas.setAttribute(
      "aria-label",
      `${layer.element.dataset.node}${label && `, ${label}`}: from ${wordNumber(low)} to ${wordNumber(high)}`,
    );
  };
  map.mark = (kind, [top, bottom], [left, right]) => {
    const box = make("div", { class: `live-mark live-mark-${kind}` });
    const share = (n, of) => `${(100 * n) / of}%`;
    Object.assign(box.style, {
      top: share(top, height),
      left: share(left, width),
      height: share(bottom - top + 1, height),
      width: share(right - left + 1, width),
    });
    frame.append(box);
  };
  map.unmark = () => frame.querySelectorAll(".live-mark").forEach((box) => box.remove());
  return map;
}

// What the colours of a layer mean.
function legendView() {
  const canvas = make("canvas", { width: 101, height: 1, "aria-hidden": "true" });
  const [low, middle, high] = range(3).map(() => make("span"));
  const element = make("div", { class: "live-legend" }, low, canvas, high, middle);
  return {
    element,
    update(values, size, alone) {
      const [least, most] = ends(values);
      const from = least < 0 ? -size : 0;
      const steps = range(101).map((n) => from + ((size - from) * n) / 100);
      paintValues(canvas, steps, size);
      [low.textContent, high.textContent] = alone
        ? [from ? "−largest" : "0", "largest of each"]
        : [wordNumber(from), wordNumber(size)];
      middle.textContent =
        values.length === 1
          ? `(its value: ${wordNumber(least)})`
          : `(values from ${wordNumber(least)} to ${wordNumber(most)})`;
    },
  };
}
