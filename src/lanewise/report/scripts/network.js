// The network: its weights, a buffer for every node's value, and the kernels that fill them.
//
// A value lies in memory as (channels, rows, columns) within a border of zeros; features are (features, 1, 1).
// Rows, columns and channels count from 0 here, and from 1 where people read them.

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function pixelsOf(base64, type) {
  const bytes = bytesOf(base64);
  return type === "u8" ? bytes : new Float32Array(bytes.buffer);
}

function makeNetwork(data, kernels) {
  const weights = new Float32Array(bytesOf(data.weights).buffer);
  const { rows, columns, channels, type } = data.image;
  const size = rows * columns * channels;
  const buffers = {
    pixels: [type === "u8" ? new Uint8Array(size) : new Float32Array(size)],
    images: [new Int32Array(16)],
    scale: [Float32Array.from(data.scale)],
    offset: [Float32Array.from(data.offset)],
    parameter: data.starts.map((start) => weights.subarray(start)),
    value: data.nodes.map(
      ({ shape, border: [top, left, bottom, right] }) =>
        new Float32Array(shape[0] * (top + shape[1] + bottom) * (left + shape[2] + right)),
    ),
  };
  const calls = data.nodes.map((node) => [kernels[node.kernel], node.buffers.map(([kind, n]) => buffers[kind][n])]);

  const network = {
    nodes: data.nodes,
    pixels: buffers.pixels[0],
    parameters: buffers.parameter,

    // Compute all values for a raw image (rows, columns, channels).
    run(pixels) {
      buffers.pixels[0].set(pixels);
      for (const [kernel, given] of calls) kernel(...given);
    },

    // The value of one neuron; in the border it is 0.
    value(number, channel, row, column) {
      const {
        shape,
        border: [top, left, bottom, right],
      } = data.nodes[number];
      const width = left + shape[2] + right;
      return buffers.value[number][(channel * (top + shape[1] + bottom) + row + top) * width + column + left];
    },

    // All values of a node without the border, in the order (channels, rows, columns).
    values(number) {
      const {
        shape: [channels, rows, columns],
        border: [top, left, bottom, right],
      } = data.nodes[number];
      const all = new Float32Array(channels * rows * columns);
      const width = left + columns + right,
        height = top + rows + bottom;
      for (let i = 0; i < channels; i++)
        for (let r = 0; r < rows; r++) {
          const start = (i * height + top + r) * width + left;
          all.set(buffers.value[number].subarray(start, start + columns), (i * rows + r) * columns);
        }
      return all;
    },

    // Flatten and dropout leave all values as they are: people are shown the node before them.
    shown(number) {
      const { kind, inputs } = data.nodes[number];
      return kind === "flatten" || kind === "dropout" ? network.shown(inputs[0]) : number;
    },

    // The probabilities of the classes; a network with one output says how probable the second of two is.
    probabilities() {
      const outputs = Array.from(network.values(data.nodes.length - 1));
      return outputs.length === 1 && data.classes.length === 2 ? [1 - outputs[0], outputs[0]] : outputs;
    },
  };
  return network;
}
