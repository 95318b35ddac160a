// Colours for values: neutral at 0, orange for positive ones, blue for negative ones, the same in all maps.

const STOPS = {
  light: {
    positive: ["f6f3ee", "fdc98a", "ee7f35", "ab3a10", "4a1206"],
    negative: ["f6f3ee", "b5d3ee", "5a9ad6", "1f5796", "0b2447"],
  },
  dark: {
    positive: ["1d1f24", "5c2810", "b84a17", "f59b42", "ffeec2"],
    negative: ["1d1f24", "123357", "20619f", "5ba3e0", "d8ecff"],
  },
};

const darkScheme = matchMedia("(prefers-color-scheme: dark)");
const printing = matchMedia("print");

const SHADES = 512; // on each side of 0
const tables = {}; // by scheme

// Red, green, blue and 255 for each of the shades from -1 to 1, for paper or for the reader's screen.
function colourTable() {
  const scheme = darkScheme.matches && !printing.matches ? "dark" : "light";
  return (tables[scheme] ??= makeTable(STOPS[scheme]));
}

function makeTable(stops) {
  const rgb = (hex) => [0, 2, 4].map((n) => parseInt(hex.slice(n, n + 2), 16));
  const table = new Uint8ClampedArray(4 * (2 * SHADES + 1));
  for (let shade = -SHADES; shade <= SHADES; shade++) {
    const side = stops[shade < 0 ? "negative" : "positive"].map(rgb);
    const at = (Math.abs(shade) / SHADES) * (side.length - 1);
    const n = Math.min(side.length - 2, Math.floor(at));
    const mixed = side[n].map((from, i) => from + (side[n + 1][i] - from) * (at - n));
    table.set([...mixed, 255], 4 * (shade + SHADES));
  }
  return table;
}

// Where the colour of a share from -1 to 1 stands in the table.
const shadeOf = (share) => 4 * (SHADES + Math.round(SHADES * Math.max(-1, Math.min(1, share))));

const rgbOf = (share) => Array.from(colourTable().subarray(shadeOf(share), shadeOf(share) + 3));

// The smallest and largest of some values.
function ends(values) {
  let [low, high] = [Infinity, -Infinity];
  for (let n = 0; n < values.length; n++) {
    if (values[n] < low) low = values[n];
    if (values[n] > high) high = values[n];
  }
  return [low, high];
}

const largest = (values) => Math.max(...ends(values).map(Math.abs)) || 1;

// Paint values on a canvas, a pixel each; `most` has the strongest colour.
function paintValues(canvas, values, most) {
  const context = canvas.getContext("2d"),
    image = context.createImageData(canvas.width, canvas.height),
    table = colourTable();
  for (let n = 0; n < values.length; n++) {
    const shade = shadeOf(values[n] / most);
    for (let i = 0; i < 4; i++) image.data[4 * n + i] = table[shade + i];
  }
  context.putImageData(image, 0, 0);
}

// Black or white, whichever is easier to read on a colour (WCAG's relative luminance).
function inkOn(colour) {
  const [red, green, blue] = colour.map((byte) =>
    byte / 255 <= 0.04045 ? byte / 3294.6 : ((byte / 255 + 0.055) / 1.055) ** 2.4,
  );
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "#000" : "#fff";
}

const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;
