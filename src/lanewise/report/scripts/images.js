// Images: from files, from drawings, and brought to the network's size the way Lanewise does it in Python.

// Bytes as the raw values that the network takes: they are the same, unless it learned from other numbers.
function rawPixels(bytes, { type, range: [low, high] }) {
  return type === "u8" ? bytes : Float32Array.from(bytes, (byte) => low + ((high - low) * byte) / 255);
}

// The image (rows, columns, channels) in bytes, of the network's size, out of a file.
async function imageFromFile(blob, wanted) {
  // As they are in the file: upright, but without translating colours.
  const bitmap = await createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white"; // what shows through transparent parts
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const image = planesOf(context, wanted.channels),
    orientation = await jpegOrientation(blob);
  return fitted(orientation ? drafted(image, wanted, orientation) : image, wanted);
}

// The part of an image that is taken, from its middle, and the size that it is stretched to; see `resizing.py`.
function partAndContent({ rows, columns }, wanted) {
  const came = { rows, columns };
  if (wanted.fit === "crop") return [largestWithin(wanted, came), wanted];
  return [came, wanted.fit === "pad" ? largestWithin(came, wanted) : wanted];
}

function largestWithin({ rows, columns }, room) {
  const scaled = (side, to, of) => Math.max(1, Math.floor((2 * side * to + of) / (2 * of)));
  if (rows * room.columns <= columns * room.rows)
    return { rows: scaled(rows, room.columns, columns), columns: room.columns };
  return { rows: room.rows, columns: scaled(columns, room.rows, rows) };
}

// Brought to the size wanted: the part that is taken is stretched, and its mean colour is around it.
function fitted({ rows, columns, planes }, wanted) {
  const [part, content] = partAndContent({ rows, columns }, wanted);
  const middle = (side, room) => Math.floor((room - side) / 2);
  const [top, left] = [middle(part.rows, rows), middle(part.columns, columns)];
  const cut = planes.map((plane) => {
    const result = new Uint8Array(part.rows * part.columns);
    for (let r = 0; r < part.rows; r++) {
      const start = (top + r) * columns + left;
      result.set(plane.subarray(start, start + part.columns), r * part.columns);
    }
    return result;
  });
  const small = stretched({ ...part, planes: cut }, content);
  const [above, before] = [middle(content.rows, wanted.rows), middle(content.columns, wanted.columns)];
  const channels = planes.length,
    sums = new Float64Array(channels);
  small.forEach((value, n) => {
    sums[n % channels] += value;
  });
  const count = content.rows * content.columns,
    result = new Uint8Array(wanted.rows * wanted.columns * channels);
  for (let n = 0; n < result.length; n++) result[n] = Math.floor(sums[n % channels] / count);
  for (let r = 0; r < content.rows; r++) {
    const row = small.subarray(r * content.columns * channels, (r + 1) * content.columns * channels);
    result.set(row, ((above + r) * wanted.columns + before) * channels);
  }
  return result;
}

// As Pillow's `draft` decodes a JPEG: at a half, a quarter or an eighth where twice the size wanted is left, each pixel
// the mean of a block. Blocks begin at the corner that comes first in the file, wherever that lies once it is upright.
function drafted({ rows, columns, planes }, wanted, orientation) {
  const [part, content] = partAndContent({ rows, columns }, wanted);
  const room = Math.min(Math.floor(part.rows / (2 * content.rows)), Math.floor(part.columns / (2 * content.columns)));
  const side = [8, 4, 2, 1].find((side) => side <= Math.max(1, room));
  if (side === 1) return { rows, columns, planes };
  const missing = (length, turned) => (turned.includes(orientation) ? (side - (length % side)) % side : 0);
  const above = missing(rows, [3, 4, 7, 8]),
    before = missing(columns, [2, 3, 6, 7]);
  const small = planes.map((plane) => blockMeans(plane, rows, columns, side, side, above, before));
  return { rows: small[0].rows, columns: small[0].columns, planes: small.map(({ plane }) => plane) };
}

