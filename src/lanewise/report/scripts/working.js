// How one neuron came by its value: the numbers that went in and what was done with them, nothing shown yet.
//
// workingOf(...) gives {number, channel, row, column, kind, value, ...} with, by kind,
//   conv            terms: [{channel, taps: [{row, column, inside, x, weight}], sum}], window, bias, total
//   dense           terms: [{channel, x, weight, product}], bias, total
//   max, average    taps: [{row, column, inside, x}], count; argmax is the first largest tap of a max pool
//   global          total, count
//   layernorm       x, mean, variance, epsilon, count
//   lrn             x, total, share, beta, k, count
//   add             parts: [{number, x}]
//   multiply        parts: [{number, x}], the value and its factor
//   join            from: {number, channel}
//   input           raw, scale, offset
//   others          x, numbers: the options and parameters that its formula names; softmax also has largest and total
// and `reads`: [{number, channels, rows, columns}], the part of each earlier map that feeds it.

function workingOf(network, number, channel, row, column) {
  const node = network.nodes[number];
  const place = {
    number,
    channel,
    row,
    column,
    kind: node.kind,
    value: network.value(number, channel, row, column),
  };
  const work = WORKINGS[node.kind] ?? pointwiseWorking;
  const working = { reads: [], ...place, ...work(network, node, place) };
  working.reads = working.reads.map((read) => readAsShown(network, read));
  return working;
}

// The same part of the node that people are shown instead of a flatten or dropout.
function readAsShown(network, read) {
  const node = network.nodes[read.number];
  if (network.shown(read.number) === read.number) return read;
  const [source] = node.inputs;
  if (node.kind === "dropout") return readAsShown(network, { ...read, number: source });
  if (read.channels.length > 1) return readAsShown(network, wholeRead(network, source));
  const { channel, row, column } = unflatten(network.nodes[source].shape, read.channels[0]);
  return readAsShown(network, pointRead(source, channel, row, column));
}

const sum = (numbers) => numbers.reduce((total, x) => total + x, 0);

