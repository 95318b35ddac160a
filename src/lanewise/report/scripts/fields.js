// Receptive fields: which pixels of the image a neuron depends on.
//
// From the neuron back to the image, each node asks of those it reads for the rows, columns and channels that it
// needs. What lies in the padding is not asked for: there are only zeros. Where branches meet, all that any of
// them asks for counts.

const range = (count, first = 0) => Array.from({ length: count }, (_, n) => first + n);

// Where window position `at` looks along an axis (0: rows, 1: columns), padding included.
function taps(node, axis, at) {
  const first = at * node.stride[axis] - node.padding[axis];
  return range(node.window[axis]).map((u) => first + u * node.dilation[axis]);
}

// {rows, columns: the pixels' positions in order; cut: whether some of what it would see is padding}
function receptiveField(network, number, channel, row, column) {
  const wanted = network.nodes.map(() => null);
  wanted[number] = { channels: new Set([channel]), rows: new Set([row]), columns: new Set([column]) };
  let cut = false;

  const ask = (source, channels, rows, columns) => {
    const [, height, width] = network.nodes[source].shape;
    const into = (wanted[source] ??= { channels: new Set(), rows: new Set(), columns: new Set() });
    for (const i of channels) into.channels.add(i);
    for (const [list, size, set] of [
      [rows, height, into.rows],
      [columns, width, into.columns],
    ])
      for (const at of list) {
        if (at >= 0 && at < size) set.add(at);
        else cut = true;
      }
  };
  for (let n = number; n > 0; n--) if (wanted[n]) askInputs(network, n, wanted[n], ask);
  const ascending = (set) => [...set].sort((a, b) => a - b);
  return { rows: ascending(wanted[0].rows), columns: ascending(wanted[0].columns), cut };
}

function askInputs(network, number, { channels, rows, columns }, ask) {
  const node = network.nodes[number];
  const [source] = node.inputs;
  const [depth, height, width] = network.nodes[source].shape;
  const looks = (axis, positions) => [...positions].flatMap((at) => taps(node, axis, at));
  switch (node.kind) {
    case "conv": {
      const perGroup = depth / node.groups,
        filters = node.shape[0] / node.groups;
      const groups = new Set([...channels].map((o) => Math.floor(o / filters)));
      const seen = [...groups].flatMap((g) => range(perGroup, g * perGroup));
      return ask(source, seen, looks(0, rows), looks(1, columns));
    }
    case "max":
    case "average":
      return ask(source, channels, looks(0, rows), looks(1, columns));
    case "global":
      return ask(source, channels, range(height), range(width));
    case "dense":
    case "softmax":
      return ask(source, range(depth), range(height), range(width));
    case "layernorm":
      return ask(source, range(depth), rows, columns);
    case "lrn": {
      const beside = [...channels].flatMap((i) => range(2 * node.half + 1, i - node.half));
      return ask(source, beside.filter((i) => i >= 0 && i < depth), rows, columns);
    }
    case "flatten":
      for (const n of channels) {
        const { channel, row, column } = unflatten(network.nodes[source].shape, n);
        ask(source, [channel], [row], [column]);
      }
      return;
    case "join": {
      let first = 0;
      for (const input of node.inputs) {
        const count = network.nodes[input].shape[0];
        const own = [...channels].map((i) => i - first).filter((i) => i >= 0 && i < count);
        if (own.length) ask(input, own, rows, columns);
        first += count;
      }
      return;
    }
    case "multiply": {
      const [x, factors] = node.inputs;
      ask(x, channels, rows, columns);
      return ask(factors, channels, [0], [0]);
    }
    default:
      for (const input of node.inputs) ask(input, channels, rows, columns);
  }
}

// Which value of an image became feature number n.
function unflatten([, rows, columns], n) {
  return { channel: Math.floor(n / (rows * columns)), row: Math.floor(n / columns) % rows, column: n % columns };
}