// The orientation that a JPEG's EXIF gives, 1 to 8; 1 if it gives none, and 0 for other files.
async function jpegOrientation(blob) {
  const view = new DataView(await blob.slice(0, 2 ** 18).arrayBuffer());
  if (view.byteLength < 4 || view.getUint16(0) !== 0xffd8) return 0;
  try {
    // Segments, each with its marker and length, up to the pixels.
    for (let at = 2; view.getUint8(at) === 0xff && view.getUint8(at + 1) !== 0xda; at += 2 + view.getUint16(at + 2))
      if (view.getUint16(at) === 0xffe1 && view.getUint32(at + 4) === 0x45786966) {
        const start = at + 10, // a TIFF file within: its byte order, and where its first table lies
          little = view.getUint16(start) === 0x4949,
          table = start + view.getUint32(start + 4, little);
        for (let n = 0; n < view.getUint16(table, little); n++)
          if (view.getUint16(table + 2 + 12 * n, little) === 0x0112) {
            const found = view.getUint16(table + 10 + 12 * n, little);
            return found >= 1 && found <= 8 ? found : 1;
          }
      }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // cut short
  }
  return 1;
}

// {rows, columns, planes}: grey, or red, green and blue, each with a byte a pixel.
function planesOf(context, channels) {
  const { width, height } = context.canvas;
  const { data } = context.getImageData(0, 0, width, height);
  const planes = range(channels).map(() => new Uint8Array(width * height));
  for (let n = 0; n < width * height; n++) {
    const [red, green, blue] = [data[4 * n], data[4 * n + 1], data[4 * n + 2]];
    if (channels === 1)
      planes[0][n] = (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16; // ITU-R 601-2
    else for (let i = 0; i < channels; i++) planes[i][n] = data[4 * n + Math.min(i, 2)];
  }
  return { rows: height, columns: width, planes };
}

// Stretched to the size wanted; smoothed on the way where that makes it smaller, as Pillow's BILINEAR does with
// reducing_gap=2: averages of whole blocks first where there are far too many pixels, then a triangle over each axis.
function stretched({ rows, columns, planes }, wanted) {
  const result = new Uint8Array(wanted.rows * wanted.columns * planes.length);
  const [down, across] = [rows / wanted.rows, columns / wanted.columns].map((gap) =>
    Math.max(1, Math.floor(gap / 2)),
  );
  planes.forEach((plane, i) => {
    const small =
      down > 1 || across > 1 ? blockMeans(plane, rows, columns, down, across) : { plane, rows, columns };
    let image = small;
    if (image.columns !== wanted.columns || columns / across !== wanted.columns)
      image = resampled(image, columns / across, wanted.columns);
    image = transposed(image);
    if (image.columns !== wanted.rows || rows / down !== wanted.rows)
      image = resampled(image, rows / down, wanted.rows);
    image = transposed(image);
    image.plane.forEach((value, n) => {
      result[n * planes.length + i] = value;
    });
  });
  return result;
}

// Bytes of an image each of whose pixels is the mean of a square of `side` pixels.
function averaged({ rows, columns, planes }, side) {
  const result = new Uint8Array((rows / side) * (columns / side) * planes.length);
  planes.forEach((plane, i) => {
    blockMeans(plane, rows, columns, side, side).plane.forEach((value, n) => {
      result[n * planes.length + i] = value;
    });
  });
  return result;
}

// Means of blocks. Of the first ones, rows `above` and columns `before` lie outside.
function blockMeans(plane, rows, columns, down, across, above = 0, before = 0) {
  const small = { rows: Math.ceil((rows + above) / down), columns: Math.ceil((columns + before) / across) };
  small.plane = new Uint8Array(small.rows * small.columns);
  for (let r = 0; r < small.rows; r++)
    for (let c = 0; c < small.columns; c++) {
      const [top, left] = [r * down - above, c * across - before];
      let total = 0,
        count = 0;
      for (let u = Math.max(0, top); u < Math.min(rows, top + down); u++)
        for (let v = Math.max(0, left); v < Math.min(columns, left + across); v++, count++)
          total += plane[u * columns + v];
      small.plane[r * small.columns + c] = Math.floor((total + (count >> 1)) / count);
    }
  return small;
}

// Each row to `count` pixels; `length` is that of a row, perhaps with a fraction of a block at its end.
function resampled({ plane, rows, columns }, length, count) {
  const scale = length / count,
    reach = Math.max(1, scale),
    unit = 2 ** 22;
  const result = { rows, columns: count, plane: new Uint8Array(rows * count) };
  for (let c = 0; c < count; c++) {
    const centre = (c + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - reach + 0.5)),
      end = Math.min(columns, Math.floor(centre + reach + 0.5));
    const heights = range(end - first, first).map((n) => Math.max(0, 1 - Math.abs((n - centre + 0.5) / reach)));
    const all = sum(heights),
      weights = heights.map((height) => Math.floor(0.5 + (height / all) * unit));
    for (let r = 0; r < rows; r++) {
      let total = unit / 2;
      weights.forEach((weight, n) => {
        total += weight * plane[r * columns + first + n];
      });
      result.plane[r * count + c] = Math.min(255, Math.max(0, Math.floor(total / unit)));
    }
  }
  return result;
}