const WORKINGS = {
  input(network, node, { channel, row, column }) {
    const [channels, , columns] = node.shape;
    return { raw: network.pixels[(row * columns + column) * channels + channel] };
  },

  conv(network, node, { channel: o, row, column }) {
    const [source] = node.inputs;
    const [weight, bias] = node.parameters.map((n) => network.parameters[n]);
    const perGroup = network.nodes[source].shape[0] / node.groups;
    const first = Math.floor(o / (node.shape[0] / node.groups)) * perGroup;
    const [height, width] = node.window;
    const terms = range(perGroup).map((i) => {
      const seen = windowTaps(network, node, first + i, row, column);
      const own = seen.map((tap, n) => ({ ...tap, weight: weight[(o * perGroup + i) * height * width + n] }));
      return { channel: first + i, taps: own, sum: sum(own.map((tap) => tap.x * tap.weight)) };
    });
    const total = sum(terms.map((term) => term.sum));
    return {
      terms,
      window: node.window,
      bias: bias ? bias[o] : null,
      total,
      reads: [windowRead(node, terms[0].taps, range(perGroup, first))],
    };
  },

  dense(network, node, { channel: o }) {
    const [source] = node.inputs;
    const [weight, bias] = node.parameters.map((n) => network.parameters[n]);
    const inputs = network.nodes[source].shape[0];
    const padded = Math.ceil(inputs / 16) * 16; // rows of dense weights lie so in memory
    const terms = range(inputs).map((i) => {
      const x = network.value(source, i, 0, 0),
        w = weight[o * padded + i];
      return { channel: i, x, weight: w, product: x * w };
    });
    const total = sum(terms.map((term) => term.product));
    return { terms, bias: bias ? bias[o] : null, total, reads: [wholeRead(network, source)] };
  },

  max(network, node, { channel, row, column }) {
    const taps = windowTaps(network, node, channel, row, column);
    const inside = taps.filter((tap) => tap.inside);
    const argmax = inside.reduce((best, tap) => (tap.x > best.x ? tap : best), inside[0]);
    return { taps, window: node.window, count: inside.length, argmax, reads: [windowRead(node, taps, [channel])] };
  },

  average(network, node, { channel, row, column }) {
    const taps = windowTaps(network, node, channel, row, column);
    const count = node.countPadding ? taps.length : taps.filter((tap) => tap.inside).length;
    const total = sum(taps.map((tap) => tap.x));
    return { taps, window: node.window, count, total, reads: [windowRead(node, taps, [channel])] };
  },

  global(network, node, { channel }) {
    const [source] = node.inputs;
    const [, rows, columns] = network.nodes[source].shape;
    const all = range(rows).flatMap((r) => range(columns).map((c) => network.value(source, channel, r, c)));
    return { total: sum(all), count: all.length, reads: [{ ...wholeRead(network, source), channels: [channel] }] };
  },

  softmax(network, node, { channel }) {
    const [source] = node.inputs;
    const all = Array.from(network.values(source)),
      largest = Math.max(...all);
    const x = all[channel];
    return {
      x,
      largest,
      total: sum(all.map((one) => Math.exp(one - largest))),
      reads: [wholeRead(network, source)],
    };
  },

  layernorm(network, node, { channel, row, column }) {
    const [source] = node.inputs;
    const [channels] = node.shape;
    const all = range(channels).map((i) => network.value(source, i, row, column));
    const mean = sum(all) / channels;
    const variance = sum(all.map((one) => (one - mean) ** 2)) / channels;
    const reads = [{ ...pointRead(source, channel, row, column), channels: range(channels) }];
    return { x: all[channel], mean, variance, epsilon: node.epsilon, count: channels, reads };
  },

  lrn(network, node, { channel, row, column }) {
    const [source] = node.inputs;
    const { half, share, beta, k } = node;
    const beside = range(2 * half + 1, channel - half).filter((i) => i >= 0 && i < node.shape[0]);
    const total = sum(beside.map((i) => network.value(source, i, row, column) ** 2));
    const reads = [{ ...pointRead(source, channel, row, column), channels: beside }];
    return { x: network.value(source, channel, row, column), total, share, beta, k, count: beside.length, reads };
  },

  add(network, node, { channel, row, column }) {
    const parts = node.inputs.map((n) => ({ number: network.shown(n), x: network.value(n, channel, row, column) }));
    return { parts, reads: node.inputs.map((n) => pointRead(n, channel, row, column)) };
  },

  multiply(network, node, { channel, row, column }) {
    const [x, factors] = node.inputs;
    const parts = [
      { number: network.shown(x), x: network.value(x, channel, row, column) },
      { number: network.shown(factors), x: network.value(factors, channel, 0, 0) },
    ];
    return { parts, reads: [pointRead(x, channel, row, column), pointRead(factors, channel, 0, 0)] };
  },

  join(network, node, { channel, row, column }) {
    let own = channel;
    for (const input of node.inputs) {
      const count = network.nodes[input].shape[0];
      if (own < count) {
        const from = { number: network.shown(input), channel: own };
        return { from, reads: [pointRead(input, own, row, column)] };
      }
      own -= count;
    }
    throw new Error(`channel ${channel} of ${node.name} comes from nowhere`);
  },
};

function pointwiseWorking(network, node, { channel, row, column }) {
  const [source] = node.inputs;
  const own = node.parameters.map((n, k) => [node.roles[k], network.parameters[n][channel]]);
  return {
    x: network.value(source, channel, row, column),
    numbers: { ...node.options, ...Object.fromEntries(own) },
    reads: [pointRead(source, channel, row, column)],
  };
}

// What a window sees of one channel, row by row; padding is 0 and not inside.
function windowTaps(network, node, channel, row, column) {
  const [source] = node.inputs;
  const [, rows, columns] = network.nodes[source].shape;
  return taps(node, 0, row).flatMap((r) =>
    taps(node, 1, column).map((c) => {
      const inside = r >= 0 && r < rows && c >= 0 && c < columns;
      return { row: r, column: c, inside, x: inside ? network.value(source, channel, r, c) : 0 };
    }),
  );
}

function windowRead(node, taps, channels) {
  const inside = taps.filter((tap) => tap.inside);
  const limits = (key) => [Math.min(...inside.map((tap) => tap[key])), Math.max(...inside.map((tap) => tap[key]))];
  const [rows, columns] = inside.length
    ? [limits("row"), limits("column")]
    : [
        [0, -1],
        [0, -1],
      ];
  return { number: node.inputs[0], channels, rows, columns };
}

function wholeRead(network, source) {
  const [channels, rows, columns] = network.nodes[source].shape;
  return { number: source, channels: range(channels), rows: [0, rows - 1], columns: [0, columns - 1] };
}

const pointRead = (number, channel, row, column) => ({
  number,
  channels: [channel],
  rows: [row, row],
  columns: [column, column],
});
