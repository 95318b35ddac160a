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
  const last = data.nodes.length - 1;
  const scores = buffers.value[data.nodes[last].inputs[0]]; // features: they have no border
  const mirrorScores = new Float32Array(scores.length);

  const runAll = () => calls.forEach(([kernel, given]) => kernel(...given));
  const runLast = () => calls[last][0](...calls[last][1]);

  // Each row of the image backwards.
  function mirrored(pixels) {
    const turned = pixels.slice();
    for (let place = 0; place < size; place += channels) {
      const column = (place / channels) % columns;
      const other = place + (columns - 1 - 2 * column) * channels;
      for (let i = 0; i < channels; i++) turned[place + i] = pixels[other + i];
    }
    return turned;
  }

  const network = {
    nodes: data.nodes,
    pixels: buffers.pixels[0],
    parameters: buffers.parameter,

    // Compute all values for a raw image (rows, columns, channels); with test-time augmentation also the scores of its
    // mirror image, which no layer shows.
    run(pixels) {
      const image = pixels.slice();
      if (data.tta) {
        buffers.pixels[0].set(mirrored(image));
        runAll();
        mirrorScores.set(scores);
      }
      buffers.pixels[0].set(image);
      runAll();
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

    // The probabilities of the classes; a network with one output says how probable the second of two is. With test-time
    // augmentation they are those of the mean of both scores.
    probabilities() {
      const own = scores.slice();
      if (data.tta) {
        for (let n = 0; n < own.length; n++) scores[n] = Math.fround(own[n] + mirrorScores[n]) * 0.5;
        runLast();
      }
      const outputs = Array.from(network.values(last));
      if (data.tta) {
        scores.set(own);
        runLast();
      }
      return outputs.length === 1 && data.classes.length === 2 ? [1 - outputs[0], outputs[0]] : outputs;
    },
  };
  return network;
}
