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

// A function from -1..1 to [red, green, blue], for paper or for the reader's screen.
function colourMap() {
  const stops = STOPS[darkScheme.matches && !printing.matches ? "dark" : "light"];
  const rgb = (hex) => [0, 2, 4].map((n) => parseInt(hex.slice(n, n + 2), 16));
  const sides = [stops.negative.map(rgb), stops.positive.map(rgb)];
  return (share) => {
    const side = sides[share < 0 ? 0 : 1];
    const at = Math.min(1, Math.abs(share)) * (side.length - 1);
    const n = Math.min(side.length - 2, Math.floor(at)), rest = at - n;
    return side[n].map((from, i) => Math.round(from + (side[n + 1][i] - from) * rest));
  };
}

// Black or white, whichever is easier to read on a colour (WCAG's relative luminance).
function inkOn(colour) {
  const [red, green, blue] = colour.map((byte) => (byte / 255 <= 0.04045 ? byte / 3294.6 : ((byte / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "#000" : "#fff";
}

const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;