function transposed({ plane, rows, columns }) {
  const result = new Uint8Array(plane.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) result[c * rows + r] = plane[r * columns + c];
  return { plane: result, rows: columns, columns: rows };
}

// A drawing as the data's images are: what was drawn is scaled to a box of their usual size and its centre of mass
// (or the box itself) is put into the middle. MNIST's digits were made so, with a box of 20 by 20 in 28 by 28 pixels.
function settled(drawn, { paper, box, centre }, wanted) {
  const plane = drawn.planes[0],
    ink = (r, c) => Math.abs(plane[r * drawn.columns + c] - paper);
  const inked = { rows: [], columns: [] };
  for (let r = 0; r < drawn.rows; r++) if (range(drawn.columns).some((c) => ink(r, c) > 32)) inked.rows.push(r);
  for (let c = 0; c < drawn.columns; c++) if (range(drawn.rows).some((r) => ink(r, c) > 32)) inked.columns.push(c);
  if (!inked.rows.length || !box) return stretched(drawn, wanted);
  const limits = (list) => [list[0], list.at(-1) + 1];
  const [[top, bottom], [left, right]] = [limits(inked.rows), limits(inked.columns)];
  const scale = Math.min((box * wanted.rows) / (bottom - top), (box * wanted.columns) / (right - left));
  const size = {
    rows: Math.max(1, Math.round((bottom - top) * scale)),
    columns: Math.max(1, Math.round((right - left) * scale)),
  };
  const part = {
    rows: bottom - top,
    columns: right - left,
    planes: [new Uint8Array((bottom - top) * (right - left))],
  };
  part.planes[0].forEach((_, n) => {
    part.planes[0][n] = plane[(top + Math.floor(n / part.columns)) * drawn.columns + left + (n % part.columns)];
  });
  return placed(stretched(part, size), size, { paper, centre }, wanted);
}

function placed(small, size, { paper, centre }, wanted) {
  let [row, column, mass] = [0, 0, 0];
  small.forEach((value, n) => {
    const weight = centre === "mass" ? Math.abs(value - paper) : 1;
    row += weight * (Math.floor(n / size.columns) + 0.5);
    column += weight * ((n % size.columns) + 0.5);
    mass += weight;
  });
  const down = Math.round(wanted.rows / 2 - row / mass),
    across = Math.round(wanted.columns / 2 - column / mass);
  const result = new Uint8Array(wanted.rows * wanted.columns).fill(paper);
  small.forEach((value, n) => {
    const r = Math.floor(n / size.columns) + down,
      c = (n % size.columns) + across;
    if (r >= 0 && r < wanted.rows && c >= 0 && c < wanted.columns) result[r * wanted.columns + c] = value;
  });
  return result;
}
